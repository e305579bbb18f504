"""Processes under measurement: pinned to a core, with CPU and memory read from the operating system."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Self

_TICKS = os.sysconf("SC_CLK_TCK")
STOP_SECONDS = 20.0


@dataclasses.dataclass(frozen=True, slots=True)
class Usage:
    """CPU seconds since the start and bytes of private memory, of a process and its descendants."""

    user_seconds: float
    system_seconds: float
    private_bytes: int

    @property
    def cpu_seconds(self) -> float:
        """User and system time."""
        return self.user_seconds + self.system_seconds


class Process:
    """A child process pinned to `cores`, ended with the block."""

    def __init__(
        self,
        command: Sequence[str],
        cores: Sequence[int],
        *,
        stderr: int | IO[bytes] | None = None,
        environment: dict[str, str] | None = None,
    ) -> None:
        self.cores = set(cores)
        self._child = subprocess.Popen(
            ["taskset", "--cpu-list", ",".join(map(str, sorted(self.cores))), *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            env={**os.environ, **(environment or {})},
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
            os.killpg(self._child.pid, signal.SIGKILL)
            self._child.wait()
        for pipe in (self._child.stdin, self._child.stdout):
            if pipe is not None:
                pipe.close()

    def lines(self) -> Iterator[str]:
        """What it writes to standard output, until it ends."""
        assert self._child.stdout is not None
        for line in self._child.stdout:
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
        parts = [_usage(pid) for pid in _tree(self.pid)]
        if not parts:
            raise ProcessLookupError(f"process {self.pid} has ended")
        return Usage(
            sum(part.user_seconds for part in parts),
            sum(part.system_seconds for part in parts),
            sum(part.private_bytes for part in parts),
        )


def kernel_socket_bytes() -> int:
    """Slab memory of the whole machine: its growth with the sockets is theirs."""
    fields = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    return int(fields["Slab"].split()[0]) * 1024


def _tree(root: int) -> Iterator[int]:
    yield root
    for children in Path(f"/proc/{root}/task").glob("*/children"):
        for child in children.read_text().split():
            yield from _tree(int(child))


def _usage(pid: int) -> Usage:
    # The command's name may contain anything, so the fields are counted from its closing parenthesis.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    private = sum(int(line.split()[1]) for line in rollup if line.startswith("Private_"))
    return Usage(int(fields[11]) / _TICKS, int(fields[12]) / _TICKS, private * 1024)
