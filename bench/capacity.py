"""What a fleet needs, computed from a plan and measured costs; `docs/capacity.md` shows the outcome.

    python -m bench capacity --users 200000 --listeners 50
    python -m bench capacity --page docs/capacity.md         # after a change of the costs

Every cost was measured on the machine that the results name. Another machine has other costs: measure there, put them
into `Costs`, and write the page anew.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import re
from collections.abc import Iterable
from pathlib import Path

from .tables import table

DAY = 86_400.0
_TABLE = re.compile(r"\A(\|.*\n)+")


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """What is asked for. The fields are flags."""

    users: int = 1_000_000
    """online at the same time"""
    sockets_per_node: int = 10_000
    """of each node, in normal times"""
    messages_per_user_day: float = 20.0
    """that each user writes"""
    peak_per_second: float = 2_500.0
    """messages of all users in the busiest second"""
    message_bytes: int = 1_000
    """on the wire and in the database"""
    listeners: int = 250
    """members online in the room of a message"""
    rooms_per_user: int = 5
    """that each connection has joined"""
    connects_per_user_day: float = 10.0
    """mobile phones come and go"""
    hot_days: int = 90
    """before messages go to the archive"""
    shard_gigabytes: int = 500
    """a database that can still be copied in an hour"""
    storm_seconds: float = 60.0
    """over which clients come back when all were cut off"""
    utilisation: float = 0.5
    """of a core at peak: the other half is for faults, and for what was not measured"""


@dataclasses.dataclass(frozen=True, slots=True)
class Costs:
    """Measured: µs of CPU and bytes, each for one.

    From `cluster` (three nodes, 500 messages a second, unless said otherwise), `cluster_redis`, `cluster_database`.
    """

    delivery_us: float = 7.2
    """reactor threads ÷ deliveries"""
    event_us: float = 69.0
    """trio thread: (across the nodes − `--local`) ÷ 2 further nodes"""
    publish_us: float = 1_800.0
    """trio thread, `--rate 60`: a message that nobody shares anything with"""
    commit_us: float = 1_400.0
    """asyncio thread, likewise"""
    connection_us: float = 520.0
    """all threads: token, session, joined room; 900 that share nothing, 244 if 9,000 come at once"""
    presence_us: float = 4.3
    """docs/redis.md"""
    connection_bytes: int = 2_896
    """bench/results, chat-connections"""
    kernel_bytes: int = 3_900
    """slab objects of one end of a socket"""
    node_bytes: int = 130_000_000
    """resident, with nobody there"""
    redis_publish_us: float = 2.2
    redis_listener_us: float = 0.52
    redis_recent_us: float = 13.8
    redis_presence_us: float = 3.9
    redis_rate_us: float = 7.6
    redis_session_us: float = 6.0
    redis_reap_us: float = 481.0
    redis_presence_bytes: int = 226
    redis_session_bytes: int = 538
    redis_recent_bytes: int = 1_212
    database_us: float = 740.0
    """one message a commit"""
    replica_us: float = 320.0
    row_bytes: float = 1_660.0
    """100 messages a commit, 900 B of text: pages are two thirds full"""
    binlog_bytes: float = 1_300.0
    """one message a commit, without annotations and with minimal row images"""
    connect_queries: float = 2.5
    """Questions of the databases; 0.5 if 9,000 come at once"""


@dataclasses.dataclass(frozen=True, slots=True)
class Line:
    """One line of the page."""

    what: str
    value: str
    formula: str
    measured: str = ""


class Capacity:
    """The lines of each section, from the nodes to the archive."""

    def __init__(self, plan: Plan, costs: Costs) -> None:
        self._plan = plan
        self._costs = costs
        self.nodes = math.ceil(plan.users / plan.sockets_per_node)
        self.reached = self.nodes * (1 - (1 - 1 / self.nodes) ** plan.listeners)
        """Nodes that have a listener of a message: each has so many chances to be one of them."""

    def sections(self) -> dict[str, Iterable[Line]]:
        """By title."""
        return {
            "Nodes": self._nodes(),
            "Redis": self._redis(),
            "Databases": self._databases(),
            "Bandwidth": self._bandwidth(),
            "Faults": self._faults(),
        }

    @property
    def _plan_factor(self) -> float:
        """How much busier the busiest second is than the mean."""
        plan = self._plan
        return plan.peak_per_second / (plan.users * plan.messages_per_user_day / DAY)

    @property
    def _connects(self) -> float:
        """Connections made in the busiest second."""
        return self._plan.users * self._plan.connects_per_user_day / DAY * self._plan_factor

    @property
    def _renewals(self) -> float:
        """Presence entries that are renewed in a second: each every ten seconds."""
        return self._plan.users * self._plan.rooms_per_user / 10

    def _nodes(self) -> Iterable[Line]:
        plan, costs, nodes = self._plan, self._costs, self.nodes
        memory = costs.node_bytes + plan.sockets_per_node * (costs.connection_bytes + costs.kernel_bytes)
        python = {
            "message published": (plan.peak_per_second / nodes, costs.publish_us),
            "message committed": (plan.peak_per_second / nodes, costs.commit_us),
            "message heard": (plan.peak_per_second * self.reached / nodes, costs.event_us),
            "connection made": (self._connects / nodes, costs.connection_us),
            "presence entry renewed": (self._renewals / nodes, costs.presence_us),
        }
        yield Line("nodes", f"{nodes:,}", "users ÷ sockets a node")
        yield Line("nodes that a message reaches", f"{self.reached:.0f}", "nodes × (1 − (1 − 1 ÷ nodes) ^ listeners)")
        yield Line(
            "memory of a node",
            _bytes(memory),
            "process + sockets × (connection + kernel's end of it)",
            f"{_bytes(costs.node_bytes)}, {costs.connection_bytes:,} B, {costs.kernel_bytes:,} B",
        )
        for what, (rate, each) in python.items():
            yield _cores(f"Python: {what}", rate, each)
        total = sum(rate * each for rate, each in python.values()) / 1e6
        yield Line("Python, all of it", f"{total:.2f} core", "the sum; all Python threads of a node share one core")
        yield _cores("reactor threads: delivery", plan.peak_per_second * plan.listeners / nodes, costs.delivery_us)

    def _redis(self) -> Iterable[Line]:
        plan, costs = self._plan, self._costs
        parts = [
            ("publish", plan.peak_per_second, costs.redis_publish_us),
            ("copy for one more node", plan.peak_per_second * (self.reached - 1), costs.redis_listener_us),
            ("recent message", plan.peak_per_second, costs.redis_recent_us),
            ("rate bucket (two a message)", 2 * plan.peak_per_second, costs.redis_rate_us),
            ("presence entry renewed", self._renewals, costs.redis_presence_us),
            ("session touched", self._connects, costs.redis_session_us),
            ("reap of presence", self.nodes / 3, costs.redis_reap_us),
        ]
        for what, rate, each in parts:
            yield _cores(what, rate, each)
        cores = sum(rate * each for _, rate, each in parts) / 1e6
        yield Line("all of it", f"{cores:.1f} cores", "the sum")
        yield Line("primaries, a replica each", f"{self.redis_primaries(cores)}", "cores ÷ utilisation, at least 3")
        entries, active = plan.users * plan.rooms_per_user, plan.users / plan.listeners
        memory = {
            "presence": (entries, costs.redis_presence_bytes),
            "sessions": (plan.users, costs.redis_session_bytes),
            "recent messages, 200 in each active room": (200 * active, costs.redis_recent_bytes),
        }
        for what, (count, each) in memory.items():
            yield Line(f"memory: {what}", _bytes(count * each), f"{count:,.0f} ×", f"{each:,} B")

    def redis_primaries(self, cores: float) -> int:
        """A server of Redis has one core."""
        return max(3, math.ceil(cores / self._plan.utilisation))

    def _databases(self) -> Iterable[Line]:
        plan, costs = self._plan, self._costs
        daily = plan.users * plan.messages_per_user_day
        hot = daily * plan.hot_days * costs.row_bytes
        shards = max(2, math.ceil(hot / plan.shard_gigabytes / 1e9))
        yield Line("messages a day", f"{daily / 1e6:,.0f} M", "users × messages of a user and day")
        yield Line("rows a day", _bytes(daily * costs.row_bytes), "messages ×", f"{costs.row_bytes:,.0f} B")
        yield Line("binary log a day", _bytes(daily * costs.binlog_bytes), "messages ×", f"{costs.binlog_bytes:,.0f} B")
        yield Line("kept in databases", _bytes(hot), f"rows a day × {plan.hot_days} days")
        yield Line("shards", f"{shards}", f"kept ÷ {plan.shard_gigabytes} GB, at least 2; the CPU asks for fewer")
        yield _cores("all primaries: message committed alone", plan.peak_per_second, costs.database_us)
        yield _cores("a replica: message applied", plan.peak_per_second / shards, costs.replica_us)
        yield Line("", "", "a replica applies on one thread: below 1, or it falls behind")

    def _bandwidth(self) -> Iterable[Line]:
        plan = self._plan
        paths = [
            ("clients → nodes", 1.0, "messages"),
            ("nodes → clients", float(plan.listeners), "messages × listeners"),
            ("nodes → Redis", 2.0, "messages × 2: event, recent message"),
            ("Redis → nodes", self.reached, "messages × nodes reached"),
            ("nodes → databases", 1.0, "messages"),
            ("each database → its replica", 1.0, "messages, all shards together"),
        ]
        for what, copies, formula in paths:
            bits = plan.peak_per_second * copies * plan.message_bytes * 8
            yield Line(what, f"{bits / 1e6:,.0f} Mbit/s", f"{formula} × {plan.message_bytes:,} B")

    def _faults(self) -> Iterable[Line]:
        plan, costs, nodes = self._plan, self._costs, self.nodes
        moved = plan.sockets_per_node / max(1, nodes - 1)
        yield Line("a node lost: sockets that each other one gets", f"{moved:,.0f}", "sockets ÷ (nodes − 1)")
        yield Line("– its Python is busy with them for", f"{moved * costs.connection_us / 1e3:.0f} ms", "× connection")
        spare = nodes - math.ceil(plan.users / 16_000)
        yield Line("nodes that may be missing at a time", f"{spare}", "nodes − users ÷ 16,000 (`max_connections`)")
        storm = plan.sockets_per_node * costs.connection_us / plan.storm_seconds / 1e6
        yield Line(
            "all clients back in a minute: Python",
            f"{storm:.2f} core",
            f"sockets × connection ÷ {plan.storm_seconds:g} s",
        )
        queries = plan.users * costs.connect_queries / plan.storm_seconds
        yield Line(
            "– queries to all databases",
            f"{queries:,.0f}/s",
            "users × queries ÷ seconds",
            f"{costs.connect_queries:g} queries",
        )


def _cores(what: str, rate: float, each_us: float) -> Line:
    return Line(what, f"{rate * each_us / 1e6:.3f} core", f"{rate:,.0f}/s ×", f"{each_us:,g} µs")


def _bytes(count: float) -> str:
    for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if count >= size:
            return f"{count / size:,.1f} {unit}"
    return f"{count:,.0f} B"


def tables(plan: Plan, costs: Costs) -> dict[str, str]:
    """The Markdown table of each section."""
    header = ["", "needed", "how", "measured"]
    return {
        title: table(header, [[line.what, line.value, line.formula, line.measured] for line in lines])
        for title, lines in Capacity(plan, costs).sections().items()
    }


def renewed(page: str, plan: Plan, costs: Costs) -> str:
    """The page with the table below each of our headings computed anew."""
    for title, text in tables(plan, costs).items():
        before, heading, rest = page.partition(f"## {title}\n\n")
        if heading:
            page = f"{before}{heading}{text}\n{re.sub(_TABLE, '', rest)}"
    return page


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """A flag for each field of the plan."""
    for field in dataclasses.fields(Plan):
        kind = type(field.default)
        flag = "--" + field.name.replace("_", "-")
        parser.add_argument(flag, type=kind, default=field.default, metavar="N", help=f"[{field.default:,}]")
    parser.add_argument("--page", type=Path, metavar="FILE", help="renew the tables there instead of printing them")


def run(arguments: argparse.Namespace) -> int:
    """Prints the tables."""
    plan = Plan(**{field.name: getattr(arguments, field.name) for field in dataclasses.fields(Plan)})
    if arguments.page is not None:
        arguments.page.write_text(renewed(arguments.page.read_text(), plan, Costs()))
        return 0
    for title, text in tables(plan, Costs()).items():
        print(f"## {title}\n\n{text}\n")
    return 0
