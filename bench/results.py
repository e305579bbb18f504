"""A file of results, and the figures that follow from it: medians over rounds, ratios within a round."""

from __future__ import annotations

import dataclasses
import json
import statistics
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from .measure import Measurement
from .scenarios import SCENARIOS, Figure, Scenario

FORMAT = 1
"""Raised when an older file could not be read as what it is."""


class UnreadableResults(ValueError):
    """The file holds no results, or those of another format."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """One run: what was measured, on what, and what could not be."""

    date: str
    """UTC, ISO 8601, to the minute."""
    commit: str
    machine: Mapping[str, Any]
    versions: Mapping[str, str]
    configuration: Mapping[str, Any]
    measurements: list[Measurement] = dataclasses.field(default_factory=list)
    skipped: dict[str, str] = dataclasses.field(default_factory=dict)
    """Servers that could not be started, and why."""
    failures: list[str] = dataclasses.field(default_factory=list)
    """Measurements that ended early, and why."""

    def scenarios(self) -> list[Scenario]:
        """Those that were measured, in the order of the catalogue."""
        measured = {measurement.scenario for measurement in self.measurements}
        return [scenario for name, scenario in SCENARIOS.items() if name in measured]

    def servers(self, scenario: str) -> list[str]:
        """Those measured in `scenario`, in the order of measuring."""
        return list(dict.fromkeys(found.server for found in self.measurements if found.scenario == scenario))

    def of(self, scenario: str, server: str) -> list[Measurement]:
        """All rounds."""
        return [found for found in self.measurements if found.scenario == scenario and found.server == server]

    def median(self, scenario: str, server: str, key: str) -> float | None:
        """The median of one value over the rounds; None if it was not measured."""
        return median_of(getattr(found, key) for found in self.of(scenario, server))

    def spread(self, scenario: str, server: str, key: str) -> tuple[float, float] | None:
        """The least and the most of one value over the rounds."""
        values = [value for found in self.of(scenario, server) if (value := getattr(found, key)) is not None]
        return (min(values), max(values)) if values else None

    def ratio(self, scenario: str, server: str, base: str, key: str, base_scenario: str | None = None) -> float | None:
        """The median of the ratios to `base` within each round: what disturbs both alike falls out."""
        bases = {found.round: getattr(found, key) for found in self.of(base_scenario or scenario, base)}
        pairs = [(getattr(found, key), bases.get(found.round)) for found in self.of(scenario, server)]
        return median_of(value / other for value, other in pairs if value is not None and other)

    def wrong(self, scenario: str, server: str) -> str:
        """What was lost, doubled, refused or closed, in words; empty if nothing."""
        return describe_wrong(self.of(scenario, server))

    def save(self, path: Path) -> None:
        """Writes the file: a measurement a line, so that two files can be compared by eye, too."""
        content = {"format": FORMAT, **dataclasses.asdict(self)}
        measurements = [json.dumps(_rounded(found)) for found in content.pop("measurements")]
        head = json.dumps(content, indent=1).removesuffix("\n}")
        path.write_text(f'{head},\n "measurements": [\n  ' + ",\n  ".join(measurements) + "\n ]\n}\n")


def load(path: Path) -> Results:
    """The results in a file. Raises: UnreadableResults, OSError."""
    try:
        content = json.loads(path.read_text())
        if content.pop("format") != FORMAT:
            raise UnreadableResults(f"{path} has another format than {FORMAT}")
        measurements = [Measurement(**found) for found in content.pop("measurements")]
        return Results(measurements=measurements, **content)
    except (json.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        raise UnreadableResults(f"{path} holds no results: {error}") from None


def median_of(values: Iterable[float | None]) -> float | None:
    """The median of those that are there; None if none is."""
    there = [value for value in values if value is not None]
    return statistics.median(there) if there else None


def describe_wrong(measurements: Iterable[Measurement]) -> str:
    """What went wrong in some measurements, added up, in words."""
    counts: dict[str, int] = {}
    for found in measurements:
        named = {
            "lost": found.lost,
            "doubled": found.doubled,
            **found.errors,
            **{f"closed with {code}": count for code, count in found.closes.items()},
        }
        for name, count in named.items():
            counts[name] = counts.get(name, 0) + count
    return ", ".join(f"{count:,} {name}" for name, count in counts.items() if count)


def figure_of(results: Results, scenario: Scenario, server: str, figure: Figure | None = None) -> float | None:
    """The median of what the scenario is about."""
    return results.median(scenario.name, server, (figure or scenario.figure).key)


def _rounded(measurement: dict[str, Any]) -> dict[str, Any]:
    """Four digits are more than a measurement has."""
    shorten: Callable[[Any], Any] = lambda value: float(f"{value:.4g}") if isinstance(value, float) else value  # noqa: E731
    return {key: shorten(value) for key, value in measurement.items()}
