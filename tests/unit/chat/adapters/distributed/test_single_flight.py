"""Many who ask the same share an answer that is as fresh as their own would be."""

from __future__ import annotations

import functools

import pytest
import trio
import trio.testing

from chat.adapters.distributed.single_flight import SingleFlight
from chat.domain.errors import ChatError, NotFound


async def test_a_crowd_costs_two_and_nobody_gets_an_answer_from_before_it_asked(
    autojump_clock: trio.testing.MockClock,
) -> None:
    begun: list[float] = []
    answers: list[tuple[float, float]] = []

    async def work() -> float:
        begun.append(trio.current_time())
        await trio.sleep(1)
        return begun[-1]

    async def ask(flights: SingleFlight, seconds: float) -> None:
        await trio.sleep(seconds)
        asked = trio.current_time()
        answers.append((asked, await flights.share("key", work)))

    async with trio.open_nursery() as flying:
        flights = SingleFlight(flying)
        async with trio.open_nursery() as nursery:
            for number in range(100):
                nursery.start_soon(ask, flights, number / 200)
    assert len(answers) == 100
    assert len(begun) == 2
    assert all(answered >= asked for asked, answered in answers)


async def test_other_keys_do_not_wait(autojump_clock: trio.testing.MockClock) -> None:
    async with trio.open_nursery() as nursery:
        flights = SingleFlight(nursery)
        start = trio.current_time()
        nursery.start_soon(flights.share, "slow", functools.partial(trio.sleep, 10))
        await flights.share("quick", functools.partial(trio.sleep, 1))
        assert trio.current_time() == start + 1


async def test_all_who_share_get_the_error_and_the_next_tries_again(autojump_clock: trio.testing.MockClock) -> None:
    errors: list[ChatError] = []

    async def fail() -> None:
        await trio.sleep(1)
        raise NotFound("no such room")

    async def ask(flights: SingleFlight) -> None:
        with pytest.raises(NotFound, match="no such room") as error:
            await flights.share("key", fail)
        errors.append(error.value)

    async with trio.open_nursery() as flying:
        flights = SingleFlight(flying)
        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(ask, flights)
        assert await flights.share("key", answer) == 7
    assert len({id(error) for error in errors}) == 5


async def answer() -> int:
    return 7


async def test_who_is_cancelled_spoils_nothing_for_the_others(autojump_clock: trio.testing.MockClock) -> None:
    answers: list[int] = []

    async def work() -> int:
        await trio.sleep(1)
        return 7

    async def ask(flights: SingleFlight, seconds: float) -> None:
        with trio.move_on_after(seconds):
            answers.append(await flights.share("key", work))

    async with trio.open_nursery() as flying:
        flights = SingleFlight(flying)
        async with trio.open_nursery() as nursery:
            for seconds in (0.5, 5, 0.1, 5):
                nursery.start_soon(ask, flights, seconds)
    assert answers == [7, 7]
