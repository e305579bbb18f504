"""A shard fails over to its replica under load: nothing acknowledged is lost, and the old primary writes no more."""

from __future__ import annotations

import contextlib
import functools
import random
import sys
from collections.abc import AsyncIterator, Iterator

import pytest
import structlog
import trio

from chat.adapters.distributed.asyncio_bridge import AsyncioBridge
from chat.adapters.distributed.bucket_map import read_version
from chat.adapters.distributed.mysql_dsn import parse_shards
from chat.adapters.distributed.mysql_metrics import mysql_metrics
from chat.adapters.distributed.mysql_pool import Session
from chat.adapters.distributed.mysql_server import MySqlServer
from chat.adapters.distributed.mysql_shards import migrate_shards
from chat.domain.errors import Unavailable
from tests.support.mysql_nodes import AppendCrowd, MySqlNode, mysql_node
from tests.support.mysql_servers import SEMI_SYNC, MySqlProcess, mysql_pair, mysql_server
from tests.support.tcp_proxy import TcpProxy, tcp_proxy

ACKED = 200
"""Acknowledged messages before and after a fail-over."""
DEADLINE_SECONDS = 180
IMPATIENT = "SET GLOBAL rpl_semi_sync_master_timeout=2000"
"""Lets a primary go on alone when its replica says nothing for two seconds."""


async def run(*words: str) -> str:
    """What a command prints."""
    done = await trio.run_process([sys.executable, "-m", "chat.cli", *words], capture_stdout=True)
    return done.stdout.decode()


class Shard:
    """A primary, its replica, and an address that leads to one of them, with people who append through two nodes."""

    def __init__(self, primary: MySqlProcess, replica: MySqlProcess, address: TcpProxy, link: TcpProxy) -> None:
        self.primary = primary
        self.replica = replica
        self.link = link
        """From the replica to the primary."""
        self.nodes: list[MySqlNode] = []
        self.crowd: AppendCrowd
        self._address = address
        self._dsn = primary.dsn("chat").replace(f":{primary.port}/", f":{address.port}/")

    async def promote(self) -> None:
        """What an operator does. Connections that are open to the old primary stay so."""
        self.crowd.history.faults += 1
        await trio.to_thread.run_sync(self.replica.become_primary)
        self._address.target_port = self.replica.port
        promoted = await run("shards", "promote", "a", "--shard", f"a={self._dsn}")
        assert promoted.startswith("a\t1\t"), promoted

    @contextlib.asynccontextmanager
    async def talking(self, deadline_seconds: float) -> AsyncIterator[None]:
        """Judges what was said, before the block, in it, and after it."""
        node = functools.partial(mysql_node, {"a": self._dsn}, deadline_seconds=deadline_seconds)
        async with node() as first, node() as second, trio.open_nursery() as nursery:
            self.nodes = [first, second]
            user = await first.new_user()
            self.crowd = AppendCrowd(self.nodes, [await first.room_on("a", user) for _ in range(3)])
            await nursery.start(self.crowd.run, user)
            await self.crowd.until_acked(ACKED)
            yield
            await self.crowd.until_acked(ACKED)
            self.crowd.finish()
        self.crowd.history.check(min_acked=2 * ACKED, min_faults=1)


@contextlib.asynccontextmanager
async def semi_synchronous_shard(deadline_seconds: float = 5.0) -> AsyncIterator[Shard]:
    """`deadline_seconds` is how long calls of nodes wait for an answer."""
    with mysql_pair(*SEMI_SYNC) as (primary, replica):
        primary.sql("CREATE DATABASE chat")
        with trio.fail_after(DEADLINE_SECONDS):
            async with tcp_proxy(primary.port) as address, tcp_proxy(primary.port) as link:
                replica.sql(f"STOP SLAVE; CHANGE MASTER TO master_port={link.port}; START SLAVE")
                await trio.to_thread.run_sync(primary.become_semi_synchronous)
                shard = Shard(primary, replica, address, link)
                async with shard.talking(deadline_seconds):
                    yield shard


