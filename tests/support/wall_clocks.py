"""The wall clock of one process, which a test sets while it runs; its monotonic clock goes on.

    clock = WallClock(tmp_path / "clock")
    async with node_process(tmp_path, env=clock.env) as node:
        clock.set(+3600)  # an hour ahead of the truth

By libfaketime, preloaded into that process alone. Its version 0.9.10 breaks waits by the monotonic clock: `time.sleep`
fails in that process, and for conditions there is a setting below.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest


class WallClock:
    """Right, until it is set."""

    def __init__(self, path: Path) -> None:
        """`path` is a file for it, in a directory of the test's."""
        self._path = path
        self._library = _library()
        self.set(0)

    @property
    def env(self) -> dict[str, str]:
        """The environment of a process that goes by it."""
        return {
            "LD_PRELOAD": self._library,
            "FAKETIME_TIMESTAMP_FILE": str(self._path),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DISABLE_SHM": "1",
            "NO_FAKE_STAT": "1",
            "DONT_FAKE_MONOTONIC": "1",
            # Else a wait for a condition by the monotonic clock ends at once, whatever its deadline: Python's threads,
            # which so wait for each other, then spin.
            "FAKETIME_WAIT_MS": "1",
        }

    def set(self, ahead_seconds: int) -> None:
        """From now on it is ahead of the truth by so much, or behind it."""
        whole = self._path.with_suffix(".new")  # half a line would end the process
        whole.write_text(f"{ahead_seconds:+d}\n")
        whole.replace(self._path)


def _library() -> str:
    """The path of the library for processes with threads, or the test is skipped."""
    program = shutil.which("faketime")
    if program is None:
        pytest.skip("faketime is not installed")
    asked = [program, "-m", "-f", "+0", "printenv", "LD_PRELOAD"]
    return subprocess.run(asked, check=True, capture_output=True, text=True).stdout.strip()
