"""Runs worlds and judges them: many by number, or one to look at.

python -m tests.simulation --seeds 300     the worlds 1 to 300; prints the violations of those that fail
python -m tests.simulation --seed 17       one world; prints what happened in it, then the violations
"""

from __future__ import annotations

import argparse
import concurrent.futures
import multiprocessing
import os
import re
import resource
import sys
import time
from collections.abc import Iterable, Iterator

from .planted import BUGS, planted
from .world import Outcome, simulate, simulate_all

_BATCH = 25
"""Worlds that a process gets at a time."""
_SHOWN = 5
"""Violations of a world; one bug has many."""


def main(argv: list[str] | None = None) -> int:
    """Returns 1 if a world fails."""
    parser = argparse.ArgumentParser(
        prog="simulation", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=300, help="how many worlds to run (300)")
    parser.add_argument("--first", type=int, default=1, help="the seed of the first (1)")
    parser.add_argument("--jobs", type=int, default=1, help="processes that share the work (1)")
    parser.add_argument("--until-found", action="store_true", help="stop at the first world that fails")
    parser.add_argument("--seed", type=int, help="run this one only, and tell what happened in it")
    parser.add_argument("--plant", choices=BUGS, help="with this bug in the program; in this process only")
    parser.add_argument("--all", action="store_true", help="with --seed: tell everything, not only what may matter")
    options = parser.parse_args(argv)
    with planted(options.plant):
        if options.seed is not None:
            return _tell_all(simulate(options.seed), options.all)
        seeds = range(options.first, options.first + options.seeds)
        outcomes = _spread(seeds, options.jobs) if options.jobs > 1 else map(simulate, seeds)
        return _count(outcomes, options.until_found)


def _spread(seeds: range, jobs: int) -> Iterator[Outcome]:
    """All outcomes, as they come."""
    batches = [seeds[start : start + _BATCH] for start in range(0, len(seeds), _BATCH)]
    # Started afresh, since a fork would have the parent's threads and trio's state.
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(jobs, mp_context=context) as pool:
        for future in concurrent.futures.as_completed([pool.submit(simulate_all, batch) for batch in batches]):
            yield from future.result()


def _count(outcomes: Iterable[Outcome], until_found: bool) -> int:
    began = time.monotonic()
    worlds = failed = acked = 0
    virtual = 0.0
    for outcome in outcomes:
        worlds += 1
        failed += bool(outcome.violations)
        acked += outcome.acked
        virtual += outcome.seconds
        _tell(outcome)
        if failed and until_found:
            break
    seconds, cpu = time.monotonic() - began, _cpu_seconds()
    print(f"{worlds} worlds in {seconds:.1f} s ({cpu:.1f} s of CPU): {60 * worlds / seconds:.0f} a minute,")
    print(f"{virtual:.0f} virtual seconds, {acked} acknowledged messages; {failed} worlds failed")
    return int(failed > 0)


def _cpu_seconds() -> float:
    """Of all processes, imports included."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def _tell(outcome: Outcome) -> None:
    """Nothing, if there is nothing to tell."""
    for violation in outcome.violations[:_SHOWN]:
        print(f"seed {outcome.seed}: {violation}")
    if len(outcome.violations) > _SHOWN:
        print(f"seed {outcome.seed}: and {len(outcome.violations) - _SHOWN} more violations")
    if outcome.violations:
        print(f"seed {outcome.seed}: replay with: make simulate SEED={outcome.seed}", flush=True)


def _tell_all(outcome: Outcome, everything: bool) -> int:
    rooms = sorted({room for violation in outcome.violations for room in re.findall(r"\br\d+\b", violation)})
    print("\n".join(outcome.trace.lines(None if everything or not rooms else rooms)))
    print(f"\nseed {outcome.seed}, trace {outcome.trace.digest()}, {outcome.acked} acknowledged messages, ", end="")
    print(f"{outcome.faults} faults, {outcome.seconds:.1f} virtual seconds: {len(outcome.violations)} violations")
    for violation in outcome.violations:
        print(f"  {violation}")
    return int(bool(outcome.violations))


if __name__ == "__main__":
    if os.environ.get("PYTHONHASHSEED") != "0":  # settled at the start of the interpreter: so start again
        again = [sys.executable, "-m", "tests.simulation", *sys.argv[1:]]
        os.execve(sys.executable, again, {**os.environ, "PYTHONHASHSEED": "0"})
    sys.exit(main())