@pytest.fixture
def rounds(fault_rounds: int) -> range:
    """Each with servers of its own."""
    return range(max(1, fault_rounds // 4))


# --- with semi-synchronous replication ---


async def test_a_primary_that_is_killed_takes_nothing_with_it(rounds: range) -> None:
    """F20."""
    for _ in rounds:
        async with semi_synchronous_shard() as shard:
            shard.link.fall_silent()  # what is not there by now will not come
            await trio.sleep(random.uniform(0, 0.2))  # any moment may be the wrong one
            shard.primary.kill()
            await shard.promote()


async def test_an_old_primary_that_goes_on_acknowledges_nothing(rounds: range) -> None:
    """F21: no node may know of the new one yet."""
    for _ in rounds:
        async with semi_synchronous_shard() as shard:
            await trio.sleep(random.uniform(0, 0.2))
            shard.primary.pause()
            await shard.promote()
            shard.primary.resume()


async def test_nodes_tell_whether_a_primary_waits_for_its_replica() -> None:
    """F20."""
    with mysql_pair(*SEMI_SYNC) as (primary, replica):
        primary.sql("CREATE DATABASE chat")
        primary.become_semi_synchronous()
        dsn = f"{primary.dsn('chat')},{replica.dsn('chat')}"
        with trio.fail_after(DEADLINE_SECONDS), structlog.testing.capture_logs() as logs:
            async with mysql_node({"a": dsn}) as node:
                await until_semi_synchronous(node, True)
                assert "\tsemi-synchronous," in await run("shards", "status", "--shard", f"a={dsn}")
                primary.sql(IMPATIENT)
                replica.sql("STOP SLAVE IO_THREAD")
                await until_semi_synchronous(node, False)
                assert "\tnot semi-synchronous," in await run("shards", "status", "--shard", f"a={dsn}")
                replica.sql("START SLAVE IO_THREAD")
                await until_semi_synchronous(node, True)
    told = [(entry["event"], entry["log_level"]) for entry in logs if "semi_synchronous" in entry["event"]]
    well = ("shard_semi_synchronous", "info")
    assert told == [well, ("shard_not_semi_synchronous", "warning"), well]


async def until_semi_synchronous(node: MySqlNode, wanted: bool) -> None:
    """The node measures by itself; the server has to find out, too."""
    while metric_of(node) != [({"shard": "a"}, wanted)]:  # noqa: ASYNC110
        await trio.sleep(0.05)


def metric_of(node: MySqlNode) -> list[tuple[dict[str, str], float]]:
    [family] = [each for each in mysql_metrics(node.shards) if each.name.endswith("mysql_semi_synchronous")]
    return [(sample.labels, sample.value) for sample in family.samples]


# --- with fencing ---


async def test_an_old_primary_is_left_alone_once_the_new_one_is_known(rounds: range) -> None:
    """F21: it would soon acknowledge what its replica does not have, to those that wait for an answer, too."""
    for _ in rounds:
        async with semi_synchronous_shard(deadline_seconds=20.0) as shard:
            shard.primary.sql(IMPATIENT)
            await trio.sleep(random.uniform(0, 0.2))
            shard.primary.pause()
            await shard.promote()
            for node in shard.nodes:
                await until_met(node.shards.primaries["a"])
            shard.primary.resume()


async def until_met(primary: MySqlServer) -> None:
    """Looks where the address leads to, as a node does every five seconds."""
    while True:
        with contextlib.suppress(Unavailable):
            await primary.run(read_version, fresh=True)
            return
        await trio.sleep(0.1)


@pytest.fixture(scope="module")
def server() -> Iterator[MySqlProcess]:
    with mysql_server() as server:
        server.sql("CREATE DATABASE chat")
        yield server


@pytest.fixture
async def primary(server: MySqlProcess) -> AsyncIterator[MySqlServer]:
    """The server as a node has it, which looks for a new one only when it is told to."""
    with trio.fail_after(DEADLINE_SECONDS):
        async with AsyncioBridge() as bridge:
            [shard] = parse_shards([f"a={server.dsn('chat')}"])
            await migrate_shards(bridge, [shard])
            primary = MySqlServer(bridge, shard.primary, "a", is_primary=True)
            yield primary
            await primary.aclose()


def step_generation(server: MySqlProcess, step: int) -> None:
    """1: the address leads to a new primary; -1: to the old one again."""
    server.sql(f"UPDATE map_version SET generation = generation + {step}", "chat")


async def connection_id(session: Session) -> int:
    [(number, _)] = await session.rows("SELECT CONNECTION_ID(), SLEEP(0.1)")
    return int(number)


async def connections(primary: MySqlServer) -> set[int]:
    """Three that are used at the same time."""
    found: set[int] = set()

    async def use() -> None:
        found.add(await primary.run(connection_id))

    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(use)
    assert len(found) == 3
    return found


async def test_connections_to_an_old_primary_are_closed_when_the_new_one_is_met(
    server: MySqlProcess, primary: MySqlServer
) -> None:
    old = await connections(primary)
    step_generation(server, 1)
    assert await connections(primary) == old, "nobody has noticed"
    fresh = await primary.run(connection_id, fresh=True)
    new = await connections(primary)
    assert fresh in new
    assert not old & new
    open_ids = "SELECT id FROM information_schema.processlist WHERE db = 'chat'"
    server.wait_until(lambda: not old & {int(number) for [number] in server.sql(open_ids)})


async def test_an_old_primary_is_refused_on_a_new_connection(server: MySqlProcess, primary: MySqlServer) -> None:
    step_generation(server, 1)
    await primary.run(read_version, fresh=True)
    step_generation(server, -1)
    with structlog.testing.capture_logs() as logs:
        for _ in range(2):
            with pytest.raises(Unavailable):
                await primary.run(read_version, fresh=True)
    [told] = [entry for entry in logs if entry["event"] == "primary_superseded"]
    assert (told["log_level"], told["highest"] - told["generation"]) == ("error", 1)
    assert told["server"].endswith(f":{server.port}")
    step_generation(server, 1)
    await until_met(primary)


async def test_what_an_old_primary_has_done_meanwhile_does_not_count(
    server: MySqlProcess, primary: MySqlServer
) -> None:
    begun = trio.Event()
    token = trio.lowlevel.current_trio_token()

    async def work(session: Session) -> None:
        token.run_sync_soon(begun.set)
        await session.rows("SELECT SLEEP(0.5)")

    async def ask() -> None:
        with pytest.raises(Unavailable):
            await primary.run(work, idempotent=False)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        await begun.wait()
        step_generation(server, 1)
        await primary.run(read_version, fresh=True)
