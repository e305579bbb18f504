"""Accounts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from ..domain.users import Account, User, UserId


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

    async def set_admin(self, user: UserId, admin: bool) -> None:
        """Lets the user operate the installation, or no more. Raises: NotFound."""

    async def search(self, prefix: str, after: UserId | None, limit: int) -> list[Account]:
        """Accounts whose folded name begins with `prefix`, folded, in the order of folded names.

        At most `limit` (1 to 500), behind the account `after`. Those of a shard that is away are left out.
        Raises: NotFound if there is no account `after`.
        """
