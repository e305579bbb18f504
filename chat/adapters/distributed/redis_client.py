"""Commands to Redis, whichever kind it is: to the right primary, together, and with a deadline.

Redis-py carries them, in the asyncio bridge; here is decided what goes where, and when. A call is tried again
within its deadline where that is safe: when a server says that it is not the one or not ready, always; when a
connection broke, and nobody knows what was carried out, only what may be carried out twice.
"""

from __future__ import annotations

import contextlib
import functools
import random
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import TypeVar

import structlog
import trio

from ...domain.errors import Unavailable
from ...metrics.meters import RedisMeter
from .asyncio_bridge import AsyncioBridge, Work
from .background import background_tasks
from .redis_call import Call
from .redis_command import Command
from .redis_driver import RedisDriver, Reply
from .redis_errors import Away
from .redis_lane import TICKS, Lane, Part, Queue
from .redis_layout import Layout
from .redis_url import Address, RedisUrl, parse_redis_url

T = TypeVar("T")

DEADLINE_SECONDS = 0.5
"""For one call with all its tries: nothing that Redis holds is worth a longer wait."""
_CALM_SECONDS = 15.0
"""How often the layout is asked for when nothing hints at a change."""
_FIRST_PAUSE_SECONDS = 0.05
_LONGEST_PAUSE_SECONDS = 1.0
_log = structlog.get_logger("chat.redis")


@asynccontextmanager
async def open_redis(
    url: str, *, bridge: AsyncioBridge | None = None, deadline_seconds: float = DEADLINE_SECONDS
) -> AsyncIterator[RedisClient]:
    """A client that connects when needed, and as often as needed. Raises: ValueError for a bad URL.

    `bridge` is the one of the process; without it the client has one of its own.
    """
    parsed = parse_redis_url(url)
    if bridge is None:
        async with AsyncioBridge() as own, open_redis(url, bridge=own, deadline_seconds=deadline_seconds) as client:
            yield client
        return
    async with _open_driver(bridge, parsed, deadline_seconds) as driver, background_tasks() as nursery:
        client = RedisClient(parsed, bridge, driver, nursery, deadline_seconds=deadline_seconds)
        nursery.start_soon(client.run)
        yield client


@asynccontextmanager
async def _open_driver(bridge: AsyncioBridge, url: RedisUrl, deadline_seconds: float) -> AsyncIterator[RedisDriver]:
    async def new() -> RedisDriver:
        return RedisDriver(url, deadline_seconds)

    driver = await bridge.call(new)
    try:
        yield driver
    finally:
        with trio.CancelScope(shield=True), contextlib.suppress(Unavailable):
            await bridge.call(driver.close)


