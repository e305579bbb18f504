from __future__ import annotations

import pytest

from bench.scenarios import CPU, SHARE
from bench.tables import report, table
from bench.targets import TARGETS

from .conftest import Made, Measured

FANOUT = "fanout-1000-128-1"


def test_a_table_is_markdown() -> None:
    assert table(["a", "b"], [["x", "1"]]) == "| a | b |\n| --- | ---: |\n| x | 1 |"


@pytest.mark.parametrize(
    ("value", "shown"), [(None, "–"), (0.31234, "0.312 µs"), (4.4444, "4.44 µs"), (12_345.6, "12,346 µs")]
)
def test_a_figure_shows_three_digits_and_its_unit(value: float | None, shown: str) -> None:
    assert CPU.show(value) == shown


def test_a_figure_without_a_unit_is_a_bare_number() -> None:
    assert SHARE.show(0.5) == "0.5"


def test_the_report_has_ratios_targets_and_each_scenario(measured: Measured, made: Made) -> None:
    text = report(
        made(
            measured(FANOUT, "floor", cpu_us=4.0, user_us=0.1, rate=250_000.0, load_share=0.5),
            measured(FANOUT, "native", cpu_us=5.0, user_us=0.5, rate=200_000.0, load_share=0.99, lost=3),
            skipped={"ws": "not installed (make bench-peers)"},
            failures=["echo on pure, round 1: it ended"],
        )
    )
    assert "| native | 1.25 |" in text
    assert "| native | 5 µs | 1.25 | 0.5 µs | 200,000 /s |" in text
    assert "3 lost; load generator at its limit |" in text
    assert "| fan-out, 1 in flight: `native` ≤ 1.1 × `floor` | 1.25 | **no** |" in text
    assert "- ws: not installed (make bench-peers)" in text
    assert "- echo on pure, round 1: it ended" in text


def test_without_a_floor_there_are_no_ratios(measured: Measured, made: Made) -> None:
    text = report(made(measured("chat-publish", "chat", cpu_us=40.0, rate=12_000.0, p99_ms=20.0)))
    assert "× floor" not in text
    assert "| chat publish, 100 publishers ≤ 50 µs | 40 µs | yes |" in text
    assert "| chat publish ≥ 10,000/s | 12,000 /s | yes |" in text


def test_targets_that_a_run_does_not_tell_are_left_out(made: Made) -> None:
    assert [target.judge(made()) for target in TARGETS] == [None] * len(TARGETS)
    assert "Targets" not in report(made())


def test_the_nearest_peer_decides(measured: Measured, made: Made) -> None:
    results = made(
        measured(FANOUT, "native", cpu_us=4.0),
        measured(FANOUT, "picows", cpu_us=3.8),
        measured(FANOUT, "ws", cpu_us=5.0),
    )
    [target] = [target for target in TARGETS if "no peer cheaper" in target.text]
    verdict = target.judge(results)
    assert verdict is not None
    assert (verdict.measured, verdict.held) == (f"nearest 0.95 (picows in {FANOUT})", False)
