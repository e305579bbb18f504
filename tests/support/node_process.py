"""A real node: `chat-gateway serve` as a child process on a free port, with a data directory of its own.

    async with node_process(tmp_path) as node:
        ...  # node.url, node.authority
        node.send_signal(signal.SIGTERM)
        assert await node.wait() == 0

Whatever happens, the child is gone when the block ends. Its data stays, so a second node can go on from it.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import trio

ROOT = Path(__file__).parent.parent.parent
START_SECONDS = 60.0
"""Generous: importing everything takes seconds on a loaded machine."""
TOKEN_KEY = {"CHAT_GATEWAY_TOKEN_KEY": "the same for all nodes, 32 bytes"}
"""The environment of nodes that belong together."""

_LISTENING = re.compile(rb"listening on http://(?:\[(?P<v6>[^\]]+)\]|(?P<v4>[^:/]+)):(?P<port>\d+)")


class NodeFailed(AssertionError):
    """The child ended, or said nothing, before it listened; the message holds its output."""


class Node:
    """A running child. `log` and `output` are what it has written so far to stderr and stdout."""

    def __init__(self, process: trio.Process, data_dir: Path, log_path: Path) -> None:
        self.process = process
        self.data_dir = data_dir
        self.host = ""
        self.port = 0
        self._log_path = log_path
        self._output = bytearray()
        self._listening = trio.Event()

    @property
    def url(self) -> str:
        """The base of HTTP addresses, without a slash at the end."""
        return f"http://{self.authority}"

    @property
    def authority(self) -> str:
        """Host and port, as in an address."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def log(self) -> str:
        return self._log_path.read_text(errors="replace")

    @property
    def output(self) -> str:
        return self._output.decode(errors="replace")

    def send_signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    async def wait(self, seconds: float = 60.0) -> int:
        """The exit code, negative if a signal ended it. Fails after `seconds`."""
        with trio.fail_after(seconds):
            return await self.process.wait()

    async def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        if self.process.poll() is None:
            self.process.kill()
        with trio.CancelScope(shield=True):
            await self.process.wait()

    async def until_listening(self) -> None:
        """Raises: NodeFailed."""
        with trio.move_on_after(START_SECONDS):
            await self._listening.wait()
        if not self.port:
            await self.kill()
            raise NodeFailed(f"exit code {self.process.returncode}\n{self.output}\n{self.log}")

    async def read_output(self) -> None:
        """Reads stdout to its end, so that the child never blocks on it."""
        assert self.process.stdout is not None
        async for data in self.process.stdout:
            self._output += data
            if not self.port and (match := _LISTENING.search(self._output)):
                self.host = (match["v6"] or match["v4"]).decode()
                self.port = int(match["port"])
                self._listening.set()
        self._listening.set()


@asynccontextmanager
async def node_process(
    directory: Path,
    *arguments: str,
    data_dir: Path | None = None,
    env: Mapping[str, str] | None = None,
    listen: bool = True,
) -> AsyncIterator[Node]:
    """Starts a node and waits until it listens (unless `listen` is False, for one that is to fail).

    `directory` gets the log file and, if `data_dir` does not say otherwise, the data. `arguments` are further
    flags of `serve`; `env` adds to an environment that holds no setting of ours.
    Raises: NodeFailed.
    """
    data_dir = data_dir or directory / "data"
    log_path = _next_log(directory)
    command = [sys.executable, "-m", "chat.cli", "serve", "--port", "0", "--data-dir", str(data_dir), *arguments]
    with log_path.open("wb") as log:
        process = await trio.lowlevel.open_process(
            command, stdout=subprocess.PIPE, stderr=log, cwd=directory, env=_environment(env or {})
        )
    node = Node(process, data_dir, log_path)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(node.read_output)
        try:
            if listen:
                await node.until_listening()
            yield node
        finally:
            await node.kill()
            nursery.cancel_scope.cancel()


def _next_log(directory: Path) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    return directory / f"node-{len(list(directory.glob('node-*.log')))}.log"


def _environment(extra: Mapping[str, str]) -> dict[str, str]:
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("CHAT_GATEWAY_")}
    return {**inherited, "PYTHONPATH": str(ROOT), **extra}
