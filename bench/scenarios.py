"""What is measured: each scenario is a server's mode, the load on it, and the figure that is compared."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from .seed import Population

PER_PROCESS = 16_000
"""Sockets of one load process: below the usual limit of 20,000 descriptors."""


@dataclasses.dataclass(frozen=True, slots=True)
class Figure:
    """A value of a `Measurement`: its name there, how it is called, and its unit."""

    key: str
    label: str
    unit: str

    def show(self, value: float | None) -> str:
        """The value with three digits and its unit."""
        if value is None:
            return "–"
        text = f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
        return f"{text} {self.unit}".rstrip()


CPU = Figure("cpu_us", "CPU", "µs")
CONNECT = Figure("connect_us", "CPU per connection", "µs")
SHARE = Figure("core_share", "cores", "")
SIDE_P99 = Figure("side_p99_ms", "p99 in the small room", "ms")
RESUME = Figure("resume_us_each", "CPU per resume", "µs")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RawLoad:
    """Connections to a server without a protocol of its own."""

    connections: int
    pattern: str = "broadcast"
    payload_bytes: int = 128
    window: int = 1
    rate: float | None = None
    path: str = "/ws"
    slow: int = 0

    def processes(self, dialect: str) -> list[tuple[str, ...]]:
        """The arguments of each load process: the first one publishes."""
        sizes = [min(PER_PROCESS, self.connections - start) for start in range(0, self.connections, PER_PROCESS)]
        return [self._arguments(size, index, dialect) for index, size in enumerate(sizes)]

    def _arguments(self, connections: int, index: int, dialect: str) -> tuple[str, ...]:
        pattern = "listen" if index and self.pattern == "broadcast" else self.pattern
        options = {
            "--connections": connections,
            "--pattern": pattern,
            "--dialect": dialect,
            "--path": self.path,
            "--payload-bytes": self.payload_bytes,
            "--window": self.window,
            "--slow": 0 if index else self.slow,
        }
        rate = () if self.rate is None else ("--rate", str(self.rate))
        return ("raw", *(str(word) for option in options.items() for word in option), *rate)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ChatLoad:
    """Users of a chat node."""

    population: Population
    pace: tuple[str, float]
    """`--rate`, `--deliveries` or `--publishers`, and how many."""
    text_bytes: int = 128
    typing: float = 0
    histories: float = 0
    cuts: float = 0
    storm: bool = False

    def arguments(self, users: str) -> tuple[str, ...]:
        """The arguments of the load process."""
        option, number = self.pace
        options = {
            "--users": users,
            option: int(number) if option == "--publishers" else number,
            "--text-bytes": self.text_bytes,
            "--typing": self.typing,
            "--histories": self.histories,
            "--cuts": self.cuts,
        }
        words = (str(word) for option in options.items() for word in option)
        return ("chat", *words, *(["--storm"] if self.storm else []))


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One thing to measure."""

    name: str
    title: str
    mode: str
    load: RawLoad | ChatLoad
    side: RawLoad | None = None
    """A second load at the same time, measured apart."""
    figure: Figure = CPU
    per: str = "delivery"
    """What an operation is."""
    seconds: float = 4.0
    deflate: bool = False
    servers: tuple[str, ...] = ()
    """All that can, if empty."""
    default: bool = False
    """Part of a run that names no scenario."""
    quick: bool = False
    """Part of a quick run."""

    @property
    def connections(self) -> int:
        """How many sockets it takes."""
        load = self.load
        return load.connections if isinstance(load, RawLoad) else load.population.users


def _fanout(connections: int, payload_bytes: int, window: int) -> Scenario:
    return Scenario(
        name=f"fanout-{connections}-{payload_bytes}-{window}",
        title=f"One message of {payload_bytes} B to {connections:,} sockets, {window} under way",
        mode="broadcast",
        load=RawLoad(connections=connections, payload_bytes=payload_bytes, window=window),
        default=connections > 100 and (payload_bytes == 128 or window == 1),
        quick=connections == 1_000 and payload_bytes == 128,
    )


