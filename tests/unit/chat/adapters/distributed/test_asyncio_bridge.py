"""The bridge to asyncio: nothing is lost, nothing is left behind, whatever is cancelled when."""

from __future__ import annotations

import asyncio
import collections
import random
import threading
from collections.abc import AsyncIterator

import pytest
import trio
import trio.testing

from chat.adapters.distributed.asyncio_bridge import AsyncioBridge
from chat.domain.errors import Unavailable

DEADLINE_SECONDS = 60


@pytest.fixture
async def bridge() -> AsyncIterator[AsyncioBridge]:
    with trio.fail_after(DEADLINE_SECONDS):
        async with AsyncioBridge() as bridge:
            yield bridge


async def value(of: int) -> int:
    await asyncio.sleep(0)
    return of


async def asyncio_tasks() -> int:
    """How many tasks the loop has, apart from the bridge's own and this one."""
    return len(asyncio.all_tasks()) - 2


async def test_a_call_returns_the_value(bridge: AsyncioBridge) -> None:
    assert await bridge.call(lambda: value(7)) == 7


async def test_a_call_raises_the_error(bridge: AsyncioBridge) -> None:
    async def fail() -> None:
        raise KeyError("wrong")

    with pytest.raises(KeyError, match="wrong"):
        await bridge.call(fail)


async def test_all_calls_run_in_one_other_thread(bridge: AsyncioBridge) -> None:
    async def thread() -> int:
        return threading.get_ident()

    threads = {await bridge.call(thread) for _ in range(3)}
    assert len(threads) == 1
    assert threading.get_ident() not in threads


async def test_a_cancelled_call_waits_until_the_asyncio_task_has_ended(bridge: AsyncioBridge) -> None:
    steps: list[str] = []
    begun = trio.Event()
    token = trio.lowlevel.current_trio_token()

    async def wind_up_slowly() -> None:
        token.run_sync_soon(begun.set)
        try:
            await asyncio.sleep(DEADLINE_SECONDS)
        finally:
            await asyncio.sleep(0.01)
            steps.append("asyncio ended")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(bridge.call, wind_up_slowly)
        await begun.wait()
        nursery.cancel_scope.cancel()
    steps.append("trio ended")
    assert steps == ["asyncio ended", "trio ended"]
    assert bridge.calls == 0


async def test_a_call_cancelled_before_it_begins_never_begins(bridge: AsyncioBridge) -> None:
    begun: list[int] = []

    async def begin() -> None:
        begun.append(1)

    with trio.CancelScope() as scope:
        scope.cancel()
        await bridge.call(begin)
    assert scope.cancelled_caught
    await bridge.call(lambda: value(1))
    assert len(begun) == 0


async def test_a_result_that_comes_in_spite_of_a_cancellation_is_returned(bridge: AsyncioBridge) -> None:
    begun = trio.Event()
    token = trio.lowlevel.current_trio_token()
    values: list[str] = []

    async def insist() -> str:
        token.run_sync_soon(begun.set)
        try:
            await asyncio.sleep(DEADLINE_SECONDS)
        except asyncio.CancelledError:
            return "committed"
        return "late"

    async def caller() -> None:
        values.append(await bridge.call(insist))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(caller)
        await begun.wait()
        nursery.cancel_scope.cancel()
    assert values == ["committed"]


async def test_a_deadline_ends_the_asyncio_task(bridge: AsyncioBridge) -> None:
    with pytest.raises(TimeoutError):
        await bridge.call(lambda: asyncio.sleep(DEADLINE_SECONDS), seconds=0.01)
    assert await bridge.call(asyncio_tasks) == 0


async def test_more_calls_than_allowed_wait_outside() -> None:
    most, now = 0, 0

    async def work() -> None:
        nonlocal most, now
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.001)
        now -= 1

    with trio.fail_after(DEADLINE_SECONDS):
        async with AsyncioBridge(max_calls=3) as bridge, trio.open_nursery() as nursery:
            for _ in range(50):
                nursery.start_soon(bridge.call, work)
    assert most == 3


async def test_leaving_cancels_what_is_under_way_and_refuses_what_comes() -> None:
    refused: list[Unavailable] = []

    async def caller(bridge: AsyncioBridge) -> None:
        try:
            await bridge.call(lambda: asyncio.sleep(DEADLINE_SECONDS))
        except Unavailable as error:
            refused.append(error)

    with trio.fail_after(DEADLINE_SECONDS):
        async with trio.open_nursery() as nursery, AsyncioBridge() as bridge:
            nursery.start_soon(caller, bridge)
            await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(Unavailable, match="closed"):
            await bridge.call(lambda: value(1))
    assert len(refused) == 1


async def test_a_bridge_can_be_left_while_cancelled() -> None:
    with trio.move_on_after(DEADLINE_SECONDS) as scope:
        async with AsyncioBridge() as bridge:
            await bridge.call(lambda: value(1))
            scope.cancel()
            await trio.lowlevel.checkpoint()
    assert bridge.calls == 0


@pytest.mark.slow
async def test_of_tens_of_thousands_of_calls_with_random_cancels_none_is_lost(bridge: AsyncioBridge) -> None:
    generator = random.Random(1)
    ends: collections.Counter[str] = collections.Counter()
    entered = left = 0

    async def work(number: int, seconds: float) -> int:
        nonlocal entered, left
        entered += 1
        try:
            await asyncio.sleep(seconds)
            if number % 7 == 0:
                raise KeyError(number)
            return number
        finally:
            left += 1

    async def caller(number: int) -> None:
        with trio.move_on_after(generator.uniform(0, 0.02)) as scope:
            try:
                assert await bridge.call(lambda: work(number, generator.uniform(0, 0.02))) == number
                ends["value"] += 1
            except KeyError as error:
                ends["error" if error.args == (number,) else "another's error"] += 1
        if scope.cancelled_caught:
            ends["cancelled"] += 1

    for start in range(0, 40_000, 1000):
        async with trio.open_nursery() as nursery:
            for number in range(start, start + 1000):
                nursery.start_soon(caller, number)
    assert ends.total() == 40_000
    assert set(ends) == {"value", "error", "cancelled"}
    assert min(ends.values()) > 100, ends
    assert entered == left
    assert bridge.calls == await bridge.call(asyncio_tasks) == 0
