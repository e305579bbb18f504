"""Runs load processes against a server, in step, and puts their reports together."""

from __future__ import annotations

import collections
import dataclasses
import itertools
import json
import random
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from .process import Process
from .servers import RELEASE

BINARY = RELEASE / "chat-gateway-load"
DEADLINE_SECONDS = 300.0
"""Beyond the measured time; the slowest server needs a minute to deliver what 16 broadcasts left behind."""


_numbers = itertools.count(random.randrange(2**22))


def _next_address() -> str:
    """A loopback address that no process used lately.

    Each has about 28,000 ports to connect from, and a closed connection keeps its port for a minute.
    """
    number = next(_numbers) % 2**22
    return f"127.{64 + (number >> 16)}.{number >> 8 & 255}.{number & 255}"


class LoadFailed(RuntimeError):
    """A load process ended without a report."""


Report = dict[str, Any]
"""As the generator writes it, in its own units (the names carry them)."""


@dataclasses.dataclass(frozen=True, slots=True)
class Group:
    """Load processes that share one stream of numbers."""

    name: str
    arguments: Sequence[tuple[str, ...]]
    """Of each process, from the mode on."""


class Loads:
    """The load processes of one run; `open`, `go` and `finish` take them from step to step.

    Use as a context manager. Every step raises: LoadFailed.
    """

    def __init__(
        self, addresses: Sequence[str], groups: Sequence[Group], cores: Sequence[int], common: Sequence[str]
    ) -> None:
        """`common` are the arguments before the mode. The processes of a group take the addresses in turn."""
        self._addresses = addresses
        self._groups = groups
        self._cores = cores
        self._common = common
        self._processes: dict[str, list[Process]] = {}
        self._stack = ExitStack()

    def __enter__(self) -> Loads:
        for group in self._groups:
            self._processes[group.name] = []
            for arguments, address in zip(group.arguments, itertools.cycle(self._addresses), strict=False):
                command = (str(BINARY), "--target", address, *self._common, "--source", _next_address(), *arguments)
                process = Process(command, self._cores, quiet=False)
                self._processes[group.name].append(self._stack.enter_context(process))
        self._watchdog = threading.Timer(DEADLINE_SECONDS, self._give_up)
        self._watchdog.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._watchdog.cancel()
        self._stack.close()

    def open(self) -> dict[str, Report]:
        """Returns when all connections stand."""
        return {name: merge(list(self._read("open", processes))) for name, processes in self._processes.items()}

    def go(self) -> None:
        """The measured time begins."""
        for processes in self._processes.values():
            for process in processes:
                process.write_line("go")

    def finish(self) -> dict[str, Report]:
        """Returns when all have stopped and everything has come, or will not come."""
        for processes in self._processes.values():
            tops = highest([stopped["tops"] for stopped in self._read("stopped", processes)])
            for process in processes:
                process.write_line(json.dumps({"tops": tops, "processes": len(processes)}))
        return {name: merge(list(self._read("report", processes))) for name, processes in self._processes.items()}

    def _read(self, event: str, processes: Sequence[Process]) -> Iterator[Report]:
        for process in processes:
            line = next(process.lines(), "")
            message = json.loads(line) if line else {}
            if message.get("event") != event:
                raise LoadFailed(f"the load generator ended without {event!r}")
            yield message["data"]

    def _give_up(self) -> None:
        for processes in self._processes.values():
            for process in processes:
                process.kill()


def highest(tops: Sequence[dict[str, int]]) -> dict[str, int]:
    """The highest number of each stream."""
    merged: dict[str, int] = {}
    for one in tops:
        for stream, top in one.items():
            merged[stream] = max(top, merged.get(stream, 0))
    return merged


def merge(reports: Sequence[Report]) -> Report:
    """One report of several processes: counts add up, distributions are joined, times are the longest."""
    merged: Report = {}
    for key, first in reports[0].items():
        values = [report[key] for report in reports]
        if key.endswith("_us"):
            counts: collections.Counter[int] = collections.Counter()
            for pairs in values:
                for value, count in pairs:
                    counts[value] += count
            merged[key] = sorted(counts.items())
        elif isinstance(first, dict):
            merged[key] = dict(sum((collections.Counter(value) for value in values), collections.Counter()))
        elif key.endswith("seconds"):
            merged[key] = max(values)
        else:
            merged[key] = sum(values)
    return merged


def quantile(distribution: Sequence[tuple[int, int]], share: float) -> float | None:
    """The value below which `share` of a distribution (pairs of value and count, rising) lies; None if it is empty."""
    wanted = share * sum(count for _, count in distribution)
    seen = 0
    for value, count in distribution:
        seen += count
        if seen >= wanted:
            return float(value)
    return None


def is_built() -> bool:
    """Whether the load generator is there."""
    return Path(BINARY).exists()
