"""Who is online in which room, on any node."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Protocol

from ..domain.rooms import RoomId
from ..domain.users import UserId


@dataclasses.dataclass(frozen=True, slots=True)
class PresenceEntry:
    """One connection of one user in one room; `connection` is unique in the whole fleet."""

    room: RoomId
    user: UserId
    connection: str


class PresenceStore(Protocol):
    """Entries with a lease of 30 s; what is not refreshed lapses. Every method raises `Unavailable`.

    A user whose entries have all lapsed is offline at once; that is told by `reap`, unless the user is back by then.
    """

    async def put(self, entries: Sequence[PresenceEntry]) -> list[tuple[RoomId, UserId]]:
        """Adds entries or renews their lease; returns who was not online in the room before."""

    async def remove(self, entries: Sequence[PresenceEntry]) -> list[tuple[RoomId, UserId]]:
        """Returns who is not online in the room any more."""

    async def reap(self) -> list[tuple[RoomId, UserId]]:
        """Removes lapsed entries; returns who went offline by that, each once in the whole fleet."""

    async def online(self, room: RoomId, limit: int) -> tuple[int, list[UserId]]:
        """How many users are online, and up to `limit` of them."""

    async def online_of(self, room: RoomId, users: Sequence[UserId]) -> set[UserId]:
        """Those of `users` who are online in the room."""