_RAW: Sequence[Scenario] = (
    *(_fanout(n, size, window) for n in (100, 1_000, 10_000) for size in (128, 1_024) for window in (1, 16)),
    Scenario(
        name="open-loop",
        title="4 messages of 128 B a second to 10,000 sockets: 40,000 deliveries a second",
        mode="broadcast",
        load=RawLoad(connections=10_000, rate=4),
        figure=SHARE,
        seconds=10,
    ),
    Scenario(
        name="echo",
        title="100 connections, each sends 128 B when the last came back",
        mode="echo",
        load=RawLoad(connections=100, pattern="echo"),
        per="round trip",
        default=True,
        quick=True,
    ),
    Scenario(
        name="inbound",
        title="1,000 connections send 128 B, a receipt after 16; nobody else listens",
        mode="sink",
        load=RawLoad(connections=1_000, pattern="sink", window=16),
        per="message",
        default=True,
    ),
    Scenario(
        name="connections",
        title="10,000 handshakes, 256 at a time, and what the connections hold at rest",
        mode="broadcast",
        load=RawLoad(connections=10_000),
        figure=CONNECT,
        per="connection",
        seconds=0,
        default=True,
    ),
    Scenario(
        name="deflate-1000-1024-1",
        title="permessage-deflate, 1 KiB of chat-like JSON to 1,000 sockets, 1 under way",
        mode="broadcast",
        load=RawLoad(connections=1_000, payload_bytes=1_024),
        deflate=True,
        default=True,
    ),
    Scenario(
        name="deflate-1000-1024-16",
        title="permessage-deflate, 1 KiB of chat-like JSON to 1,000 sockets, 16 under way",
        mode="broadcast",
        load=RawLoad(connections=1_000, payload_bytes=1_024, window=16),
        deflate=True,
    ),
    Scenario(
        name="slow-none",
        title="4 messages of 16 KiB under way to 1,000 sockets that all read",
        mode="broadcast",
        load=RawLoad(connections=1_000, payload_bytes=16_384, window=4),
        seconds=8,
    ),
    Scenario(
        name="slow-consumers",
        title="The same, and 10 of the sockets do not read",
        mode="broadcast",
        load=RawLoad(connections=1_000, payload_bytes=16_384, window=4, slow=10),
        seconds=8,
    ),
    Scenario(
        name="fairness",
        title="100 messages a second in a room of 10, while a room of 10,000 is swept without a pause",
        mode="rooms",
        load=RawLoad(connections=10_000, path="/large"),
        side=RawLoad(connections=10, path="/small", rate=100),
        figure=SIDE_P99,
        seconds=8,
    ),
    Scenario(
        name="reactors",
        title="One message of 128 B to 10,000 sockets, 16 under way, on 1, 2 and 4 reactors",
        mode="broadcast",
        load=RawLoad(connections=10_000, window=16),
        servers=("native", "native-2", "native-4"),
    ),
)

_CHAT: Sequence[Scenario] = (
    Scenario(
        name="chat-connections",
        title="10,000 users connect, are verified, and join one room of 20 each",
        mode="chat",
        load=ChatLoad(population=Population(10_000, 500), pace=("--publishers", 1)),
        figure=CONNECT,
        per="connection",
        seconds=0,
    ),
    Scenario(
        name="chat-publish",
        title="100 users publish, each when the last message was committed and acknowledged",
        mode="chat",
        load=ChatLoad(population=Population(100, 100), pace=("--publishers", 100)),
        per="acknowledged message",
        seconds=6,
        default=True,
    ),
    Scenario(
        name="chat-mixed",
        title="10,000 users in 3 of 500 rooms (Zipf): 40,000 deliveries, 50 typing, 20 pages a second, 5 cuts",
        mode="chat",
        load=ChatLoad(
            population=Population(10_000, 500, 3, zipf=True),
            pace=("--deliveries", 40_000),
            typing=50,
            histories=20,
            cuts=5,
        ),
        figure=SHARE,
        seconds=10,
    ),
    Scenario(
        name="chat-storm",
        title="5,000 users in 3 of 250 rooms (Zipf), 5 messages a second; all are cut at once and resume",
        mode="chat",
        load=ChatLoad(population=Population(5_000, 250, 3, zipf=True), pace=("--rate", 5), storm=True),
        figure=RESUME,
        seconds=8,
    ),
)

SCENARIOS = {scenario.name: scenario for scenario in (*_RAW, *_CHAT)}
