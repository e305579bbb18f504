"""Two nodes of a cluster, and all they stand on, broken while people talk across them.

Nothing acknowledged is lost, nobody hears anything twice or out of order, and everybody hears everything.
"""

from __future__ import annotations

import contextlib
import functools
import os
import random
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import trio

from chat.adapters.distributed.asyncio_bridge import AsyncioBridge
from chat.adapters.distributed.mysql_dsn import parse_shards
from chat.adapters.distributed.mysql_shards import migrate_shards
from tests.support.history_checker import History
from tests.support.mysql_servers import MySqlProcess, mysql_server
from tests.support.node_process import Node, node_process
from tests.support.publishers import Crowd, crowd
from tests.support.redis_servers import RedisProcess
from tests.support.suffering import NO_RATES, QUICK, Fault, suffer
from tests.support.tcp_proxy import TcpProxy, tcp_proxy

ACKED = 100
"""Acknowledged messages before, during and after a fault."""
HEARD_SECONDS = 90.0
"""For what was said during a fault to reach everybody, on a loaded machine."""
endure = functools.partial(suffer, acked=ACKED, heard_seconds=HEARD_SECONDS)
LEASE_SECONDS = 2
SETTINGS = [*NO_RATES, "--lease-seconds", str(LEASE_SECONDS), "--shutdown-seconds", "4"]
TOKEN_KEY = {"CHAT_GATEWAY_TOKEN_KEY": "the same for all nodes, 32 bytes"}
pytestmark = pytest.mark.skipif("FAULT_ROUNDS" not in os.environ, reason="only with make test-faults")


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[MySqlProcess, MySqlProcess]]:
    with mysql_server() as first, mysql_server() as second:
        yield first, second


class Rig:
    """Two nodes on one Redis and two shards. What the second node stands on, it reaches through proxies."""

    def __init__(self, directory: Path, redis: RedisProcess, shards: tuple[MySqlProcess, MySqlProcess]) -> None:
        self.redis = redis
        self.shards = shards
        self.nodes: list[Node] = []
        self.proxies: list[TcpProxy] = []
        self.people: Crowd
        self._directory = directory
        self._database = f"chat_{random.getrandbits(32)}"
        self._stack: contextlib.AsyncExitStack

    @contextlib.asynccontextmanager
    async def talking(self, history: History) -> AsyncIterator[Crowd]:
        """Starts everything and lets people talk."""
        async with contextlib.AsyncExitStack() as self._stack:
            for shard in self.shards:
                shard.sql(f"CREATE DATABASE {self._database}")
            shards = parse_shards(
                [f"{name}={shard.dsn(self._database)}" for name, shard in zip("ab", self.shards, strict=True)]
            )
            async with AsyncioBridge() as bridge:
                await migrate_shards(bridge, shards)
            ports = [int(self.redis.url.rpartition(":")[2].partition("/")[0]), *(shard.port for shard in self.shards)]
            self.proxies = [await self._stack.enter_async_context(tcp_proxy(port)) for port in ports]
            self.nodes = [await self._start(0), await self._start(1)]
            first, second = self.nodes
            others = [second.url]
            people = crowd(first.url, history, QUICK, others=others, speakers=4, listeners=4)
            yield await self._stack.enter_async_context(people)

    async def restart(self, number: int) -> None:
        """After its end: on the same port, as a supervisor would."""
        self.nodes[number] = await self._start(number, port=self.nodes[number].port)

    async def _start(self, number: int, *, port: int = 0) -> Node:
        flags = [*self._flags(direct=number == 0), *SETTINGS, "--port", str(port)]
        opened = node_process(self._directory / f"node{number}", *flags, env=TOKEN_KEY)
        return await self._stack.enter_async_context(opened)

    def _flags(self, *, direct: bool) -> list[str]:
        urls = [self.redis.url, *(shard.dsn(self._database) for shard in self.shards)]
        if not direct:
            urls = [_through(proxy, url) for proxy, url in zip(self.proxies, urls, strict=True)]
        redis, first, second = urls
        return ["--redis", redis, "--shard", f"a={first}", "--shard", f"b={second}"]


