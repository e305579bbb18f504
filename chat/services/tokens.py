"""Access tokens: short-lived JWTs, signed by one of at most two keys."""

from __future__ import annotations

import dataclasses
import hashlib
import time
from collections.abc import Sequence
from typing import Any

import jwt

from ..domain.errors import Unauthenticated
from ..domain.ids import is_id
from ..domain.users import Identity, SessionId, User, UserId

MAX_TOKEN_BYTES = 4096
"""Checked before anything is parsed; ours have about 300."""
MIN_SECRET_BYTES = 32
"""As long as the hash (RFC 7518 §3.2): a shorter secret can be guessed offline from one token."""

_ALGORITHM = "HS256"
"""Never taken from a token (CVE-2022-29217): what a key is for is not the sender's choice."""
_LEEWAY_SECONDS = 60.0
"""For clocks that differ between nodes; `exp` gets none, it is ours to choose."""
_CLAIMS = ("iss", "aud", "sub", "name", "sid", "iat", "exp")


@dataclasses.dataclass(frozen=True, slots=True)
class SigningKey:
    """A secret for HS256, and the `kid` that names it in a token's header."""

    id: str
    secret: bytes = dataclasses.field(repr=False)

    @classmethod
    def of(cls, secret: bytes) -> SigningKey:
        """A key whose id follows from the secret, so that every node gives it the same one."""
        return cls(hashlib.sha256(b"kid:" + secret).hexdigest()[:16], secret)


class Tokens:
    """Issues and verifies access tokens.

    The first of `keys` signs; all verify. To rotate: put the new key first, and drop the old one when
    `lifetime_seconds` have passed.
    """

    def __init__(
        self,
        keys: Sequence[SigningKey],
        *,
        issuer: str = "chat-gateway",
        audience: str = "chat",
        lifetime_seconds: float = 900.0,
    ) -> None:
        """Raises: ValueError for no key, more than two, two of one id, or a secret under `MIN_SECRET_BYTES`."""
        if not 1 <= len(keys) <= 2 or len({key.id for key in keys}) != len(keys):
            raise ValueError("one signing key is needed, or two different ones during a rotation")
        if any(len(key.secret) < MIN_SECRET_BYTES for key in keys):
            raise ValueError(f"a signing key must have at least {MIN_SECRET_BYTES} bytes")
        self._signing = keys[0]
        self._secrets = {key.id: key.secret for key in keys}
        self._issuer = issuer
        self._audience = audience
        self._lifetime = lifetime_seconds

    def issue(self, user: User, session: SessionId) -> tuple[str, float]:
        """A token for `user`, and its remaining lifetime in seconds."""
        now = time.time()
        claims = {
            "iss": self._issuer,
            "aud": self._audience,
            "sub": user.id,
            "name": user.name,
            "sid": session,
            "iat": int(now),
            "exp": int(now + self._lifetime),
        }
        token = jwt.encode(claims, self._signing.secret, _ALGORITHM, headers={"kid": self._signing.id})
        return token, self._lifetime

    def verify(self, token: str) -> Identity:
        """Who the token speaks for; whether the session is still alive is another question.

        Raises: Unauthenticated, with the same text whatever is wrong.
        """
        try:
            return _identity(self._claims(token))
        # RecursionError: a header that nests deeply is parsed before any signature is checked.
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError):
            raise Unauthenticated("the access token is not valid") from None

    def _claims(self, token: str) -> dict[str, Any]:
        if len(token) > MAX_TOKEN_BYTES:
            raise ValueError("too long")
        secret = self._secrets.get(jwt.get_unverified_header(token).get("kid", ""))
        if secret is None:
            raise ValueError("no such key")
        return jwt.decode(
            token,
            secret,
            algorithms=[_ALGORITHM],
            issuer=self._issuer,
            audience=self._audience,
            leeway=_LEEWAY_SECONDS,
            options={"require": list(_CLAIMS)},
        )


def _identity(claims: dict[str, Any]) -> Identity:
    user, name, session, expires = claims["sub"], claims["name"], claims["sid"], claims["exp"]
    if not (is_id(user) and is_id(session) and isinstance(name, str)):
        raise ValueError("claims of another kind")
    if not time.time() < expires:
        raise ValueError("expired")
    return Identity(User(UserId(user), name), SessionId(session), float(expires))
