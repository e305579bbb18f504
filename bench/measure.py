"""One measurement: a server is started, loaded, and its cost is read around the load."""

from __future__ import annotations

import dataclasses
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .load import Group, Loads, Report, quantile
from .process import Process, Usage, kernel_memory_bytes, softirq_seconds
from .scenarios import ChatLoad, RawLoad, Scenario
from .seed import seed
from .servers import Job, Server

WARM_UP = RawLoad(connections=64, window=4)
WARM_UP_SECONDS = 0.5


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """One server in one scenario, once. What does not apply is None.

    An operation is a delivery, a round trip, a message taken in, or an acknowledged message.
    """

    scenario: str
    server: str
    round: int
    operations: int
    cpu_us: float | None
    """Of the server, user and system, for each operation."""
    user_us: float | None
    system_us: float | None
    softirq_us: float | None
    """Network work on the server's core that the kernel's own threads did: billed to nobody, not in `cpu_us`."""
    core_share: float | None
    """Cores that the server kept busy."""
    load_share: float | None
    """The same for the busiest load process: near 1 it was the bottleneck, and rates are the generator's."""
    rate: float | None
    """Operations a second."""
    p50_ms: float | None
    p90_ms: float | None
    p99_ms: float | None
    max_ms: float | None
    """From publish to receipt; in chat-publish and inbound until the answer."""
    side_p50_ms: float | None
    side_p99_ms: float | None
    """The same for the second load."""
    resume_p99_ms: float | None
    resume_us_each: float | None
    resumes: int
    published: int
    acknowledged: int
    deliveries: int
    lost: int
    doubled: int
    errors: dict[str, int]
    closes: dict[str, int]
    pushes: dict[str, int]
    connections: int
    connect_us: float
    """CPU of the server for each connection, until it stood (in chat: was verified and had joined)."""
    connect_rate: float
    user_bytes: float
    """Private memory of the server for each connection, at rest."""
    kernel_bytes: float
    """The machine's slab memory for each connection, both ends of it."""
    peak_bytes: int
    """The most that the server had resident at a time."""
    payload_bytes: float | None
    """On the wire, for each delivery."""
    deflated_share: float | None
    """Of the deliveries."""


def measure(scenario: Scenario, server: Server, round_number: int, *, seconds: float | None = None) -> Measurement:
    """Measures once. Raises: ServerFailed, LoadFailed."""
    with (
        tempfile.TemporaryDirectory(prefix="chat-gateway-bench-") as directory,
        Run(
            scenario, server, Path(directory), scenario.seconds if seconds is None or not scenario.seconds else seconds
        ) as run,
    ):
        return run.measure(round_number)


class Run:
    """A server and the load on it; `measure` is the whole course, the steps are there for the profiler."""

    def __init__(self, scenario: Scenario, server: Server, directory: Path, seconds: float) -> None:
        self._scenario = scenario
        self._server = server
        self._seconds = seconds
        self._users: Path | None = None
        data: Path | None = None
        if isinstance(scenario.load, ChatLoad):
            data = directory / "data"
            self._users = seed(data, scenario.load.population)
        server_cores, self._load_cores = split_cores(sorted(os.sched_getaffinity(0)), server.cores)
        self._server_cores = server_cores
        job = Job(scenario.mode, scenario.deflate, data)
        self.process, self._address = server.start(server_cores, job)

    def __enter__(self) -> Run:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.__exit__()

    def measure(self, round_number: int) -> Measurement:
        """Warms up, connects, loads."""
        self.warm_up()
        kernel, before = kernel_memory_bytes(), self.process.usage()
        with self._loads(self._groups(), self._seconds) as loads:
            loads.open()
            opened, kernel_opened = self.process.usage(), kernel_memory_bytes()
            softirq = softirq_seconds(self._server_cores)
            loads.go()
            reports = loads.finish()
            after = self.process.usage()
            softirq = softirq_seconds(self._server_cores) - softirq
        return assemble(
            self._scenario,
            self._server.name,
            round_number,
            reports,
            (before, opened, after),
            kernel_bytes=kernel_opened - kernel,
            softirq=softirq,
        )

    def load_while(self, process_command: Sequence[str]) -> None:
        """Loads the server while another command, a profiler, runs to its end.

        It sees the connecting in a scenario that is about that, else what comes after.
        """
        self.warm_up()
        with self._loads(self._groups(), self._seconds) as loads:
            if self._scenario.seconds:
                loads.open()
            with Process(process_command, self._load_cores) as profiler:
                if not self._scenario.seconds:
                    loads.open()
                loads.go()
                loads.finish()
                profiler.wait()

    def warm_up(self) -> None:
        """A short load of the same kind, so that nothing is measured that happens once in a server's life."""
        if isinstance(self._scenario.load, ChatLoad):
            return
        load = dataclasses.replace(
            WARM_UP, pattern=self._scenario.load.pattern, payload_bytes=self._scenario.load.payload_bytes
        )
        with self._loads([Group("", load.processes(self._server.dialect))], WARM_UP_SECONDS) as loads:
            loads.open()
            loads.go()
            loads.finish()

    def _groups(self) -> list[Group]:
        load = self._scenario.load
        if isinstance(load, ChatLoad):
            return [Group("main", [load.arguments(str(self._users))])]
        groups = [Group("main", load.processes(self._server.dialect))]
        if self._scenario.side is not None:
            groups.append(Group("side", self._scenario.side.processes(self._server.dialect)))
        return groups

    def _loads(self, groups: Sequence[Group], seconds: float) -> Loads:
        common = ["--seconds", str(seconds)] + (["--deflate"] if self._scenario.deflate else [])
        return Loads([self._address], groups, self._load_cores, common)


