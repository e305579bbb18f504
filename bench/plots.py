"""Results as pictures that are understood at a glance."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from .results import Results
from .scenarios import CPU, RawLoad, Scenario
from .servers import SERVERS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

OURS, PURE, FLOOR, PEER = "#c2410c", "#fdba74", "#9ca3af", "#64748b"
_COLUMNS = 3


class NoPlots(RuntimeError):
    """matplotlib is not installed."""


def draw(results: Results, folder: Path) -> list[Path]:
    """Writes the pictures that the results are enough for; returns their files. Raises: NoPlots."""
    try:
        import matplotlib
    except ImportError:
        raise NoPlots("matplotlib is not installed: pip install 'chat-gateway[bench]'") from None
    matplotlib.use("svg")
    # The same results give the same file.
    matplotlib.rcParams.update(
        {"svg.hashsalt": "bench", "svg.fonttype": "none", "font.size": 9, "axes.spines.top": False}
    )
    matplotlib.rcParams.update({"axes.spines.right": False, "figure.constrained_layout.use": True})
    written = []
    for name, painter in (("ratios", _ratios), ("growth", _growth), ("memory", _memory)):
        figure = painter(results)
        if figure is not None:
            path = folder / f"{name}.svg"
            figure.savefig(path, metadata={"Date": None})
            written.append(path)
    return written


def _ratios(results: Results) -> Any:
    """For each scenario with a floor: every server's CPU as a multiple of it."""
    from matplotlib.figure import Figure

    scenarios = [
        scenario
        for scenario in results.scenarios()
        if scenario.figure is CPU and {"floor", "native"} <= set(results.servers(scenario.name))
    ]
    if not scenarios:
        return None
    rows = -(-len(scenarios) // _COLUMNS)
    most = max(len(results.servers(scenario.name)) for scenario in scenarios)
    figure = Figure(figsize=(4.4 * _COLUMNS, rows * (0.9 + 0.22 * most)))
    figure.suptitle(
        "Server CPU per operation, as a multiple of the floor (bare epoll) in the same run; lower is better"
    )
    axes = figure.subplots(rows, _COLUMNS, squeeze=False).flat
    for scenario in scenarios:
        _ratio_bars(next(axes), results, scenario)
    for unused in axes:
        unused.set_visible(False)
    return figure


def _ratio_bars(axes: Axes, results: Results, scenario: Scenario) -> None:
    pairs = [
        (server, ratio)
        for server in SERVERS
        if (ratio := results.ratio(scenario.name, server, "floor", scenario.figure.key)) is not None
    ]
    names, ratios = [name for name, _ in pairs][::-1], [ratio for _, ratio in pairs][::-1]
    bars = axes.barh(names, ratios, color=[_color(name) for name in names])
    axes.bar_label(bars, [f"{ratio:.2f}" if ratio < 10 else f"{ratio:,.0f}" for ratio in ratios], padding=2)
    axes.set_xscale("log")
    axes.set_xlim(min(0.05, *ratios), max(ratios) * 4)
    axes.axvline(1, color=FLOOR, linewidth=0.8, zorder=0)
    axes.set_title(scenario.name, loc="left", fontweight="bold")
    for label in axes.get_yticklabels():
        if label.get_text() == "native":
            label.set_fontweight("bold")


def _growth(results: Results) -> Any:
    """CPU per delivery as the number of sockets grows."""
    from matplotlib.figure import Figure

    lines = {window: found for window in (1, 16) if (found := _growth_lines(results, window))}
    if not lines:
        return None
    figure = Figure(figsize=(4.5 * len(lines) + 1, 4))
    for axes, (window, found) in zip(figure.subplots(1, len(lines), squeeze=False).flat, lines.items(), strict=True):
        for server, points in found.items():
            axes.plot(*zip(*points, strict=True), marker="o", label=server, **_line(server))
        axes.set(xscale="log", yscale="log", xlabel="sockets", ylabel="CPU µs per delivery")
        axes.set_title(f"128 B, {window} in flight", loc="left", fontweight="bold")
    figure.legend(*axes.get_legend_handles_labels(), fontsize=7, loc="outside right center")
    return figure


def _growth_lines(results: Results, window: int) -> dict[str, list[tuple[int, float]]]:
    """Sockets and CPU of each server that was measured with more than one number of sockets."""
    sizes = {
        scenario.load.connections: scenario.name
        for scenario in results.scenarios()
        if scenario.name.startswith("fanout-") and scenario.name.endswith(f"-128-{window}")
        if isinstance(scenario.load, RawLoad)
    }
    lines = {
        server: [(n, cpu) for n, name in sizes.items() if (cpu := results.median(name, server, "cpu_us"))]
        for server in SERVERS
    }
    return {server: points for server, points in lines.items() if len(points) > 1}


def _memory(results: Results) -> Any:
    """What a connection costs: memory at rest, and the handshake."""
    from matplotlib.figure import Figure

    if "native" not in results.servers("connections"):
        return None
    servers = [server for server in SERVERS if server in results.servers("connections")][::-1]
    figure = Figure(figsize=(10, 0.9 + 0.25 * len(servers)))
    panels = (("user_bytes", "user memory of an idle connection, bytes"), ("connect_us", "CPU of a handshake, µs"))
    for axes, (key, title) in zip(figure.subplots(1, 2), panels, strict=True):
        values = [max(1.0, results.median("connections", server, key) or 1.0) for server in servers]
        bars = axes.barh(servers, values, color=[_color(name) for name in servers])
        axes.bar_label(bars, [f"{value:,.0f}" for value in values], padding=2)
        axes.set_xscale("log")
        axes.set_xlim(right=max(values) * 4)
        axes.set_title(title, loc="left", fontweight="bold")
    return figure


def _color(server: str) -> str:
    if server == "pure":
        return PURE
    return {"floor": FLOOR, "ours": OURS, "chat": OURS, "peer": PEER}[SERVERS[server].kind]


def _line(server: str) -> dict[str, Any]:
    """Ours stand out; the peers tell themselves apart by matplotlib's own colours."""
    if server == "native":
        return {"color": OURS, "linewidth": 2.5}
    if server == "pure":
        return {"color": PURE, "linewidth": 2.5}
    return {"color": "black", "linestyle": ":"} if server == "floor" else {"linewidth": 1}
