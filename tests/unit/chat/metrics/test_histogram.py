from __future__ import annotations

import math
from bisect import bisect_left

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat.metrics.histogram import SECONDS, Histogram, Quantiles, quantiles

MINUTE_IN_TURNS = 12


def test_a_value_is_counted_in_the_lowest_bucket_that_holds_it() -> None:
    histogram = Histogram((1, 2, 5))
    for value in (0, 1, 1.5, 2, 5, 6):
        histogram.add(value)
    histogram.add(3, times=4)
    assert histogram.counts == [2, 2, 5, 1]
    assert histogram.sum == pytest.approx(15.5 + 12)


def test_only_the_last_minute_is_recent() -> None:
    histogram = Histogram((1,))
    histogram.add(0)
    assert histogram.recent() == [1, 0]
    for _ in range(MINUTE_IN_TURNS - 1):
        histogram.turn()
    histogram.add(2)
    assert histogram.recent() == [1, 1]
    histogram.turn()
    assert histogram.recent() == [0, 1]
    for _ in range(MINUTE_IN_TURNS):
        histogram.turn()
    assert histogram.recent() == [0, 0]
    assert histogram.counts == [1, 1]


def test_nothing_has_no_quantiles() -> None:
    assert quantiles([]) is None
    assert quantiles([Histogram(), Histogram()]) is None


def test_quantiles_are_of_all_histograms_together() -> None:
    fast, slow = Histogram((1, 10, 100)), Histogram((1, 10, 100))
    for _ in range(99):
        fast.add(5)
    slow.add(1_000)
    found = quantiles([fast, slow])
    assert found is not None
    assert 5 <= found.p50 <= 6
    assert found.p99 == 10
    assert quantiles([slow]) == Quantiles(100, 100)


@given(st.lists(st.floats(0, SECONDS[-1]), min_size=1, max_size=200))
def test_a_quantile_lies_in_the_bucket_of_the_truth(values: list[float]) -> None:
    histogram = Histogram()
    for value in values:
        histogram.add(value)
    found = quantiles([histogram])
    assert found is not None
    for quantile, share in ((found.p50, 0.5), (found.p99, 0.99)):
        truth = sorted(values)[math.ceil(share * len(values)) - 1]
        assert bisect_left(SECONDS, quantile) == bisect_left(SECONDS, truth)