def _through(proxy: TcpProxy, url: str) -> str:
    return url.replace(f":{proxy.target_port}", f":{proxy.port}")


@pytest.fixture
def rig(tmp_path: Path, own_redis: RedisProcess, servers: tuple[MySqlProcess, MySqlProcess]) -> Rig:
    return Rig(tmp_path, own_redis, servers)


def check_logs(rig: Rig) -> None:
    assert not [node.log for node in rig.nodes if "Traceback" in node.log]


async def test_nodes_are_killed_frozen_and_ended(rig: Rig, fault_rounds: int) -> None:
    """F1, F2, F3."""
    async with rig.talking(History()) as people:

        async def killed() -> None:
            await rig.nodes[1].kill()
            await people.until_acked(ACKED)
            await rig.restart(1)

        async def frozen() -> None:
            rig.nodes[1].send_signal(signal.SIGSTOP)
            await trio.sleep(LEASE_SECONDS + 1)  # longer than its lease: the others take it for dead
            rig.nodes[1].send_signal(signal.SIGCONT)
            await people.until_acked(ACKED)

        async def ended() -> None:
            rig.nodes[1].send_signal(signal.SIGTERM)
            assert await rig.nodes[1].wait() == 0
            await rig.restart(1)

        await endure(people, *[killed, frozen, ended] * max(1, fault_rounds // 4))
    check_logs(rig)


async def test_a_node_is_cut_off_from_redis_and_from_its_shards(rig: Rig, fault_rounds: int) -> None:
    """F26: packets dropped in silence, and connections refused."""
    async with rig.talking(History()) as people:

        def silent(proxy: TcpProxy) -> Fault:
            async def fault() -> None:
                proxy.fall_silent()
                await people.until_acked(ACKED)
                proxy.go_on()

            return fault

        def refused(proxy: TcpProxy) -> Fault:
            async def fault() -> None:
                proxy.refusing = True
                proxy.cut()
                await people.until_acked(ACKED)
                proxy.refusing = False

            return fault

        redis, *_, shard = rig.proxies
        faults = [silent(redis), refused(redis), silent(shard), refused(shard)]
        await endure(people, *faults * max(1, fault_rounds // 4))
    check_logs(rig)


async def test_shards_are_killed_and_mute(rig: Rig, fault_rounds: int) -> None:
    """F17, F18."""
    async with rig.talking(History()) as people:

        async def killed() -> None:
            rig.shards[1].kill()
            await trio.sleep(1)
            rig.shards[1].start()
            await people.until_acked(ACKED)

        async def mute() -> None:
            rig.shards[1].pause()
            await trio.sleep(3)
            rig.shards[1].resume()
            await people.until_acked(ACKED)

        await endure(people, *[killed, mute] * max(1, fault_rounds // 4))
    check_logs(rig)


async def test_redis_gives_up_a_subscriber_that_does_not_read(rig: Rig, fault_rounds: int) -> None:
    """F12."""
    async with rig.talking(History()) as people:
        rig.redis.command("CONFIG", "SET", "client-output-buffer-limit", "pubsub 65536 65536 1")

        def subscribers() -> int:
            return bytes(rig.redis.command("CLIENT", "LIST", "TYPE", "pubsub")).count(b"addr=")

        async def deaf() -> None:
            before = subscribers()
            rig.proxies[0].fall_silent()
            while subscribers() == before:
                rig.redis.command("PUBLISH", "control", "x" * 60_000)  # what no node can read is left out by all
                await trio.sleep(0.01)
            rig.proxies[0].go_on()
            await people.until_acked(ACKED)

        await endure(people, *[deaf] * max(1, fault_rounds // 4))
    check_logs(rig)
