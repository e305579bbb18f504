"""Redis Cluster: three primaries with a replica each, in memory only."""

from __future__ import annotations

import contextlib
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hiredis

from ..adapters.distributed.redis_stream import pack
from .child import Child
from .ports import Ports
from .programs import program

PACKAGE = "redis-server"
PRIMARIES = 3
SLOTS = 16_384
NODE_TIMEOUT_MS = 2_000
"""How long a member may be silent before the others replace it."""
_NOT_YET = (OSError, hiredis.ReplyError)


class RedisServer(Child):
    """One member of the cluster."""

    def __init__(self, name: str, directory: Path, log: Path, ports: Ports) -> None:
        super().__init__(name, directory, log=log)
        self.port = ports.take()
        self.bus_port = ports.take()

    def start(self) -> None:
        """Begins to start it; it forgets what it knew of a cluster, unless that is its own of this run."""
        options = {
            "port": self.port,
            "bind": "127.0.0.1",
            "dir": self.directory,
            "save": "",
            "appendonly": "no",
            "maxmemory-policy": "noeviction",
            "shutdown-timeout": 0,
            "repl-diskless-sync-delay": 0,
            "repl-ping-replica-period": 1,  # a replica counts from its first byte on
            "cluster-enabled": "yes",
            "cluster-config-file": "nodes.conf",
            "cluster-port": self.bus_port,
            "cluster-node-timeout": NODE_TIMEOUT_MS,
        }
        words = [word for option, value in options.items() for word in (f"--{option}", str(value))]
        self.launch([program("redis-server", PACKAGE), *words])

    def command(self, *words: str | int, seconds: float = 5.0) -> Any:
        """As `ask`, of this server."""
        return ask(self.port, *words, seconds=seconds)

    @property
    def id(self) -> str:
        """What the others call it."""
        return str(self.command("CLUSTER", "MYID").decode())

    def replicate(self, primary: str) -> None:
        """Makes it a replica, once it has heard of the primary with that id. Raises: ClusterFailed."""
        self.wait_until(lambda: self.command("CLUSTER", "REPLICATE", primary), not_yet=_NOT_YET)

    def until_ready(self) -> None:
        """Returns when it answers. Raises: ClusterFailed."""
        self.wait_until(lambda: self.command("PING"), not_yet=_NOT_YET)

    def until_whole(self) -> None:
        """Returns when it knows all members, and that they have all slots. Raises: ClusterFailed."""
        self.wait_until(self._is_whole, not_yet=_NOT_YET)

    def _is_whole(self) -> bool:
        """Whether it knows the owners of all slots, and the replica of each."""
        is_ok = b"cluster_state:ok" in self.command("CLUSTER", "INFO")
        ranges = self.command("CLUSTER", "SLOTS")
        return is_ok and len(ranges) == PRIMARIES and all(len(servers) == 2 for _, _, *servers in ranges)


class RedisCluster:
    """The members: first the three that begin as primaries, then their replicas."""

    def __init__(self, directory: Path, logs: Path, ports: Ports) -> None:
        shutil.rmtree(directory, ignore_errors=True)  # of an earlier run, on other ports
        names = [f"redis-{number}" for number in range(1, 2 * PRIMARIES + 1)]
        self.servers = [RedisServer(name, directory / name, logs / f"{name}.log", ports) for name in names]

    @property
    def url(self) -> str:
        """As `--redis` takes it."""
        return "redis+cluster://" + ",".join(f"127.0.0.1:{server.port}" for server in self.servers[:PRIMARIES])

    @property
    def primaries(self) -> list[RedisServer]:
        """Who owns slots at the moment, as the first member says that answers."""
        for server in self.servers:
            with contextlib.suppress(OSError):
                owners = {int(slots[2][1]) for slots in server.command("CLUSTER", "SLOTS", seconds=1)}
                return [member for member in self.servers if member.port in owners]
        return []

    def launch(self) -> None:
        """Begins to start all of them."""
        for server in self.servers:
            server.start()

    def join(self) -> None:
        """Makes one cluster of them; returns when every member says that it is whole. Raises: ClusterFailed."""
        for server in self.servers:
            server.until_ready()
        primaries, replicas = self.servers[:PRIMARIES], self.servers[PRIMARIES:]
        for number, (primary, slots) in enumerate(zip(primaries, _slot_ranges(), strict=True), 1):
            primary.command("CLUSTER", "SET-CONFIG-EPOCH", number)
            primary.command("CLUSTER", "ADDSLOTSRANGE", *slots)
        first, *others = self.servers
        for server in others:
            server.command("CLUSTER", "MEET", "127.0.0.1", first.port, first.bus_port)
        for primary, replica in zip(primaries, replicas, strict=True):
            replica.replicate(primary.id)
        for server in self.servers:
            server.until_whole()


def ask(port: int, *words: str | int | float | bytes, seconds: float = 5.0) -> Any:
    """The reply to one command, over a connection of its own. Raises: OSError, or the error that was replied."""
    with socket.create_connection(("127.0.0.1", port), seconds) as connection:
        connection.sendall(pack(*words))
        reader = hiredis.Reader(notEnoughData=NotImplemented)
        while (reply := reader.gets()) is NotImplemented:
            if not (data := connection.recv(65_536)):
                raise ConnectionResetError("redis closed the connection")
            reader.feed(data)
    if isinstance(reply, Exception):
        raise reply
    return reply


def _slot_ranges() -> Iterator[tuple[int, int]]:
    """An equal part of the slots for each primary."""
    for number in range(PRIMARIES):
        yield number * SLOTS // PRIMARIES, (number + 1) * SLOTS // PRIMARIES - 1
