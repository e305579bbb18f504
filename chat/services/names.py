"""The display names of users, remembered."""

from __future__ import annotations

from collections.abc import Sequence

from ..domain.users import UserId
from ..ports.user_store import UserStore
from .lru import Lru


class Names:
    """A least-recently-used memory of `capacity` names over the user store; names never change."""

    def __init__(self, users: UserStore, *, capacity: int = 50_000) -> None:
        self._users = users
        self._known: Lru[UserId, str] = Lru(capacity)

    async def of(self, users: Sequence[UserId]) -> dict[UserId, str]:
        """The names of those that exist. Raises: Unavailable if one is not remembered and cannot be read."""
        names = {user: name for user in users if (name := self._known.recall(user)) is not None}
        missing = [user for user in dict.fromkeys(users) if user not in names]
        if missing:
            found = await self._users.names(missing)
            names |= found
            for user, name in found.items():
                self._known.remember(user, name)
        return names
