from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.results import UnreadableResults, load

from .conftest import Made, Measured

FANOUT = "fanout-1000-128-1"


def test_medians_are_over_rounds(measured: Measured, made: Made) -> None:
    results = made(*(measured(FANOUT, "native", number, cpu_us=cpu) for number, cpu in enumerate((5.0, 9.0, 6.0))))
    assert results.median(FANOUT, "native", "cpu_us") == 6
    assert results.spread(FANOUT, "native", "cpu_us") == (5, 9)


def test_what_was_not_measured_has_no_median(measured: Measured, made: Made) -> None:
    results = made(measured(FANOUT, "native"))
    assert results.median(FANOUT, "native", "cpu_us") is None
    assert results.median(FANOUT, "floor", "cpu_us") is None
    assert results.spread(FANOUT, "native", "cpu_us") is None


def test_a_ratio_is_taken_within_each_round(measured: Measured, made: Made) -> None:
    results = made(
        measured(FANOUT, "floor", 1, cpu_us=4.0),
        measured(FANOUT, "native", 1, cpu_us=4.4),
        # A neighbour disturbed both.
        measured(FANOUT, "floor", 2, cpu_us=8.0),
        measured(FANOUT, "native", 2, cpu_us=8.8),
    )
    assert results.ratio(FANOUT, "native", "floor", "cpu_us") == pytest.approx(1.1)


def test_a_round_without_its_base_has_no_ratio(measured: Measured, made: Made) -> None:
    results = made(measured(FANOUT, "floor", 1, cpu_us=4.0), measured(FANOUT, "native", 2, cpu_us=4.4))
    assert results.ratio(FANOUT, "native", "floor", "cpu_us") is None


def test_a_ratio_may_go_to_another_scenario(measured: Measured, made: Made) -> None:
    results = made(measured("slow-none", "native", p99_ms=20.0), measured("slow-consumers", "native", p99_ms=21.0))
    ratio = results.ratio("slow-consumers", "native", "native", "p99_ms", base_scenario="slow-none")
    assert ratio == pytest.approx(1.05)


def test_what_went_wrong_is_said_in_words(measured: Measured, made: Made) -> None:
    results = made(
        measured(FANOUT, "native", 1, lost=1_000, errors={"not JSON": 2}),
        measured(FANOUT, "native", 2, lost=500, closes={"4008": 1}),
    )
    assert results.wrong(FANOUT, "native") == "1,500 lost, 2 not JSON, 1 closed with 4008"
    assert made(measured(FANOUT, "native")).wrong(FANOUT, "native") == ""


def test_a_saved_file_reads_as_it_was(tmp_path: Path, measured: Measured, made: Made) -> None:
    results = made(measured(FANOUT, "native", cpu_us=4.4, pushes={"typing": 3}), skipped={"ws": "not installed"})
    results.save(tmp_path / "results.json")
    assert load(tmp_path / "results.json") == results


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{}",
        json.dumps({"format": 0}),
        json.dumps({"format": 1}),
        json.dumps({"format": 1, "measurements": [{"x": 1}]}),
    ],
)
def test_what_holds_no_results_is_refused(tmp_path: Path, content: str) -> None:
    file = tmp_path / "results.json"
    file.write_text(content)
    with pytest.raises(UnreadableResults, match=r"results\.json"):
        load(file)
