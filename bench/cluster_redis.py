"""What Redis spends on each thing that nodes ask of it: CPU of the primaries of a private cluster, and memory.

A run of a whole cluster tells the sum; this tells the parts, which grow with different things.
"""

from __future__ import annotations

import contextlib
import dataclasses
import selectors
import socket
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TypeVar

import trio

from chat.adapters.distributed.presence_store import RedisPresenceStore
from chat.adapters.distributed.rate_limiter import RedisRateLimiter
from chat.adapters.distributed.recent_cache import RecentCache, Run
from chat.adapters.distributed.redis_client import RedisClient, open_redis
from chat.adapters.distributed.redis_command import Command
from chat.adapters.distributed.redis_stream import pack
from chat.adapters.distributed.session_store import RedisSessionStore
from chat.adapters.ids import new_id
from chat.dev_cluster.child import stop
from chat.dev_cluster.ports import ports
from chat.dev_cluster.redis_cluster import RedisCluster, RedisServer
from chat.domain.messages import Message
from chat.domain.rooms import RoomId
from chat.domain.users import UserId
from chat.ports.presence_store import PresenceEntry
from chat.ports.rate_limiter import Rate

from .process import usage_of
from .tables import table

PAYLOAD_BYTES = 1_000
SUBSCRIBERS = 90
_ROUNDS = 40
_AT_ONCE = 250
_CHANNEL = "room:measured"
_TRANSIENT = ("mem_clients_normal", "mem_clients_slaves", "mem_total_replication_buffers")
T = TypeVar("T")


@dataclasses.dataclass(frozen=True, slots=True)
class Spent:
    """For one operation: µs of the primaries' CPU, and bytes of memory that stay."""

    operation: str
    cpu_us: float
    memory_bytes: float


def measure() -> list[Spent]:
    """Each operation in batches as nodes send them. Raises: ClusterFailed."""
    with tempfile.TemporaryDirectory(prefix="chat-gateway-bench-") as directory, _redis(Path(directory)) as cluster:
        return trio.run(_measure, cluster)


async def _measure(cluster: RedisCluster) -> list[Spent]:
    async with open_redis(cluster.url, deadline_seconds=30.0) as redis:
        presence = RedisPresenceStore(redis)
        entries = [_entry(number) for number in range(_ROUNDS * _AT_ONCE)]
        sessions, cache, limiter = RedisSessionStore(redis), RecentCache(redis), RedisRateLimiter(redis)
        ids = []

        async def sign_in(number: int) -> None:
            ids.append((await sessions.create(UserId(f"user-{number}"))).id)

        one = await _spent(cluster, "publish, one node listening", _publish(redis), subscribers=1)
        many = await _spent(cluster, "publish", _publish(redis), subscribers=SUBSCRIBERS)
        each = (many.cpu_us - one.cpu_us) / (SUBSCRIBERS - 1)
        return [
            one,
            Spent("– for each further node", each, 0),
            await _spent(cluster, "recent message", lambda n: cache.append(_runs(n))),
            await _spent(cluster, "presence entry made", lambda n: presence.put(_part(entries, n))),
            await _spent(cluster, "presence entry renewed", lambda n: presence.put(_part(entries, n))),
            await _spent(cluster, "rate bucket", lambda n: limiter.take_each(_buckets(n), Rate(1, 10))),
            await _spent(cluster, "session made", _each(sign_in)),
            await _spent(cluster, "session touched", lambda n: sessions.touch_each(_part(ids, n))),
            await _spent(cluster, "reap of 64 partitions", lambda n: presence.reap(), operations=1),
        ]


async def _spent(
    cluster: RedisCluster,
    operation: str,
    work: Callable[[int], Awaitable[object]],
    *,
    subscribers: int = 0,
    operations: int = _AT_ONCE,
) -> Spent:
    """Calls `work` with the number of each round; a round is so many operations."""
    with _listening(cluster, subscribers) as drain:
        cpu, memory = _cpu_seconds(cluster), _memory_bytes(cluster)
        for number in range(_ROUNDS):
            await work(number)
            drain()
        count = _ROUNDS * operations
        cpu, memory = _cpu_seconds(cluster) - cpu, _memory_bytes(cluster) - memory
    return Spent(operation, cpu * 1e6 / count, memory / count)


