"""A few hundred worlds with every change; `make simulate` runs as many as one likes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
DEADLINE_SECONDS = 300
WORLDS = int(os.environ.get("SIMULATED_WORLDS", "200"))


def simulation(*arguments: str) -> subprocess.CompletedProcess[str]:
    """In a process of its own, since it takes over clocks, chance and the order of tasks."""
    return subprocess.run(
        [sys.executable, "-m", "tests.simulation", *arguments],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
        check=False,
    )


@pytest.mark.slow
def test_whatever_breaks_nothing_is_lost_doubled_reordered_or_leaked() -> None:
    run = simulation("--seeds", f"{WORLDS}")
    assert run.returncode == 0, run.stdout[-4000:] + run.stderr[-4000:]
    assert f"{WORLDS} worlds" in run.stdout


def test_a_seed_gives_the_same_world_again() -> None:
    first, again, other = [simulation("--seed", seed, "--all").stdout for seed in ("7", "7", "8")]
    assert "acknowledged messages" in first
    assert first == again
    assert first != other


@pytest.mark.slow
@pytest.mark.parametrize("bug", ["early", "trusting", "lenient", "silent_gap"])
def test_a_planted_bug_is_found_in_a_few_worlds(bug: str) -> None:
    run = simulation("--plant", bug, "--seeds", "100", "--until-found")
    assert run.returncode == 1, run.stdout[-4000:] + run.stderr[-4000:]
    assert "replay with: make simulate SEED=" in run.stdout
