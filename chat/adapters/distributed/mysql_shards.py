"""All shards of an installation, as one place to run work: by the map, wherever that is at the moment."""

from __future__ import annotations

import contextlib
import functools
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import TypeVar

import outcome
import structlog
import trio

from ...domain.errors import ChatError, Unavailable
from .asyncio_bridge import AsyncioBridge
from .background import background_tasks
from .bucket_map import read_map, read_version, write_map
from .errors import ShardsUnusable
from .migrate import ShardState, check_name, check_states, migrate_schema, newest_map, read_state
from .mysql_dsn import ShardDsn
from .mysql_pool import Change, Moved, Session, Work
from .mysql_server import DEADLINE_SECONDS, MySqlServer
from .read_routing import Rotation
from .shard_map import Id, Kind, ShardMap, bucket_of

A = TypeVar("A")
T = TypeVar("T")

POLL_SECONDS = 5.0
"""How often a node looks whether a map or a primary has changed; what it asks in vain tells it at once."""
_FIRST_PAUSE_SECONDS = 0.02
_LONGEST_PAUSE_SECONDS = 0.1
"""Between tries while a bucket moves: the last stretch of a move takes a fraction of a second."""
_MAP_SECONDS = 1.0
"""How long a reload waits for a shard: the others are likely to know, too."""
MIGRATION_SECONDS = 3600.0
"""To build an index of a large table may take so long."""
_log = structlog.get_logger("chat.mysql")


