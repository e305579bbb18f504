"""What an operator sees of the shards: how much each has, what is on its way, how far its replicas are behind."""

from __future__ import annotations

import dataclasses

import trio

from ...domain.errors import Unavailable
from .bucket_mover import Stage
from .migrate import ShardState, read_state
from .mysql_pool import Session
from .mysql_shards import MySqlShards
from .shard_map import Kind


@dataclasses.dataclass(slots=True)
class ShardStatus:
    """One shard. Rows and bytes are the server's estimates."""

    name: str
    state: ShardState | None = None
    """None if it does not answer."""
    buckets: dict[Kind, int] = dataclasses.field(default_factory=dict)
    """How many of each kind it has, by its own map."""
    moving: dict[Stage, int] = dataclasses.field(default_factory=dict)
    messages: int = 0
    bytes: int = 0
    is_semi_synchronous: bool | None = None
    """None if it has no replicas, or does not tell."""
    lags: list[tuple[str, float]] = dataclasses.field(default_factory=list)
    """Each replica, and how many seconds it is behind; infinite if it does not tell."""


async def shard_statuses(shards: MySqlShards) -> list[ShardStatus]:
    """The status of every shard that is given, asked at the same time."""
    found = [ShardStatus(name) for name in shards.primaries]
    async with trio.open_nursery() as nursery:
        for status in found:
            nursery.start_soon(_ask, shards, status)
    return found


async def _ask(shards: MySqlShards, status: ShardStatus) -> None:
    async def look(session: Session) -> ShardState:
        state = await read_state(session)
        if state.shard_map is not None and state.is_current:
            await _look(session, status)
        return state

    rotation = shards.rotations[status.name]
    try:
        status.state = await shards.primaries[status.name].run(look)
        await rotation.measure()
    except Unavailable:
        return
    finally:
        status.is_semi_synchronous = rotation.is_semi_synchronous
        status.lags = [(str(replica.server.dsn), replica.lag_seconds) for replica in rotation.replicas]


async def _look(session: Session, status: ShardStatus) -> None:
    counts = await session.rows("SELECT kind, COUNT(*) FROM bucket_map WHERE shard = %s GROUP BY kind", [session.shard])
    status.buckets = {Kind(kind.decode()): count for kind, count in counts}
    stages = await session.rows("SELECT stage, COUNT(*) FROM bucket_map WHERE stage <> '' GROUP BY stage")
    status.moving = {Stage(stage.decode()): count for stage, count in stages}
    [(messages, size)] = await session.rows(
        "SELECT CAST(SUM(IF(table_name = 'messages', table_rows, 0)) AS UNSIGNED),"
        " CAST(SUM(data_length + index_length) AS UNSIGNED)"
        " FROM information_schema.tables WHERE table_schema = DATABASE()"
    )
    status.messages, status.bytes = messages or 0, size or 0
