"""Two real nodes on one Redis and two shards, all of which a test may break while people talk across them.

async with rig.talking(history) as people:
    await rig.nodes[1].kill()
    await people.until_acked(100)
    await rig.restart(1)
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from chat.adapters.distributed.asyncio_bridge import AsyncioBridge
from chat.adapters.distributed.mysql_dsn import parse_shards
from chat.adapters.distributed.mysql_shards import migrate_shards
from tests.support.history_checker import History
from tests.support.mysql_servers import MySqlProcess
from tests.support.node_process import TOKEN_KEY, Node, node_process
from tests.support.publishers import Crowd, crowd
from tests.support.redis_servers import RedisProcess
from tests.support.suffering import NO_RATES, QUICK, suffer
from tests.support.tcp_proxy import TcpProxy, tcp_proxy

ACKED = 100
"""Acknowledged messages before, during and after a fault."""
HEARD_SECONDS = 90.0
"""For what was said during a fault to reach everybody, on a loaded machine."""
endure = functools.partial(suffer, acked=ACKED, heard_seconds=HEARD_SECONDS)
LEASE_SECONDS = 2
DATABASE = "chat"
"""On each shard."""
_SETTINGS = [*NO_RATES, "--lease-seconds", str(LEASE_SECONDS), "--shutdown-seconds", "4"]


class Rig:
    """What the second node stands on, it reaches through `proxies`: to Redis, to the first shard, to the second."""

    def __init__(self, directory: Path, redis: RedisProcess, shards: tuple[MySqlProcess, MySqlProcess]) -> None:
        self.redis = redis
        self.shards = shards
        self.nodes: list[Node] = []
        self.proxies: list[TcpProxy] = []
        self._started: list[Node] = []
        self._directory = directory
        self._second_env: Mapping[str, str] = {}
        self._stack: contextlib.AsyncExitStack

    @contextlib.asynccontextmanager
    async def running(self, *, second_env: Mapping[str, str] | None = None) -> AsyncIterator[None]:
        """Starts everything; `second_env` adds to the environment of the second node."""
        self._second_env = second_env or {}
        async with contextlib.AsyncExitStack() as self._stack:
            for shard in self.shards:
                shard.sql(f"CREATE DATABASE {DATABASE}")
            shards = parse_shards(
                [f"{name}={shard.dsn(DATABASE)}" for name, shard in zip("ab", self.shards, strict=True)]
            )
            async with AsyncioBridge() as bridge:
                await migrate_shards(bridge, shards)
            ports = [self.redis.port, *(shard.port for shard in self.shards)]
            self.proxies = [await self._stack.enter_async_context(tcp_proxy(port)) for port in ports]
            self.nodes = [await self._start(0), await self._start(1)]
            yield

    @contextlib.asynccontextmanager
    async def talking(self, history: History) -> AsyncIterator[Crowd]:
        """Starts everything and lets people talk."""
        async with self.running():
            # On the stack, as nodes that are restarted come to lie upon them there, and must end before them.
            yield await self._stack.enter_async_context(many([node.url for node in self.nodes], history))

    async def restart(self, number: int, *, listen: bool = True) -> None:
        """After its end: on the same port, as a supervisor would. Not within a cancel scope, as it stays.

        Waits until it listens, unless `listen` is False: without Redis it does not.
        """
        self.nodes[number] = await self._start(number, port=self.nodes[number].port, listen=listen)

    def check_logs(self) -> None:
        """No node that ever ran has met what it was not made for."""
        assert not [node.log for node in self._started if "Traceback" in node.log]

    async def _start(self, number: int, *, port: int = 0, listen: bool = True) -> Node:
        flags = [*self._flags(direct=number == 0), *_SETTINGS, "--port", str(port)]
        env = {**TOKEN_KEY, **(self._second_env if number else {})}
        opened = node_process(self._directory / f"node{number}", *flags, env=env, listen=listen)
        node = await self._stack.enter_async_context(opened)
        self._started.append(node)
        return node

    def _flags(self, *, direct: bool) -> list[str]:
        urls = [self.redis.url, *(shard.dsn(DATABASE) for shard in self.shards)]
        if not direct:
            urls = [_through(proxy, url) for proxy, url in zip(self.proxies, urls, strict=True)]
        redis, first, second = urls
        return ["--redis", redis, "--shard", f"a={first}", "--shard", f"b={second}"]


def many(urls: Sequence[str], history: History) -> AbstractAsyncContextManager[Crowd]:
    """People who talk at all these addresses."""
    first, *others = urls
    return crowd(first, history, QUICK, others=others, speakers=4, listeners=4)


def _through(proxy: TcpProxy, url: str) -> str:
    return url.replace(f":{proxy.target_port}", f":{proxy.port}")
