"""Runs asyncio libraries beside trio: one thread whose loop owns their clients, handed calls in batches.

Trio stays plain `trio.run`, so tests and production go the same way, and a driver that is stuck cannot
stop trio's scheduler. In each direction a deque fills while the other side works, and one wake-up hands
over all of it: what makes a call dear is the crossing of threads, not the call.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import functools
import threading
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Self, TypeVar

import outcome
import trio
import uvloop

from ...domain.errors import Unavailable

T = TypeVar("T")
Work = Callable[[], Coroutine[Any, Any, T]]

MAX_CALLS = 10_000
"""Calls under way; more wait outside. Beyond that a driver's pools are the bottleneck, not this."""
_CLOSE_SECONDS = 5.0
"""What calls that are cancelled at the end have to wind up; the thread is a daemon and holds nobody up."""


class _Call:
    """One coroutine to run, which trio task waits for it, and how it ended.

    `cancel` is trio's function that raises `Cancelled`, once the caller is cancelled.
    """

    __slots__ = ("cancel", "outcome", "running", "seconds", "task", "work")

    def __init__(self, work: Work[Any], seconds: float | None, task: trio.lowlevel.Task) -> None:
        self.work = work
        self.seconds = seconds
        self.task = task
        self.running: asyncio.Task[Any] | None = None
        self.cancel: Callable[[], Any] | None = None
        self.outcome: outcome.Outcome[Any]

    async def run(self) -> Any:
        async with asyncio.timeout(self.seconds):
            return await self.work()


class AsyncioBridge:
    """The loop's thread runs inside `async with`; one of them serves all drivers of a process."""

    def __init__(self, *, max_calls: int = MAX_CALLS) -> None:
        self._max_calls = max_calls
        self._calls: set[_Call] = set()
        """Not answered yet; belongs to trio's thread, like `_outside`."""
        self._outside = trio.lowlevel.ParkingLot()
        self._closed = True
        self._orders: collections.deque[_Call] = collections.deque()
        """To be started or, if it runs already, cancelled."""
        self._loop_woken = False
        self._ended: collections.deque[_Call] = collections.deque()
        self._trio_woken = False
        self._token: trio.lowlevel.TrioToken
        self._loop: asyncio.AbstractEventLoop
        self._stop: asyncio.Event
        self._ready: trio.Event
        self._finished: trio.Event

    async def __aenter__(self) -> Self:
        self._token = trio.lowlevel.current_trio_token()
        self._ready, self._finished = trio.Event(), trio.Event()
        threading.Thread(target=self._run, name="asyncio bridge", daemon=True).start()
        with trio.CancelScope(shield=True):
            await self._ready.wait()
        self._closed = False
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Cancels the calls under way, waits for them, and ends the thread."""
        self._closed = True
        self._outside.unpark_all()
        self._loop.call_soon_threadsafe(self._stop.set)
        with trio.move_on_after(2 * _CLOSE_SECONDS, shield=True):
            await self._finished.wait()
        for call in list(self._calls):
            self._answer(call, outcome.Error(_closed()))

    @property
    def calls(self) -> int:
        """How many are under way."""
        return len(self._calls)

    async def call(self, work: Work[T], *, seconds: float | None = None) -> T:
        """Runs the coroutine that `work()` makes in the loop, and returns its value or raises its error.

        If too many are under way it waits. Cancelling cancels the asyncio task and waits until that has
        really ended, so that a driver's connection is never handed on half read; a task that has not begun
        never will. Raises: TimeoutError after `seconds`, ended likewise; Unavailable if the bridge is closed.
        """
        while len(self._calls) >= self._max_calls and not self._closed:
            await self._outside.park()
        if self._closed:
            raise _closed()
        call = _Call(work, seconds, trio.lowlevel.current_task())
        self._calls.add(call)
        self._order(call)

        def abort(raise_cancel: Callable[[], Any]) -> trio.lowlevel.Abort:
            call.cancel = raise_cancel
            self._order(call)
            return trio.lowlevel.Abort.FAILED

        value: T = await trio.lowlevel.wait_task_rescheduled(abort)
        return value

    # In trio's thread

    def _order(self, call: _Call) -> None:
        self._orders.append(call)
        if not self._loop_woken:
            self._loop_woken = True
            with contextlib.suppress(RuntimeError):  # the loop is closed: leaving the bridge answers the call
                self._loop.call_soon_threadsafe(self._take_orders)

    def _take_ended(self) -> None:
        self._trio_woken = False  # before looking: what ends from here on wakes us again
        while self._ended:
            call = self._ended.popleft()
            self._answer(call, call.outcome)
        if self._outside:
            self._outside.unpark(count=max(0, self._max_calls - len(self._calls)))

    def _answer(self, call: _Call, answer: outcome.Outcome[Any]) -> None:
        if call not in self._calls:
            return
        self._calls.remove(call)
        if call.cancel is not None and _is_cancelled(answer):
            answer = outcome.capture(call.cancel)
        elif _is_cancelled(answer):
            answer = outcome.Error(_closed())
        trio.lowlevel.reschedule(call.task, answer)

    # In the loop's thread

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(self._serve())
        finally:
            self._tell_trio(self._finished.set)

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        self._tell_trio(self._ready.set)
        await self._stop.wait()
        running = asyncio.all_tasks() - {asyncio.current_task()}
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running, timeout=_CLOSE_SECONDS)
        await asyncio.sleep(0)  # for the callbacks of the last ones

    def _take_orders(self) -> None:
        self._loop_woken = False  # before looking: what is ordered from here on wakes us again
        while self._orders:
            call = self._orders.popleft()
            if call.running is not None:
                call.running.cancel()
            elif call.cancel is not None:
                self._end(call, outcome.Error(asyncio.CancelledError()))
            else:
                call.running = self._loop.create_task(call.run())
                call.running.add_done_callback(functools.partial(self._end_of_task, call))

    def _end_of_task(self, call: _Call, task: asyncio.Task[Any]) -> None:
        self._end(call, _outcome_of(task))

    def _end(self, call: _Call, ended: outcome.Outcome[Any]) -> None:
        call.outcome = ended
        self._ended.append(call)
        if not self._trio_woken:
            self._trio_woken = True
            self._tell_trio(self._take_ended)

    def _tell_trio(self, what: Callable[[], object]) -> None:
        with contextlib.suppress(trio.RunFinishedError):  # nobody waits any more
            self._token.run_sync_soon(what)


def _outcome_of(task: asyncio.Task[Any]) -> outcome.Outcome[Any]:
    if task.cancelled():
        return outcome.Error(asyncio.CancelledError())
    error = task.exception()
    return outcome.Value(task.result()) if error is None else outcome.Error(error)


def _is_cancelled(answer: outcome.Outcome[Any]) -> bool:
    return isinstance(answer, outcome.Error) and isinstance(answer.error, asyncio.CancelledError)


def _closed() -> Unavailable:
    return Unavailable("the asyncio bridge is closed")
