"""The display names of users, remembered."""

from __future__ import annotations

from collections.abc import Sequence

from ..domain.users import UserId
from ..ports.user_store import UserStore


class Names:
    """A least-recently-used memory of `capacity` names over the user store; names never change."""

    def __init__(self, users: UserStore, *, capacity: int = 50_000) -> None:
        raise NotImplementedError

    async def of(self, users: Sequence[UserId]) -> dict[UserId, str]:
        """The names of those that exist. Raises: Unavailable if one is not remembered and cannot be read."""
        raise NotImplementedError
