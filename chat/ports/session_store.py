"""Sessions: who is signed in, for 24 hours after the last use."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from ..domain.errors import Unavailable
from ..domain.users import Session, SessionId, UserId


class SessionStore(Protocol):
    """Every method raises `Unavailable` as the message store does."""

    async def create(self, user: UserId) -> Session:
        """A new session with an id of 128 random bits."""

    async def touch(self, session: SessionId) -> Session | None:
        """Extends a live session by its full lifetime; None if it is unknown, expired or revoked."""

    async def touch_each(self, sessions: Sequence[SessionId]) -> list[Session | Unavailable | None]:
        """The same for many, in one call, with an answer for each in their order."""

    async def restore(self, session: SessionId, user: UserId) -> Session | None:
        """Makes a session alive again that this store has lost, by no will of anybody's.

        For a user who has proven to have had it. None if it was ended, has expired, or cannot be told from
        one that was: so always, in a store that loses nothing.
        """

    async def revoke(self, session: SessionId) -> bool:
        """Ends a session; False if there was none for sure."""

    async def revoke_user(self, user: UserId) -> list[SessionId]:
        """Ends all sessions of a user and returns them."""
