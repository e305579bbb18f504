"""Private redis-server processes: one alone, a pair under Sentinel, a cluster.

    with redis_server() as redis:
        ...  # redis.url; redis.kill(), redis.start(), redis.pause(), redis.resume()

All are on free ports of 127.0.0.1, keep nothing on disk, and are gone when the block ends, or when the test
process does, however it ends. The functions block, as servers start before a test rather than within it.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import hiredis
import pytest

from chat.dev_cluster.redis_cluster import ask
from tests.support.processes import die_with_parent, free_port

START_SECONDS = 30.0
NODE_TIMEOUT_MS = 1000
"""How long a member of the cluster may be silent before the others replace it."""
SENTINEL_DOWN_MS = 500
MASTER_NAME = "mymaster"


class RedisProcess:
    """One redis-server, or a sentinel with the configuration `sentinel`; can be killed, stopped, started again."""

    def __init__(self, directory: Path, *arguments: str, sentinel: str = "") -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.port = 0
        self._arguments = arguments
        self._sentinel = sentinel
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    @property
    def primaries(self) -> list[RedisProcess]:
        return [self]

    def start(self) -> None:
        """Starts it, on the port it had before if it had one, and returns when it answers."""
        if self.port:
            self._launch()
            self.wait_until(lambda: self.command("PING") == b"PONG")
            return
        for _ in range(5):  # somebody else may take the port before we do
            self.port = free_port()
            self._launch()
            with contextlib.suppress(AssertionError):
                self.wait_until(lambda: self.command("PING") == b"PONG")
                return
            self.kill()
        raise AssertionError(f"redis-server did not start\n{self.log}")

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def pause(self) -> None:
        """SIGSTOP: alive, accepting connections, and mute."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def command(self, *words: str | int | float | bytes, seconds: float = 5.0) -> Any:
        """The reply to one command, over a connection of its own. Raises: OSError, or the error it replied."""
        return ask(self.port, *words, seconds=seconds)

    def wait_until(self, condition: Callable[[], object], seconds: float = START_SECONDS) -> None:
        """Polls, as Redis tells nobody when it is ready; an error of the connection means not yet."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            assert self._process is None or self._process.poll() is None, self.log
            with contextlib.suppress(OSError, hiredis.ReplyError):
                if condition():
                    return
            time.sleep(0.01)
        raise AssertionError(f"redis-server is not ready after {seconds} s\n{self.log}")

    @property
    def log(self) -> str:
        return (self.directory / "log").read_text(errors="replace")

    def _launch(self) -> None:
        options = ["--port", f"{self.port}", "--bind", "127.0.0.1", "--dir", f"{self.directory}"]
        options += ["--logfile", f"{self.directory / 'log'}"]
        if self._sentinel:
            config = self.directory / "sentinel.conf"  # it rewrites this file
            if not config.exists():
                config.write_text(self._sentinel)
            command = [_program("redis-server"), f"{config}", "--sentinel", *options, *self._arguments]
        else:
            command = [_program("redis-server"), *options, "--save", "", "--appendonly", "no", *self._arguments]
        self._process = subprocess.Popen(command, preexec_fn=die_with_parent, stdout=subprocess.DEVNULL)


@contextlib.contextmanager
def redis_server(*arguments: str) -> Iterator[RedisProcess]:
    """One server. `arguments` are further ones of redis-server."""
    with _processes() as new:
        process = new(*arguments)
        process.start()
        yield process


class SentinelSetup:
    """A primary, its replica, and three sentinels that watch them."""

    def __init__(self, primary: RedisProcess, replica: RedisProcess, sentinels: Sequence[RedisProcess]) -> None:
        self.primary = primary
        self.replica = replica
        self.sentinels = sentinels

    @property
    def url(self) -> str:
        hosts = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in self.sentinels)
        return f"redis+sentinel://{hosts}/{MASTER_NAME}"

    @property
    def primaries(self) -> list[RedisProcess]:
        """Where it accepts writes at the moment."""
        _, port = self.sentinels[0].command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", MASTER_NAME)
        return [process for process in (self.primary, self.replica) if process.port == int(port)]


@contextlib.contextmanager
def redis_sentinel() -> Iterator[SentinelSetup]:
    """Starts them all; the sentinels know the replica and each other when it returns."""
    with _processes() as new:
        primary = new("--repl-diskless-sync-delay", "0")
        primary.start()
        replica = new("--replicaof", "127.0.0.1", f"{primary.port}", "--repl-diskless-sync-delay", "0")
        replica.start()
        replica.wait_until(lambda: b"master_link_status:up" in replica.command("INFO", "replication"))
        sentinels = [_sentinel_of(primary, new) for _ in range(3)]
        for sentinel in sentinels:
            sentinel.wait_until(functools.partial(_knows_everybody, sentinel))
        yield SentinelSetup(primary, replica, sentinels)


def _sentinel_of(primary: RedisProcess, new: Callable[..., RedisProcess]) -> RedisProcess:
    config = [
        f"sentinel monitor {MASTER_NAME} 127.0.0.1 {primary.port} 2",
        f"sentinel down-after-milliseconds {MASTER_NAME} {SENTINEL_DOWN_MS}",
        f"sentinel failover-timeout {MASTER_NAME} 3000",
    ]
    sentinel = new(sentinel="\n".join(config))
    sentinel.start()
    return sentinel


def _knows_everybody(sentinel: RedisProcess) -> bool:
    fields = sentinel.command("SENTINEL", "MASTER", MASTER_NAME)
    known = dict(zip(fields[::2], fields[1::2], strict=True))
    return (known[b"num-slaves"], known[b"num-other-sentinels"]) == (b"1", b"2")


class ClusterSetup:
    """Three primaries with a replica each."""

    def __init__(self, nodes: Sequence[RedisProcess]) -> None:
        self.nodes = nodes

    @property
    def url(self) -> str:
        return "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in self.nodes[:3])

    @property
    def primaries(self) -> list[RedisProcess]:
        """Who owns slots, by what the first node that answers says."""
        for node in self.nodes:
            with contextlib.suppress(OSError):
                owners = {int(slots[2][1]) for slots in node.command("CLUSTER", "SLOTS", seconds=1)}
                return [node for node in self.nodes if node.port in owners]
        raise AssertionError("no node of the cluster answers")

    def owner(self, slot: int) -> RedisProcess:
        """The primary of `slot`."""
        for first, last, primary, *_ in self.nodes[0].command("CLUSTER", "SLOTS"):
            if first <= slot <= last:
                return next(node for node in self.nodes if node.port == int(primary[1]))
        raise AssertionError(f"nobody owns slot {slot}")

    def is_whole(self) -> bool:
        return all(b"cluster_state:ok" in node.command("CLUSTER", "INFO") for node in self.nodes)


@contextlib.contextmanager
def redis_cluster() -> Iterator[ClusterSetup]:
    """Starts six nodes and joins them; every one says that the cluster is whole when it returns."""
    with _processes() as new:
        nodes = [new(*_cluster_options()) for _ in range(6)]
        for node in nodes:
            node.start()
        hosts = [f"127.0.0.1:{node.port}" for node in nodes]
        create = [_program("redis-cli"), "--cluster", "create", *hosts, "--cluster-replicas", "1", "--cluster-yes"]
        subprocess.run(create, check=True, stdout=subprocess.DEVNULL, timeout=2 * START_SECONDS)
        setup = ClusterSetup(nodes)
        for node in nodes:
            node.wait_until(setup.is_whole)
        yield setup


def _cluster_options() -> list[str]:
    return [
        *("--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf", "--cluster-port", f"{free_port()}"),
        *("--cluster-node-timeout", f"{NODE_TIMEOUT_MS}", "--repl-diskless-sync-delay", "0"),
    ]


RedisSetup = RedisProcess | SentinelSetup | ClusterSetup
_SETUPS: dict[str, Callable[[], Any]] = {
    "redis": redis_server,
    "sentinel": redis_sentinel,
    "cluster": redis_cluster,
}
REDIS_KINDS = list(_SETUPS)


@functools.cache
def _shared(kind: str) -> RedisSetup:
    stack = contextlib.ExitStack()
    atexit.register(stack.close)
    setup: RedisSetup = stack.enter_context(_SETUPS[kind]())
    return setup


def emptied(kind: str) -> RedisSetup:
    """A setup that all tests of this process share, with nothing in it; for tests that break nothing."""
    setup = _shared(kind)
    for primary in setup.primaries:
        primary.command("FLUSHALL")
    return setup


@contextlib.contextmanager
def _processes() -> Iterator[Callable[..., RedisProcess]]:
    """Makes processes with a directory each; all of it is gone in the end."""
    made: list[RedisProcess] = []
    with tempfile.TemporaryDirectory(prefix="redis-") as directory:

        def new(*arguments: str, sentinel: str = "") -> RedisProcess:
            made.append(RedisProcess(Path(directory) / f"{len(made)}", *arguments, sentinel=sentinel))
            return made[-1]

        try:
            yield new
        finally:
            for process in made:
                process.kill()


def _program(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is not installed")
    return path
