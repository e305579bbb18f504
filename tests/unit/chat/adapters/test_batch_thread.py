from __future__ import annotations

import threading
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import outcome
import pytest
import trio
import trio.testing

from chat.adapters.embedded import batch_thread
from chat.adapters.embedded.batch_thread import CROWD, BatchThread, Job
from chat.domain.errors import Unavailable

DEADLINE_SECONDS = 20


class Gate:
    """Work that a test holds back, and that notes what was done."""

    def __init__(self) -> None:
        self.batches: list[list[Any]] = []
        self.entered = threading.Semaphore(0)
        self.open = threading.Semaphore(0)

    def run_batch(self, jobs: list[Job]) -> None:
        self.entered.release()
        self.open.acquire(timeout=DEADLINE_SECONDS)
        self.batches.append([job.argument for job in jobs])
        for job in jobs:
            job.outcome = outcome.capture(job.work, job.argument)

    async def wait_entered(self) -> None:
        assert await trio.to_thread.run_sync(lambda: self.entered.acquire(timeout=DEADLINE_SECONDS))

    def let_through(self, batches: int) -> None:
        self.open.release(batches)


def same(argument: Any) -> Any:
    return argument


def refuse(argument: Any) -> Any:
    raise ValueError(argument)


@pytest.fixture
def gate() -> Gate:
    return Gate()


NewThread = Callable[..., BatchThread]


@pytest.fixture
async def new_thread(gate: Gate) -> AsyncIterator[NewThread]:
    threads: list[BatchThread] = []

    def new_thread(**limits: Any) -> BatchThread:
        threads.append(BatchThread(gate.run_batch, name="test", **limits))
        return threads[-1]

    with trio.fail_after(DEADLINE_SECONDS):
        yield new_thread
    gate.let_through(1000)
    for thread in threads:
        await thread.aclose()


async def test_each_caller_gets_its_own_value_or_error(gate: Gate, new_thread: NewThread) -> None:
    thread = new_thread()
    gate.let_through(100)
    results: dict[int, int] = {}

    async def call(number: int) -> None:
        results[number] = await thread.call(same, number)

    async with trio.open_nursery() as nursery:
        for number in range(100):
            nursery.start_soon(call, number)
    assert results == {number: number for number in range(100)}
    with pytest.raises(ValueError, match="wrong"):
        await thread.call(refuse, "wrong")


async def test_what_gathers_during_a_batch_is_the_next_one(gate: Gate, new_thread: NewThread) -> None:
    thread = new_thread(max_batch_jobs=3)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(thread.call, same, 0)
        await gate.wait_entered()
        for number in range(1, 6):
            nursery.start_soon(thread.call, same, number)
            await trio.testing.wait_all_tasks_blocked()
        gate.let_through(3)
    assert gate.batches == [[0], [1, 2, 3], [4, 5]]


async def test_only_a_large_batch_is_followed_by_a_pause(
    gate: Gate, new_thread: NewThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(time, "sleep", pauses.append)
    thread = new_thread(pause_seconds=0.25)
    gate.let_through(4)
    for size in (1, CROWD - 1, CROWD, 1):
        assert await thread.call(same, size, size) == size
    await thread.aclose()
    assert pauses == [0.25]


async def test_a_job_cancelled_before_it_began_is_withdrawn(gate: Gate, new_thread: NewThread) -> None:
    thread = new_thread()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(thread.call, same, "first")
        await gate.wait_entered()
        with trio.CancelScope() as scope:
            nursery.start_soon(thread.call, same, "stays")
            async with trio.open_nursery() as inner:
                inner.start_soon(thread.call, same, "withdrawn")
                await trio.testing.wait_all_tasks_blocked()
                scope.cancel()
        assert scope.cancelled_caught
        gate.let_through(2)
    assert gate.batches == [["first"], ["stays"]]


async def test_a_job_cancelled_after_it_began_releases_its_caller_and_happens(
    gate: Gate, new_thread: NewThread
) -> None:
    thread = new_thread()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(thread.call, same, "begun")
        await gate.wait_entered()
        nursery.cancel_scope.cancel()
    assert gate.batches == []
    gate.let_through(2)
    assert await thread.call(same, "next") == "next"
    assert gate.batches == [["begun"], ["next"]]


async def test_a_batch_of_nothing_but_withdrawn_jobs_stops_nobody(gate: Gate, new_thread: NewThread) -> None:
    thread = new_thread(max_waiting_jobs=5, max_batch_jobs=5)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(thread.call, same, "first")
        await gate.wait_entered()
        async with trio.open_nursery() as inner:
            for _ in range(5):
                inner.start_soon(thread.call, same, "withdrawn")
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(thread.call, same, "outside")
            await trio.testing.wait_all_tasks_blocked()
            inner.cancel_scope.cancel()
        gate.let_through(2)
    assert gate.batches == [["first"], ["outside"]]


async def test_too_many_callers_wait_outside_and_can_leave(gate: Gate, new_thread: NewThread) -> None:
    thread = new_thread(max_waiting_jobs=3)
    done: list[Any] = []

    async def call(argument: Any) -> None:
        done.append(await thread.call(same, argument))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(call, "begun")
        await gate.wait_entered()
        for number in range(10):
            nursery.start_soon(call, number)
        await trio.testing.wait_all_tasks_blocked()
        assert thread.waiting_jobs == 3
        with trio.move_on_after(0) as scope:
            await thread.call(same, "left")
        assert scope.cancelled_caught
        gate.let_through(100)
    assert set(done) == {"begun", *range(10)}
    assert max(len(batch) for batch in gate.batches) == 3


async def test_nobody_queues_behind_a_batch_that_is_stuck(
    gate: Gate, new_thread: NewThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    thread = new_thread()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(thread.call, same, "stuck")
        await gate.wait_entered()
        monkeypatch.setattr(batch_thread, "_STUCK_SECONDS", 0.0)
        with pytest.raises(Unavailable):
            await thread.call(same, "refused")
        gate.let_through(2)
    assert await thread.call(same, "works again") == "works again"


async def test_closing_finishes_what_waits_and_refuses_the_rest(gate: Gate, new_thread: NewThread) -> None:
    thread = new_thread(max_waiting_jobs=2)
    results: list[Any] = []

    async def call(argument: Any) -> None:
        try:
            results.append(await thread.call(same, argument))
        except Unavailable:
            results.append("refused")

    async with trio.open_nursery() as nursery:
        for number in range(4):
            nursery.start_soon(call, number)
            await trio.testing.wait_all_tasks_blocked()
            if number == 0:
                await gate.wait_entered()
        nursery.start_soon(thread.aclose)
        await trio.testing.wait_all_tasks_blocked(0.01)
        gate.let_through(10)
    assert sorted(results, key=str) == [0, 1, 2, "refused"]
    with pytest.raises(Unavailable):
        await thread.call(same, "late")


async def test_closing_in_a_cancelled_scope_still_ends_the_thread(gate: Gate, new_thread: NewThread) -> None:
    thread = new_thread()
    with trio.CancelScope() as scope:
        scope.cancel()
        await thread.aclose()
    assert "test" not in {each.name for each in threading.enumerate()}
