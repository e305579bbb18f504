"""What a result was measured on: enough to judge it by, and nothing that names the machine or its user."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGES = ("trio", "trio-websocket", "msgspec", "starlette", "hypercorn")


def machine() -> dict[str, object]:
    """The processor, memory, kernel and Python, and how busy the machine was with other things."""
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "virtual": "hypervisor" in Path("/proc/cpuinfo").read_text(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load_average_before": round(os.getloadavg()[0], 2),
        "descriptors": os.sysconf("SC_OPEN_MAX"),
    }


def commit() -> str:
    """The commit that is measured, with `+` if files differ from it; empty outside a repository."""
    given = os.environ.get("BENCH_COMMIT", "")
    if given:
        return given
    if not (ROOT / ".git").exists():
        return ""
    found = _git("rev-parse", "--short=12", "HEAD")
    return found + ("+" if _git("status", "--porcelain", "--untracked-files=no") else "")


def versions() -> dict[str, str]:
    """Of what the project itself runs on."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip()
