"""The bars that the engine and chat are held to, and whether a run holds them.

Costs are judged as ratios within one run, since the same send costs twice as much on another machine or another
day; only what a user notices (latency, memory) is absolute.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from .results import Results
from .servers import PEER_NAMES

_SIZES = tuple((n, size) for n in (1_000, 10_000) for size in (128, 1_024))


@dataclasses.dataclass(frozen=True, slots=True)
class Verdict:
    """What was measured, in words, and whether it is within the bar."""

    measured: str
    held: bool


@dataclasses.dataclass(frozen=True, slots=True)
class Target:
    """One bar. `judge` returns None if the run does not tell."""

    text: str
    judge: Callable[[Results], Verdict | None]


def _fanout(window: int) -> list[str]:
    return [f"fanout-{n}-{size}-{window}" for n, size in _SIZES]


def _at_most(scenarios: list[str], base: str, bar: float) -> Callable[[Results], Verdict | None]:
    """`native` costs at most `bar` times what `base` does, in each scenario."""

    def judge(results: Results) -> Verdict | None:
        ratios = [results.ratio(name, "native", base, "cpu_us") for name in scenarios]
        there = [ratio for ratio in ratios if ratio is not None]
        return Verdict(_list(there), max(there) <= bar) if there else None

    return judge


def _cheapest(scenarios: list[str], margin: float, exempt: tuple[str, ...] = ()) -> Callable[[Results], Verdict | None]:
    """Every peer costs at least `margin` times what `native` does."""

    def judge(results: Results) -> Verdict | None:
        ratios = {
            f"{peer} in {name}": ratio
            for name in scenarios
            for peer in PEER_NAMES
            if peer not in exempt and (ratio := results.ratio(name, peer, "native", "cpu_us")) is not None
        }
        if not ratios:
            return None
        nearest = min(ratios, key=lambda name: ratios[name])
        return Verdict(f"nearest {ratios[nearest]:.2f} ({nearest})", ratios[nearest] >= margin)

    return judge


def _pure(scenario: str, bar: float) -> Callable[[Results], Verdict | None]:
    def judge(results: Results) -> Verdict | None:
        ratio = results.ratio(scenario, "pure", "native", "cpu_us")
        return None if ratio is None else Verdict(f"{ratio:.0f}", ratio >= bar)

    return judge


def _value(
    scenario: str, server: str, key: str, bar: float, unit: str, *, at_least: bool = False
) -> Callable[[Results], Verdict | None]:
    def judge(results: Results) -> Verdict | None:
        value = results.median(scenario, server, key)
        if value is None:
            return None
        shown = f"{value:,.0f} {unit}" if value >= 100 else f"{value:.3g} {unit}"
        return Verdict(shown.rstrip(), value >= bar if at_least else value <= bar)

    return judge


def _nothing_lost(scenario: str, server: str) -> Callable[[Results], Verdict | None]:
    def judge(results: Results) -> Verdict | None:
        if not results.of(scenario, server):
            return None
        wrong = results.wrong(scenario, server)
        return Verdict(wrong or "nothing", not wrong)

    return judge


def _deflate(results: Results) -> Verdict | None:
    ratio = results.ratio("deflate-1000-1024-1", "native", "native", "cpu_us", base_scenario="fanout-1000-1024-1")
    return None if ratio is None else Verdict(f"{ratio:.2f}", ratio <= 1.1)


def _growth(results: Results) -> Verdict | None:
    """How much dearer a delivery gets from 1,000 to 10,000 sockets, against the floor's own growth."""
    ratios = {
        server: results.ratio("fanout-10000-128-1", server, server, "cpu_us", base_scenario="fanout-1000-128-1")
        for server in ("native", "floor")
    }
    native, floor = ratios["native"], ratios["floor"]
    if native is None or floor is None:
        return None
    return Verdict(f"{native:.2f} against {floor:.2f}", native <= floor * 1.1)


def _slow(results: Results) -> Verdict | None:
    ratio = results.ratio("slow-consumers", "native", "native", "p99_ms", base_scenario="slow-none")
    return None if ratio is None else Verdict(f"{ratio:.2f}", ratio < 1.1)


def _list(ratios: list[float]) -> str:
    return ", ".join(f"{ratio:.2f}" for ratio in ratios)


_ECHO_PEERS = tuple(name for name in PEER_NAMES if name in ("ws", "centrifuge", "socketify"))

TARGETS = (
    Target("fan-out, 1 in flight: `native` ≤ 1.1 × `floor`", _at_most(_fanout(1), "floor", 1.1)),
    Target("fan-out, 1 in flight: no peer cheaper than `native`", _cheapest(_fanout(1), 1.0)),
    Target("fan-out, 16 in flight: `native` ≤ 1.0 × `floor-coalesced`", _at_most(_fanout(16), "floor-coalesced", 1.0)),
    Target("fan-out, 16 in flight: `native` ≤ uWebSockets (socketify)", _at_most(_fanout(16), "socketify", 1.0)),
    Target("fan-out, 16 in flight: every other peer ≥ 5 × `native`", _cheapest(_fanout(16), 5.0, ("socketify",))),
    Target("`pure` / `native` ≥ 12 at 1,000 sockets", _pure("fanout-1000-128-1", 12)),
    Target("`pure` / `native` ≥ 20 at 10,000 sockets", _pure("fanout-10000-128-1", 20)),
    Target("`pure` / `native` ≥ 60 with 16 in flight", _pure("fanout-10000-128-16", 60)),
    Target("echo through Python: `native` ≤ 1.6 × `floor`", _at_most(["echo"], "floor", 1.6)),
    Target("echo: no Python peer cheaper than `native`", _cheapest(["echo"], 1.0, _ECHO_PEERS)),
    Target("idle connection: `native` ≤ 700 B", _value("connections", "native", "user_bytes", 700, "B")),
    Target(
        "idle connection: `chat`, signed in, one room ≤ 3 KiB",
        _value("chat-connections", "chat", "user_bytes", 3_072, "B"),
    ),
    Target("connect: `native` ≤ 25 µs", _value("connections", "native", "connect_us", 25, "µs")),
    Target(
        "connect: `chat` with token, session and join ≤ 120 µs",
        _value("chat-connections", "chat", "connect_us", 120, "µs"),
    ),
    Target("deflate, 1 KiB, 1,000 sockets ≤ 1.1 × the uncompressed `native`", _deflate),
    Target("deflate: every peer ≥ 2 × `native`", _cheapest(["deflate-1000-1024-1"], 2.0)),
    Target("chat publish, 100 publishers ≤ 50 µs", _value("chat-publish", "chat", "cpu_us", 50, "µs")),
    Target("chat publish ≥ 10,000/s", _value("chat-publish", "chat", "rate", 10_000, "/s", at_least=True)),
    Target("chat publish: p99 < 50 ms", _value("chat-publish", "chat", "p99_ms", 50, "ms")),
    Target("mixed chat ≤ 0.5 core", _value("chat-mixed", "chat", "core_share", 0.5, "")),
    Target("mixed chat: p99 < 110 ms", _value("chat-mixed", "chat", "p99_ms", 110, "ms")),
    Target("mixed chat: nothing lost", _nothing_lost("chat-mixed", "chat")),
    Target(
        "fairness: p99 < 15 ms in a room of 10 while 10,000 are swept",
        _value("fairness", "native", "side_p99_ms", 15, "ms"),
    ),
    Target("growth from 1,000 to 10,000 sockets ≤ 1.1 × the floor's own", _growth),
    Target("slow consumers: the others' p99 changes by < 10 %", _slow),
)
