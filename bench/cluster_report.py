"""A measured cluster as JSON and as Markdown."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import json
from collections.abc import Iterable
from pathlib import Path

from .cluster import Cost, Measured, Plan
from .machine import commit, machine, versions
from .tables import table

TARGET_P99_MS = 250.0
_PACKAGES = ("chat/", "gateway_core/", "trio/", "asyncmy/", "hiredis/", "msgspec/", "asyncio/", "uvloop/")


def save(plan: Plan, measured: Measured, folder: Path, profile: Path | None = None) -> str:
    """Writes results.json and README.md into `folder`; returns the latter."""
    folder.mkdir(parents=True, exist_ok=True)
    content = {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%MZ"),
        "commit": commit(),
        "machine": machine(),
        "versions": versions(),
        "plan": dataclasses.asdict(plan),
        "measured": dataclasses.asdict(measured),
    }
    (folder / "results.json").write_text(json.dumps(content, indent=1) + "\n")
    text = report(plan, measured, profile.read_text().splitlines() if profile and profile.exists() else [])
    (folder / "README.md").write_text(text)
    return text


def report(plan: Plan, measured: Measured, stacks: Iterable[str] = ()) -> str:
    """The document."""
    about = machine()
    parts = [
        f"# A cluster under load, commit {commit() or 'unknown'}",
        "Three nodes, Redis Cluster (3 + 3), two shards with a replica each, and the load, all on one machine: "
        f"{about['cores']} cores ({about['processor']}), Linux {about['kernel']}, Python {about['python']}, load "
        f"average before {about['load_average_before']}. {plan.users:,} users in {plan.rooms} rooms"
        f"{' (Zipf)' if plan.zipf else ''}, each {'at one node' if plan.local else 'across the nodes'}; "
        f"{plan.rate:g} messages of {plan.text_bytes} B a second for {plan.seconds:g} s, in an open loop.",
        table(["", ""], [[name, value] for name, value in _facts(measured)]),
        "## CPU\n\nµs for each acknowledged message, in all processes of a kind together; user and system time.",
        _costs(measured),
        "## What the primaries did\n\nAs they count it themselves.",
        table(["", "for each message", "for each connection"], _operations(measured)),
    ]
    if shares := list(_shares(stacks)):
        parts += ["## Where a node's Python threads are (py-spy)", table(["innermost frame of", "share"], shares)]
    return "\n\n".join(parts) + "\n"


def is_right(measured: Measured) -> bool:
    """Whether everything that was acknowledged is stored, once, and came once and in order to everybody."""
    wrong = measured.lost or measured.doubled or measured.errors or measured.closes
    return not wrong and measured.acknowledged == measured.published == _total(measured, "primary")


def _total(measured: Measured, role: str) -> int:
    return sum(count for name, count in measured.stored.items() if name.endswith(role))


def _facts(measured: Measured) -> Iterable[tuple[str, str]]:
    yield "published, acknowledged", f"{measured.published:,}, {measured.acknowledged:,}"
    yield "stored by primaries, by replicas", f"{_total(measured, 'primary'):,}, {_total(measured, 'replica'):,}"
    yield "deliveries, lost, doubled", f"{measured.deliveries:,}, {measured.lost}, {measured.doubled}"
    yield (
        "refused or closed",
        ", ".join(f"{k}: {v}" for k, v in {**measured.errors, **measured.closes}.items()) or "none",
    )
    yield "until delivered, ms", _quantiles(measured.latency_ms)
    yield "until acknowledged, ms", _quantiles(measured.answer_ms)
    yield "CPU of a node for a connection (token, session, room)", f"{measured.connect_us:.0f} µs"
    p99 = measured.latency_ms["p99"]
    held = is_right(measured) and p99 is not None and p99 < TARGET_P99_MS
    yield f"once, in order, p99 < {TARGET_P99_MS:.0f} ms", "held" if held else "**not held**"


def _quantiles(values: dict[str, float | None]) -> str:
    return ", ".join(f"{name} {value:,.1f}" for name, value in values.items() if value is not None)


def _costs(measured: Measured) -> str:
    kinds: dict[str, list[Cost]] = {"nodes": []}
    for cost in measured.costs:
        kinds.setdefault(_kind(cost.name), []).append(cost)
    rows = []
    for kind, costs in kinds.items():
        rows.append([kind, *_row(measured, sum(cost.seconds for cost in costs), costs)])
        threads: collections.Counter[str] = collections.Counter()
        for cost in costs if kind == "nodes" else ():
            threads.update(cost.threads)
        names = {"main": "trio thread", "reactors": "reactor threads", "others": "asyncio and other threads"}
        rows += [[f"– {names[name]}", *_row(measured, seconds)] for name, seconds in sorted(threads.items())]
    return table(["process", "µs for a message", "of it system", "cores", "peak memory, MiB each"], rows)


def _row(measured: Measured, seconds: float, costs: Iterable[Cost] = ()) -> list[str]:
    known = list(costs)
    system = sum(cost.system_seconds for cost in known) * 1e6 / max(1, measured.acknowledged)
    return [
        f"{seconds * 1e6 / max(1, measured.acknowledged):,.0f}",
        f"{system:,.0f}" if known else "",
        f"{seconds / measured.seconds:.3f}",
        f"{max(cost.peak_bytes for cost in known) / 2**20:,.0f}" if known and known[0].peak_bytes else "",
    ]


def _kind(name: str) -> str:
    if name.startswith("node"):
        return "nodes"
    if name.startswith("redis"):
        return "Redis primaries" if int(name.partition("-")[2]) <= 3 else "Redis replicas"
    if name.startswith("shard"):
        return "database primaries" if name.endswith("primary") else "database replicas"
    return "load"


def _operations(measured: Measured) -> list[list[str]]:
    per = {name: count / max(1, measured.acknowledged) for name, count in measured.counters.items()}
    order = sorted(per, key=lambda name: -per[name])
    rows = [(name, per[name], measured.connect_counters.get(name, 0.0)) for name in order]
    return [[name, f"{a:,.3f}", f"{b:,.3f}"] for name, a, b in rows if max(a, b) >= 0.001]


def _shares(stacks: Iterable[str]) -> Iterable[list[str]]:
    """Samples by the package, and for ours by the module, of the innermost frame."""
    counts: collections.Counter[str] = collections.Counter()
    for line in stacks:
        stack, _, samples = line.rpartition(" ")
        if stack and samples.isdigit():
            counts[_module(stack.split(";")[-1])] += int(samples)
    total = sum(counts.values())
    for name, count in counts.most_common(25):
        yield [name, f"{count / total:.1%}"]


def _module(frame: str) -> str:
    """`append (chat/adapters/distributed/message_store.py:71)` as the file; libraries as their package."""
    path = frame.rpartition(" (")[2].partition(":")[0].rstrip(")")
    for package in _PACKAGES:
        if (at := path.rfind(package)) >= 0:
            return path[at:] if package in ("chat/", "gateway_core/") else package.rstrip("/")
    return path.rpartition("/")[2] or "native"
