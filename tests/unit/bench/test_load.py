from __future__ import annotations

import pytest

from bench.load import highest, merge, quantile


def test_a_quantile_is_the_value_below_which_that_share_lies() -> None:
    distribution = [(10, 50), (20, 40), (30, 10)]
    assert [quantile(distribution, share) for share in (0.5, 0.9, 0.99, 1.0)] == [10, 20, 30, 30]


def test_nothing_has_no_quantile() -> None:
    assert quantile([], 0.5) is None


def test_the_highest_number_of_each_stream_counts() -> None:
    assert highest([{"a": 3, "b": 1}, {"a": 2, "c": 7}]) == {"a": 3, "b": 1, "c": 7}
    assert highest([{}]) == {}


def test_reports_of_several_processes_become_one() -> None:
    first = {"deliveries": 5, "seconds": 1.5, "errors": {"x": 1}, "latency_us": [[1, 2], [4, 1]]}
    second = {"deliveries": 7, "seconds": 1.2, "errors": {"x": 2, "y": 1}, "latency_us": [[1, 1], [3, 1]]}
    assert merge([first, second]) == {
        "deliveries": 12,
        "seconds": 1.5,
        "errors": {"x": 3, "y": 1},
        "latency_us": [(1, 3), (3, 1), (4, 1)],
    }


@pytest.mark.parametrize("share", [0.01, 0.5, 1.0])
def test_one_value_is_every_quantile(share: float) -> None:
    assert quantile([(7, 1)], share) == 7
