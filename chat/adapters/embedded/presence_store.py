"""`PresenceStore` in memory."""

from __future__ import annotations

import collections
import itertools
from collections.abc import Callable, Sequence

import trio

from ...domain.rooms import RoomId
from ...domain.users import UserId
from ...ports.presence_store import PresenceEntry

LEASE_SECONDS = 30.0


class MemoryPresenceStore:
    """Who is online, of the nodes of one process; `clock` gives seconds that never step back.

    All leases are equally long, so the order of renewal is the order of lapsing: what has lapsed is
    always at the front, and no call looks at more than that.
    """

    def __init__(self, *, lease_seconds: float = LEASE_SECONDS, clock: Callable[[], float] = trio.current_time) -> None:
        self._lease_seconds = lease_seconds
        self._clock = clock
        self._leases: collections.OrderedDict[PresenceEntry, float] = collections.OrderedDict()
        self._connections: dict[RoomId, dict[UserId, int]] = {}
        self._lapsed: dict[tuple[RoomId, UserId], None] = {}

    async def put(self, entries: Sequence[PresenceEntry]) -> list[tuple[RoomId, UserId]]:
        await trio.lowlevel.checkpoint_if_cancelled()
        self._lapse()
        return [(entry.room, entry.user) for entry in entries if self._put(entry)]

    async def remove(self, entries: Sequence[PresenceEntry]) -> list[tuple[RoomId, UserId]]:
        await trio.lowlevel.checkpoint_if_cancelled()
        self._lapse()
        return [(entry.room, entry.user) for entry in entries if self._remove(entry)]

    async def reap(self) -> list[tuple[RoomId, UserId]]:
        await trio.lowlevel.checkpoint_if_cancelled()
        self._lapse()
        lapsed = list(self._lapsed)
        self._lapsed.clear()
        return lapsed

    async def online(self, room: RoomId, limit: int) -> tuple[int, list[UserId]]:
        await trio.lowlevel.checkpoint_if_cancelled()
        self._lapse()
        users = self._connections.get(room, {})
        return len(users), list(itertools.islice(users, max(0, limit)))

    async def online_of(self, room: RoomId, users: Sequence[UserId]) -> set[UserId]:
        await trio.lowlevel.checkpoint_if_cancelled()
        self._lapse()
        return set(users) & self._connections.get(room, {}).keys()

    def _lapse(self) -> None:
        """Takes out what was not renewed, and notes who went offline by that until `reap` tells."""
        now = self._clock()
        while self._leases:
            entry = next(iter(self._leases))
            if self._leases[entry] > now:
                return
            if self._remove(entry):
                self._lapsed[entry.room, entry.user] = None

    def _put(self, entry: PresenceEntry) -> bool:
        known = entry in self._leases
        self._leases[entry] = self._clock() + self._lease_seconds
        self._leases.move_to_end(entry)
        if known:
            return False
        users = self._connections.setdefault(entry.room, {})
        users[entry.user] = users.get(entry.user, 0) + 1
        self._lapsed.pop((entry.room, entry.user), None)
        return users[entry.user] == 1

    def _remove(self, entry: PresenceEntry) -> bool:
        if self._leases.pop(entry, None) is None:
            return False
        users = self._connections[entry.room]
        users[entry.user] -= 1
        if users[entry.user]:
            return False
        del users[entry.user]
        if not users:
            del self._connections[entry.room]
        return True
