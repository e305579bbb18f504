"""Results as Markdown: the ratio of every server to the floor at a glance, then each scenario in full."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from .results import Results
from .scenarios import CONNECT, CPU, RESUME, SHARE, SIDE_P99, Figure, Scenario
from .servers import SERVERS
from .targets import TARGETS, Verdict

_RATE = Figure("rate", "rate", "/s")
_P50 = Figure("p50_ms", "p50", "ms")
_P90 = Figure("p90_ms", "p90", "ms")
_P99 = Figure("p99_ms", "p99", "ms")
_MAX = Figure("max_ms", "max", "ms")
_SIDE_P50 = Figure("side_p50_ms", "p50 in the small room", "ms")
_USER = Figure("user_bytes", "user memory", "B")
_KERNEL = Figure("kernel_bytes", "kernel memory", "B")
_CONNECT_RATE = Figure("connect_rate", "rate", "/s")
_PEAK = Figure("peak_bytes", "peak resident", "B")
_WIRE = Figure("payload_bytes", "on the wire", "B")
_RESUME_P99 = Figure("resume_p99_ms", "p99 until resumed", "ms")
_USER_CPU = Figure("user_us", "of it user", "µs")

_SATURATED = 0.97
"""A load process above this share of its core was the bottleneck of the rate."""
_BUSY_NOTE = "load generator at its limit"


def report(results: Results, pictures: Sequence[str] = ()) -> str:
    """The whole document; `pictures` are files beside it."""
    return (
        "\n\n".join(
            part
            for part in (
                f"# Results of {results.date}",
                _preamble(results),
                _overview(results),
                *(f"![{Path(picture).stem}]({picture})" for picture in pictures),
                _targets(results),
                *(_scenario(results, scenario) for scenario in results.scenarios()),
                _unmeasured(results),
            )
            if part
        )
        + "\n"
    )


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; the first column is aligned left, all others right."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def _preamble(results: Results) -> str:
    machine = results.machine
    virtual = " (virtual)" if machine.get("virtual") else ""
    versions = ", ".join(f"{name} {version}" for name, version in results.versions.items() if version)
    return (
        f"Commit {results.commit or 'unknown'}; {machine.get('processor')}, {machine.get('cores')} cores{virtual}, "
        f"{machine.get('memory_gib')} GiB, Linux {machine.get('kernel')}, Python {machine.get('python')}; load average "
        f"before the run {machine.get('load_average_before')}. {versions}.\n\n"
        "Server on one core, load on the others, over loopback. CPU is the server's user and system time for each "
        "operation; `ok` means that nothing was lost, doubled or refused. Medians of "
        f"{results.configuration.get('rounds')} round(s), servers taken in turn. "
        "`bench/README.md` says what each number means."
    )


def _overview(results: Results) -> str:
    """The ratio to the floor, in the figure that each scenario is about."""
    scenarios = [one for one in results.scenarios() if "floor" in results.servers(one.name)]
    servers = [name for name in SERVERS if any(name in results.servers(one.name) for one in scenarios)]
    if not scenarios:
        return ""
    rows = [[server, *(_ratio(results, one, server) for one in scenarios)] for server in servers]
    header = ["× floor", *(scenario.name for scenario in scenarios)]
    return "## At a glance: each server's cost as a multiple of the floor's\n\n" + table(header, rows)


def _ratio(results: Results, scenario: Scenario, server: str) -> str:
    ratio = results.ratio(scenario.name, server, "floor", scenario.figure.key)
    if ratio is None:
        return "–"
    return f"{ratio:.2f}" if ratio < 10 else f"{ratio:,.0f}"


def _targets(results: Results) -> str:
    verdicts = [(target, target.judge(results)) for target in TARGETS]
    rows = [[target.text, verdict.measured, _word(verdict)] for target, verdict in verdicts if verdict is not None]
    return "## Targets\n\n" + table(["target", "measured", "held"], rows) if rows else ""


def _word(verdict: Verdict) -> str:
    return "yes" if verdict.held else "**no**"


def _scenario(results: Results, scenario: Scenario) -> str:
    figures = _figures(scenario)
    has_floor = "floor" in results.servers(scenario.name)
    header = ["server", *(figure.label for figure in figures)]
    if has_floor:
        header.insert(2, "× floor")
    rows = []
    for server in results.servers(scenario.name):
        row = [server, *(figure.show(results.median(scenario.name, server, figure.key)) for figure in figures)]
        if has_floor:
            row.insert(2, _ratio(results, scenario, server))
        rows.append([*row, _remark(results, scenario, server)])
    return f"## {scenario.name}\n\n{scenario.title}. Per {scenario.per}.\n\n" + table([*header, "remarks"], rows)


def _figures(scenario: Scenario) -> list[Figure]:
    """The columns of a scenario's table; the first one is what it is about."""
    if scenario.figure is CONNECT:
        return [CONNECT, _CONNECT_RATE, _USER, _KERNEL]
    common = [_RATE, _P50, _P90, _P99, _MAX]
    if scenario.figure is SHARE:
        return [SHARE, CPU, *common]
    if scenario.figure is SIDE_P99:
        return [SIDE_P99, _SIDE_P50, CPU, *common]
    if scenario.figure is RESUME:
        return [RESUME, _RESUME_P99, SHARE, _P50, _P99]
    if scenario.deflate:
        return [CPU, _USER_CPU, _WIRE, *common]
    if scenario.name.startswith("slow"):
        return [CPU, _PEAK, *common]
    return [CPU, _USER_CPU, *common]


def _remark(results: Results, scenario: Scenario, server: str) -> str:
    remarks = [results.wrong(scenario.name, server)]
    if (results.median(scenario.name, server, "load_share") or 0) > _SATURATED:
        remarks.append(_BUSY_NOTE)
    return "; ".join(remark for remark in remarks if remark) or "ok"


def _unmeasured(results: Results) -> str:
    lines = [f"- {server}: {why}" for server, why in results.skipped.items()]
    lines += [f"- {failure}" for failure in results.failures]
    return "## Not measured\n\n" + "\n".join(lines) if lines else ""