class RedisClient:
    """All commands of a process. `run` must run for as long as it is used, with its lanes in `nursery`."""

    def __init__(
        self,
        url: RedisUrl,
        bridge: AsyncioBridge,
        driver: RedisDriver,
        nursery: trio.Nursery,
        *,
        deadline_seconds: float,
    ) -> None:
        self.url = url
        self.deadline_seconds = deadline_seconds
        self.meter = RedisMeter()
        self._bridge = bridge
        self._driver = driver
        self._nursery = nursery
        self._calls: dict[Call, None] = {}
        """Under way, the oldest first."""
        self._ticks = 0
        self._lanes: dict[Address, Lane] = {}
        self._homeless = Queue(is_up=False)
        """What belongs to slots that nobody owns at the moment."""
        self._layout: Layout | None = None
        self._layout_changed = trio.Event()
        self._hint = trio.Event()

    @property
    def links(self) -> dict[Address, bool]:
        """The primaries, and whether each can be reached at the moment."""
        return {address: lane.is_up for address, lane in self._lanes.items()}

    async def layout_other_than(self, layout: Layout | None) -> Layout:
        """Waits until the layout is known and another one."""
        while self._layout is None or self._layout is layout:
            await self._layout_changed.wait()
        return self._layout

    def suspect(self) -> None:
        """Something hints that the layout has changed: looks soon."""
        self._hint.set()

    async def ask(self, command: Command) -> Reply:
        """The reply to one command. Raises: Unavailable."""
        [reply] = await self.execute([command])
        if isinstance(reply, Unavailable):
            raise reply
        return reply

    async def execute(self, commands: Sequence[Command]) -> list[Reply]:
        """The reply to each command; an `Unavailable` in place of those that may not have been carried out.

        Commands to one server arrive in their order, with those of all other tasks in between.
        Cancelling leaves at once: each is then carried out or not.
        """
        began = trio.current_time()
        call = Call(commands, self._ticks)
        self._calls[call] = None
        try:
            self._route([Part(call, range(len(commands)))])
            replies = await call.replies()
        finally:
            del self._calls[call]
        self.meter.answered(trio.current_time() - began, replies)
        return replies

    async def run(self) -> None:
        """Keeps the layout, and a lane to each primary, for ever."""
        self._nursery.start_soon(self._tick)
        pause = _FIRST_PAUSE_SECONDS
        while True:
            calm = await self._look()
            pause = _FIRST_PAUSE_SECONDS if calm else min(2 * pause, _LONGEST_PAUSE_SECONDS)
            with trio.move_on_after(_CALM_SECONDS if calm else pause * random.uniform(0.5, 1)):  # noqa: S311
                await self._hint.wait()
            self._hint = trio.Event()
            await trio.sleep(_FIRST_PAUSE_SECONDS)  # a storm of hints is one

    async def _tick(self) -> None:
        """Ends what has waited for too long."""
        while True:
            await trio.sleep(self.deadline_seconds / TICKS)
            self._ticks += 1
            for call in self._calls:
                if self._ticks - call.born < TICKS:
                    break
                call.fail("redis does not answer in time")
            for queue in (self._homeless, *self._lanes.values()):
                queue.tick()

    # What goes where

    def _route(self, parts: Iterable[Part]) -> None:
        """Puts all of it where it is to be asked, by what is known now."""
        for part in parts:
            if self._layout is None or self._layout.is_cluster:
                self._route_by_slot(part)
            else:
                for lane in self._lanes.values():
                    lane.put(part)

    def _route_by_slot(self, part: Part) -> None:
        owner_of = self._layout.owner if self._layout is not None else None
        by_owner: dict[Address | None, list[int]] = {}
        for index in part.indices:
            owner = owner_of(part.call.commands[index].key) if owner_of is not None else None
            by_owner.setdefault(owner, []).append(index)
        for owner, indices in by_owner.items():
            queue = self._homeless if owner is None else self._lanes[owner]
            queue.put(Part(part.call, indices))

    def _moved(self, parts: Sequence[Part]) -> None:
        """Servers have said that others own these slots: redis-py has noted who."""
        self._use_found()
        self._route(parts)
        self.suspect()

    async def _look(self) -> bool:
        """Whether all is well: then the next look has time."""
        try:
            await self._cross(self._driver.look)
        except Away as error:
            _log.debug("redis_layout_unknown", reason=str(error))
            return False
        self._use_found()
        return self._layout is not None and self._layout.is_whole and all(self.links.values())

    def _use_found(self) -> None:
        layout = self._driver.layout
        if layout is None or (self._layout is not None and self._layout.is_like(layout)):
            return
        self._layout = layout
        parts = self._homeless.take_all()
        if layout.is_whole:
            self._homeless = Queue(is_up=False)
        for address in self._lanes.keys() - layout.primaries:
            parts += self._lanes.pop(address).close()
        for address in layout.primaries - self._lanes.keys():
            self._lanes[address] = lane = self._new_lane(address)
            self._nursery.start_soon(lane.run)
        self._route(parts)
        self._layout_changed.set()
        self._layout_changed = trio.Event()

    def _new_lane(self, address: Address) -> Lane:
        async def send(commands: Sequence[Command]) -> list[Reply]:
            return await self._cross(functools.partial(self._driver.send, address, commands))

        return Lane(
            str(address),
            send,
            deadline_seconds=self.deadline_seconds,
            on_moved=self._moved,
            on_change=self.suspect,
        )

    async def _cross(self, work: Work[T]) -> T:
        try:
            return await self._bridge.call(work)
        except Unavailable as error:  # the bridge's, whatever has ended it
            raise Away(error.message) from error
