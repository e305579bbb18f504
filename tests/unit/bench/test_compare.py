from __future__ import annotations

from bench.compare import changes, report

from .conftest import Made, Measured

FANOUT = "fanout-1000-128-1"


def test_a_large_change_of_single_rounds_is_certain(measured: Measured, made: Made) -> None:
    before, after = (made(measured(FANOUT, "native", cpu_us=cpu)) for cpu in (5.0, 4.0))
    [change] = changes(before, after)
    assert (change.before, change.after, round(change.share, 2), change.certain) == (5, 4, -0.2, True)


def test_a_small_change_is_noise(measured: Measured, made: Made) -> None:
    before, after = (made(measured(FANOUT, "native", cpu_us=cpu)) for cpu in (5.0, 5.4))
    [change] = changes(before, after)
    assert not change.certain


def test_rounds_that_overlap_may_be_chance(measured: Measured, made: Made) -> None:
    before = made(*(measured(FANOUT, "native", number, cpu_us=cpu) for number, cpu in enumerate((4.0, 5.0, 6.0))))
    after = made(*(measured(FANOUT, "native", number, cpu_us=cpu) for number, cpu in enumerate((5.5, 6.5, 7.5))))
    [change] = changes(before, after)
    assert change.share > 0.2
    assert not change.certain


def test_only_what_both_have_is_compared(measured: Measured, made: Made) -> None:
    before = made(measured(FANOUT, "native", cpu_us=5.0), measured("echo", "native", cpu_us=5.0))
    after = made(measured(FANOUT, "native", cpu_us=5.0), measured(FANOUT, "floor", cpu_us=5.0))
    assert [(change.scenario.name, change.server) for change in changes(before, after)] == [(FANOUT, "native")]


def test_ratios_leave_out_what_disturbed_both_servers(measured: Measured, made: Made) -> None:
    before = made(measured(FANOUT, "floor", cpu_us=4.0), measured(FANOUT, "native", cpu_us=4.4))
    after = made(measured(FANOUT, "floor", cpu_us=8.0), measured(FANOUT, "native", cpu_us=8.8))
    assert {change.server: round(change.share, 6) for change in changes(before, after, base="floor")} == {
        "floor": 0,
        "native": 0,
    }


def test_the_report_names_both_runs_and_the_verdict(measured: Measured, made: Made) -> None:
    before = made(measured(FANOUT, "native", cpu_us=5.0), commit="one")
    after = made(measured(FANOUT, "native", cpu_us=8.0), commit="two")
    text = report(before, after)
    assert "(one) → 2026-01-02T03:04Z (two)" in text
    assert f"| {FANOUT} | native | 5 µs | 8 µs | +60% | worse |" in text


def test_runs_without_anything_in_common_are_said_to_be_so(measured: Measured, made: Made) -> None:
    assert "nothing" not in report(made(measured(FANOUT, "native", cpu_us=5.0)), made())
    assert report(made(), made()) == "The two files have no measurement in common."
