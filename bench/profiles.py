"""Profiles of a server under a scenario: perf (native and kernel frames) and py-spy (Python and native frames)."""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from . import flamegraph
from .measure import Run
from .scenarios import Scenario
from .servers import Server

HERTZ = 499
"""Not a divisor of anything that happens regularly."""


class NoProfiler(RuntimeError):
    """None of the profilers works here."""


@dataclasses.dataclass(frozen=True, slots=True)
class Profiler:
    """A program that samples another process, and the way from its file to collapsed stacks."""

    name: str
    command: Callable[[int, float, Path], Sequence[str]]
    """From process id, seconds and file."""
    collapse: Callable[[Path], Iterable[str]]


def profile(scenario: Scenario, server: Server, folder: Path, seconds: float) -> list[Path]:
    """Profiles `server` with every profiler there is; returns the flame graphs. Raises: NoProfiler."""
    written = []
    profilers = [profiler for profiler in _PROFILERS if _works(profiler)]
    if not profilers:
        raise NoProfiler("neither perf nor py-spy is installed (perf of the system's tools; pip install py-spy)")
    for profiler in profilers:
        with tempfile.TemporaryDirectory(prefix="chat-gateway-bench-") as scratch:
            samples = Path(scratch) / "samples"
            with Run(scenario, server, Path(scratch), seconds + 1 if scenario.seconds else 0) as run:
                run.load_while(profiler.command(run.process.pid, seconds, samples))
            stacks = flamegraph.tree(profiler.collapse(samples)) if samples.exists() else flamegraph.Node()
        if stacks.samples:
            path = folder / f"{scenario.name}-{server.name}-{profiler.name}.svg"
            path.write_text(flamegraph.svg(stacks, f"{scenario.name} · {server.name} · {profiler.name}"))
            written.append(path)
    return written


def collapse_perf(script: Iterable[str]) -> Iterable[str]:
    """Collapsed stacks from what `perf script` prints: samples between empty lines, the innermost frame first."""
    counts: Counter[str] = Counter()
    command = ""
    frames: list[str] = []
    for line in [*script, ""]:
        if not line.strip():
            if command:
                counts[";".join([command, *reversed(frames)])] += 1
            command, frames = "", []
        elif not line[0].isspace():
            command = line.split()[0]
        else:
            frames.append(_frame(line))
    return [f"{stack} {count}" for stack, count in counts.items()]


def _frame(line: str) -> str:
    """The symbol of `  ffffffff81 tcp_sendmsg+0x2b ([kernel.kallsyms])`; kernel frames are marked."""
    _, _, rest = line.strip().partition(" ")
    symbol, _, module = rest.rpartition(" (")
    name = symbol.rpartition("+0x")[0] or symbol or "[unknown]"
    return name.replace(";", ":") + ("_[k]" if "kernel" in module or module.startswith("[") else "")


def _perf_script(samples: Path) -> Iterable[str]:
    command = ["perf", "script", "--fields", "comm,ip,sym,symoff,dso", "--input", str(samples)]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    return collapse_perf(done.stdout.splitlines())


def _works(profiler: Profiler) -> bool:
    return shutil.which(profiler.command(0, 0, Path())[0]) is not None


def _py_spy() -> str:
    beside = Path(sys.executable).parent / "py-spy"
    return str(beside) if beside.exists() else "py-spy"


def py_spy_command(pid: int, seconds: float, file: Path) -> tuple[str, ...]:
    """Collapsed stacks of whoever holds the GIL: Python code, and no system calls. Hardly disturbs."""
    options = ("--format", "raw", "--rate", "199", "--gil", "--nonblocking", "--pid", str(pid))
    return (_py_spy(), "record", *options, "--duration", str(max(1, round(seconds))), "--output", str(file))


_PROFILERS = (
    Profiler(
        "perf",
        # cpu-clock: a virtual machine often has no other.
        lambda pid, seconds, file: (
            *("perf", "record", "--event", "cpu-clock", "--freq", str(HERTZ), "--call-graph", "dwarf,16384"),
            *("--pid", str(pid), "--output", str(file), "--", "sleep", str(seconds)),
        ),
        _perf_script,
    ),
    Profiler(
        "py-spy",
        # Only threads that hold the GIL: waiting in native code looks like work. perf sees the rest.
        lambda pid, seconds, file: (
            *(_py_spy(), "record", "--native", "--gil", "--format", "raw", "--rate", str(HERTZ), "--pid", str(pid)),
            *("--duration", str(max(1, round(seconds))), "--output", str(file), "--subprocesses"),
        ),
        lambda samples: samples.read_text().splitlines(),
    ),
)
