"""A whole cluster on this machine under an open load: is it right, how fast, and what does a message cost where.

All processes share all cores, the load's too, so rates and latencies are what the machine gives; CPU for each message
is what a process costs wherever it runs.
"""

from __future__ import annotations

import collections
import dataclasses
import os
import re
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import trio

from chat.bootstrap import open_ports
from chat.config import ChatConfig
from chat.dev_cluster import DevCluster, dev_cluster
from chat.dev_cluster.child import Child
from chat.dev_cluster.mysql_flavour import DATABASE
from chat.dev_cluster.mysql_shard import MySqlServer
from chat.dev_cluster.redis_cluster import RedisServer
from chat.logging import configure_logging
from chat.settings import load

from . import profiles
from .cluster_database import table_bytes
from .load import Group, Loads, Report, quantile
from .process import Process, Usage, usage_of
from .scenarios import ChatLoad
from .seed import Line, Population, populate, write_users
from .servers import CHAT_OPTIONS

SETTLE_SECONDS = 3.0
"""After the last connection, so that presence has been told and is not measured."""
REPLICA_SECONDS = 30.0
HANDSHAKES = 32
"""Under way at once at each node: a refused join is not repeated, so a slow machine must not be flooded."""
_STATUS = frozenset({"Com_commit", "Questions", "Innodb_data_fsyncs", "Binlog_commits", "Binlog_group_commits"})


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """What is measured."""

    users: int = 9_000
    rooms: int = 200
    zipf: bool = False
    local: bool = False
    """Each room's members are at one node, instead of at all: what a message costs less then is what nodes cost it."""
    rate: float = 500.0
    """Messages a second, all nodes together."""
    seconds: float = 20.0
    text_bytes: int = 128


@dataclasses.dataclass(frozen=True, slots=True)
class Cost:
    """CPU of one process in the measured time."""

    name: str
    user_seconds: float
    system_seconds: float
    threads: dict[str, float]
    """Seconds of each kind of thread, for nodes."""
    peak_bytes: int

    @property
    def seconds(self) -> float:
        """User and system."""
        return self.user_seconds + self.system_seconds


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What was found. Counters are of the measured time."""

    seconds: float
    published: int
    acknowledged: int
    stored: dict[str, int]
    """Messages that each database holds in the end."""
    deliveries: int
    lost: int
    doubled: int
    errors: dict[str, int]
    closes: dict[str, int]
    latency_ms: dict[str, float | None]
    """From when a message was due until a socket had it."""
    answer_ms: dict[str, float | None]
    """Until its sender had the acknowledgement."""
    connect_us: float
    """CPU of a node for each connection: token, session, room."""
    costs: list[Cost]
    connect_counters: dict[str, float]
    """What the servers did for each connection."""
    counters: dict[str, float]
    """Of Redis and the databases, each summed over the primaries."""


def measure(plan: Plan, profile: Path | None = None) -> Measured:
    """Starts a cluster and measures it once; with `profile` py-spy watches a node meanwhile, and writes there.

    Raises: ClusterFailed, LoadFailed.
    """
    flags = [word for option in CHAT_OPTIONS.items() for word in option]
    with (
        tempfile.TemporaryDirectory(prefix="chat-gateway-bench-") as name,
        dev_cluster(Path(name) / "cluster", *flags, "--no-compression") as cluster,
    ):
        files = _seed(cluster, plan, Path(name))
        with Loads(_addresses(cluster), [Group("main", _loads(plan, files))], _cores(), _common(plan)) as loads:
            with _counted(cluster) as connecting:
                loads.open()
            time.sleep(SETTLE_SECONDS)
            with _counted(cluster) as counted, _profiled(cluster, plan, profile):
                loads.go()
                report = loads.finish()["main"]
        return _measured(plan, report, _stored(cluster), connecting, counted)


def _seed(cluster: DevCluster, plan: Plan, directory: Path) -> list[Path]:
    """The users' files, one for each node."""
    config, _ = load(ChatConfig, {}, {}, str(cluster.config))
    configure_logging("console", "error")

    async def fill() -> list[Line]:
        async with open_ports(config) as ports:
            return await populate(
                Population(plan.users, plan.rooms, zipf=plan.zipf),
                users=ports.users,
                rooms=ports.rooms,
                sessions=ports.sessions,
                token_directory=cluster.data_dir,
            )

    lines = trio.run(fill)
    files = [directory / f"users-{node.name}.jsonl" for node in cluster.nodes]
    for number, file in enumerate(files):
        write_users(file, [line for user, line in enumerate(lines) if _place(user, plan) % len(files) == number])
    return files


def _place(user: int, plan: Plan) -> int:
    """What decides on the node; without Zipf the room of a user is the rest of a division by the number of rooms."""
    return user % plan.rooms if plan.local else user // plan.rooms


def _loads(plan: Plan, files: Sequence[Path]) -> list[tuple[str, ...]]:
    """One load process a node, each with its part of the messages."""
    load = ChatLoad(
        population=Population(plan.users, plan.rooms),
        pace=("--rate", plan.rate / len(files)),
        text_bytes=plan.text_bytes,
    )
    return [load.arguments(str(file)) for file in files]


def _addresses(cluster: DevCluster) -> list[str]:
    return [f"127.0.0.1:{node.port}" for node in cluster.nodes]


