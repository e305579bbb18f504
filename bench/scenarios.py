"""What is measured: each scenario is the arguments of one load run and the figure that is compared."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True, slots=True)
class Scenario:
    """One raw load run. `figure` names the `Measurement` value that a comparison is about."""

    name: str
    title: str
    arguments: tuple[str, ...]
    figure: str
    echo: bool = False


def _raw(connections: int, *more: str, seconds: float = 4.0) -> tuple[str, ...]:
    return ("--seconds", str(seconds), "raw", "--connections", str(connections), *more)


def _fanout(connections: int, payload_bytes: int, window: int) -> Scenario:
    more = ("--payload-bytes", str(payload_bytes), "--window", str(window))
    name = f"fanout-{connections}-{payload_bytes}-{window}"
    title = f"one message of {payload_bytes} B to {connections:,} sockets, {window} under way"
    return Scenario(name, title, _raw(connections, *more), "cpu_us_per_delivery")


SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        *(_fanout(n, size, window) for n in (100, 1_000, 10_000) for size in (128, 1_024) for window in (1, 16)),
        Scenario(
            "open-loop",
            "40,000 deliveries a second to 10,000 sockets",
            ("--rate", "4", *_raw(10_000, seconds=10.0)),
            "core_share",
        ),
        Scenario(
            "echo", "100 connections, each sends what it gets back", _raw(100, "--echo"), "cpu_us_per_delivery", True
        ),
        Scenario("idle", "10,000 connections at rest", _raw(10_000, seconds=0.0), "user_bytes_per_connection"),
        Scenario("connect", "10,000 handshakes", _raw(10_000, seconds=0.0), "connect_us"),
    )
}