def split_cores(cores: Sequence[int], wanted: int) -> tuple[list[int], list[int]]:
    """Cores for the server, and for the load: at least one each, the same one if there is no other."""
    count = max(1, min(wanted, len(cores) - 1))
    return list(cores[:count]), list(cores[count:]) or list(cores)


def assemble(
    scenario: Scenario,
    server: str,
    round_number: int,
    reports: dict[str, Report],
    usages: tuple[Usage, Usage, Usage],
    *,
    kernel_bytes: float,
    softirq: float,
) -> Measurement:
    """The measurement that follows from what the load saw and what the system counted.

    `usages` are from before the first connection, when all stood, and at the end.
    """
    before, opened, after = usages
    main = reports["main"]
    connections = max(1, sum(report["connections"] for report in reports.values()))
    is_answer = scenario.name == "chat-publish" or scenario.mode == "sink"
    operations = main["acknowledged"] if is_answer else main["operations"]
    cpu = after.cpu_seconds - opened.cpu_seconds
    elapsed = main["seconds"]
    latency = main["answer_us" if is_answer else "latency_us"]
    side = reports["side"]["latency_us"] if "side" in reports else []
    resumes = sum(count for _, count in main["resume_us"])

    def each(seconds: float) -> float | None:
        return seconds * 1e6 / operations if operations else None

    def per_second(amount: float) -> float | None:
        return amount / elapsed if operations and elapsed else None

    def counts(key: str) -> dict[str, int]:
        merged: dict[str, int] = {}
        for report in reports.values():
            for name, count in report[key].items():
                merged[name] = merged.get(name, 0) + count
        return merged

    return Measurement(
        scenario=scenario.name,
        server=server,
        round=round_number,
        operations=operations,
        cpu_us=each(cpu),
        user_us=each(after.user_seconds - opened.user_seconds),
        system_us=each(after.system_seconds - opened.system_seconds),
        softirq_us=each(softirq),
        core_share=per_second(cpu),
        load_share=per_second(main["load_cpu_seconds"]),
        rate=per_second(operations),
        p50_ms=_ms(latency, 0.5),
        p90_ms=_ms(latency, 0.9),
        p99_ms=_ms(latency, 0.99),
        max_ms=_ms(latency, 1.0),
        side_p50_ms=_ms(side, 0.5),
        side_p99_ms=_ms(side, 0.99),
        resume_p99_ms=_ms(main["resume_us"], 0.99),
        resume_us_each=cpu * 1e6 / resumes if resumes else None,
        resumes=resumes,
        published=main["published"],
        acknowledged=main["acknowledged"],
        deliveries=main["deliveries"],
        lost=sum(report["lost"] for report in reports.values()),
        doubled=sum(report["doubled"] for report in reports.values()),
        errors=counts("errors"),
        closes=counts("closes"),
        pushes=counts("pushes"),
        connections=connections,
        connect_us=(opened.cpu_seconds - before.cpu_seconds) * 1e6 / connections,
        connect_rate=connections / max(main["connect_seconds"], 1e-9),
        user_bytes=(opened.private_bytes - before.private_bytes) / connections,
        kernel_bytes=kernel_bytes / connections,
        peak_bytes=after.peak_bytes,
        payload_bytes=main["payload_bytes"] / main["deliveries"] if main["deliveries"] else None,
        deflated_share=min(1.0, main["deflated"] / main["deliveries"]) if main["deliveries"] else None,
    )


def _ms(distribution: Any, share: float) -> float | None:
    value = quantile(distribution, share)
    return None if value is None else value / 1000
