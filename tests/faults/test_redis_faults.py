"""Redis broken in every way under a node that is talked to: sockets stay, no message is lost, all of them arrive."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from tests.support.history_checker import History
from tests.support.node_process import Node, node_process
from tests.support.publishers import Crowd, crowd
from tests.support.redis_servers import ClusterSetup, RedisProcess, SentinelSetup
from tests.support.suffering import NO_RATES, QUICK, suffer

ACKED = 200
"""Acknowledged messages before, during and after a fault."""
ARRIVAL_SECONDS = 60.0
"""For what was said during a fault to reach every listener; 10 s are promised, to a machine that is not loaded."""
endure = functools.partial(suffer, acked=ACKED, heard_seconds=ARRIVAL_SECONDS)


@contextlib.asynccontextmanager
async def talking(directory: Path, url: str, history: History) -> AsyncIterator[tuple[Node, Crowd]]:
    """A node on Redis, and people who talk there."""
    async with (
        node_process(directory, "--redis", url, *NO_RATES) as node,
        crowd(node.url, history, QUICK) as people,
    ):
        yield node, people


def judge(history: History, people: Crowd, faults: int) -> None:
    history.check(min_acked=(2 * faults + 1) * ACKED, min_faults=faults)
    assert not people.outages, "sockets stay"


@pytest.mark.slow
async def test_one_server_wiped_deaf_mute_full_and_killed(
    tmp_path: Path, own_redis: RedisProcess, fault_rounds: int
) -> None:
    rounds = max(1, fault_rounds // 4)
    history = History()
    async with talking(tmp_path, own_redis.url, history) as (node, people):

        async def wiped() -> None:
            own_redis.command("FLUSHALL")
            await people.until_acked(ACKED)

        async def deaf() -> None:
            own_redis.command("CLIENT", "KILL", "TYPE", "pubsub")
            await people.until_acked(ACKED)

        async def mute() -> None:
            own_redis.pause()
            await people.until_acked(ACKED)
            own_redis.resume()

        async def full() -> None:
            own_redis.command("CONFIG", "SET", "maxmemory", "1")
            await people.until_acked(ACKED)
            own_redis.command("CONFIG", "SET", "maxmemory", "0")

        async def killed() -> None:
            own_redis.kill()
            await people.until_acked(ACKED)
            own_redis.start()

        await endure(people, *[wiped, deaf, mute, full, killed] * rounds)
    judge(history, people, 5 * rounds)
    assert "Traceback" not in node.log


@pytest.mark.slow
async def test_a_failover_by_sentinel_and_the_return_of_the_old_primary(
    tmp_path: Path, sentinel: SentinelSetup
) -> None:
    history = History()
    async with talking(tmp_path, sentinel.url, history) as (node, people):

        async def primary_mute() -> None:
            sentinel.primary.pause()
            await people.until_acked(ACKED)
            await trio.to_thread.run_sync(replaced)

        def replaced() -> None:
            sentinel.sentinels[0].wait_until(lambda: sentinel.primaries == [sentinel.replica])

        async def primary_back() -> None:
            sentinel.primary.resume()
            await people.until_acked(ACKED)

        await endure(people, primary_mute, primary_back)
    judge(history, people, 2)
    assert "Traceback" not in node.log


@pytest.mark.slow
async def test_a_failover_in_a_cluster(tmp_path: Path, cluster: ClusterSetup) -> None:
    history = History()
    async with talking(tmp_path, cluster.url, history) as (node, people):

        async def primary_killed() -> None:
            victim = cluster.primaries[0]
            victim.kill()
            await people.until_acked(ACKED)
            await trio.to_thread.run_sync(lambda: cluster.nodes[-1].wait_until(lambda: victim not in cluster.primaries))

        await endure(people, primary_killed)
    judge(history, people, 1)
    assert "Traceback" not in node.log
