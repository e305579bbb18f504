"""Who is online in a room: leases in the store, differences to the fleet."""

from __future__ import annotations

import math
import random
from collections.abc import Awaitable, Iterable, Iterator
from itertools import islice, takewhile
from typing import TypeVar

import structlog
import trio

from ..domain.errors import ChatError
from ..domain.presence import Difference, Differences
from ..domain.rooms import Operation, RoomId
from ..domain.users import Identity, UserId
from ..ports.presence_store import PresenceEntry, PresenceStore
from . import events
from .announcer import Announcer
from .names import Names
from .rooms import Rooms

MAX_NAMES = 200
"""With more users online a room shows their number only."""

_BATCH_SECONDS = 0.05
"""How long a change waits for others to go to the store with it."""
_CHUNK = 500
"""Entries in one call of the store: a refresh sends at most that many every `_BATCH_SECONDS`."""
_REAP_SECONDS = 3.0
"""With the lease of 30 s and the jitter: who was on a node that died is gone from the rooms within 35 s."""
_ANNOUNCE_SECONDS = 1.0
_CONCURRENT_COUNTS = 100

T = TypeVar("T")
_log = structlog.get_logger()


class Presence:
    """Tracks this node's connections; `run` does the work, `track` and `untrack` only note it.

    The grace needs no bookkeeping across nodes: a connection that is gone keeps its entry for so long,
    and a user with any entry, from whichever node, is online.
    """

    def __init__(
        self,
        store: PresenceStore,
        *,
        rooms: Rooms,
        names: Names,
        announcer: Announcer,
        grace_seconds: float = 5.0,
        refresh_seconds: float = 10.0,
    ) -> None:
        """`grace_seconds`: how long a user who is gone still counts as online."""
        self._store = store
        self._rooms = rooms
        self._names = names
        self._announcer = announcer
        self._grace_seconds = grace_seconds
        self._refresh_seconds = refresh_seconds
        self._tracked: dict[PresenceEntry, None] = {}
        """Whose lease is renewed: the connected and, during their grace, the gone."""
        self._arrived: dict[PresenceEntry, None] = {}
        """Not in the store yet."""
        self._gone: dict[PresenceEntry, float] = {}
        """When the grace ends; the grace being the same for all, the first ends first."""
        self._stale: list[PresenceEntry] = []
        """Still to be renewed in this round."""
        self._differences = Differences()
        self._woken = trio.Event()

    async def online(self, who: Identity, room: RoomId) -> tuple[int, list[tuple[UserId, str]]]:
        """How many users are online, and (id, name) of each unless they are more than `MAX_NAMES`.

        Raises: NotFound, Unavailable.
        """
        await self._rooms.authorize(who.user.id, room, Operation.SEE)
        total, users = await self._store.online(room, MAX_NAMES)
        if total > MAX_NAMES:
            return total, []
        return total, list((await self._names.of(users)).items())

    async def count(self, room: RoomId) -> int:
        """How many users are online. Raises: Unavailable."""
        total, _ = await self._store.online(room, 0)
        return total

    def track(self, room: RoomId, user: UserId, connection: str) -> None:
        """From now on the connection keeps its user online in the room. `connection` is unique in the fleet."""
        entry = PresenceEntry(room, user, connection)
        self._gone.pop(entry, None)
        self._tracked[entry] = None
        self._arrived[entry] = None
        self._woken.set()

    def untrack(self, room: RoomId, user: UserId, connection: str) -> None:
        """The opposite, after the grace: another connection of the user within it, on any node, prevents the leave."""
        entry = PresenceEntry(room, user, connection)
        if entry in self._tracked and entry not in self._gone:
            self._gone[entry] = trio.current_time() + self._grace_seconds
            self._woken.set()

    async def run(self) -> None:
        """Keeps the store up to date and announces joins and leaves, for ever.

        At most one announcement per room and second comes from a node. What the store cannot take is
        taken again with the next refresh.
        """
        now = trio.current_time()
        refresh_at, reap_at, announce_at = now + self._refresh_seconds, now + _REAP_SECONDS, now
        while True:
            await self._wait_until(min(refresh_at, reap_at, announce_at if self._differences else math.inf))
            await self._put_arrived()
            await self._remove_gone()
            now = trio.current_time()
            if now >= refresh_at:
                self._stale = list(self._tracked)
                refresh_at = now + self._refresh_seconds * _jitter()
            await self._renew_some()
            if now >= reap_at:
                await self._reap()
                reap_at = now + _REAP_SECONDS * _jitter()
            if now >= announce_at and self._differences:
                await self._announce()
                announce_at = now + _ANNOUNCE_SECONDS

    async def _wait_until(self, deadline: float) -> None:
        """Sleeps until `deadline`, the end of a grace or a change; after a change a little longer, for a batch."""
        grace_ends = next(iter(self._gone.values()), math.inf)
        if not self._stale:
            with trio.move_on_at(min(deadline, grace_ends)):
                await self._woken.wait()
        if self._stale or self._woken.is_set():
            await trio.sleep(_BATCH_SECONDS)
            self._woken = trio.Event()

    async def _put_arrived(self) -> None:
        arrived, self._arrived = self._arrived, {}
        for chunk in _chunks(arrived):
            await self._put(chunk)

    async def _renew_some(self) -> None:
        """One chunk of the round; the others follow in the next turns, so that joins need not wait."""
        chunk = self._stale[-_CHUNK:]
        del self._stale[-_CHUNK:]
        await self._put([entry for entry in chunk if entry in self._tracked])

    async def _put(self, entries: list[PresenceEntry]) -> None:
        if not entries:
            return
        try:
            for room, user in await self._store.put(entries):
                self._differences.join(room, user)
        except ChatError as error:
            _log.warning("presence_not_stored", entries=len(entries), error=error.message)

    async def _remove_gone(self) -> None:
        """Ends what has had its grace. If the store is away, the lease ends it."""
        now = trio.current_time()
        ended = list(takewhile(lambda entry: self._gone[entry] <= now, self._gone))
        for entry in ended:
            del self._gone[entry], self._tracked[entry]
        for chunk in _chunks(ended):
            await self._leave(self._store.remove(chunk))

    async def _reap(self) -> None:
        await self._leave(self._store.reap())

    async def _leave(self, removal: Awaitable[list[tuple[RoomId, UserId]]]) -> None:
        try:
            for room, user in await removal:
                self._differences.leave(room, user)
        except ChatError as error:
            _log.warning("presence_not_removed", error=error.message)

    async def _announce(self) -> None:
        for rooms in _chunks(self._differences.take().items(), _CONCURRENT_COUNTS):
            happened: list[events.PresenceChanged] = []
            async with trio.open_nursery() as nursery:
                for room, difference in rooms:
                    nursery.start_soon(self._describe, room, difference, happened)
            await self._announcer.announce(*happened)

    async def _describe(self, room: RoomId, difference: Difference, happened: list[events.PresenceChanged]) -> None:
        """Adds the room's event to `happened`, or keeps the difference for later if the store is away."""
        try:
            online = await self.count(room)
            names = await self._names.of(list(difference.joins)) if online <= MAX_NAMES else {}
        except ChatError:
            self._differences.put_back(room, difference)
            return
        leaves = difference.leaves if online <= MAX_NAMES else ()
        happened.append(events.PresenceChanged(room, [*names.items()], [*leaves], online))


def _chunks(items: Iterable[T], size: int = _CHUNK) -> Iterator[list[T]]:
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk


def _jitter() -> float:
    """Keeps the nodes of a fleet from asking all at once."""
    return random.uniform(0.8, 1.2)  # noqa: S311 -- nothing secret
