"""What changed between two result files."""

from __future__ import annotations

import dataclasses

from .results import Results
from .scenarios import Scenario
from .tables import table

_NOISE = 0.1
"""Single runs on a shared machine differ by as much."""


@dataclasses.dataclass(frozen=True, slots=True)
class Change:
    """One server's figure in one scenario, before and after."""

    scenario: Scenario
    server: str
    before: float
    after: float
    overlap: bool
    """Whether the rounds of the two runs overlap, so that it may be chance."""

    @property
    def share(self) -> float:
        """The change as a share of what was before; below zero is better for costs."""
        return self.after / self.before - 1

    @property
    def certain(self) -> bool:
        """Whether it is more than noise."""
        return abs(self.share) > _NOISE and not self.overlap


def changes(before: Results, after: Results, *, base: str | None = None) -> list[Change]:
    """All figures that both runs have; with `base` as ratios to that server in the same run."""
    found = []
    for scenario in after.scenarios():
        for server in after.servers(scenario.name):
            pair = [_value(results, scenario, server, base) for results in (before, after)]
            if pair[0] is not None and pair[1] is not None and pair[0] > 0:
                overlap = _overlap(before, after, scenario, server)
                found.append(Change(scenario, server, pair[0], pair[1], overlap))
    return found


def report(before: Results, after: Results, *, base: str | None = None) -> str:
    """The comparison as Markdown."""
    rows = []
    for change in changes(before, after, base=base):
        shown = (
            [f"{value:.2f} × {base}" for value in (change.before, change.after)]
            if base
            else [change.scenario.figure.show(value) for value in (change.before, change.after)]
        )
        verdict = "" if not change.certain else ("better" if change.share < 0 else "worse")
        rows.append([change.scenario.name, change.server, *shown, f"{change.share:+.0%}", verdict])
    if not rows:
        return "The two files have no measurement in common."
    head = f"{before.date} ({before.commit or 'unknown'}) → {after.date} ({after.commit or 'unknown'})"
    return head + "\n\n" + table(["scenario", "server", "before", "after", "change", "verdict"], rows)


def _value(results: Results, scenario: Scenario, server: str, base: str | None) -> float | None:
    key = scenario.figure.key
    if base is None:
        return results.median(scenario.name, server, key)
    return results.ratio(scenario.name, server, base, key)


def _overlap(before: Results, after: Results, scenario: Scenario, server: str) -> bool:
    """One round on either side says nothing about chance: then only the size of the change counts."""
    first = before.spread(scenario.name, server, scenario.figure.key)
    second = after.spread(scenario.name, server, scenario.figure.key)
    if first is None or second is None or first[0] == first[1] or second[0] == second[1]:
        return False
    return first[0] <= second[1] and second[0] <= first[1]
