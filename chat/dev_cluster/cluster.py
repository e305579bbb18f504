"""The whole: every part is begun before the first is waited for, and all end together."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import trio

from .. import token_key
from ..adapters.distributed.asyncio_bridge import AsyncioBridge
from ..adapters.distributed.errors import ShardsUnusable
from ..adapters.distributed.mysql_dsn import parse_shards
from ..adapters.distributed.mysql_shards import migrate_shards
from ..adapters.embedded.directory_lock import locked
from ..domain.errors import ChatError
from .child import Child, stop
from .errors import ClusterFailed
from .mysql_flavour import installed
from .mysql_shard import MySqlShard
from .node import Node
from .ports import Ports, ports
from .programs import program
from .redis_cluster import PACKAGE as REDIS_PACKAGE
from .redis_cluster import RedisCluster

NODES = 3
SHARDS = ("a", "b")


class DevCluster:
    """What runs, in `directory`; `config` is the settings file that all nodes share."""

    def __init__(self, directory: Path, flags: Sequence[str], ports: Ports, is_wanted: Callable[[], bool]) -> None:
        """Raises: ProgramMissing."""
        program("redis-server", REDIS_PACKAGE)
        flavour = installed()
        logs = directory / "logs"
        logs.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.directory = directory
        self.logs = logs
        self.data_dir = directory / "node"
        self.config = directory / "cluster.toml"
        self.database = flavour.name
        self.redis = RedisCluster(directory / "redis", logs, ports)
        self.shards = [MySqlShard(name, directory / "mysql", logs, flavour, ports) for name in SHARDS]
        names = [f"node-{number}" for number in range(1, NODES + 1)]
        self.nodes = [Node(name, self.data_dir, logs / f"{name}.log", self.config, flags, ports) for name in names]

        for child in self.children:
            child.is_wanted = is_wanted

    @property
    def children(self) -> list[Child]:
        """All processes, in the order in which they come up."""
        servers = [server for shard in self.shards for server in shard.servers]
        return [*self.redis.servers, *servers, *self.nodes]

    def check(self) -> None:
        """Raises: ClusterFailed if a part has ended."""
        for child in self.children:
            child.check()

    def start(self) -> None:
        """Returns when the nodes serve. Raises: ClusterFailed, NotWanted."""
        self.redis.launch()
        for shard in self.shards:
            shard.launch()
        self.redis.join()
        for shard in self.shards:
            shard.join()
        self._migrate()
        self._write_config()
        for node in self.nodes:
            node.start()
        for node in self.nodes:
            node.until_ready()

    def stop(self) -> None:
        """Ends all processes, the nodes first."""
        stop(self.nodes)
        stop(self.children)

    def _migrate(self) -> None:
        shards = parse_shards([shard.setting for shard in self.shards])

        async def run() -> None:
            async with AsyncioBridge() as bridge:
                await migrate_shards(bridge, shards)

        try:
            trio.run(run)
        except (ChatError, ShardsUnusable) as error:
            raise ClusterFailed(f"the schema was not made: {error}") from error

    def _write_config(self) -> None:
        """With a token key that is there before the first node looks for it."""
        token_key.load_or_make(self.data_dir)
        settings = {
            "data_dir": str(self.data_dir),
            "redis": self.redis.url,
            "shards": [shard.setting for shard in self.shards],
            "allowed_origins": [node.url for node in self.nodes],  # the page of each may be led to any
            "shutdown_seconds": 5,
        }
        self.config.touch(mode=0o600)
        self.config.write_text("".join(f"{name} = {json.dumps(value)}\n" for name, value in settings.items()))


@contextlib.contextmanager
def dev_cluster(directory: Path, *flags: str, is_wanted: Callable[[], bool] = lambda: True) -> Iterator[DevCluster]:
    """Starts a cluster in `directory`, whose databases it goes on with; `flags` are further ones of each node.

    Its processes are gone when the block ends, however it ends.
    Raises: ClusterFailed; ProgramMissing; DatabaseUnusable if another cluster is at work in `directory`;
    NotWanted while it starts, soon after `is_wanted` says no.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    with locked(directory), ports() as held:
        cluster = DevCluster(directory, flags, held, is_wanted)
        try:
            cluster.start()
            yield cluster
        finally:
            cluster.stop()
