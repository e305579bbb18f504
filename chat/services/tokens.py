"""Access tokens: short-lived JWTs, signed by one of at most two keys."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from ..domain.users import Identity, SessionId, User

MAX_TOKEN_BYTES = 4096
"""Checked before anything is parsed; ours have about 300."""
MIN_SECRET_BYTES = 32
"""As long as the hash (RFC 7518 §3.2): a shorter secret can be guessed offline from one token."""


@dataclasses.dataclass(frozen=True, slots=True)
class SigningKey:
    """A secret for HS256, and the `kid` that names it in a token's header."""

    id: str
    secret: bytes = dataclasses.field(repr=False)

    @classmethod
    def of(cls, secret: bytes) -> SigningKey:
        """A key whose id follows from the secret, so that every node gives it the same one."""
        raise NotImplementedError


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
        raise NotImplementedError

    def issue(self, user: User, session: SessionId) -> tuple[str, float]:
        """A token for `user`, and its remaining lifetime in seconds."""
        raise NotImplementedError

    def verify(self, token: str) -> Identity:
        """Who the token speaks for; whether the session is still alive is another question.

        Raises: Unauthenticated, with the same text whatever is wrong.
        """
        raise NotImplementedError
