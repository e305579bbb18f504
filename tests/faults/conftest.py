"""How long fault tests go on."""

from __future__ import annotations

import os

import pytest


@pytest.fixture
def fault_rounds() -> int:
    """How often something is broken: a few times with every change, `FAULT_ROUNDS` times when it has to be proven."""
    return int(os.environ.get("FAULT_ROUNDS", "4"))
