"""What breaks the way of an event, and how the receivers learn that they may have missed one."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator

import pytest
import trio

from chat.adapters.distributed.broker import RedisBroker, open_broker
from chat.adapters.distributed.redis_client import open_redis
from chat.adapters.distributed.redis_layout import slot_of
from chat.domain.errors import Unavailable
from chat.ports.broker import Delivery, Resumed
from tests.support.redis_servers import ClusterSetup, RedisProcess, redis_cluster
from tests.support.tcp_proxy import tcp_proxy

DEADLINE_SECONDS = 20
PATIENCE_SECONDS = 60


@contextlib.asynccontextmanager
async def broker_at(url: str, deadline_seconds: float = DEADLINE_SECONDS, **options: int) -> AsyncIterator[RedisBroker]:
    with trio.fail_after(PATIENCE_SECONDS):
        async with (
            open_redis(url, deadline_seconds=deadline_seconds) as redis,
            open_broker(redis, **options) as broker,
        ):
            yield broker


async def resumed(broker: RedisBroker, *channels: str) -> list[Delivery]:
    """Waits until all `channels` are told to be interrupted; returns what came meanwhile."""
    missing, deliveries = set(channels), []
    while missing:
        for event in await broker.receive():
            if isinstance(event, Resumed):
                missing.difference_update(event.channels)
            else:
                deliveries.append(event)
    return deliveries


async def test_killed_subscriptions_are_made_again_and_told(own_redis: RedisProcess) -> None:
    channels = [f"room:{number}" for number in range(1200)]  # more than one chunk
    async with broker_at(own_redis.url) as broker:
        await broker.subscribe(channels)
        await broker.unsubscribe(channels[:1])
        for _ in range(3):
            own_redis.command("CLIENT", "KILL", "TYPE", "pubsub")
            await resumed(broker, *channels[1:])
        await broker.publish([("room:0", b"nobody"), ("room:1", b"x")])
        assert await broker.receive() == [Delivery("room:1", b"x")]


async def test_a_subscriber_that_redis_drops_for_its_buffer_is_told(own_redis: RedisProcess) -> None:
    own_redis.command("CONFIG", "SET", "client-output-buffer-limit", "pubsub 100kb 0 0")
    async with broker_at(own_redis.url) as broker:
        await broker.subscribe(["a"])
        await broker.publish([("a", b"x" * 1_000_000)])
        await resumed(broker, "a")
        await broker.publish([("a", b"y")])
        assert await broker.receive() == [Delivery("a", b"y")]


async def test_a_wiped_and_restarted_server_is_subscribed_again(own_redis: RedisProcess) -> None:
    async with broker_at(own_redis.url) as broker:
        await broker.subscribe(["a", "b"])
        own_redis.kill()
        own_redis.start()
        await resumed(broker, "a", "b")
        await broker.publish([("a", b"x")])
        assert await broker.receive() == [Delivery("a", b"x")]


async def test_a_wiped_server_is_told_although_the_subscriptions_hold(own_redis: RedisProcess) -> None:
    async with broker_at(own_redis.url) as broker:
        await broker.subscribe(["a", "b"])
        await until_canary(own_redis)
        own_redis.command("FLUSHALL")
        await resumed(broker, "a", "b")


async def until_canary(server: RedisProcess) -> None:
    while await trio.to_thread.run_sync(lambda: server.command("DBSIZE")) == 0:  # noqa: ASYNC110 -- it tells nobody
        await trio.sleep(0.05)


async def test_a_subscription_that_delivers_nothing_is_found_by_the_heartbeat(own_redis: RedisProcess) -> None:
    async with tcp_proxy(own_redis.port) as proxy, broker_at(f"redis://127.0.0.1:{proxy.port}") as broker:
        await broker.subscribe(["a"])
        proxy.drops = lambda answer: b"message" in answer  # commands and pings are answered
        await resumed(broker, "a")
        proxy.drops = None
        await broker.publish([("a", b"x")])
        assert await broker.receive() == [Delivery("a", b"x")]


async def test_a_mute_server_is_given_up_and_found_again(own_redis: RedisProcess) -> None:
    async with broker_at(own_redis.url, deadline_seconds=1) as broker:
        await broker.subscribe(["a"])
        own_redis.pause()
        with pytest.raises(Unavailable):
            await broker.publish([("a", b"x")])
        with pytest.raises(Unavailable):
            await broker.subscribe(["b"])
        own_redis.resume()
        await resumed(broker, "a")


async def test_what_could_not_be_published_is_told_to_its_receivers(own_redis: RedisProcess) -> None:
    async with (
        broker_at(own_redis.url) as receiver,
        tcp_proxy(own_redis.port) as proxy,
        broker_at(f"redis://127.0.0.1:{proxy.port}", deadline_seconds=3) as publisher,
    ):
        await receiver.subscribe(["a", "b"])
        await publisher.publish([("b", b"before")])
        proxy.refusing = True
        proxy.cut()
        with pytest.raises(Unavailable):
            await publisher.publish([("a", b"lost")])
        proxy.refusing = False
        events = [*await receiver.receive(), *await receiver.receive()]
        assert events == [Delivery("b", b"before"), Resumed(("a",))]


async def test_a_receiver_that_does_not_keep_up_loses_events_and_is_told(own_redis: RedisProcess) -> None:
    async with broker_at(own_redis.url, max_waiting_bytes=50_000) as broker, broker_at(own_redis.url) as other:
        await broker.subscribe(["a", "b"])
        await other.publish([("a", b"x" * 1000)] * 100)
        assert len(await resumed(broker, "a")) < 100
        await other.publish([("b", b"y")])
        while Delivery("b", b"y") not in await broker.receive():
            pass


async def test_without_redis_everything_is_refused_and_nothing_kept() -> None:
    async with broker_at("redis://127.0.0.1:1", deadline_seconds=0.05) as broker:
        with pytest.raises(Unavailable):
            await broker.subscribe(["a"])
        with pytest.raises(Unavailable):
            await broker.publish([("a", b"x")])
        await broker.unsubscribe(["a"])


@pytest.fixture
def cluster() -> Iterator[ClusterSetup]:
    with redis_cluster() as cluster:
        yield cluster


@pytest.mark.slow
async def test_channels_move_with_their_slot(cluster: ClusterSetup) -> None:
    source, target = cluster.primaries[:2]
    channels = [f"room:{number}" for number in range(300)]
    moving = next(channel for channel in channels if cluster.owner(slot_of(channel)) is source)
    async with broker_at(cluster.url) as broker:
        await broker.subscribe(channels)
        for primary in cluster.primaries:
            primary.command("CLUSTER", "SETSLOT", slot_of(moving), "NODE", target.command("CLUSTER", "MYID"))
        await resumed(broker, moving)
        await broker.publish([(channel, b"x") for channel in channels])
        arrived: set[str] = set()
        while len(arrived) < len(channels):
            arrived |= {event.channel for event in await broker.receive() if isinstance(event, Delivery)}
