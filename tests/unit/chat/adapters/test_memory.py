"""What the adapters in memory promise beyond their ports: bounds."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from chat.adapters.embedded.broker import MemoryBroker, MemoryBus
from chat.adapters.embedded.rate_limiter import MemoryRateLimiter
from chat.ports.broker import Delivery, Resumed
from chat.ports.rate_limiter import Rate
from tests.support.clocks import ManualClock


async def test_a_node_that_does_not_receive_loses_events_and_is_told() -> None:
    bus = MemoryBus()
    slow, fast = MemoryBroker(bus, max_waiting_bytes=5_000), MemoryBroker(bus)
    for broker in (slow, fast):
        await broker.subscribe(["a", "b", "quiet"])
    for number in range(1_001):
        await fast.publish([("a", b"%d" % number), ("b", b"%d" % number)])
    await fast.publish([("b", b"last")])
    assert len(await fast.receive()) == 2_003
    resumed, *rest = await slow.receive()
    assert isinstance(resumed, Resumed)
    assert set(resumed.channels) == {"a", "b"}
    assert 0 < len(rest) < 50
    assert rest[-1] == Delivery("b", b"last")
    await fast.publish([("a", b"next")])
    assert await slow.receive() == [Delivery("a", b"next")]


async def test_channels_given_up_are_not_resumed() -> None:
    broker = MemoryBroker(max_waiting_bytes=1_000)
    await broker.subscribe(["a", "b"])
    await broker.publish([(channel, b"x" * 600) for channel in ("a", "b", "a", "b")])
    await broker.unsubscribe(["a"])
    assert (await broker.receive())[0] == Resumed(("b",))


async def test_an_event_larger_than_the_bound_is_lost_and_told() -> None:
    broker = MemoryBroker(max_waiting_bytes=1_000)
    await broker.subscribe(["a"])
    await broker.publish([("a", b"x" * 2_000)])
    assert await broker.receive() == [Resumed(("a",))]


async def test_an_interruption_loses_what_waits_and_tells_every_channel() -> None:
    broker = MemoryBroker()
    await broker.subscribe(["b", "a"])
    await broker.publish([("a", b"lost")])
    broker.interrupt()
    await broker.publish([("a", b"kept")])
    assert await broker.receive() == [Resumed(("a", "b")), Delivery("a", b"kept")]


async def test_an_interruption_wakes_the_receiver() -> None:
    broker = MemoryBroker()
    await broker.subscribe(["a"])
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(broker.receive)
            await trio.testing.wait_all_tasks_blocked()
            broker.interrupt()


async def test_two_receivers_at_once_are_a_bug() -> None:
    broker = MemoryBroker()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(broker.receive)
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(trio.BusyResourceError):
            await broker.receive()
        nursery.cancel_scope.cancel()


async def test_buckets_that_are_full_again_are_forgotten() -> None:
    clock = ManualClock()
    limiter = MemoryRateLimiter(clock=clock)
    for number in range(10_000):
        clock.advance(0.01)
        await limiter.take(f"address {number}", Rate(per_second=1, burst=5))
    assert len(limiter) <= 300


async def test_buckets_never_exceed_their_number() -> None:
    limiter = MemoryRateLimiter(max_buckets=100, clock=ManualClock())
    for number in range(1_000):
        await limiter.take(f"address {number}", Rate(per_second=1, burst=5))
        assert len(limiter) <= 100
