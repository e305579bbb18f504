from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from bench.capacity import Capacity, Costs, Plan, renewed, tables
from bench.cli import main

PAGE = Path(__file__).parents[3] / "docs" / "capacity.md"


def _value(plan: Plan, section: str, what: str) -> str:
    [line] = [line for line in Capacity(plan, Costs()).sections()[section] if line.what == what]
    return line.value


def test_the_page_shows_what_is_computed() -> None:
    page = PAGE.read_text()
    for title, text in tables(Plan(), Costs()).items():
        assert f"## {title}\n\n{text}\n" in page, "python -m bench capacity --page docs/capacity.md renews it"
    assert renewed(page, Plan(), Costs()) == page


def test_a_page_is_renewed_below_its_headings_and_nowhere_else(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# Title\n\n| kept |\n\n## Nodes\n\n| old |\n| old |\n\nText.\n")
    assert main(["capacity", "--page", str(page)]) == 0
    table = tables(Plan(), Costs())["Nodes"]
    assert page.read_text() == f"# Title\n\n| kept |\n\n## Nodes\n\n{table}\n\nText.\n"


def test_the_planned_fleet_is_a_hundred_nodes_and_five_gigabits() -> None:
    assert _value(Plan(), "Nodes", "nodes") == "100"
    assert _value(Plan(), "Bandwidth", "nodes → clients") == "5,000 Mbit/s"


def test_a_message_reaches_no_more_nodes_than_it_has_listeners() -> None:
    few = Capacity(Plan(listeners=2), Costs())
    assert 1 < few.reached <= 2
    assert Capacity(Plan(listeners=1), Costs()).reached == pytest.approx(1)
    assert Capacity(Plan(listeners=100_000), Costs()).reached == pytest.approx(100)


def test_redis_has_three_primaries_at_least_and_more_for_more_users() -> None:
    small = Capacity(Plan(), Costs())
    assert small.redis_primaries(0.1) == 3
    assert small.redis_primaries(3.4) == 7


def test_every_field_of_the_plan_is_a_flag(capsys: pytest.CaptureFixture[str]) -> None:
    flags = [f"--{field.name.replace('_', '-')}={field.default}" for field in dataclasses.fields(Plan)]
    assert main(["capacity", *flags]) == 0
    assert "## Databases" in capsys.readouterr().out
