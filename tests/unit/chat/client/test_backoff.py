"""Delays between tries, and the pace of sending."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from chat.client.backoff import CAP_SECONDS, Backoff, TokenBucket, full_jitter


@given(st.integers(0, 10_000))
def test_a_delay_is_within_the_doubling_interval_and_the_cap(attempt: int) -> None:
    delay = full_jitter(attempt)
    assert 0 <= delay <= min(CAP_SECONDS, 0.5 * 2 ** min(attempt, 60))


def test_delays_spread_over_the_whole_interval() -> None:
    delays = [full_jitter(10) for _ in range(1_000)]
    assert min(delays) < CAP_SECONDS / 10
    assert max(delays) > CAP_SECONDS * 9 / 10


def test_delays_grow_until_a_connection_lasts() -> None:
    backoff = Backoff(base=1.0, cap=1_000.0)
    assert max(backoff.delay() for _ in range(60)) > 100
    backoff.lasted(1.0)
    assert max(backoff.delay() for _ in range(20)) > 100, "a connection that falls at once is no success"
    backoff.lasted(250.0)
    assert backoff.delay() <= 1.0


def test_whoever_is_to_slow_down_begins_with_the_longest_delays() -> None:
    backoff = Backoff(base=1.0, cap=1_000.0)
    backoff.slow_down()
    assert max(backoff.delay() for _ in range(20)) > 100
    backoff.lasted(250.0)
    assert backoff.delay() <= 1.0


def test_the_wish_of_the_server_counts_as_it_is() -> None:
    backoff = Backoff(base=1.0)
    assert backoff.delay(hint=7.5) == 7.5
    assert backoff.delay() <= 1.0, "and does not count as a failure"


@given(st.lists(st.tuples(st.floats(0, 5), st.floats(0.1, 3)), min_size=1, max_size=50))
def test_a_bucket_never_lets_more_pass_than_its_rate_and_burst(steps: list[tuple[float, float]]) -> None:
    bucket = TokenBucket(per_second=2.0, burst=3.0, now=0.0)
    now = spent = 0.0
    for pause, cost in steps:
        now += pause
        now += bucket.spend(cost, now)
        spent += cost
        assert spent <= 3.0 + 2.0 * now + 1e-6
