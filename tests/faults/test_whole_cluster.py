"""Three nodes on Redis Cluster and two shards, all of it running, while Redis is mute, full, robbed and turned round,
and while the connections of clients are reset in the middle of whatever they carry.
"""

from __future__ import annotations

import contextlib
import functools
import os
import random
import socket
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trio

from chat.adapters.distributed.redis_stream import pack
from chat.dev_cluster import DevCluster, ProgramMissing, dev_cluster
from chat.dev_cluster.redis_cluster import RedisServer
from tests.support.history_checker import History
from tests.support.publishers import crowd
from tests.support.suffering import NO_RATES, QUICK, suffer
from tests.support.tcp_proxy import TcpProxy, serving

RESETS = 60
ACKED = 150
"""Acknowledged messages before, during and after a fault."""
HEARD_SECONDS = 120.0
"""For what was said during a fault to reach everybody, on a loaded machine."""
endure = functools.partial(suffer, acked=ACKED, heard_seconds=HEARD_SECONDS)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif("FAULT_ROUNDS" not in os.environ, reason="FAULT_ROUNDS is not set: make test-faults"),
]


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[DevCluster]:
    try:
        with dev_cluster(tmp_path, *NO_RATES) as running:
            yield running
    except ProgramMissing as missing:
        pytest.skip(str(missing))


def check_logs(cluster: DevCluster) -> None:
    assert not [node.log for node in cluster.nodes if "Traceback" in node.log]


async def test_redis_is_mute_full_robbed_locked_and_turned_round(cluster: DevCluster) -> None:
    """F10, F14, F16."""
    redis = cluster.redis
    first, *others = [node.url for node in cluster.nodes]
    async with crowd(first, History(), QUICK, others=others) as people:

        async def mute() -> None:
            victim = redis.primaries[0]
            victim.pause()
            await people.until_acked(ACKED)
            await _until(lambda: victim not in redis.primaries)
            victim.resume()

        async def full() -> None:
            for server in redis.primaries:
                server.command("CONFIG", "SET", "maxmemory", "1")
            await people.until_acked(ACKED)
            for server in redis.primaries:
                server.command("CONFIG", "SET", "maxmemory", "0")

        async def robbed() -> None:
            for server in redis.primaries:
                for _ in range(server.command("DBSIZE") // 2):
                    if key := server.command("RANDOMKEY"):
                        server.command("DEL", key.decode())
            await people.until_acked(ACKED)

        async def locked() -> None:
            """Who is signed in stays so; who is not, and everybody is cut off, gets NOAUTH."""
            server = redis.primaries[0]
            with _session(server) as ask:
                ask("CONFIG", "SET", "requirepass", "secret")
                ask("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
                ask("CLIENT", "KILL", "TYPE", "pubsub")
                await people.until_acked(ACKED)
                ask("CONFIG", "SET", "requirepass", "")

        async def turned_round() -> None:
            """Commands and channels are MOVED, and the old primary is READONLY."""
            before = redis.primaries
            successor = next(server for server in redis.servers if server not in before)
            successor.command("CLUSTER", "FAILOVER")
            await _until(lambda: successor in redis.primaries)
            await people.until_acked(ACKED)

        await endure(people, mute, full, robbed, locked, turned_round)
    check_logs(cluster)


async def test_clients_whose_connections_are_reset_wherever_they_are(cluster: DevCluster) -> None:
    """F29: in the middle of frames, handshakes and resumes."""
    async with contextlib.AsyncExitStack() as stack:
        proxies = [await stack.enter_async_context(serving(ResettingProxy(node.port))) for node in cluster.nodes]
        first, *others = [f"http://127.0.0.1:{proxy.port}" for proxy in proxies]
        people = await stack.enter_async_context(crowd(first, History(), QUICK, others=others))

        async def reset() -> None:
            for proxy in proxies:
                proxy.share = 0.05
            with trio.fail_after(HEARD_SECONDS):
                while sum(proxy.resets for proxy in proxies) < RESETS:
                    await people.until_acked(1)
            for proxy in proxies:
                proxy.share = 0.0

        await endure(people, reset)
        assert len(people.outages) >= RESETS / 2
    check_logs(cluster)


class ResettingProxy(TcpProxy):
    """Of a `share` of what passes it lets a part through, and resets the connection on both sides."""

    def __init__(self, target_port: int) -> None:
        super().__init__(target_port)
        self.share = 0.0
        self.resets = 0

    async def _carry(
        self, source: trio.SocketStream, sink: trio.SocketStream, answers: bool, scope: trio.CancelScope
    ) -> None:
        with contextlib.suppress(OSError, trio.BrokenResourceError):
            async for data in source:
                if random.random() < self.share:
                    await sink.send_all(data[: random.randrange(len(data))])
                    self._reset(source, sink)
                    break
                await sink.send_all(data)
        scope.cancel()

    def _reset(self, *streams: trio.SocketStream) -> None:
        """Closing then throws away what waits, and tells the peer so."""
        self.resets += 1
        for stream in streams:
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@contextlib.contextmanager
def _session(server: RedisServer) -> Iterator[Callable[..., object]]:
    """One connection, for a user who must stay signed in."""
    with socket.create_connection(("127.0.0.1", server.port), HEARD_SECONDS) as connection:

        def ask(*words: str) -> object:
            connection.sendall(pack(*words))
            return connection.recv(65_536)

        yield ask


async def _until(condition: Callable[[], bool]) -> None:
    """Asks again and again, as Redis tells nobody; in a thread, as a server that is mute is asked, too."""
    with trio.fail_after(HEARD_SECONDS):
        while not await trio.to_thread.run_sync(condition):  # noqa: ASYNC110
            await trio.sleep(0.1)