class MySqlShards:
    """The shards with the map of which bucket is where. Every method raises `Unavailable`.

    Buckets move while nodes run. A query that meets a shard that does not have the bucket raises `Moved`, whereupon
    the map is read again and the query goes to the new place; writes wait for the moment in which a bucket changes
    hands. A shard of the map that this node was not given is away, like one that does not answer.
    """

    def __init__(self, bridge: AsyncioBridge, shards: Sequence[ShardDsn], *, deadline_seconds: float) -> None:
        self.primaries: dict[str, MySqlServer] = {}
        self.rotations: dict[str, Rotation] = {}
        for shard in shards:
            primary = MySqlServer(bridge, shard.primary, shard.name, is_primary=True, deadline_seconds=deadline_seconds)
            # Whoever asks a replica in vain has to ask the primary yet.
            replicas = [
                MySqlServer(bridge, dsn, shard.name, is_primary=False, deadline_seconds=deadline_seconds / 4)
                for dsn in shard.replicas
            ]
            self.primaries[shard.name] = primary
            self.rotations[shard.name] = Rotation(primary, replicas)
        self.map: ShardMap
        self._deadline_seconds = deadline_seconds
        self._versions: dict[str, int] = {}
        self._reloading = trio.Lock()
        self._reloads = 0

    def shard_of(self, kind: Kind, key: str) -> str:
        """The shard that has `key` by the map of the moment."""
        return self.map.shard_of(bucket_of(kind, key))

    async def on(
        self,
        kind: Kind,
        key: str,
        work: Work[T],
        *,
        transaction: bool = False,
        idempotent: bool = True,
        changes: Sequence[Change] | None = None,
    ) -> T:
        """Runs `work` on the primary that has `key`. Raises: what `work` raises.

        Whatever writes needs a `transaction`, in which the bucket stays where it is, and must say what it
        `changes`; if it does not, it is refused for as long as the bucket is being copied to another shard.
        """
        if transaction:
            work = _holding(kind, [key], work, changes)

        async def attempt() -> T:
            return await self.primary(self.shard_of(kind, key)).run(
                work, transaction=transaction, idempotent=idempotent
            )

        return await self.rerouted(attempt)

    async def read(self, kind: Kind, key: str, work: Work[T], *, is_complete: Callable[[T], bool]) -> T:
        """Runs `work` on a replica, if one is near; on the primary if its answer is not complete, or there is none."""
        rotation = self.rotations.get(self.shard_of(kind, key))
        replica = rotation.choose() if rotation is not None else None
        if replica is not None:
            with contextlib.suppress(ChatError, Moved):
                value = await replica.run(work)
                if is_complete(value):
                    return value
        return await self.on(kind, key, work)

    async def on_each(
        self,
        kind: Kind,
        keys: Iterable[Id],
        work: Callable[[Session, list[Id]], Awaitable[T]],
        *,
        transaction: bool = False,
        changes: Callable[[list[Id]], Sequence[Change]] | None = None,
        instead: Callable[[list[Id], Unavailable], A] | None = None,
    ) -> list[T | A]:
        """Runs `work`, which must be idempotent, on every primary that has some of `keys`, with those that it has.

        `transaction` and `changes` are as in `on`. `instead` answers for a shard that is away; without it that
        is raised.
        """
        wanted = list(dict.fromkeys(keys))

        async def run(shard: str, part: list[Id]) -> T | A:
            async def on_part(session: Session) -> T:
                return await work(session, part)

            held = _holding(kind, part, on_part, changes and changes(part)) if transaction else on_part
            try:
                return await self.primary(shard).run(held, transaction=transaction)
            except Unavailable as error:
                if instead is None:
                    raise
                return instead(part, error)

        async def attempt() -> list[T | A]:
            parts = self.map.by_shard(kind, wanted)
            return await gathered(functools.partial(run, *item) for item in parts.items())

        return await self.rerouted(attempt)

    async def on_all(self, work: Work[T]) -> list[T]:
        """Runs `work` on every primary and returns what those answer that can. Raises: Unavailable if none can."""
        outcomes = await outcomes_of(functools.partial(server.run, work) for server in self.primaries.values())
        answers = [each.value for each in outcomes if isinstance(each, outcome.Value)]
        for each in outcomes:
            if isinstance(each, outcome.Error) and (not answers or not isinstance(each.error, Unavailable)):
                raise each.error
        return answers

    async def rerouted(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """Calls `attempt` again with a new map for as long as it finds that something has moved."""
        end = trio.current_time() + self._deadline_seconds
        pause = _FIRST_PAUSE_SECONDS
        while True:
            before = self.map
            try:
                return await attempt()
            except Moved:
                if trio.current_time() >= end:
                    raise Unavailable("the shard is being moved", retry_after=1.0) from None
            await self.reload()
            if self.map is before:  # the move is not over
                await trio.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    async def reload(self) -> None:
        """Reads the map of every shard that answers; those that come meanwhile share the next reading.

        A shard that lacks something is told: if whoever moves a bucket dies just when the old place has given it
        up, the new place has it all the same.
        """
        seen = self._reloads
        async with self._reloading:
            if self._reloads > seen:  # one has begun since we came
                return
            self._reloads += 1
            answers = await self._each_in_time(read_map)
            maps = {name: found for name, found in answers.items() if found is not None}
            newest = functools.reduce(ShardMap.merged, maps.values(), self.map)
            self._adopt(newest)
            for name, found in maps.items():
                if newest.newer_than(found):
                    with contextlib.suppress(Unavailable):
                        await self._write_map(name, newest)

    async def watch(self) -> None:
        """Reloads the map when it has changed, and looks for new primaries, until it is cancelled."""
        while True:
            await trio.sleep(POLL_SECONDS * random.uniform(0.8, 1.2))  # noqa: S311
            # A connection to a primary that was replaced may live for as long as that server does.
            versions = await self._each_in_time(read_version, fresh=True)
            if any(self._versions.get(name) != version for name, version in versions.items()):
                self._versions |= versions
                await self.reload()

    async def _each_in_time(self, work: Work[T], *, fresh: bool = False) -> dict[str, T]:
        """The answers of those shards that answer soon, by their names."""
        answers: dict[str, T] = {}

        async def ask(name: str, server: MySqlServer) -> None:
            with trio.move_on_after(_MAP_SECONDS), contextlib.suppress(Unavailable):
                answers[name] = await server.run(work, fresh=fresh)

        async with trio.open_nursery() as nursery:
            for item in self.primaries.items():
                nursery.start_soon(ask, *item)
        return answers

    def _adopt(self, newest: ShardMap) -> None:
        if newest is self.map:
            return
        _log.info("buckets_moved", buckets=len(newest.newer_than(self.map)))
        for name in newest.shards - self.map.shards - self.primaries.keys():
            _log.error(
                "shard_unknown", shard=name, buckets=len(newest.buckets_of(name)), remedy="start this node with --shard"
            )
        self.map = newest

    def primary(self, shard: str) -> MySqlServer:
        """The primary of a shard of the map. Raises: Unavailable if this node was not given that."""
        server = self.primaries.get(shard)
        if server is None:
            raise Unavailable(f"this node was not given shard {shard}", retry_after=5.0)
        return server

    async def open(self) -> None:
        """Reads the map. Raises: ShardsUnusable if a shard that answers is not as it must be, or none answers."""
        states = await self.states()
        if not states:
            raise ShardsUnusable("no shard answers; the log says why")
        self.map = check_states(states, list(self.primaries))
        for name in self.primaries.keys() - states.keys():
            _log.error("shard_away_at_start", shard=name)
        for name, state in states.items():
            if not state.durable:
                _log.warning("shard_not_durable", shard=name, wanted="innodb_flush_log_at_trx_commit=1, sync_binlog=1")

    async def migrate(self) -> dict[str, int]:
        """Brings schema and map of every shard up to date; returns the versions. Raises: ShardsUnusable."""
        states = await self.states()
        if missing := self.primaries.keys() - states.keys():
            raise ShardsUnusable(f"shards that do not answer: {', '.join(sorted(missing))}; the log says why")
        for name, state in states.items():
            check_name(name, state)
        shard_map = newest_map(states) or ShardMap.spread(sorted(self.primaries))
        versions = {name: await server.run(migrate_schema) for name, server in self.primaries.items()}
        for name in self.primaries:
            await self._write_map(name, shard_map)
        return versions

    async def add(self, name: str) -> int:
        """Makes schema and map of a shard that is new, beside others; returns the version. Raises: ShardsUnusable."""
        states = await self.states()
        if name not in states:
            raise ShardsUnusable(f"shard {name} does not answer; the log says why")
        for each, state in states.items():
            check_name(each, state)
        shard_map = newest_map(states)
        if shard_map is None:
            raise ShardsUnusable("no shard that answers holds a map: run `chat-gateway db migrate` first")
        version = await self.primaries[name].run(migrate_schema)
        await self._write_map(name, shard_map)
        return version

    async def _write_map(self, name: str, shard_map: ShardMap) -> None:
        await self.primaries[name].run(functools.partial(write_map, name=name, shard_map=shard_map), transaction=True)

    async def aclose(self) -> None:
        """Closes all connections."""
        for name, primary in self.primaries.items():
            for server in (primary, *(replica.server for replica in self.rotations[name].replicas)):
                await server.aclose()

    async def states(self) -> dict[str, ShardState]:
        """What those shards say about themselves that answer."""
        servers = self.primaries.items()
        outcomes = await outcomes_of(functools.partial(server.run, read_state) for _, server in servers)
        return {
            name: each.unwrap()
            for (name, _), each in zip(servers, outcomes, strict=True)
            if not (isinstance(each, outcome.Error) and isinstance(each.error, Unavailable))
        }


@asynccontextmanager
async def open_shards(
    bridge: AsyncioBridge, shards: Sequence[ShardDsn], *, deadline_seconds: float = DEADLINE_SECONDS
) -> AsyncIterator[MySqlShards]:
    """Opens the shards, with their connections, for as long as the block lasts. Raises: ShardsUnusable."""
    opened = MySqlShards(bridge, shards, deadline_seconds=deadline_seconds)
    try:
        await opened.open()
        async with background_tasks() as nursery:
            for rotation in opened.rotations.values():
                nursery.start_soon(rotation.run)
            nursery.start_soon(opened.watch)
            yield opened
    finally:
        with trio.CancelScope(shield=True):
            await opened.aclose()


@asynccontextmanager
async def unopened_shards(
    bridge: AsyncioBridge, shards: Sequence[ShardDsn], *, deadline_seconds: float = DEADLINE_SECONDS
) -> AsyncIterator[MySqlShards]:
    """Shards to be made ready, or looked at as they are."""
    unopened = MySqlShards(bridge, shards, deadline_seconds=deadline_seconds)
    try:
        yield unopened
    finally:
        with trio.CancelScope(shield=True):
            await unopened.aclose()


async def migrate_shards(bridge: AsyncioBridge, shards: Sequence[ShardDsn]) -> dict[str, int]:
    """Brings schema and map of every shard up to date; returns the versions. Raises: ShardsUnusable."""
    async with unopened_shards(bridge, shards, deadline_seconds=MIGRATION_SECONDS) as unopened:
        return await unopened.migrate()


def _holding(kind: Kind, keys: Sequence[str], work: Work[T], changes: Sequence[Change] | None) -> Work[T]:
    """`work` for a transaction in which the buckets of `keys` stay where they are."""

    async def held(session: Session) -> T:
        copying = await session.hold_all(kind, keys)
        if copying and changes is None:
            raise Unavailable("the shard is being moved", retry_after=5.0)
        value = await work(session)
        await session.record(kind, changes or ())
        return value

    return held


async def gathered(calls: Iterable[Callable[[], Awaitable[T]]]) -> list[T]:
    """Runs calls at the same time and returns their values in order. Raises: the error of one, after all have ended."""
    return [each.unwrap() for each in await outcomes_of(calls)]


async def outcomes_of(calls: Iterable[Callable[[], Awaitable[T]]]) -> list[outcome.Outcome[T]]:
    """How each of some calls ended, in order; bugs are raised, and refusals are not."""
    waiting = list(calls)
    ended: dict[int, outcome.Outcome[T]] = {}

    async def run(number: int, call: Callable[[], Awaitable[T]]) -> None:
        try:
            ended[number] = outcome.Value(await call())
        except (ChatError, Moved) as error:
            ended[number] = outcome.Error(error)

    if len(waiting) == 1:
        await run(0, waiting[0])
    else:
        async with trio.open_nursery() as nursery:
            for number, call in enumerate(waiting):
                nursery.start_soon(run, number, call)
    return [ended[number] for number in range(len(waiting))]
