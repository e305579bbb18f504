"""Runs the Autobahn test suite against a gateway: `run.py --cases quick|full --backend native|pure`.

Autobahn runs on Python 2.7 only. It is installed once, into `.venv/autobahn`, and reports there, too.
Exit code: 0 if every case is as it should be, 1 if not, 77 (with the reason) if the suite cannot be run here.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
CACHE = ROOT / ".venv" / "autobahn"
WSTEST = CACHE / "py27" / "bin" / "wstest"
SUITE = "autobahntestsuite==25.10.1"
# The last line of virtualenv that makes environments for Python 2.7.
VIRTUALENV = "virtualenv==20.21.1"

PROTOCOL = ["1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "9.*", "10.*"]
COMPRESSION = ["12.*", "13.*"]
SOME_COMPRESSION = ["12.1.1", "12.1.3", "12.1.5", "12.2.1", "12.3.1", "12.4.1", "12.5.1"]
SOME_COMPRESSION += [f"13.{group}.1" for group in range(1, 8)]

GOOD = {"OK", "INFORMATIONAL"}
LONGEST_RUN_SECONDS = 7_200
SKIPPED = 77

Results = dict[str, dict[str, Any]]


class Unavailable(Exception):
    """The suite cannot be run here; the message says why."""


class Unfinished(Exception):
    """The suite was begun and gave no results; the message says where to look."""


def main() -> int:
    parser = argparse.ArgumentParser(description="Run the Autobahn test suite against a gateway.")
    parser.add_argument("--cases", choices=["quick", "full"], default="quick")
    parser.add_argument("--backend", choices=["native", "pure"], default="native")
    options = parser.parse_args()
    try:
        install()
        results = run(options.backend, cases_of(options.cases, options.backend))
    except Unavailable as reason:
        print(f"Autobahn was not run: {reason}")
        return SKIPPED
    except Unfinished as reason:
        print(f"Autobahn did not finish: {reason}")
        return 1
    return report(options.backend, results)


def cases_of(selection: str, backend: str) -> list[str]:
    if backend == "pure":
        return PROTOCOL  # it has no compression
    return PROTOCOL + (COMPRESSION if selection == "full" else SOME_COMPRESSION)


def install() -> None:
    """Makes the environment for Autobahn unless it is there. Raises: Unavailable."""
    if WSTEST.exists():
        return
    python = python27()
    shutil.rmtree(CACHE, ignore_errors=True)
    maker = CACHE / "maker"
    execute(sys.executable, "-m", "venv", str(maker))
    execute(str(maker / "bin" / "pip"), "install", "--quiet", VIRTUALENV)
    execute(str(maker / "bin" / "virtualenv"), "--quiet", "-p", python, str(CACHE / "py27"))
    execute(str(CACHE / "py27" / "bin" / "pip"), "install", "--quiet", "--no-cache-dir", SUITE)


def python27() -> str:
    """The path of a Python 2.7. Raises: Unavailable."""
    for candidate in candidates():
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            probe = "import sys; print(sys.executable if sys.version_info[:2] == (2, 7) else '')"
            found = subprocess.run([candidate, "-c", probe], capture_output=True, text=True, check=True, timeout=60)
            if found.stdout.strip():
                return found.stdout.strip()
    raise Unavailable("it needs Python 2.7, and there is none in PATH or in pyenv")


def candidates() -> Iterator[str]:
    yield from filter(None, (shutil.which(name) for name in ("python2.7", "python2")))
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        command = ["pyenv", "prefix", "2.7.18"]
        prefix = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
        yield str(Path(prefix.stdout.strip()) / "bin" / "python")


def execute(*command: str) -> None:
    """Raises: Unavailable, with the end of what the command said."""
    # Constraints for the project's own environment do not hold for these.
    environment = {key: value for key, value in os.environ.items() if key != "PIP_CONSTRAINT"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        raise Unavailable(f"`{Path(command[0]).name}` failed: {(done.stderr or done.stdout).strip()[-500:]}")


def run(backend: str, cases: list[str]) -> Results:
    """Runs the cases against an echo server; the results by case. Raises: Unavailable, Unfinished."""
    outdir = CACHE / f"report-{backend}"
    shutil.rmtree(outdir, ignore_errors=True)
    outdir.mkdir(parents=True)
    with echo_server(backend, outdir) as port, (outdir / "wstest.log").open("wb") as log:
        specification = {
            "outdir": str(outdir),
            "servers": [{"agent": backend, "url": f"ws://127.0.0.1:{port}"}],
            "cases": cases,
            "exclude-cases": [],
            "exclude-agent-cases": {},
        }
        (outdir / "spec.json").write_text(json.dumps(specification))
        command = [str(WSTEST), "-m", "fuzzingclient", "-s", str(outdir / "spec.json")]
        with contextlib.suppress(subprocess.TimeoutExpired):
            subprocess.run(command, stdout=log, stderr=log, cwd=outdir, timeout=LONGEST_RUN_SECONDS, check=False)
    if not (outdir / "index.json").exists():
        raise Unfinished(f"see {outdir / 'wstest.log'} and {outdir / 'server.log'}")
    results: Results = json.loads((outdir / "index.json").read_text())[backend]
    return results


@contextlib.contextmanager
def echo_server(backend: str, outdir: Path) -> Iterator[int]:
    """The port of an echo server that runs as long as the block."""
    command = [sys.executable, str(HERE / "echo_server.py"), backend]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with (
        (outdir / "server.log").open("wb") as log,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, env=environment) as server,
    ):
        try:
            assert server.stdout is not None
            line = server.stdout.readline()
            if not line:
                raise Unavailable(f"the echo server did not start; see {outdir / 'server.log'}")
            yield int(line)
        finally:
            server.kill()


def report(backend: str, results: Results) -> int:
    """Prints what differs from what is expected, then one line; the exit code."""
    expected = expected_results(backend)
    wrong = 0
    for case, result in sorted(results.items(), key=lambda item: [int(part) for part in item[0].split(".")]):
        for field in ("behavior", "behaviorClose"):
            if result[field] not in GOOD and (case, field, result[field]) not in expected:
                wrong += 1
                print(f"{case}: {field} is {result[field]}; see {CACHE / f'report-{backend}' / result['reportfile']}")
    counts = collections.Counter(result["behavior"] for result in results.values())
    summary = ", ".join(f"{count} {name}" for name, count in counts.most_common())
    print(f"Autobahn, {backend}: {len(results)} cases: {summary or 'none ran'}; {wrong} not as expected")
    return 1 if wrong or not results else 0


def expected_results(backend: str) -> set[tuple[str, str, str]]:
    """Case, field and value of each result that is right although it is not OK."""
    entries = tomllib.loads((HERE / "expected.toml").read_text())["expected"]
    return {
        (case, field, entry[field])
        for entry in entries
        if backend in entry["backends"] and entry["reason"]
        for case in entry["cases"]
        for field in ("behavior", "behaviorClose")
        if field in entry
    }


if __name__ == "__main__":
    sys.exit(main())
