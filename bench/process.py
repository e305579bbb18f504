"""Processes under measurement: pinned to cores, with CPU and memory read from the operating system."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Self

STOP_SECONDS = 20.0
_CPUCLOCK_SCHED = 2
"""The kernel's name for the clock of a process's CPU time, in nanoseconds and with threads that have ended."""


@dataclasses.dataclass(frozen=True, slots=True)
class Usage:
    """CPU seconds since the start, and bytes of memory, of a process and its descendants."""

    user_seconds: float
    system_seconds: float
    private_bytes: int
    """Memory that would be freed by its end."""
    peak_bytes: int
    """The most that was resident at a time."""

    @property
    def cpu_seconds(self) -> float:
        """User and system time."""
        return self.user_seconds + self.system_seconds

    def __add__(self, other: Usage) -> Usage:
        mine, theirs = dataclasses.astuple(self), dataclasses.astuple(other)
        return Usage(*(a + b for a, b in zip(mine, theirs, strict=True)))


class Process:
    """A child process pinned to `cores`, ended with the block."""

    def __init__(
        self, command: Sequence[str], cores: Sequence[int], *, directory: Path | None = None, quiet: bool = True
    ) -> None:
        """If `quiet`, standard error is dropped: servers complain there of clients that just go."""
        self._child = subprocess.Popen(
            ["taskset", "--cpu-list", ",".join(map(str, sorted(cores))), *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL if quiet else None,
            cwd=directory,
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        """The process's own id: taskset replaces itself by the command."""
        return self._child.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._child.send_signal(signal.SIGTERM)
        try:
            self._child.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
        for pipe in (self._child.stdin, self._child.stdout):
            if pipe is not None:
                pipe.close()

    def kill(self) -> None:
        """Ends it and its descendants at once."""
        os.killpg(self._child.pid, signal.SIGKILL)
        self._child.wait()

    def lines(self) -> Iterator[str]:
        """What it writes to standard output, until it ends."""
        assert self._child.stdout is not None
        while line := self._child.stdout.readline():
            yield line.decode().rstrip("\n")

    def write_line(self, line: str) -> None:
        """Writes to its standard input."""
        assert self._child.stdin is not None
        self._child.stdin.write(line.encode() + b"\n")
        self._child.stdin.flush()

    def wait(self) -> int:
        """Its exit code, when it has ended."""
        return self._child.wait()

    def usage(self) -> Usage:
        """What it and its descendants have used so far. Raises: ProcessLookupError if it has ended."""
        return usage_of(self.pid)


def usage_of(pid: int) -> Usage:
    """What a process and its descendants have used so far. Raises: ProcessLookupError if it has ended."""
    first, *others = [_usage(each) for each in _tree(pid)]
    return sum(others, first)


def kernel_memory_bytes() -> int:
    """Slab memory of the whole machine: its growth with the sockets is theirs."""
    fields = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    return int(fields["Slab"].split()[0]) * 1024


def softirq_seconds(cores: Sequence[int]) -> float:
    """CPU time of the kernel threads that take over network work on `cores`, which no process is billed for."""
    names = {f"ksoftirqd/{core}" for core in cores}
    threads = (path.parent for path in Path("/proc").glob("[0-9]*/comm") if _text(path).strip() in names)
    return sum(_cpu_seconds(int(thread.name)) for thread in threads)


def _tree(root: int) -> Iterator[int]:
    yield root
    for children in Path(f"/proc/{root}/task").glob("*/children"):
        for child in children.read_text().split():
            yield from _tree(int(child))


def _usage(pid: int) -> Usage:
    # The command's name may contain anything, so the fields are counted from its closing parenthesis.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    user, system = int(fields[11]), int(fields[12])
    cpu = _cpu_seconds(pid)
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    private = sum(int(line.split()[1]) for line in rollup if line.startswith("Private_"))
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    # The ticks of 10 ms are only good for the division in two.
    share = user / (user + system) if user + system else 0.0
    return Usage(cpu * share, cpu * (1 - share), private * 1024, int(status["VmHWM"].split()[0]) * 1024)


def _cpu_seconds(pid: int) -> float:
    return time.clock_gettime((~pid << 3) | _CPUCLOCK_SCHED)


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
