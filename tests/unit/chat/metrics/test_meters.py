from __future__ import annotations

import pytest

from chat.domain.errors import Forbidden, RateLimited, Unavailable
from chat.domain.messages import Appended
from chat.metrics.meters import OTHER_CODE, CommitMeter, RealtimeMeter, RedisMeter


@pytest.fixture
def meter() -> RealtimeMeter:
    return RealtimeMeter()


def test_a_batch_is_measured_from_its_arrival_to_the_delivery_of_its_last_message(meter: RealtimeMeter) -> None:
    meter.posting("a", 1, 10.0)
    meter.posting("b", 9, 10.5)
    meter.delivered("a", 10.004)
    assert sum(meter.latency.counts) == 1
    assert meter.latency.sum == pytest.approx(0.004)
    meter.delivered("b", 12.5)
    assert sum(meter.latency.counts) == 10
    assert meter.latency.sum == pytest.approx(18.004)
    assert not meter.arrivals


def test_keys_that_are_none_are_not_remembered(meter: RealtimeMeter) -> None:
    keys: list[object] = [None, 7, [], {}, b"k", "x" * 65, "x" * 64]
    for key in keys:
        meter.posting(key, 1, 1.0)
    assert list(meter.arrivals) == ["x" * 64]


def test_messages_that_never_come_back_are_forgotten(meter: RealtimeMeter) -> None:
    for number in range(100_000):
        meter.posting(str(number), 1, 1.0)
        assert len(meter.arrivals) <= 20_000


def test_refusals_are_counted_by_their_code(meter: RealtimeMeter) -> None:
    first = Appended("e", 1, 2, False)
    meter.answered([first, RateLimited("x"), first._replace(duplicate=True), Forbidden("x"), RateLimited("x")])
    assert meter.published == 2
    assert meter.refused == {"rate_limited": 2, "forbidden": 1}


def test_close_codes_that_peers_make_up_are_counted_as_one(meter: RealtimeMeter) -> None:
    for code in (1000, 4008, 3333, 4999, 1000):
        meter.closed(code)
    assert meter.closes == {1000: 2, 4008: 1, OTHER_CODE: 2}


def test_a_commit_is_counted_with_its_size() -> None:
    meter = CommitMeter()
    meter.committed(0.003, 7)
    assert (sum(meter.seconds.counts), meter.seconds.sum) == (1, 0.003)
    assert (sum(meter.sizes.counts), meter.sizes.sum) == (1, 7)


def test_a_call_to_redis_is_counted_with_its_failures() -> None:
    meter = RedisMeter()
    meter.answered(0.002, [b"ok", None, Unavailable("away")])
    meter.answered(0.001, [1])
    assert (meter.commands, meter.failures) == (4, 1)
    assert sum(meter.seconds.counts) == 2
    assert meter.seconds.sum == pytest.approx(0.003)
