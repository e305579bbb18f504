"""Everything that waits is committed together; what arrives meanwhile waits for the next commit."""

from __future__ import annotations

import collections
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

import outcome
import trio

from ...domain.errors import Unavailable

A = TypeVar("A")
T = TypeVar("T")

MAX_WAITING_CALLS = 10_000


class _Call(Generic[A, T]):
    """One argument, which task waits for it (None: nobody any more), and how it ended."""

    __slots__ = ("argument", "task")

    def __init__(self, argument: A, task: trio.lowlevel.Task) -> None:
        self.argument = argument
        self.task: trio.lowlevel.Task | None = task

    def abandon(self, _raise_cancel: object) -> trio.lowlevel.Abort:
        self.task = None
        return trio.lowlevel.Abort.SUCCEEDED

    def answer(self, result: outcome.Outcome[T]) -> None:
        if self.task is not None:
            task, self.task = self.task, None
            trio.lowlevel.reschedule(task, result)


class GroupCommit(Generic[A, T]):
    """Calls `commit` with the arguments of all waiting calls, in their order; one commit at a time.

    `commit` answers in that order. `size` weighs an argument; a commit takes at least one and else at most
    `max_size` in all. If a commit fails and it was not the store that was away, each of its calls is committed
    alone, so that only the culprit is told.
    """

    def __init__(
        self, commit: Callable[[Sequence[A]], Awaitable[Sequence[T]]], *, size: Callable[[A], int], max_size: int
    ) -> None:
        self._commit = commit
        self._size = size
        self._max_size = max_size
        self._waiting: collections.deque[_Call[A, T]] = collections.deque()
        self._under_way: list[_Call[A, T]] = []
        self._arrival = trio.lowlevel.ParkingLot()

    async def call(self, argument: A) -> T:
        """Returns when it is committed. Cancelling returns at once: it is then done or not done, never half.

        Raises: what `commit` raises; Unavailable if too much is waiting.
        """
        if len(self._waiting) >= MAX_WAITING_CALLS:
            raise Unavailable("the store is overloaded", retry_after=1.0)
        call: _Call[A, T] = _Call(argument, trio.lowlevel.current_task())
        self._waiting.append(call)
        self._arrival.unpark()
        answer: T = await trio.lowlevel.wait_task_rescheduled(call.abandon)
        return answer

    async def run(self) -> None:
        """Commits until it is cancelled; must run for as long as there are calls."""
        try:
            while True:
                while not self._waiting:
                    await self._arrival.park()
                self._under_way = self._take()
                if self._under_way:
                    await self._commit_batch(self._under_way)
        finally:
            for call in (*self._under_way, *self._waiting):
                call.answer(outcome.Error(Unavailable("the store is closed")))

    def _take(self) -> list[_Call[A, T]]:
        """The calls that begin now: from here on they run to their end, whether or not somebody waits."""
        batch: list[_Call[A, T]] = []
        room = self._max_size
        while self._waiting:
            size = self._size(self._waiting[0].argument)
            if batch and size > room:
                break
            call = self._waiting.popleft()
            if call.task is not None:
                batch.append(call)
                room -= size
        return batch

    async def _commit_batch(self, batch: list[_Call[A, T]]) -> None:
        try:
            answers = await self._commit([call.argument for call in batch])
        except Unavailable as error:
            for call in batch:
                call.answer(outcome.Error(Unavailable(error.message, retry_after=error.retry_after)))
        except Exception as error:
            if len(batch) == 1:
                batch[0].answer(outcome.Error(error))
            else:
                for call in batch:
                    await self._commit_batch([call])
        else:
            for call, answer in zip(batch, answers, strict=True):
                call.answer(outcome.Value(answer))
