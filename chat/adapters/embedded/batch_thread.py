"""A thread that takes whatever is waiting, works it off as one batch, and answers all at once.

While a batch is being worked off the next one gathers, so the batches grow with the load and an idle
thread begins at once. Each direction is woken once for a batch, not once for a call.

A trio thread that is never idle can starve other threads of the GIL for seconds (up to 11 s seen) at
CPython's switch interval of 5 ms, and not at 0.5 ms (16 ms): the process should set the latter.
"""

from __future__ import annotations

import collections
import queue
import threading
import time
from collections.abc import Callable
from typing import Any

import outcome
import trio

from ...domain.errors import Unavailable

MAX_WAITING_JOBS = 10_000
"""More callers than that wait outside: at 10,000 writes a second this is a second's work."""
MAX_BATCH_JOBS = 1_000
"""Keeps one transaction near 50 ms, so that nobody waits long behind a crowd."""
CROWD = 32
"""Things done in one batch that make it worth a pause; whoever writes alone never waits for others."""
_STUCK_SECONDS = 10.0
"""A batch takes this long only if the disk hangs: then to queue behind it helps nobody."""


class Job:
    """One call: what to do, for how many things, which task waits for it, and how it ended.

    `task` belongs to trio's thread. It is None once nobody waits any more: a job that has not begun
    by then is left out, any other runs to its end, and its outcome is dropped.
    """

    __slots__ = ("argument", "outcome", "size", "task", "work")

    def __init__(self, work: Callable[..., Any], argument: Any, task: trio.lowlevel.Task, size: int = 1) -> None:
        self.work = work
        self.argument = argument
        self.size = size
        self.task: trio.lowlevel.Task | None = task
        self.outcome: outcome.Outcome[Any]

    def abandon(self, _raise_cancel: object) -> trio.lowlevel.Abort:
        """Trio's abort function: the caller was cancelled and leaves at once."""
        self.task = None
        return trio.lowlevel.Abort.SUCCEEDED


class BatchThread:
    """Runs `run_batch` in a thread of its own; it must give every job an outcome and raise nothing."""

    def __init__(
        self,
        run_batch: Callable[[list[Job]], None],
        *,
        name: str,
        max_waiting_jobs: int = MAX_WAITING_JOBS,
        max_batch_jobs: int = MAX_BATCH_JOBS,
        pause_seconds: float = 0.0,
    ) -> None:
        """`pause_seconds`: to wait behind a batch of `CROWD` things, once its jobs are answered."""
        self._run_batch = run_batch
        self._max_waiting_jobs = max_waiting_jobs
        self._max_batch_jobs = max_batch_jobs
        self._pause_seconds = pause_seconds
        self._waiting: collections.deque[Job] = collections.deque()
        self._outside = trio.lowlevel.ParkingLot()
        self._wakeups: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._woken = False
        self._closed = False
        self._began: float | None = None
        self._token = trio.lowlevel.current_trio_token()
        # A daemon: if trio is torn down without aclose, the interpreter must still be able to end.
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    @property
    def waiting_jobs(self) -> int:
        """How many calls have not begun."""
        return len(self._waiting)

    def busy_seconds(self) -> float:
        """For how long the batch of the moment has been under way; 0 between batches."""
        began = self._began
        return 0.0 if began is None else time.monotonic() - began

    async def call(self, work: Callable[..., Any], argument: Any = None, size: int = 1) -> Any:
        """Hands a job over and returns its value, or raises its error. `size` is how many things it does.

        If too much is waiting it waits, too. Cancelling returns at once: the job is either withdrawn
        before it began, or runs to its end unseen. Raises: Unavailable when closed, or stuck for too long.
        """
        if self.busy_seconds() > _STUCK_SECONDS:
            raise Unavailable("the store does not answer")
        while len(self._waiting) >= self._max_waiting_jobs and not self._closed:
            await self._outside.park()
        if self._closed:
            raise Unavailable("the store is closed")
        job = Job(work, argument, trio.lowlevel.current_task(), size)
        self._waiting.append(job)
        self._wake()
        return await trio.lowlevel.wait_task_rescheduled(job.abandon)

    async def aclose(self) -> None:
        """Refuses new calls, works off those that wait, and ends the thread."""
        self._closed = True
        self._outside.unpark_all()
        self._wake()
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(self._thread.join)

    def _wake(self) -> None:
        if not self._woken:
            self._woken = True
            self._wakeups.put(None)

    def _run(self) -> None:
        while self._waiting or not self._closed:
            self._wakeups.get()
            self._woken = False  # before looking: what arrives from here on wakes us again
            while self._waiting:
                if batch := self._take():
                    self._began = time.monotonic()
                    self._run_batch(batch)
                    self._began = None
                try:
                    self._token.run_sync_soon(self._answer, batch)
                except trio.RunFinishedError:
                    return
                if self._pause_seconds and sum(job.size for job in batch) >= CROWD:
                    time.sleep(self._pause_seconds)

    def _take(self) -> list[Job]:
        """The jobs that begin now: from here on they run to their end."""
        count = min(len(self._waiting), self._max_batch_jobs)
        batch = [self._waiting.popleft() for _ in range(count)]
        return [job for job in batch if job.task is not None]

    def _answer(self, batch: list[Job]) -> None:
        for job in batch:
            if job.task is not None:
                trio.lowlevel.reschedule(job.task, job.outcome)
        if self._outside:
            self._outside.unpark(count=max(0, self._max_waiting_jobs - len(self._waiting)))
