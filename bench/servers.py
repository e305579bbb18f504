"""The servers that can be measured, by name; each is a command that prints its address and serves."""

from __future__ import annotations

import dataclasses
import json
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from .process import Process

BENCH = Path(__file__).parent
PEERS = BENCH / "peers"
PEER_PYTHON = PEERS / ".venv" / "bin" / "python"
RELEASE = BENCH / "load" / "target" / "release"
START_SECONDS = 60.0
CHAT_OPTIONS = {
    "--log-level": "error",
    "--token-seconds": "86400",
    "--publish-per-user-per-second": "0",
    "--publish-per-room-per-second": "0",
    "--write-per-user-per-second": "0",
    "--history-per-user-per-second": "0",
    "--shutdown-seconds": "2",
}
"""Of every chat node that is measured: no rates, as the load comes from few users; and quiet."""
_LISTENING = re.compile(r"listening on (?:http://)?(\S+:\d+)")


class ServerFailed(RuntimeError):
    """A server ended before it listened."""


@dataclasses.dataclass(frozen=True, slots=True)
class Job:
    """What a server is started for."""

    mode: str
    deflate: bool = False
    data: Path | None = None
    """A seeded data directory, for chat."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A server under a name. `kind` is `floor`, `ours`, `peer` or `chat`."""

    name: str
    kind: str
    title: str
    modes: frozenset[str]
    command: Callable[[Job], Sequence[str]]
    missing: Callable[[], str | None]
    """Why it cannot be started, or None."""
    version: Callable[[], str]
    deflates: bool = False
    dialect: str = "plain"
    cores: int = 1
    """Cores that it can use."""
    directory: Path = BENCH.parent

    def can(self, job: Job) -> bool:
        """Whether it has what the job asks for."""
        return job.mode in self.modes and (self.deflates or not job.deflate)

    def start(self, cores: Sequence[int], job: Job) -> tuple[Process, str]:
        """A running server and its address. Raises: ServerFailed, also if it takes too long."""
        with ExitStack() as stack:
            process = stack.enter_context(Process(self.command(job), cores, directory=self.directory))
            watchdog = threading.Timer(START_SECONDS, process.kill)
            watchdog.start()
            stack.callback(watchdog.cancel)
            for line in process.lines():
                if found := _LISTENING.search(line):
                    watchdog.cancel()
                    stack.pop_all()  # the caller ends it
                    return process, found[1]
            raise ServerFailed(f"{self.name} ended with code {process.wait()} before it listened")


def _needs(path: Path, remedy: str) -> Callable[[], str | None]:
    return lambda: None if path.exists() else f"not installed ({remedy})"


def _floor(name: str, mode: str, title: str) -> Server:
    binary = RELEASE / "chat-gateway-floor"
    return Server(
        name=name,
        kind="floor",
        title=title,
        modes=frozenset({"broadcast", "echo", "sink"} if mode == "write" else {"broadcast"}),
        command=lambda job: (str(binary), "--mode", mode if job.mode == "broadcast" else job.mode),
        missing=_needs(binary, "make bench-build"),
        version=lambda: "",
    )


def _gateway(name: str, backend: str, title: str, *, reactors: int = 1) -> Server:
    def command(job: Job) -> Sequence[str]:
        flags = [*(["--deflate"] if job.deflate else []), "--reactors", str(reactors)]
        return (sys.executable, "-m", "bench", "serve", "--backend", backend, "--mode", job.mode, *flags)

    return Server(
        name=name,
        kind="ours",
        title=title,
        modes=frozenset({"broadcast", "echo", "sink", "rooms"}),
        command=command,
        missing=_needs(BENCH.parent / "gateway_core" / "_native.abi3.so", "make build")
        if backend == "native"
        else lambda: None,
        version=lambda: "",
        deflates=backend == "native",
        cores=reactors,
    )


def _chat(name: str, backend: str, title: str) -> Server:
    def command(job: Job) -> Sequence[str]:
        options = {
            "--data-dir": str(job.data),
            "--backend": backend,
            "--port": "0",
            **CHAT_OPTIONS,
        }
        flags = [word for option in options.items() for word in option]
        flags.append("--compression" if job.deflate else "--no-compression")
        return (sys.executable, "-m", "chat.cli", "serve", *flags)

    return Server(
        name=name,
        kind="chat",
        title=title,
        modes=frozenset({"chat"}),
        command=command,
        missing=lambda: None,
        version=lambda: "",
        deflates=backend == "native",
        # Beside the loop, a commit has a thread of its own; the kernel gives both to the one core.
    )


