"""Leases of nodes: held while renewed, told once when lapsed."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from chat.adapters.distributed.node_registry import LEASE_SECONDS, NodeInfo, NodeRegistry
from chat.adapters.distributed.redis_client import RedisClient, open_redis
from chat.adapters.distributed.redis_command import Command
from tests.support.clocks import ManualClock
from tests.support.redis_servers import REDIS_KINDS, emptied

DEADLINE_SECONDS = 20
ANNA = NodeInfo(node="a", address="a.example:443", region="eu", connections=7, max_connections=10_000)
BERT = NodeInfo(node="b")


@pytest.fixture(params=REDIS_KINDS)
async def redis(request: pytest.FixtureRequest) -> AsyncIterator[RedisClient]:
    async with open_redis(emptied(request.param).url, deadline_seconds=DEADLINE_SECONDS) as redis:
        yield redis


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def registry(redis: RedisClient, clock: ManualClock) -> NodeRegistry:
    return NodeRegistry(redis, clock=clock)


async def test_a_node_is_listed_with_what_it_told_last(registry: NodeRegistry, clock: ManualClock) -> None:
    assert await registry.nodes() == []
    assert await registry.renew(BERT) is False
    clock.advance(1)
    await registry.renew(NodeInfo(node="a"))
    assert await registry.renew(ANNA) is True
    assert await registry.nodes() == [BERT, ANNA]


async def test_a_node_that_does_not_renew_is_gone_and_told_once(registry: NodeRegistry, clock: ManualClock) -> None:
    await registry.renew(ANNA)
    await registry.renew(BERT)
    clock.advance(LEASE_SECONDS - 1)
    await registry.renew(BERT)
    assert await registry.reap() == []
    clock.advance(2)
    assert await registry.nodes() == [BERT]
    assert await registry.reap() == ["a"]
    assert await registry.reap() == []


async def test_a_node_learns_that_the_others_took_it_for_dead(registry: NodeRegistry, clock: ManualClock) -> None:
    await registry.renew(ANNA)
    clock.advance(LEASE_SECONDS + 1)
    assert await registry.renew(ANNA) is False
    assert await registry.renew(ANNA) is True


async def test_a_node_that_leaves_is_not_told_as_lapsed(registry: NodeRegistry, clock: ManualClock) -> None:
    await registry.renew(ANNA)
    await registry.leave("a")
    assert await registry.nodes() == []
    clock.advance(LEASE_SECONDS + 1)
    assert await registry.reap() == []


async def test_a_description_of_another_version_hides_that_node_only(
    registry: NodeRegistry, redis: RedisClient
) -> None:
    await registry.renew(ANNA)
    await registry.renew(BERT)
    key = "nodes:{nodes}:descriptions"
    await redis.ask(Command(key, "HSET", key, "b", b"\xc1"))
    assert await registry.nodes() == [ANNA]
