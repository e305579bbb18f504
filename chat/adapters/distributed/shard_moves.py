"""Which buckets to move, and the running of the moves beside trio."""

from __future__ import annotations

from collections.abc import Callable, Collection, Coroutine, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from .asyncio_bridge import AsyncioBridge
from .bucket_mover import BucketMover, Move, Report
from .errors import ShardsUnusable
from .migrate import check_states
from .mysql_dsn import ShardDsn
from .mysql_pool import MySqlPool
from .mysql_shards import unopened_shards
from .shard_map import BUCKETS, Kind, ShardMap

T = TypeVar("T")

_STATEMENT_SECONDS = 600.0
"""To compare a very large room may take a while."""
_IDLE_SECONDS = 2.5
"""After twice that a server ends the connection of a mover that has vanished, and with it the fence."""


def moves_between(
    shard_map: ShardMap,
    source: str,
    target: str,
    *,
    kinds: Collection[Kind] = tuple(Kind),
    numbers: Collection[int] | None = None,
    count: int | None = None,
) -> list[Move]:
    """Moves from one shard to another: all buckets, those with certain numbers, or so many of each kind."""
    moves: list[Move] = []
    for kind in kinds:
        buckets = [each for each in shard_map.buckets_of(source, kind) if numbers is None or each.number in numbers]
        moves += [Move(bucket, source, target) for bucket in buckets[:count]]
    return moves


def moves_to_even(shard_map: ShardMap, shards: Sequence[str], *, kinds: Collection[Kind] = tuple(Kind)) -> list[Move]:
    """The fewest moves after which all `shards` have equally many buckets, and others none."""
    return [move for kind in kinds for move in _to_even(shard_map, kind, shards)]


def _to_even(shard_map: ShardMap, kind: Kind, shards: Sequence[str]) -> Iterable[Move]:
    has = {shard: shard_map.buckets_of(shard, kind) for shard in {*shard_map.shards, *shards}}
    share, more = divmod(BUCKETS, len(shards))
    # Those that have most keep the odd ones.
    ranked = sorted(shards, key=lambda shard: (-len(has[shard]), shard))
    goal: Mapping[str, int] = {shard: share + (rank < more) for rank, shard in enumerate(ranked)}
    spare = [(bucket, shard) for shard in sorted(has) for bucket in has[shard][goal.get(shard, 0) :]]
    places = [shard for shard in ranked for _ in range(goal[shard] - len(has[shard]))]
    return (Move(bucket, source, target) for (bucket, source), target in zip(spare, places, strict=True))


async def read_shard_map(bridge: AsyncioBridge, shards: Sequence[ShardDsn]) -> ShardMap:
    """The map of all shards, which must all answer and be up to date. Raises: ShardsUnusable."""
    async with unopened_shards(bridge, shards) as unopened:
        states = await unopened.states()
    if missing := {shard.name for shard in shards} - states.keys():
        raise ShardsUnusable(f"shards that do not answer: {', '.join(sorted(missing))}; the log says why")
    return check_states(states, list(states))


async def run_moves(bridge: AsyncioBridge, shards: Sequence[ShardDsn], moves: Sequence[Move], report: Report) -> None:
    """Finishes what was begun, then carries out `moves`, one after the other. Raises: MoveFailed.

    `report` is called in the bridge's thread.
    """

    async def run(mover: BucketMover) -> None:
        begun = await mover.unfinished()
        on_the_way = {move.bucket for move in begun}
        for move in (*begun, *(move for move in moves if move.bucket not in on_the_way)):
            await mover.run(move)
        await mover.tidy()

    await _with_mover(bridge, shards, report, run)


async def cancel_moves(bridge: AsyncioBridge, shards: Sequence[ShardDsn], report: Report) -> list[Move]:
    """Gives up all moves whose bucket has not changed hands, and returns them. Raises: MoveFailed."""

    async def cancel(mover: BucketMover) -> list[Move]:
        given_up = [move for move in await mover.unfinished() if await mover.cancel(move)]
        await mover.tidy()
        return given_up

    return await _with_mover(bridge, shards, report, cancel)


async def unfinished_moves(bridge: AsyncioBridge, shards: Sequence[ShardDsn]) -> list[Move]:
    """Moves that were begun. Raises: MoveFailed if a shard does not answer."""
    return await _with_mover(bridge, shards, lambda progress: None, BucketMover.unfinished)


async def _with_mover(
    bridge: AsyncioBridge,
    shards: Sequence[ShardDsn],
    report: Report,
    work: Callable[[BucketMover], Coroutine[Any, Any, T]],
) -> T:
    pools = {
        shard.name: MySqlPool(
            shard.primary,
            shard.name,
            is_primary=True,
            statement_seconds=_STATEMENT_SECONDS,
            idle_seconds=_IDLE_SECONDS,
        )
        for shard in shards
    }

    async def run() -> T:
        try:
            return await work(BucketMover(pools, report))
        finally:
            for pool in pools.values():
                pool.clear()

    return await bridge.call(run)
