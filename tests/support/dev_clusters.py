"""`chat-gateway dev-cluster` as a child process, as a developer runs it in a terminal."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from tests.support.node_process import ROOT

START_SECONDS = 120.0
STOP_SECONDS = 60.0
PROGRAMS = ("redis-server", "mariadbd")
_NODE = re.compile(r"^node-\d +(http://\S+) +metrics (http://\S+)$", re.MULTILINE)


class DevCluster:
    """The command while it runs."""

    def __init__(self, process: trio.Process, temporaries: Path) -> None:
        self.process = process
        self.temporaries = temporaries
        """Where the command makes its directory."""
        self.output = ""
        self.errors = ""
        self._ended = False
        self._news = trio.Event()

    @property
    def urls(self) -> list[str]:
        """Of the nodes, as they were printed."""
        return [url for url, _ in _NODE.findall(self.output)]

    @property
    def metrics_urls(self) -> list[str]:
        """Of the nodes, likewise."""
        return [url for _, url in _NODE.findall(self.output)]

    def children(self) -> dict[str, int]:
        """The process ids of all that it started, with the command of each."""
        return {_command_of(pid): pid for pid in _children(self.process.pid)}

    async def until_printed(self, text: str) -> None:
        """Returns when it has written `text` to either stream. Fails if it ends, or after START_SECONDS."""
        with trio.fail_after(START_SECONDS):
            while text not in self.output + self.errors:
                assert not self._ended, self.errors
                self._news = trio.Event()
                await self._news.wait()

    async def wait(self) -> int:
        """Its exit code."""
        with trio.fail_after(STOP_SECONDS):
            return await self.process.wait()

    async def read(self, stream: trio.abc.ReceiveStream, name: str) -> None:
        async for data in stream:
            setattr(self, name, getattr(self, name) + data.decode())
            self._news.set()
        self._ended = True
        self._news.set()


@asynccontextmanager
async def dev_cluster_process(directory: Path, *arguments: str, path: str | None = None) -> AsyncIterator[DevCluster]:
    """Starts the command, with `path` as PATH; what it leaves running is ended, and shows in `children`."""
    for name in PROGRAMS:
        if shutil.which(name) is None:
            pytest.skip(f"{name} is not installed")
    temporaries = directory / "temporaries"
    temporaries.mkdir(exist_ok=True)
    environment = {key: value for key, value in os.environ.items() if not key.startswith("CHAT_GATEWAY_")}
    environment |= {"TMPDIR": str(temporaries), "PYTHONPATH": str(ROOT), "PATH": path or os.environ["PATH"]}
    process = await trio.lowlevel.open_process(
        [sys.executable, "-m", "chat.cli", "dev-cluster", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
    )
    cluster = DevCluster(process, temporaries)
    assert process.stdout is not None
    assert process.stderr is not None
    async with trio.open_nursery() as nursery:
        nursery.start_soon(cluster.read, process.stdout, "output")
        nursery.start_soon(cluster.read, process.stderr, "errors")
        try:
            yield cluster
        finally:
            with trio.CancelScope(shield=True):
                if process.poll() is None:
                    process.kill()  # its children die with it
                await process.wait()
            nursery.cancel_scope.cancel()


def is_alive(pid: int) -> bool:
    """Whether there is such a process; one that has ended and was not waited for is not alive."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


def _children(pid: int) -> Iterator[int]:
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        yield from map(int, task.read_text().split())


def _command_of(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