def _cores() -> list[int]:
    return sorted(os.sched_getaffinity(0))


def _common(plan: Plan) -> list[str]:
    return ["--seconds", str(plan.seconds), "--handshakes", str(HANDSHAKES)]


@contextmanager
def _profiled(cluster: DevCluster, plan: Plan, file: Path | None) -> Iterator[None]:
    if file is None:
        yield
        return
    command = profiles.py_spy_command(cluster.nodes[0].pid, plan.seconds * 0.9, file)
    with Process(command, _cores()) as profiler:
        yield
        profiler.wait()


@dataclasses.dataclass(slots=True)
class _Counted:
    seconds: float = 0.0
    costs: list[Cost] = dataclasses.field(default_factory=list)
    counters: dict[str, float] = dataclasses.field(default_factory=dict)


@contextmanager
def _counted(cluster: DevCluster) -> Iterator[_Counted]:
    """What the block cost; filled when it ends."""
    counted = _Counted()
    operations = count_operations(cluster)
    before = {child.name: (usage_of(child.pid), _threads(child.pid)) for child in cluster.children}
    began = time.monotonic()
    yield counted
    counted.seconds = time.monotonic() - began
    cluster.check()
    counted.costs = [_cost(child, *before[child.name]) for child in cluster.children]
    counted.counters = {name: n - operations.get(name, 0) for name, n in count_operations(cluster).items()}


def _cost(child: Child, usage: Usage, threads: dict[str, float]) -> Cost:
    now = usage_of(child.pid)
    return Cost(
        child.name,
        now.user_seconds - usage.user_seconds,
        now.system_seconds - usage.system_seconds,
        {kind: seconds - threads.get(kind, 0.0) for kind, seconds in _threads(child.pid).items()},
        now.peak_bytes,
    )


def _threads(pid: int) -> dict[str, float]:
    """CPU seconds by the kind of thread: of a node the first is trio's, and the reactors have names."""
    found: dict[str, float] = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        name = "main" if task.name == str(pid) else (task / "comm").read_text().strip()
        kind = name if name == "main" else "reactors" if name.startswith("reactor") else "others"
        found[kind] = found.get(kind, 0.0) + int((task / "schedstat").read_text().split()[0]) / 1e9
    return found


def count_operations(cluster: DevCluster) -> dict[str, float]:
    """Counters that only ever rise, summed over the primaries.

    Of Redis the calls of each command; of the databases what is committed, asked and synced.
    """
    counts: collections.Counter[str] = collections.Counter()
    for server in cluster.redis.primaries:
        counts["redis reads"] += _redis_info(server, "stats")["total_reads_processed"]
        for name, value in _redis_info(server, "commandstats").items():
            counts[f"redis {name.removeprefix('cmdstat_')}"] += value
    for shard in cluster.shards:
        for name, value in shard.primary.sql("SHOW GLOBAL STATUS"):
            if name in _STATUS:
                counts[f"mysql {name}"] += int(value)
        counts["mysql binlog bytes"] += sum(int(size) for _, size, *_ in shard.primary.sql("SHOW BINARY LOGS"))
        counts["mysql table bytes"] += table_bytes(shard.primary)
    return dict(counts)


def _redis_info(server: RedisServer, section: str) -> dict[str, int]:
    """The number at the beginning of each line's value: `calls=12,usec=…` counts as 12."""
    found = {}
    for line in server.command("INFO", section).decode().splitlines():
        if match := re.match(r"(\w[\w|-]*):(?:calls=)?(\d+)", line):
            found[match[1]] = int(match[2])
    return found


def _stored(cluster: DevCluster) -> dict[str, int]:
    """The messages in each database, once the replicas have what their primaries have."""
    counts: dict[str, int] = {}
    for shard in cluster.shards:
        for server in shard.servers:
            end = time.monotonic() + REPLICA_SECONDS
            while (count := _messages(server)) < counts.get(shard.primary.name, 0) and time.monotonic() < end:
                time.sleep(0.1)
            counts[server.name] = count
    return counts


def _messages(server: MySqlServer) -> int:
    [(count,)] = server.sql(f"SELECT COUNT(*) FROM {DATABASE}.messages")
    return int(count)


def _measured(plan: Plan, report: Report, stored: dict[str, int], connecting: _Counted, counted: _Counted) -> Measured:
    connect = sum(cost.seconds for cost in connecting.costs if cost.name.startswith("node"))
    return Measured(
        seconds=counted.seconds,
        published=report["published"],
        acknowledged=report["acknowledged"],
        stored=stored,
        deliveries=report["deliveries"],
        lost=report["lost"],
        doubled=report["doubled"],
        errors=report["errors"],
        closes=report["closes"],
        latency_ms=_quantiles(report["latency_us"]),
        answer_ms=_quantiles(report["answer_us"]),
        connect_us=connect / plan.users * 1e6,
        connect_counters={name: count / plan.users for name, count in connecting.counters.items()},
        costs=[*counted.costs, Cost("load, each of three", report["load_cpu_seconds"], 0.0, {}, 0)],
        counters=counted.counters,
    )


def _quantiles(distribution: Sequence[tuple[int, int]]) -> dict[str, float | None]:
    shares = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p99.9": 0.999, "max": 1.0}
    return {
        name: None if (us := quantile(distribution, share)) is None else us / 1000 for name, share in shares.items()
    }
