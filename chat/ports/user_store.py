"""Accounts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from ..domain.users import User, UserId


class UserStore(Protocol):
    """Every method raises `Unavailable` as the message store does."""

    async def create(self, name: str, password_hash: str) -> User:
        """Raises: Conflict if the folded name is taken."""

    async def user(self, user: UserId) -> User:
        """Raises: NotFound."""

    async def by_name(self, name: str) -> tuple[User, str, bool] | None:
        """The user of that folded name with the password hash and whether it is banned, or None."""

    async def names(self, users: Sequence[UserId]) -> dict[UserId, str]:
        """Names of those that exist."""

    async def set_password_hash(self, user: UserId, password_hash: str) -> None:
        """Raises: NotFound."""

    async def set_banned(self, user: UserId, banned: bool) -> None:
        """A banned user cannot sign in. Raises: NotFound."""
