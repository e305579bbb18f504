"""Autobahn's cases of the protocol, and some of compression; `make conformance` runs them all."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.gateways import backend_parameters

SKIPPED = 77


@pytest.mark.slow
@pytest.mark.parametrize("backend", backend_parameters())
def test_autobahn_finds_nothing(backend: str) -> None:
    command = [sys.executable, str(Path(__file__).parent / "run.py"), "--cases", "quick", "--backend", backend]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    output = done.stdout + done.stderr
    if done.returncode == SKIPPED:
        pytest.skip(output.strip())
    assert done.returncode == 0, output
