"""What every `Broker` promises."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager

import pytest
import trio
import trio.testing

from chat.adapters.distributed.broker import open_broker
from chat.adapters.distributed.redis_client import open_redis
from chat.adapters.embedded.broker import MemoryBroker, MemoryBus
from chat.ports.broker import Broker, Delivery, Resumed
from tests.support.redis_servers import REDIS_KINDS, emptied

DEADLINE_SECONDS = 20
NewBroker = Callable[[], Awaitable[Broker]]
Fleet = Callable[[], AbstractAsyncContextManager[NewBroker]]


@contextlib.asynccontextmanager
async def memory_fleet() -> AsyncIterator[NewBroker]:
    bus = MemoryBus()

    async def new_broker() -> Broker:
        return MemoryBroker(bus)

    yield new_broker


def redis_fleet(kind: str) -> Fleet:
    """Each node has a client of its own, as processes have."""

    @contextlib.asynccontextmanager
    async def fleet() -> AsyncIterator[NewBroker]:
        url = emptied(kind).url

        async def node(*, task_status: trio.TaskStatus[Broker]) -> None:
            async with open_redis(url, deadline_seconds=DEADLINE_SECONDS) as redis, open_broker(redis) as broker:
                task_status.started(broker)
                await trio.sleep_forever()

        async with trio.open_nursery() as nursery:

            async def new_broker() -> Broker:
                broker: Broker = await nursery.start(node)
                return broker

            yield new_broker
            nursery.cancel_scope.cancel()

    return fleet


FLEETS = [
    pytest.param(memory_fleet, id="memory"),
    *(pytest.param(redis_fleet(kind), id=kind) for kind in REDIS_KINDS),
]


@pytest.fixture(params=FLEETS)
async def new_broker(request: pytest.FixtureRequest) -> AsyncIterator[NewBroker]:
    """Makes the brokers of further nodes of one fleet."""
    async with request.param() as new_broker:
        with trio.fail_after(DEADLINE_SECONDS):
            yield new_broker


async def received(broker: Broker, count: int) -> list[Delivery | Resumed]:
    """The next `count` events."""
    events: list[Delivery | Resumed] = []
    while len(events) < count:
        batch = await broker.receive()
        assert batch
        events += batch
    return events


async def test_every_subscribed_node_receives_and_the_publisher_too(new_broker: NewBroker) -> None:
    brokers = [await new_broker() for _ in range(3)]
    for broker in brokers:
        await broker.subscribe(["a"])
    await brokers[0].publish([("a", b"one"), ("a", b"two")])
    for broker in brokers:
        assert await received(broker, 2) == [Delivery("a", b"one"), Delivery("a", b"two")]


async def test_a_node_receives_only_what_it_subscribed(new_broker: NewBroker) -> None:
    broker = await new_broker()
    await broker.subscribe(["b", "c"])
    await broker.publish([("a", b"1"), ("b", b"2"), ("c", b"3"), ("d", b"4")])
    deliveries = await received(broker, 2)
    assert {(each.channel, each.payload) for each in deliveries if isinstance(each, Delivery)} == {
        ("b", b"2"),
        ("c", b"3"),
    }


async def test_a_payload_arrives_byte_by_byte(new_broker: NewBroker) -> None:
    broker = await new_broker()
    await broker.subscribe(["a"])
    payloads = [b"", bytes(range(256)), b"x" * 100_000]
    await broker.publish([("a", payload) for payload in payloads])
    assert await received(broker, 3) == [Delivery("a", payload) for payload in payloads]


async def test_publishing_where_nobody_listens_is_no_error(new_broker: NewBroker) -> None:
    broker = await new_broker()
    await broker.publish([("nobody", b"x")])
    await broker.publish([])


async def test_subscribing_twice_is_once(new_broker: NewBroker) -> None:
    broker = await new_broker()
    await broker.subscribe(["a", "a"])
    await broker.subscribe(["a"])
    await broker.publish([("a", b"one"), ("a", b"two")])
    assert await received(broker, 2) == [Delivery("a", b"one"), Delivery("a", b"two")]
    await broker.unsubscribe(["a"])
    await broker.subscribe(["b"])
    await broker.publish([("a", b"three"), ("b", b"end")])
    assert await received(broker, 1) == [Delivery("b", b"end")]


async def test_unsubscribing_what_was_not_subscribed_is_no_error(new_broker: NewBroker) -> None:
    broker = await new_broker()
    await broker.unsubscribe(["a"])


async def test_a_waiting_receiver_is_woken(new_broker: NewBroker) -> None:
    broker, other = await new_broker(), await new_broker()
    await broker.subscribe(["a"])
    events: list[Delivery | Resumed] = []

    async def receive() -> None:
        events.extend(await broker.receive())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(receive)
        await trio.testing.wait_all_tasks_blocked()
        await other.publish([("a", b"x")])
    assert events == [Delivery("a", b"x")]


async def test_a_cancelled_receive_loses_nothing(new_broker: NewBroker) -> None:
    broker = await new_broker()
    await broker.subscribe(["a"])
    events: list[Delivery | Resumed] = []

    async def receive_impatiently() -> None:
        while len(events) < 200:
            with trio.move_on_after(0.001):
                events.extend(await broker.receive())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(receive_impatiently)
        for number in range(200):
            await broker.publish([("a", b"%d" % number)])
    assert events == [Delivery("a", b"%d" % number) for number in range(200)]


async def test_a_cancelled_receiver_makes_room_for_the_next(new_broker: NewBroker) -> None:
    broker = await new_broker()
    await broker.subscribe(["a"])
    with trio.move_on_after(0):
        await broker.receive()
    await broker.publish([("a", b"x")])
    assert await received(broker, 1) == [Delivery("a", b"x")]


async def test_nodes_that_talk_at_once_hear_all_of_it(new_broker: NewBroker) -> None:
    brokers = [await new_broker() for _ in range(4)]
    for broker in brokers:
        await broker.subscribe(["a"])

    async def talk(number: int) -> None:
        for word in range(50):
            await brokers[number].publish([("a", b"%d %d" % (number, word))])

    async with trio.open_nursery() as nursery:
        for number in range(4):
            nursery.start_soon(talk, number)
    expected = {Delivery("a", b"%d %d" % (number, word)) for number in range(4) for word in range(50)}
    for broker in brokers:
        assert set(await received(broker, 200)) == expected
