"""What every `NodeRegistry` promises."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager

import pytest

from chat.adapters.distributed.node_registry import RedisNodeRegistry
from chat.adapters.distributed.redis_client import RedisClient, open_redis
from chat.adapters.distributed.redis_command import Command
from chat.adapters.embedded.node_registry import MemoryNodeRegistry
from chat.ports.node_registry import LEASE_SECONDS, NodeInfo, NodeRegistry
from tests.support.clocks import ManualClock
from tests.support.redis_servers import REDIS_KINDS, emptied

DEADLINE_SECONDS = 20
ANNA = NodeInfo(node="a", url="wss://a.example", region="eu", connections=7, max_connections=10_000)
BERT = NodeInfo(node="b")
NewRegistry = Callable[[ManualClock], AbstractAsyncContextManager[NodeRegistry]]


@contextlib.asynccontextmanager
async def memory_registry(clock: ManualClock) -> AsyncIterator[NodeRegistry]:
    yield MemoryNodeRegistry(clock=clock)


@contextlib.asynccontextmanager
async def empty_redis(kind: str) -> AsyncIterator[RedisClient]:
    async with open_redis(emptied(kind).url, deadline_seconds=DEADLINE_SECONDS) as redis:
        yield redis


def redis_registry(kind: str) -> NewRegistry:
    @contextlib.asynccontextmanager
    async def registry(clock: ManualClock) -> AsyncIterator[NodeRegistry]:
        async with empty_redis(kind) as redis:
            yield RedisNodeRegistry(redis, clock=clock)

    return registry


REGISTRIES = [
    pytest.param(memory_registry, id="memory"),
    *(pytest.param(redis_registry(kind), id=kind) for kind in REDIS_KINDS),
]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(params=REGISTRIES)
async def registry(request: pytest.FixtureRequest, clock: ManualClock) -> AsyncIterator[NodeRegistry]:
    async with request.param(clock) as registry:
        yield registry


async def test_a_node_is_listed_with_what_it_told_last(registry: NodeRegistry, clock: ManualClock) -> None:
    assert await registry.nodes() == []
    assert await registry.renew(BERT) is False
    clock.advance(1)
    await registry.renew(NodeInfo(node="a"))
    assert await registry.renew(ANNA) is True
    assert await registry.nodes() == [BERT, ANNA]
    clock.advance(1)
    await registry.renew(BERT)
    assert await registry.nodes() == [ANNA, BERT]


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
    await registry.leave("nobody")
    assert await registry.nodes() == []
    clock.advance(LEASE_SECONDS + 1)
    assert await registry.reap() == []


async def test_a_description_of_another_version_hides_that_node_only(clock: ManualClock) -> None:
    async with empty_redis(REDIS_KINDS[0]) as redis:
        registry = RedisNodeRegistry(redis, clock=clock)
        await registry.renew(ANNA)
        await registry.renew(BERT)
        key = "nodes:{nodes}:descriptions"
        await redis.ask(Command(key, "HSET", key, "b", b"\xc1"))
        assert await registry.nodes() == [ANNA]
