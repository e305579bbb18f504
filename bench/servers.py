"""The servers that can be measured, by name; each is a command that prints its address and serves."""

from __future__ import annotations

import dataclasses
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from .process import Process

_FLOOR = Path(__file__).parent / "load" / "target" / "release" / "chat-gateway-floor"
_LISTENING = re.compile(r"listening on (\S+:\d+)")


class ServerFailed(RuntimeError):
    """A server ended before it listened."""


@dataclasses.dataclass(frozen=True, slots=True)
class Server:
    """A raw broadcast (or echo) server. `{port}` in a command is replaced; 0 lets the system choose."""

    name: str
    broadcast: tuple[str, ...]
    echo: tuple[str, ...]

    def start(self, cores: Sequence[int], *, echo: bool = False) -> tuple[Process, str]:
        """A running server and its address. Raises: ServerFailed."""
        process = Process(self.echo if echo else self.broadcast, cores)
        for line in process.lines():
            if found := _LISTENING.search(line):
                return process, found[1]
        raise ServerFailed(f"{self.name} ended with code {process.wait()} before it listened")


def _floor(mode: str) -> tuple[str, ...]:
    return (str(_FLOOR), "--mode", mode)


def _gateway(backend: str, *more: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "bench", "serve", "--backend", backend, *more)


SERVERS = {
    server.name: server
    for server in (
        Server("floor", _floor("write"), _floor("echo")),
        Server("floor-coalesced", _floor("coalesced"), _floor("echo")),
        Server("native", _gateway("native"), _gateway("native", "--echo")),
        Server("pure", _gateway("pure"), _gateway("pure", "--echo")),
    )
}
