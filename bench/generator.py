"""Runs the load generator against a server and reads the server's cost around it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .process import Process, Usage, kernel_socket_bytes

BINARY = Path(__file__).parent / "load" / "target" / "release" / "chat-gateway-load"


class LoadFailed(RuntimeError):
    """The generator ended without a report."""


@dataclasses.dataclass(frozen=True, slots=True)
class Measurement:
    """One run: what the generator saw, and what the server used for it."""

    report: dict[str, Any]
    """As the generator wrote it, in its own units (the names carry them)."""
    connect_cpu_seconds: float
    """Of the server, from before the first connection until all stood."""
    cpu_seconds: float
    """Of the server, while messages flowed."""
    user_bytes_per_connection: float
    kernel_bytes_per_connection: float
    """Both ends of the loopback connection."""

    @property
    def cpu_us_per_delivery(self) -> float:
        """The server's CPU, user and system, for each message received by a client."""
        return float(self.cpu_seconds * 1e6 / max(1, self.report["deliveries"]))

    @property
    def connect_us(self) -> float:
        """The server's CPU for each connection that it accepted."""
        return float(self.connect_cpu_seconds * 1e6 / max(1, self.report["connections"]))

    @property
    def core_share(self) -> float:
        """How much of one core the server used."""
        return float(self.cpu_seconds / self.report["seconds"]) if self.report["seconds"] else 0.0


def run(server: Process, address: str, arguments: Sequence[str], cores: Sequence[int]) -> Measurement:
    """Loads `server`, which listens on `address` (IP:port). Raises: LoadFailed."""
    kernel_before, before = kernel_socket_bytes(), server.usage()
    with Process([str(BINARY), "--target", address, *arguments], cores) as load:
        opened: Usage | None = None
        kernel_opened = 0
        for line in load.lines():
            event = json.loads(line)
            if event["event"] == "open":
                opened, kernel_opened = server.usage(), kernel_socket_bytes()
                load.write_line("go")
            elif event["event"] == "report" and opened is not None:
                return _measurement(event["data"], before, opened, server.usage(), kernel_opened - kernel_before)
    raise LoadFailed(f"the load generator ended without a report: {' '.join(arguments)}")


def _measurement(report: dict[str, Any], before: Usage, opened: Usage, after: Usage, kernel: int) -> Measurement:
    connections = max(1, report["connections"])
    return Measurement(
        report,
        opened.cpu_seconds - before.cpu_seconds,
        after.cpu_seconds - opened.cpu_seconds,
        (opened.private_bytes - before.private_bytes) / connections,
        kernel / connections,
    )