def _python_peer(
    name: str, package: str, title: str, *flags: str, script: str | None = None, deflates: bool = False
) -> Server:
    path = PEERS / f"{script or name}_server.py"

    def missing() -> str | None:
        if not PEER_PYTHON.exists():
            return "not installed (make bench-peers)"
        found = subprocess.run([PEER_PYTHON, "-c", f"import {package}"], capture_output=True, check=False)
        return None if found.returncode == 0 else "not installed (make bench-peers)"

    def version() -> str:
        code = f"from importlib.metadata import version as v; print(v('{package}'))"
        return _output([str(PEER_PYTHON), "-c", code])

    return Server(
        name=name,
        kind="peer",
        title=title,
        modes=frozenset({"broadcast", "echo", "sink"}),
        command=lambda job: (
            str(PEER_PYTHON),
            str(path),
            job.mode,
            *flags,
            *(["--deflate"] if job.deflate else []),
        ),
        missing=missing,
        version=version,
        deflates=deflates,
        directory=PEERS,
    )


def _node() -> Server:
    package = PEERS / "node" / "node_modules" / "ws" / "package.json"
    return Server(
        name="ws",
        kind="peer",
        title="Node, ws",
        modes=frozenset({"broadcast", "echo", "sink"}),
        command=lambda job: (
            "node",
            str(PEERS / "node" / "server.js"),
            job.mode,
            *(["--deflate"] if job.deflate else []),
        ),
        missing=_needs(package, "make bench-peers"),
        version=lambda: f"{json.loads(package.read_text())['version']} on Node {_output(['node', '--version'])}",
        deflates=True,
    )


def _centrifuge() -> Server:
    folder = PEERS / "centrifuge"
    return Server(
        name="centrifuge",
        kind="peer",
        title="Go, centrifuge",
        modes=frozenset({"broadcast"}),
        command=lambda job: (
            "env",
            "GOMAXPROCS=1",
            str(folder / "centrifuge"),
            job.mode,
            *(["--deflate"] if job.deflate else []),
        ),
        missing=_needs(folder / "centrifuge", "make bench-peers"),
        version=lambda: _go_version(folder / "go.mod"),
        deflates=True,
        dialect="centrifuge",
    )


def _go_version(go_mod: Path) -> str:
    found = re.search(r"centrifugal/centrifuge (\S+)", go_mod.read_text())
    return found[1] if found else ""


def _output(command: Sequence[str]) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


SERVERS = {
    server.name: server
    for server in (
        _floor("floor", "write", "bare epoll, one write per delivery"),
        _floor("floor-coalesced", "coalesced", "bare epoll, one write per socket and turn"),
        _gateway("native", "native", "gateway_core in Rust"),
        _gateway("pure", "pure", "gateway_core in Python, trio-websocket"),
        _gateway("native-2", "native", "gateway_core in Rust, 2 reactors", reactors=2),
        _gateway("native-4", "native", "gateway_core in Rust, 4 reactors", reactors=4),
        _chat("chat", "native", "chat-gateway serve, embedded stores"),
        _chat("chat-pure", "pure", "the same on the Python gateway"),
        _python_peer("websockets", "websockets", "websockets, asyncio", deflates=True),
        _python_peer("picows", "picows", "picows, asyncio"),
        _python_peer("picows-uvloop", "picows", "picows, uvloop", "--uvloop", script="picows"),
        _python_peer("aiohttp", "aiohttp", "aiohttp, uvloop", deflates=True),
        _python_peer("uvicorn", "uvicorn", "uvicorn and Starlette, uvloop", deflates=True),
        _python_peer("granian", "granian", "granian RSGI, uvloop"),
        _python_peer("socketify", "socketify", "socketify (uWebSockets, C++)", deflates=True),
        _node(),
        _centrifuge(),
    )
}
"""In the order in which they are shown."""

OURS = ("floor", "floor-coalesced", "native", "pure")
PEER_NAMES = tuple(name for name, server in SERVERS.items() if server.kind == "peer")
