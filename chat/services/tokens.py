"""Access tokens: short-lived JWTs (RFC 7519), signed with HS256 by one of at most two keys.

Only our own tokens are read, so nothing in one is a choice of its sender. The header of each key is one
fixed text: a token either begins with it or is refused, and no header is ever parsed. So there is no
algorithm, `kid`, `crit` or `jwk` to be confused by (CVE-2022-29217). Claims are decoded once the signature
holds, into types. It costs 10 µs, where PyJWT took 125: nearly half of a connection's handshake and join.
"""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
import math
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence

import msgspec

from ..domain.errors import Unauthenticated
from ..domain.ids import is_id
from ..domain.users import Identity, SessionId, User, UserId

MAX_TOKEN_BYTES = 4096
"""Checked before anything else; ours have about 300."""
MIN_SECRET_BYTES = 32
"""As long as the hash (RFC 7518 §3.2): a shorter secret can be guessed offline from one token."""

_LEEWAY_SECONDS = 60.0
"""For clocks that differ between nodes; `exp` gets none, it is ours to choose."""


@dataclasses.dataclass(frozen=True, slots=True)
class SigningKey:
    """A secret for HS256, and the `kid` that names it in a token's header."""

    id: str
    secret: bytes = dataclasses.field(repr=False)

    @classmethod
    def of(cls, secret: bytes) -> SigningKey:
        """A key whose id follows from the secret, so that every node gives it the same one."""
        return cls(hashlib.sha256(b"kid:" + secret).hexdigest()[:16], secret)

    @property
    def header(self) -> bytes:
        """What every token of this key begins with. Never changed, lest nodes refuse each other's tokens."""
        return _base64url(msgspec.json.encode({"alg": "HS256", "kid": self.id, "typ": "JWT"}))


class _Claims(msgspec.Struct, frozen=True, gc=False):
    iss: str
    aud: str
    sub: str
    name: str
    sid: str
    iat: float
    exp: float
    node: str = ""
    """In a resume token: where its connection was to be opened."""
    nbf: float = -math.inf
    """Not issued by us, but understood."""


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Claims).decode


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
        self._secrets = {key.header: key.secret for key in keys}
        self._header = keys[0].header
        self._issuer = issuer
        self._audience = audience
        self._sockets = f"{audience}-sockets"
        self._lifetime = lifetime_seconds

    def issue(self, user: User, session: SessionId) -> tuple[str, float]:
        """A token for `user`, and its remaining lifetime in seconds."""
        return self._signed(self._audience, user, session, time.time() + self._lifetime), self._lifetime

    def issue_resume(self, who: Identity, node: str) -> str:
        """A token that opens sockets and nothing else, for as long as the one that `who` was proven by."""
        return self._signed(self._sockets, who.user, who.session, who.expires, node=node)

    def verify(self, token: str, *, resume: bool = False) -> Identity:
        """Who the token speaks for; whether the session is still alive is another question.

        Only with `resume` a resume token is as good. Raises: Unauthenticated, with the same text whatever is wrong.
        """
        try:
            claims = _decode(self._payload(token))
            self._check(claims, time.time(), resume)
        # RecursionError: whoever holds the key may sign what nests deeply.
        except (ValueError, RecursionError):
            raise Unauthenticated("the access token is not valid") from None
        return Identity(User(UserId(claims.sub), claims.name), SessionId(claims.sid), claims.exp)

    def node_of(self, resume: str, user: UserId) -> str:
        """The node that a resume token of `user` names, however old it is; empty if it is none."""
        try:
            claims = _decode(self._payload(resume))
        except (ValueError, RecursionError):
            return ""
        return claims.node if claims.aud == self._sockets and claims.sub == user else ""

    def _signed(self, audience: str, user: User, session: SessionId, expires: float, **more: str) -> str:
        claims = {
            "iss": self._issuer,
            "aud": audience,
            "sub": user.id,
            "name": user.name,
            "sid": session,
            "iat": int(time.time()),
            "exp": int(expires),
            **more,
        }
        signed = b"%b.%b" % (self._header, _base64url(_encode(claims)))
        return (b"%b.%b" % (signed, _signature(self._secrets[self._header], signed))).decode()

    def _payload(self, token: str) -> bytes:
        """What the token claims, if one of our keys has signed it. Raises: ValueError."""
        if len(token) > MAX_TOKEN_BYTES:
            raise ValueError("too long")
        signed, _, signature = token.encode("ascii").rpartition(b".")
        header, _, payload = signed.partition(b".")
        secret = self._secrets.get(header)
        if secret is None:
            raise ValueError("the header of none of our keys")
        # The one way to write a signature, compared as text: base64 with other bits in its last digit is none.
        if not hmac.compare_digest(_signature(secret, signed), signature):
            raise ValueError("signed by somebody else")
        return urlsafe_b64decode(payload + b"==")

    def _check(self, claims: _Claims, now: float, resume: bool) -> None:
        """Raises: ValueError."""
        audiences = (self._audience, self._sockets) if resume else (self._audience,)
        if claims.iss != self._issuer or claims.aud not in audiences:
            raise ValueError("for somebody else")
        if not max(claims.iat, claims.nbf) - _LEEWAY_SECONDS <= now < claims.exp:
            raise ValueError("not valid now")
        if not (is_id(claims.sub) and is_id(claims.sid)):
            raise ValueError("names nobody")


def _signature(secret: bytes, signed: bytes) -> bytes:
    """HMAC-SHA-256 as it stands in a token (RFC 7515 §5.1)."""
    return _base64url(hmac.digest(secret, signed, "sha256"))


def _base64url(data: bytes) -> bytes:
    """Without padding (RFC 7515 §2)."""
    return urlsafe_b64encode(data).rstrip(b"=")
