"""A shard that fails over to its replica, and how it is known whether it may."""

from __future__ import annotations

import sys

import structlog
import trio

from chat.adapters.distributed.mysql_metrics import mysql_metrics
from tests.support.mysql_nodes import MySqlNode, mysql_node
from tests.support.mysql_servers import SEMI_SYNC, mysql_pair

DEADLINE_SECONDS = 180
IMPATIENT = "SET GLOBAL rpl_semi_sync_master_timeout=2000"
"""Lets a primary go on alone when its replica says nothing for two seconds."""


async def run(*words: str) -> str:
    """What a command prints."""
    done = await trio.run_process([sys.executable, "-m", "chat.cli", *words], capture_stdout=True)
    return done.stdout.decode()


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
