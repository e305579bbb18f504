"""Calls that wait are committed together."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing

from chat.adapters.distributed.group_commit import MAX_WAITING_CALLS, GroupCommit
from chat.domain.errors import Unavailable


class Store:
    """Commits when it is told to, and answers each number with its double."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.failure: Exception | None = None
        self.held = False
        self._released = trio.Event()

    def release(self) -> None:
        self.held = False
        self._released.set()

    async def commit(self, numbers: Sequence[int]) -> list[int]:
        self.batches.append(list(numbers))
        if self.held:
            await self._released.wait()
        if self.failure is not None and (isinstance(self.failure, Unavailable) or 13 in numbers):
            raise self.failure
        return [2 * number for number in numbers]


@asynccontextmanager
async def running(store: Store, max_size: int = 1000) -> AsyncIterator[tuple[GroupCommit[int, int], trio.Nursery]]:
    commits = GroupCommit(store.commit, size=lambda number: number, max_size=max_size)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(commits.run)
        yield commits, nursery
        nursery.cancel_scope.cancel()


async def call_all(commits: GroupCommit[int, int], numbers: Sequence[int], store: Store) -> dict[int, object]:
    """Calls with all numbers while one commit is held up; returns the answers or errors."""
    answers: dict[int, object] = {}

    async def call(number: int) -> None:
        try:
            answers[number] = await commits.call(number)
        except Exception as error:
            answers[number] = error

    async with trio.open_nursery() as nursery:
        store.held = True
        for number in numbers:
            nursery.start_soon(call, number)
            await trio.testing.wait_all_tasks_blocked()
        store.release()
    return answers


async def test_what_arrives_during_a_commit_shares_the_next_one() -> None:
    store = Store()
    async with running(store) as (commits, _):
        answers = await call_all(commits, [1, 2, 3, 4], store)
    assert answers == {1: 2, 2: 4, 3: 6, 4: 8}
    assert store.batches == [[1], [2, 3, 4]]


async def test_a_commit_is_bounded_and_takes_at_least_one() -> None:
    store = Store()
    async with running(store, max_size=10) as (commits, _):
        await call_all(commits, [1, 4, 5, 2, 50, 3], store)
    assert store.batches == [[1], [4, 5], [2], [50], [3]]


async def test_a_cancelled_call_leaves_at_once_and_is_not_begun() -> None:
    store = Store()
    async with running(store) as (commits, nursery):
        store.held = True
        nursery.start_soon(commits.call, 1)
        await trio.testing.wait_all_tasks_blocked()
        with trio.move_on_after(0) as scope:
            await commits.call(2)
        assert scope.cancelled_caught
        nursery.start_soon(commits.call, 3)
        await trio.testing.wait_all_tasks_blocked()
        store.release()
        await trio.testing.wait_all_tasks_blocked()
    assert store.batches == [[1], [3]]


async def test_a_commit_under_way_survives_the_cancellation_of_a_caller() -> None:
    store = Store()
    async with running(store) as (commits, _):
        store.held = True
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as callers:
                callers.start_soon(commits.call, 1)
                await trio.testing.wait_all_tasks_blocked()
                scope.cancel()
        store.release()
        assert await commits.call(2) == 4


async def test_a_store_that_is_away_refuses_the_whole_batch() -> None:
    store = Store()
    store.failure = Unavailable("away", retry_after=1.0)
    async with running(store) as (commits, _):
        answers = await call_all(commits, [1, 2, 3], store)
    refusals = [answer for answer in answers.values() if isinstance(answer, Unavailable)]
    assert [refusal.retry_after for refusal in refusals] == [1.0] * 3
    assert len({id(refusal) for refusal in refusals}) == 3
    assert store.batches == [[1], [2, 3]]


async def test_of_a_batch_that_fails_only_the_culprit_is_told() -> None:
    store = Store()
    store.failure = ValueError("bad data")
    async with running(store) as (commits, _):
        answers = await call_all(commits, [1, 12, 13, 14], store)
    assert answers == {1: 2, 12: 24, 13: store.failure, 14: 28}


async def test_calls_are_refused_when_too_many_wait() -> None:
    commits = GroupCommit(Store().commit, size=lambda number: number, max_size=1)
    async with trio.open_nursery() as nursery:
        for number in range(MAX_WAITING_CALLS):
            nursery.start_soon(commits.call, number)
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(Unavailable, match="overloaded"):
            await commits.call(1)
        nursery.cancel_scope.cancel()


async def test_nobody_waits_for_ever_when_it_ends() -> None:
    store = Store()
    commits = GroupCommit(store.commit, size=lambda number: number, max_size=1000)
    refused: list[Unavailable] = []

    async def call(number: int) -> None:
        try:
            await commits.call(number)
        except Unavailable as error:
            refused.append(error)

    async with trio.open_nursery() as callers, trio.open_nursery() as nursery:
        store.held = True
        nursery.start_soon(commits.run)
        for number in range(3):
            callers.start_soon(call, number)
            await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert len(refused) == 3
