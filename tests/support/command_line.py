"""`chat-gateway` as a person runs it: a process, with words, input and an environment."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.support.node_process import ROOT


def run_command(
    directory: Path, *words: str, text: str = "", env: Mapping[str, str] | None = None
) -> tuple[int, str, str]:
    """Exit code, output and complaints. `env` adds to an environment that holds nothing else."""
    done = subprocess.run(
        [sys.executable, "-m", "chat.cli", *words],
        input=text,
        text=True,
        capture_output=True,
        cwd=directory,
        env={"PYTHONPATH": str(ROOT), "PATH": "", **(env or {})},
        check=False,
    )
    return done.returncode, done.stdout, done.stderr