def _publish(redis: RedisClient) -> Callable[[int], Awaitable[object]]:
    commands = [Command(_CHANNEL, "SPUBLISH", _CHANNEL, b"x" * PAYLOAD_BYTES)] * _AT_ONCE
    return lambda number: redis.execute(commands)


def _each(work: Callable[[int], Awaitable[None]]) -> Callable[[int], Awaitable[object]]:
    async def all_of(number: int) -> None:
        async with trio.open_nursery() as nursery:
            for each in range(number * _AT_ONCE, (number + 1) * _AT_ONCE):
                nursery.start_soon(work, each)

    return all_of


def _entry(number: int) -> PresenceEntry:
    """A user in a room of 50."""
    return PresenceEntry(RoomId(f"room-{number // 50:011d}"), UserId(f"user-{number:011d}"), new_id())


def _runs(number: int) -> dict[RoomId, Run]:
    """One message in each of many rooms, the next one in each round."""
    body = {"text": "x" * PAYLOAD_BYTES}
    rooms = [RoomId(f"room-{each:011d}") for each in range(_AT_ONCE)]
    messages = {room: Message(room, number + 1, 1_700_000_000_000, UserId("user"), new_id(), body) for room in rooms}
    return {room: Run("epoch", [message]) for room, message in messages.items()}


def _buckets(number: int) -> dict[str, float]:
    return {f"publish:user:{each:011d}": 1.0 for each in range(number * _AT_ONCE, (number + 1) * _AT_ONCE)}


def _part(items: list[T], number: int) -> list[T]:
    return items[number * _AT_ONCE : (number + 1) * _AT_ONCE]


@contextlib.contextmanager
def _redis(directory: Path) -> Iterator[RedisCluster]:
    with ports() as held:
        cluster = RedisCluster(directory / "redis", directory, held)
        try:
            cluster.launch()
            cluster.join()
            yield cluster
        finally:
            stop(cluster.servers)


@contextlib.contextmanager
def _listening(cluster: RedisCluster, count: int) -> Iterator[Callable[[], None]]:
    """So many nodes that have subscribed; the function takes what has come for them."""
    owner = _owner(cluster)
    with contextlib.ExitStack() as stack, selectors.DefaultSelector() as selector:
        for _ in range(count):
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", owner.port)))
            connection.sendall(pack("SSUBSCRIBE", _CHANNEL))
            connection.recv(65_536)
            selector.register(connection, selectors.EVENT_READ, connection)

        def drain() -> None:
            while ready := selector.select(0.01):
                for key, _ in ready:
                    key.data.recv(1 << 20)

        yield drain if count else lambda: None


def _owner(cluster: RedisCluster) -> RedisServer:
    slot = cluster.servers[0].command("CLUSTER", "KEYSLOT", _CHANNEL)
    for first, last, primary, *_ in cluster.servers[0].command("CLUSTER", "SLOTS"):
        if first <= slot <= last:
            return next(server for server in cluster.servers if server.port == primary[1])
    raise AssertionError("a whole cluster has an owner of each slot")


def _cpu_seconds(cluster: RedisCluster) -> float:
    return sum(usage_of(server.pid).cpu_seconds for server in cluster.servers[:3])


def _memory_bytes(cluster: RedisCluster) -> int:
    """Of the data; what connections and replication take changes with the moment."""
    return sum(_data_bytes(server) for server in cluster.servers[:3])


def _data_bytes(server: RedisServer) -> int:
    lines = server.command("INFO", "memory").decode().splitlines()
    fields = dict(line.split(":", 1) for line in lines if ":" in line)
    return int(fields["used_memory"]) - sum(int(fields[name]) for name in _TRANSIENT)


def main() -> None:
    """Prints a table."""
    rows = [[spent.operation, f"{spent.cpu_us:.2f}", f"{spent.memory_bytes:,.0f}"] for spent in measure()]
    print(table(["operation", "CPU, µs each", "memory that stays, B each"], rows))


if __name__ == "__main__":
    main()
