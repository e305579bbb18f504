"""When calls are refused without being made."""

from __future__ import annotations

from chat.adapters.distributed.circuit_breaker import CircuitBreaker
from tests.support.clocks import ManualClock


def opened(clock: ManualClock) -> CircuitBreaker:
    breaker = CircuitBreaker(failures=3, pause_seconds=1.0, clock=clock)
    for _ in range(3):
        assert breaker.admits()
        breaker.failed()
    return breaker


def test_a_success_between_failures_keeps_it_closed() -> None:
    breaker = CircuitBreaker(failures=3, clock=ManualClock())
    for _ in range(5):
        breaker.failed()
        breaker.failed()
        assert not breaker.is_well
        breaker.succeeded()
    assert breaker.admits()
    assert breaker.is_well


def test_failures_in_a_row_open_it() -> None:
    breaker = opened(ManualClock())
    assert breaker.is_open
    assert not breaker.admits()


def test_an_open_one_admits_a_single_call_in_each_pause() -> None:
    clock = ManualClock()
    breaker = opened(clock)
    for _ in range(3):
        clock.advance(1.0)
        assert [breaker.admits() for _ in range(3)] == [True, False, False]
        breaker.failed()
        assert not breaker.admits()


def test_a_call_that_never_ends_does_not_keep_it_open() -> None:
    clock = ManualClock()
    breaker = opened(clock)
    clock.advance(1.0)
    assert breaker.admits()  # and nothing more is heard of this one
    clock.advance(1.0)
    assert breaker.admits()
    breaker.succeeded()
    assert [breaker.admits() for _ in range(3)] == [True] * 3
