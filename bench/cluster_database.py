"""What a shard spends on a message, by how many share a commit: CPU of primary, replica and node, and bytes kept.

The rooms are many and take turns, as in a fleet, and get long enough for pages of the table to fill as they do there.
"""

from __future__ import annotations

import dataclasses
import os
import tempfile
import time
from pathlib import Path

import trio

from chat.adapters.distributed.asyncio_bridge import AsyncioBridge
from chat.adapters.distributed.message_store import MySqlMessageStore, open_message_store
from chat.adapters.distributed.mysql_dsn import parse_shards
from chat.adapters.distributed.mysql_shards import migrate_shards, open_shards
from chat.adapters.distributed.room_store import MySqlRoomStore
from chat.adapters.distributed.user_store import MySqlUserStore
from chat.adapters.ids import new_id
from chat.dev_cluster.mysql_flavour import DATABASE, installed
from chat.dev_cluster.mysql_shard import MySqlServer, MySqlShard, mysql_shard
from chat.domain.messages import Appended, NewMessage
from chat.domain.rooms import RoomId, RoomKind
from chat.domain.users import UserId

from .process import usage_of
from .tables import table

ROOMS = 100
TEXT_BYTES = 900
MESSAGES = {100: 30_000, 10: 4_000, 3: 2_000, 1: 1_000}
"""How many, by how many share a commit: the largest first, so that there are rows for the others to lie among."""
REPLICA_SECONDS = 60.0


@dataclasses.dataclass(frozen=True, slots=True)
class Spent:
    """For one message."""

    batch: int
    node_us: float
    primary_us: float
    replica_us: float
    statements: float
    table_bytes: float
    binlog_bytes: float
    milliseconds: float
    """Of one commit, when nobody else is there."""


def measure() -> list[Spent]:
    """Starts a shard and appends to it. Raises: ClusterFailed."""
    with (
        tempfile.TemporaryDirectory(prefix="chat-gateway-bench-") as name,
        mysql_shard(Path(name), installed()) as shard,
    ):
        return trio.run(_measure, shard)


async def _measure(shard: MySqlShard) -> list[Spent]:
    dsns = parse_shards([shard.setting])
    async with AsyncioBridge() as bridge:
        await migrate_shards(bridge, dsns)
        async with open_shards(bridge, dsns) as shards, open_message_store(shards) as store:
            user = (await MySqlUserStore(shards).create("Ada", "no password")).id
            rooms = [(await MySqlRoomStore(shards).create("room", RoomKind.PUBLIC, user)).id for _ in range(ROOMS)]
            await _append(store, rooms, user, 1_000, 100)
            return [await _spent(shard, store, rooms, user, batch) for batch in MESSAGES]


async def _spent(shard: MySqlShard, store: MySqlMessageStore, rooms: list[RoomId], user: UserId, batch: int) -> Spent:
    count = MESSAGES[batch]
    _catch_up(shard)
    before, began = _counters(shard), time.monotonic()
    await _append(store, rooms, user, count, batch)
    seconds = time.monotonic() - began
    _catch_up(shard)
    node, primary, replica, statements, kept, logged = (
        (after - earlier) / count for after, earlier in zip(_counters(shard), before, strict=True)
    )
    return Spent(
        batch, node * 1e6, primary * 1e6, replica * 1e6, statements * batch, kept, logged, seconds / count * batch * 1e3
    )


async def _append(store: MySqlMessageStore, rooms: list[RoomId], user: UserId, count: int, batch: int) -> None:
    """One call after the other, each a commit; the rooms take turns."""
    body = {"text": "x" * TEXT_BYTES}
    for start in range(0, count, batch):
        chosen = [rooms[(start + number) % len(rooms)] for number in range(batch)]
        answers = await store.append([NewMessage(room, user, new_id(), body) for room in chosen])
        assert all(isinstance(answer, Appended) for answer in answers)


def _counters(shard: MySqlShard) -> tuple[float, ...]:
    status = dict(shard.primary.sql("SHOW GLOBAL STATUS LIKE 'Questions'"))
    logs = shard.primary.sql("SHOW BINARY LOGS")
    return (
        usage_of(os.getpid()).cpu_seconds,
        usage_of(shard.primary.pid).cpu_seconds,
        usage_of(shard.replica.pid).cpu_seconds,
        float(status["Questions"]),
        float(table_bytes(shard.primary)),
        float(sum(int(size) for _, size, *_ in logs)),
    )


def table_bytes(server: MySqlServer) -> int:
    """Of the messages with their indexes, as they are on the disk."""
    query = (
        "SELECT data_length + index_length FROM information_schema.tables"
        f" WHERE table_schema = '{DATABASE}' AND table_name = 'messages'"
    )
    [(size,)] = server.sql(f"ANALYZE TABLE {DATABASE}.messages", query)
    return int(size)


def _catch_up(shard: MySqlShard) -> None:
    """Waits until the replica has what the primary has."""
    end = time.monotonic() + REPLICA_SECONDS
    while _count(shard.replica) < _count(shard.primary) and time.monotonic() < end:
        time.sleep(0.2)


def _count(server: MySqlServer) -> int:
    [(count,)] = server.sql(f"SELECT COUNT(*) FROM {DATABASE}.messages")
    return int(count)


def main() -> None:
    """Prints a table."""
    header = ["messages a commit", "node, µs", "primary, µs", "replica, µs", "statements a commit"]
    header += ["table, B", "binary log, B", "ms a commit"]
    rows = [
        [
            f"{spent.batch}",
            *(f"{value:,.0f}" for value in (spent.node_us, spent.primary_us, spent.replica_us)),
            f"{spent.statements:.1f}",
            *(f"{value:,.0f}" for value in (spent.table_bytes, spent.binlog_bytes)),
            f"{spent.milliseconds:.1f}",
        ]
        for spent in measure()
    ]
    print(table(header, rows))


if __name__ == "__main__":
    main()
