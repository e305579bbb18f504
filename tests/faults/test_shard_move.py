"""A mover killed at every step under load: nodes go on, nothing is lost or doubled, and another run finishes it."""

from __future__ import annotations

import contextlib
import functools
import itertools
import random
import signal
import sys
from collections.abc import AsyncIterator, Iterator

import pytest
import trio

from chat.adapters.distributed.bucket_mover import Step
from chat.adapters.distributed.shard_map import Kind, bucket_of
from chat.domain.rooms import Room
from tests.support.mysql_nodes import AppendCrowd, MySqlNode, mysql_node
from tests.support.mysql_servers import MySqlProcess, mysql_server

ACKED_PER_ROUND = 50
DEADLINE_SECONDS = 600
STEPS = [
    *(Step.SWITCH, Step.ACTIVATE, Step.COPY, Step.CLEAN),
    *(Step.FENCE, Step.COMPARE, Step.CATCH_UP, Step.BEGIN, Step.CLEAR),
]
"""The most dangerous ones first."""


@pytest.fixture(scope="module")
def servers() -> Iterator[list[MySqlProcess]]:
    """Two durable servers."""
    with mysql_server() as first, mysql_server() as second:
        first.sql("CREATE DATABASE one")
        second.sql("CREATE DATABASE two")
        yield [first, second]


@pytest.fixture
def dsns(servers: list[MySqlProcess]) -> dict[str, str]:
    return {"a": servers[0].dsn("one"), "b": servers[1].dsn("two")}


async def run(*command: str) -> int:
    """The exit code of a Python program."""
    done = await trio.run_process([sys.executable, "-m", *command], check=False, capture_stdout=True)
    return done.returncode


def place_of(node: MySqlNode, rooms: list[Room], dsns: dict[str, str]) -> tuple[str, list[str]]:
    """The bucket of the first room, and the shards as flags take them, the one that has it first."""
    bucket = bucket_of(Kind.ROOMS, rooms[0].id)
    home = node.shards.map.shard_of(bucket)
    return str(bucket.number), [f"{name}={dsns[name]}" for name in sorted(dsns, key=lambda name: name != home)]


async def finish(shards: list[str]) -> None:
    """Runs the command again, as an operator would."""
    flags = itertools.chain.from_iterable(("--shard", shard) for shard in shards)
    assert await run("chat.cli", "shards", "move", *flags) == 0


def check_stages(servers: list[MySqlProcess]) -> None:
    for server, database in zip(servers, ("one", "two"), strict=True):
        assert server.sql("SELECT * FROM bucket_map WHERE stage <> ''", database) == []
        assert server.sql("SELECT * FROM bucket_changes", database) == []


@contextlib.asynccontextmanager
async def appending(dsns: dict[str, str]) -> AsyncIterator[tuple[MySqlNode, list[Room], AppendCrowd]]:
    """A node with rooms on both shards, and a crowd that appends to them through it and another one."""
    async with mysql_node(dsns) as first, mysql_node(dsns) as second, trio.open_nursery() as nursery:
        user = await first.new_user()
        rooms = [await first.room_on("a", user), await first.room_on("b", user)]
        crowd = AppendCrowd([first, second], rooms)
        await nursery.start(crowd.run, user)
        yield first, rooms, crowd
        await crowd.until_acked(ACKED_PER_ROUND)
        crowd.finish()


async def test_a_mover_that_is_killed_at_any_step_can_be_run_again(
    servers: list[MySqlProcess], dsns: dict[str, str], fault_rounds: int
) -> None:
    rounds = fault_rounds // 2
    with trio.fail_after(DEADLINE_SECONDS):
        async with appending(dsns) as (first, rooms, crowd):
            for step in itertools.islice(itertools.cycle(STEPS), rounds):
                await crowd.until_acked(ACKED_PER_ROUND)
                number, shards = place_of(first, rooms, dsns)
                assert await run("tests.support.move_until", step, number, *shards) == -signal.SIGKILL
                crowd.history.faults += 1
                await crowd.until_acked(ACKED_PER_ROUND)  # nobody waits for the one that is gone
                await finish(shards)
                await first.shards.reload()
    check_stages(servers)
    crowd.history.check(min_acked=(2 * rounds + 1) * ACKED_PER_ROUND, min_faults=rounds)


async def test_a_move_outlives_servers_that_are_killed(
    servers: list[MySqlProcess], dsns: dict[str, str], fault_rounds: int
) -> None:
    """The old place, the new one, at any moment."""
    rounds = fault_rounds // 4
    with trio.fail_after(DEADLINE_SECONDS):
        async with appending(dsns) as (first, rooms, crowd):
            for server in itertools.islice(itertools.cycle(servers), rounds):
                await crowd.until_acked(ACKED_PER_ROUND)
                number, shards = place_of(first, rooms, dsns)
                async with trio.open_nursery() as moving:
                    flags = itertools.chain.from_iterable(("--shard", shard) for shard in shards)
                    between = ["--from", shards[0][0], "--to", shards[1][0], "--buckets", number, "--kind", "rooms"]
                    moving.start_soon(functools.partial(run, "chat.cli", "shards", "move", *between, *flags))
                    await trio.sleep(random.uniform(0.5, 3))  # any moment may be the wrong one
                    server.kill()
                    crowd.history.faults += 1
                    server.launch()
                    await trio.to_thread.run_sync(server.until_ready)
                await finish(shards)
                await first.shards.reload()
    check_stages(servers)
    crowd.history.check(min_acked=(rounds + 1) * ACKED_PER_ROUND, min_faults=rounds)
