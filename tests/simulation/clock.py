"""Virtual time: it stands still while anything can be done, then jumps to whatever comes next."""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Callable
from functools import partial

import outcome
import trio


class JumpingClock(trio.abc.Clock):
    """As `trio.testing.MockClock` with autojump, at a third of its cost, and with alarms that need no task."""

    def __init__(self) -> None:
        self._now = 0.0
        self._alarms: list[tuple[float, int, Callable[[], object]]] = []
        self._numbers = itertools.count()

    def start_clock(self) -> None:
        pass

    def current_time(self) -> float:
        return self._now

    def deadline_to_sleep_time(self, deadline: float) -> float:
        """Asked by trio when no task can run. Without anything to come it waits for itself, as at its end."""
        alarm = self._alarms[0][0] if self._alarms else math.inf
        following = min(alarm, deadline)
        if following == math.inf:
            return math.inf
        self._now = max(self._now, following)
        while self._alarms and self._alarms[0][0] <= self._now:
            heapq.heappop(self._alarms)[2]()
        return 0.0

    def call_at(self, at: float, alarm: Callable[[], object]) -> None:
        heapq.heappush(self._alarms, (at, next(self._numbers), alarm))


def call_at(at: float, alarm: Callable[[], object]) -> None:
    """Calls `alarm` at the time `at`, from no task in particular."""
    clock = trio.lowlevel.current_clock()
    assert isinstance(clock, JumpingClock)
    clock.call_at(at, alarm)


async def sleep(seconds: float) -> None:
    """As `trio.sleep`, without a cancel scope for it."""
    if seconds <= 0:
        await trio.lowlevel.checkpoint()
        return
    waiting = [trio.lowlevel.current_task()]
    call_at(trio.current_time() + seconds, partial(_wake, waiting))

    def abort(raise_cancel: object) -> trio.lowlevel.Abort:
        waiting.clear()
        return trio.lowlevel.Abort.SUCCEEDED

    await trio.lowlevel.wait_task_rescheduled(abort)


def _wake(waiting: list[trio.lowlevel.Task]) -> None:
    if waiting:
        trio.lowlevel.reschedule(waiting[0], outcome.Value(None))
