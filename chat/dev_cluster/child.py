"""A private process with a log: started, waited for, ended; and gone when we are, however we end."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from .errors import ClusterFailed, NotWanted

START_SECONDS = 60.0
"""Generous: a loaded machine takes its time."""
STOP_SECONDS = 15.0
"""After SIGTERM; then it is SIGKILL. A node without clients needs a fraction of a second, a database two."""
_GROUP_SECONDS = 2.0
"""For what a killed process had started to be gone as well."""
_POLL_SECONDS = 0.02
_LOG_LINES = 15


class Child:
    """One process under a name; may be started again after its end. `directory` is made, `log` appended to."""

    def __init__(self, name: str, directory: Path, *, log: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.name = name
        self.directory = directory
        self.log_path = log
        self.is_wanted: Callable[[], bool] = lambda: True
        """Asked while something is waited for, as whoever waits cannot be interrupted at any other moment."""
        self.end_signal = signal.SIGTERM
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Of the running process."""
        return self._running().pid

    @property
    def is_running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    @property
    def log(self) -> str:
        """All that it has written so far."""
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def launch(self, command: Sequence[str], env: Mapping[str, str] | None = None) -> None:
        """Begins to start it, in a session of its own: the terminal's Ctrl-C is for us alone.

        To Linux the parent is the thread that calls this: it has to live as long as the process is to.
        """
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 -- our own words
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=env,
                start_new_session=True,
                preexec_fn=die_with_parent,
            )

    def wait_until(
        self,
        condition: Callable[[], object],
        *,
        seconds: float = START_SECONDS,
        not_yet: tuple[type[Exception], ...] = (OSError,),
    ) -> None:
        """Polls, as servers tell nobody when they are ready; the errors of `not_yet` mean that it is not.

        Raises: ClusterFailed, also if the process ends meanwhile; NotWanted.
        """
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.check()
            try:
                if condition():
                    return
            except not_yet:
                pass
            self._pause()
        raise ClusterFailed(f"{self.name} is not ready after {seconds:.0f} s\n{self._end_of_log()}")

    def wait_for_end(self) -> int:
        """Its exit code; negative if a signal ended it. Raises: NotWanted."""
        while (code := self._running().poll()) is None:
            self._pause()
        return code

    def check(self) -> None:
        """Raises: ClusterFailed if the process has ended."""
        code = self._process.poll() if self._process is not None else None
        if code is not None:
            raise ClusterFailed(f"{self.name} has ended {_how(code)}\n{self._end_of_log()}")

    def send_signal(self, number: signal.Signals) -> None:
        """To it and what it has started. Nothing happens if it has ended."""
        if self.is_running:
            os.killpg(self.pid, number)

    def pause(self) -> None:
        """SIGSTOP: alive, accepting connections, and mute."""
        self.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        self.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone, with what it has started."""
        if self._process is not None:
            end = time.monotonic() + _GROUP_SECONDS
            with contextlib.suppress(ProcessLookupError, PermissionError):
                while time.monotonic() < end:
                    os.killpg(self.pid, signal.SIGKILL)
                    self._process.wait()
                    time.sleep(_POLL_SECONDS)
            self._process = None

    def _pause(self) -> None:
        if not self.is_wanted():
            raise NotWanted
        time.sleep(_POLL_SECONDS)

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RuntimeError(f"{self.name} was not started")
        return self._process

    def _end_of_log(self) -> str:
        return "\n".join(f"  {line}" for line in self.log.splitlines()[-_LOG_LINES:])


def stop(children: Iterable[Child], seconds: float = STOP_SECONDS) -> None:
    """Ends all of them at once: SIGTERM, as a rule, and SIGKILL for who is still there after `seconds`."""
    asked = list(children)
    for child in asked:
        child.send_signal(child.end_signal)
    end = time.monotonic() + seconds
    for child in asked:
        while child.is_running and time.monotonic() < end:
            time.sleep(_POLL_SECONDS)
        child.kill()


def die_with_parent() -> None:
    """In the child, before it becomes the server: a parent that is killed leaves none behind (Linux only)."""
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)


def _how(code: int) -> str:
    return f"by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
