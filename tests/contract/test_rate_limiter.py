"""What every `RateLimiter` promises."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chat.adapters.distributed.rate_limiter import RedisRateLimiter
from chat.adapters.distributed.redis_client import open_redis
from chat.adapters.embedded.rate_limiter import MemoryRateLimiter
from chat.ports.rate_limiter import Rate, RateLimiter
from tests.support.clocks import ManualClock
from tests.support.redis_servers import REDIS_KINDS, emptied

RATE = Rate(per_second=2, burst=10)
DEADLINE_SECONDS = 20
NewLimiter = Callable[[ManualClock], AbstractAsyncContextManager[RateLimiter]]


@contextlib.asynccontextmanager
async def memory_limiter(clock: ManualClock) -> AsyncIterator[RateLimiter]:
    yield MemoryRateLimiter(clock=clock)


def redis_limiter(kind: str) -> NewLimiter:
    @contextlib.asynccontextmanager
    async def limiter(clock: ManualClock) -> AsyncIterator[RateLimiter]:
        async with open_redis(emptied(kind).url, deadline_seconds=DEADLINE_SECONDS) as redis:
            yield RedisRateLimiter(redis, clock=clock)

    return limiter


LIMITERS = [
    pytest.param(memory_limiter, id="memory"),
    *(pytest.param(redis_limiter(kind), id=kind) for kind in REDIS_KINDS),
]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(params=LIMITERS)
async def limiter(request: pytest.FixtureRequest, clock: ManualClock) -> AsyncIterator[RateLimiter]:
    async with request.param(clock) as limiter:
        yield limiter


async def test_a_burst_passes_and_the_next_waits_for_its_unit(limiter: RateLimiter) -> None:
    assert [await limiter.take("b", RATE) for _ in range(10)] == [0] * 10
    assert await limiter.take("b", RATE) == pytest.approx(0.5)
    assert await limiter.take("b", RATE, 4) == pytest.approx(2)


async def test_whoever_waits_as_long_as_told_passes(limiter: RateLimiter, clock: ManualClock) -> None:
    rate = Rate(per_second=1 / 3, burst=1)
    for _ in range(100):
        assert await limiter.take("b", rate) == 0
        clock.advance(await limiter.take("b", rate))


async def test_a_refusal_takes_nothing(limiter: RateLimiter, clock: ManualClock) -> None:
    await limiter.take("b", RATE, 10)
    for _ in range(100):
        assert await limiter.take("b", RATE) > 0
    clock.advance(0.5)
    assert await limiter.take("b", RATE) == 0


async def test_a_bucket_refills_no_higher_than_its_burst(limiter: RateLimiter, clock: ManualClock) -> None:
    await limiter.take("b", RATE)
    clock.advance(3600)
    assert await limiter.take("b", RATE, 10) == 0
    assert await limiter.take("b", RATE) > 0


async def test_buckets_are_apart(limiter: RateLimiter) -> None:
    assert await limiter.take("a", RATE, 10) == 0
    assert await limiter.take("b", RATE, 10) == 0


async def test_more_than_a_burst_passes_from_a_full_bucket_and_is_paid_back(
    limiter: RateLimiter, clock: ManualClock
) -> None:
    assert await limiter.take("b", RATE, 30) == 0
    assert await limiter.take("b", RATE) == pytest.approx(10.5)
    clock.advance(10.5)
    assert await limiter.take("b", RATE) == 0
    assert await limiter.take("b", RATE, 30) == pytest.approx(5)


async def test_a_rate_of_nothing_limits_nothing(limiter: RateLimiter) -> None:
    unlimited = Rate(per_second=0, burst=0)
    assert [await limiter.take("b", unlimited, 1000) for _ in range(10)] == [0] * 10


async def test_many_buckets_are_asked_in_one_call_and_answer_in_their_order(limiter: RateLimiter) -> None:
    await limiter.take("b", RATE, 9)
    assert await limiter.take_each({"a": 1, "b": 3, "c": 10}, RATE) == [0, pytest.approx(1), 0]
    assert await limiter.take("b", RATE) == 0
    assert await limiter.take("c", RATE) == pytest.approx(0.5)
    assert await limiter.take_each({}, RATE) == []
    assert await limiter.take_each({"a": 1000, "b": 1000}, Rate(per_second=0, burst=0)) == [0, 0]


@pytest.mark.parametrize("new_limiter", LIMITERS)
@settings(max_examples=100, deadline=None)
@given(
    rate=st.builds(Rate, st.floats(0.01, 1000), st.floats(1, 100)),
    steps=st.lists(st.tuples(st.floats(0, 10), st.floats(0.01, 1)), max_size=100),
)
async def test_no_more_passes_than_the_burst_and_the_refill(
    new_limiter: NewLimiter, rate: Rate, steps: list[tuple[float, float]]
) -> None:
    clock = ManualClock(0.0)
    passed = 0.0
    async with new_limiter(clock) as limiter:
        for wait, cost in steps:
            clock.advance(wait)
            if await limiter.take("b", rate, cost) == 0:
                passed += cost
            assert passed <= rate.burst + clock.now * rate.per_second + 1e-6
