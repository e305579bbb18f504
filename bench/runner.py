"""Runs scenarios over servers, paired in time, and shows how far it is."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from .load import LoadFailed
from .machine import commit, machine, versions
from .measure import Measurement, measure
from .results import Results
from .scenarios import Scenario
from .servers import OURS, SERVERS, Job, Server, ServerFailed

Step = Callable[[str, Measurement | None], None]
"""Told what is measured next, and the last measurement."""


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """What is measured, in this order."""

    scenarios: Sequence[Scenario]
    servers: Sequence[Server]
    rounds: int
    seconds: float | None = None
    """Instead of each scenario's own, for runs that only have to work."""

    def steps(self) -> Iterator[tuple[Scenario, int, Server]]:
        """The servers of a scenario in turn, so that a neighbour on the machine disturbs all alike."""
        for scenario in self.scenarios:
            for number in range(1, self.rounds + 1):
                for server in self.servers_of(scenario):
                    yield scenario, number, server

    def servers_of(self, scenario: Scenario) -> list[Server]:
        """Those that can, and that the scenario is for."""
        job = Job(scenario.mode, scenario.deflate)
        wanted = [server for server in self.servers if server.can(job)]
        if scenario.servers:
            return [server for server in wanted if server.name in scenario.servers]
        return [server for server in wanted if server.cores == 1]


def choose(names: Sequence[str] | None, scenarios: Sequence[Scenario]) -> tuple[list[Server], dict[str, str]]:
    """The servers that can be started, and why the others cannot.

    `names` may hold `all`, `peers` and `ours`; without any it is ours, chat, and what single scenarios ask for.
    """
    wanted: list[str] = []
    for name in names or ["ours", "chat", *(server for scenario in scenarios for server in scenario.servers)]:
        groups = {
            "all": list(SERVERS),
            "ours": list(OURS),
            "peers": [other for other, server in SERVERS.items() if server.kind == "peer"],
        }
        wanted += groups.get(name, [name])
    chosen, skipped = [], {}
    for name in SERVERS:
        if name in wanted:
            missing = SERVERS[name].missing()
            if missing is None:
                chosen.append(SERVERS[name])
            else:
                skipped[name] = missing
    return chosen, skipped


def run(plan: Plan, skipped: dict[str, str], step: Step) -> Results:
    """Measures everything; what fails is noted, and the rest goes on."""
    used = {server.name: server.version() for server in plan.servers}
    results = Results(
        date=datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%MZ"),
        commit=commit(),
        machine=machine(),
        versions={**versions(), **{name: version for name, version in used.items() if version}},
        configuration={"rounds": plan.rounds, "seconds": plan.seconds or "as the scenarios say"},
        skipped=skipped,
    )
    for scenario, number, server in plan.steps():
        step(f"{scenario.name} · {server.name}", None)
        measured = None
        try:
            measured = measure(scenario, server, number, seconds=plan.seconds)
            results.measurements.append(measured)
        except (ServerFailed, LoadFailed, ProcessLookupError) as error:
            results.failures.append(f"{scenario.name} on {server.name}, round {number}: {error}")
        step("", measured)
    return results


@contextmanager
def progress(plan: Plan) -> Iterator[Step]:
    """A progress bar with the time that is left; plain lines where rich is missing or nobody looks."""
    total = sum(1 for _ in plan.steps())
    try:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
    except ImportError:
        yield _plain
        return
    console = Console()
    if not console.is_terminal:
        yield _plain
        return
    columns = (TextColumn("{task.description:38}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("", total=total)

        def step(what: str, measured: Measurement | None) -> None:
            if what:
                bar.update(task, description=what)
                return
            bar.advance(task)
            if measured is not None:
                console.print(line(measured), highlight=False)

        yield step


def _plain(what: str, measured: Measurement | None) -> None:
    if measured is not None:
        print(line(measured), flush=True)


def line(measured: Measurement) -> str:
    """A measurement in one line."""

    def shown(value: float | None, unit: str) -> str:
        return f"{'–' if value is None else f'{value:,.2f}':>10} {unit}"

    return (
        f"{measured.scenario:22} {measured.server:16} {shown(measured.cpu_us, 'µs')} {shown(measured.rate, '/s')}"
        f" {shown(measured.p99_ms, 'ms p99')} {shown(measured.connect_us, 'µs/connection')}"
        f"  lost {measured.lost} doubled {measured.doubled}"
    )
