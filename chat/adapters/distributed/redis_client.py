"""Commands to Redis, whichever kind it is: to the right primary, together, and with a deadline.

A call asks each primary once for all that it has to ask there. It tries again within its deadline where that
is safe: when a server says that it is not the one or not ready, always; when a connection broke, and nobody
knows what was carried out, only what may be carried out twice.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import trio

from ...domain.errors import Unavailable
from .background import background_tasks
from .redis_command import Command
from .redis_connection import Away, Broken
from .redis_layout import Layout, discover
from .redis_link import Link
from .redis_url import Address, RedisUrl, parse_redis_url
from .redis_wire import Remedy, Reply, ReplyError, code_of, pack, redirection, remedy_for

DEADLINE_SECONDS = 0.5
"""For one call with all its tries: nothing that Redis holds is worth a longer wait."""
_CALM_SECONDS = 15.0
"""How often the layout is asked for when nothing hints at a change."""
_FIRST_PAUSE_SECONDS = 0.05
_LONGEST_PAUSE_SECONDS = 1.0
_MAX_TRIES = 16
_ASKING = pack("ASKING")


@asynccontextmanager
async def open_redis(url: str, *, deadline_seconds: float = DEADLINE_SECONDS) -> AsyncIterator[RedisClient]:
    """A client that connects in the background, and as often as needed. Raises: ValueError for a bad URL."""
    parsed = parse_redis_url(url)
    async with background_tasks() as nursery:
        client = RedisClient(parsed, nursery, deadline_seconds=deadline_seconds)
        nursery.start_soon(client.run)
        yield client


class RedisClient:
    """All commands of a process. `run` must run for as long as it is used, with its links in `nursery`."""

    def __init__(self, url: RedisUrl, nursery: trio.Nursery, *, deadline_seconds: float) -> None:
        self.url = url
        self.deadline_seconds = deadline_seconds
        self._nursery = nursery
        self._links: dict[Address, tuple[Link, trio.CancelScope]] = {}
        self._layout: Layout | None = None
        self._layout_changed = trio.Event()
        self._incomplete_since = trio.current_time()
        self._hint = trio.Event()

    @property
    def layout(self) -> Layout | None:
        """Who is primary of what, as far as is known."""
        return self._layout

    @property
    def links(self) -> dict[Address, bool]:
        """The primaries, and whether each can be reached at the moment."""
        return {address: link.is_up for address, (link, _) in self._links.items()}

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
        call = _Call(self, commands, trio.current_time() + self.deadline_seconds)
        await call.run()
        return call.replies

    async def run(self) -> None:
        """Keeps the layout and a link to each primary, for ever."""
        pause = _FIRST_PAUSE_SECONDS
        while True:
            calm = await self._look()
            pause = _FIRST_PAUSE_SECONDS if calm else min(2 * pause, _LONGEST_PAUSE_SECONDS)
            with trio.move_on_after(_CALM_SECONDS if calm else pause * random.uniform(0.5, 1)):  # noqa: S311
                await self._hint.wait()
            self._hint = trio.Event()
            await trio.sleep(_FIRST_PAUSE_SECONDS)  # a storm of hints is one

    # For the calls

    async def link_to(self, key: str, until: float) -> Link | None:
        """The link to the owner of `key`; None if there is no owner, unless one is found soon."""
        while (owner := self._layout.owner(key) if self._layout is not None else None) is None:
            until = min(until, self._incomplete_since + self.deadline_seconds)
            if trio.current_time() >= until:
                return None
            with trio.move_on_at(until):
                await self._layout_changed.wait()
        return self.link(owner)

    def link(self, address: Address) -> Link:
        """The link to a server, made if there is none."""
        if address not in self._links:
            scope = trio.CancelScope()
            link = Link(self.url, address, deadline_seconds=self.deadline_seconds, on_change=self.suspect)
            self._links[address] = link, scope
            self._nursery.start_soon(_run_within, link, scope)
        return self._links[address][0]

    def moved(self, key: str, owner: Address) -> None:
        """A server says that the slot of `key` belongs to another one."""
        if self._layout is not None and self._layout.owner(key) != owner:
            self._use(self._layout.moved(key, owner))
        self.suspect()

    async def _look(self) -> bool:
        """Whether all is well: then the next look has time."""
        try:
            layout = await discover(self.url, list(self._links), self.deadline_seconds)
        except Away:
            return False
        if self._layout is None or not self._layout.is_like(layout):
            self._use(layout)
        for address in self._links.keys() - layout.primaries:
            self._links.pop(address)[1].cancel()
        return layout.is_whole and all(link.is_up for link, _ in self._links.values())

    def _use(self, layout: Layout) -> None:
        if not layout.is_whole and (self._layout is None or self._layout.is_whole):
            self._incomplete_since = trio.current_time()
        self._layout = layout
        for address in layout.primaries:
            self.link(address)
        self._layout_changed.set()
        self._layout_changed = trio.Event()


async def _run_within(link: Link, scope: trio.CancelScope) -> None:
    with scope:
        await link.run()


class _Call:
    """The commands of one call, and how far they have come."""

    __slots__ = ("_again", "_client", "_commands", "_loaded", "_pause", "_until", "replies")

    def __init__(self, client: RedisClient, commands: Sequence[Command], until: float) -> None:
        self._client = client
        self._commands = commands
        self._until = until
        self._again: list[int] = list(range(len(commands)))
        """What is still to be asked, by index."""
        self._pause = False
        self._loaded: set[int] = set()
        """Whose script goes along."""
        self.replies: list[Reply] = [None] * len(commands)

    async def run(self) -> None:
        for _ in range(_MAX_TRIES):
            todo, self._again, self._pause = self._again, [], False
            await self._ask_all(todo)
            if not self._again:
                return
            if self._pause:
                self._client.suspect()
                await trio.sleep(_FIRST_PAUSE_SECONDS * random.uniform(0.2, 1))  # noqa: S311
                if trio.current_time() >= self._until:
                    break
        for index in self._again:
            self.replies[index] = Unavailable("redis is not ready")

    async def _ask_all(self, todo: Sequence[int]) -> None:
        by_link: dict[Link, list[int]] = {}
        for index in todo:
            link = await self._client.link_to(self._commands[index].key, self._until)
            if link is None:
                self.replies[index] = Unavailable("redis has no primary at the moment")
            else:
                by_link.setdefault(link, []).append(index)
        if len(by_link) == 1:
            [(link, indices)] = by_link.items()
            return await self._ask(link, indices)
        async with trio.open_nursery() as nursery:
            for link, indices in by_link.items():
                nursery.start_soon(self._ask, link, indices)

    async def _ask(self, link: Link, indices: Sequence[int]) -> None:
        try:
            replies = await link.execute([self._packed(index) for index in indices], self._until)
        except Away as error:
            for index in indices:
                self._failed(index, link, error)
            return
        for index, reply in zip(indices, replies, strict=True):
            if isinstance(reply, ReplyError):
                await self._refused(index, link, reply)
            else:
                self.replies[index] = reply

    def _packed(self, index: int) -> bytes:
        command = self._commands[index]
        return (command.whole() if index in self._loaded else None) or command.packed

    def _failed(self, index: int, link: Link, error: Away) -> None:
        """Nothing was sent, and cannot be; or it may have been, and the connection broke."""
        command, layout = self._commands[index], self._client.layout
        has_moved = layout is not None and layout.owner(command.key) != link.address
        if trio.current_time() < self._until and (command.again if isinstance(error, Broken) else has_moved):
            self._again.append(index)
        else:
            self.replies[index] = Unavailable("redis is away")

    async def _refused(self, index: int, link: Link, error: ReplyError) -> None:
        remedy = remedy_for(error)
        target = redirection(error, link.address)
        if remedy is Remedy.ASK and target is not None:
            return await self._ask_elsewhere(index, Address(*target))
        if remedy is Remedy.REDIRECT and target is not None:
            self._client.moved(self._commands[index].key, Address(*target))
            self._again.append(index)
        elif remedy is Remedy.LOAD and index not in self._loaded and self._commands[index].whole() is not None:
            self._loaded.add(index)
            self._again.append(index)
        elif remedy is Remedy.WAIT:
            self._pause = True
            self._again.append(index)
        else:
            self.replies[index] = Unavailable(f"redis refuses: {code_of(error)}")

    async def _ask_elsewhere(self, index: int, address: Address) -> None:
        """While a slot moves, a key may be at its new owner already, who answers if asked so."""
        try:
            _, reply = await self._client.link(address).execute([_ASKING, self._packed(index)], self._until)
        except Away as error:
            self.replies[index] = Unavailable(f"redis is away: {error}")
            return
        if isinstance(reply, ReplyError):
            self._pause = True
            if remedy_for(reply) is Remedy.LOAD:
                self._loaded.add(index)
            self._again.append(index)
        else:
            self.replies[index] = reply
