from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from bench.measure import Measurement
from bench.results import Results

_NOTHING: dict[str, Any] = {
    **{field.name: None for field in dataclasses.fields(Measurement)},
    **dict.fromkeys(("operations", "resumes", "published", "acknowledged", "deliveries", "lost", "doubled"), 0),
    **dict.fromkeys(("connections", "connect_us", "connect_rate", "user_bytes", "kernel_bytes", "peak_bytes"), 0),
}

Measured = Callable[..., Measurement]
Made = Callable[..., Results]


@pytest.fixture
def measured() -> Measured:
    """A measurement of which only the given values are there."""

    def make(scenario: str, server: str, round_number: int = 1, **values: Any) -> Measurement:
        empty: dict[str, dict[str, int]] = {name: {} for name in ("errors", "closes", "pushes")}
        return Measurement(
            **{**_NOTHING, **empty, "scenario": scenario, "server": server, "round": round_number, **values}
        )

    return make


@pytest.fixture
def made() -> Made:
    """Results of the given measurements."""

    def make(*measurements: Measurement, **values: Any) -> Results:
        about = {
            "date": "2026-01-02T03:04Z",
            "commit": "abc",
            "machine": {"processor": "one", "cores": 2},
            "versions": {"trio": "0.32"},
            "configuration": {"rounds": 1},
        }
        return Results(measurements=list(measurements), **{**about, **values})

    return make
