"""The outbox and the event queue of the pure backend."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from gateway_core import Closed, ConnectionId, UsageError
from gateway_core.pure.events import MAX_BATCH, Events
from gateway_core.pure.outbox import Message, Outbox

TEN = Message.of(b"0123456789")


def closed(number: int) -> Closed:
    return Closed(ConnectionId(number), 1000, "", True)


def test_a_message_counts_in_bytes_of_utf8() -> None:
    assert Message.of("grüße").size == 7
    assert Message.of(b"\x00\xff").size == 2


async def test_a_message_counts_until_it_is_sent() -> None:
    outbox = Outbox(soft_bytes=100)
    outbox.push(TEN)
    assert await outbox.next() is TEN
    assert outbox.bytes == 10
    assert outbox.sent(TEN) is None
    assert outbox.bytes == 0


async def test_a_peer_that_was_slow_has_caught_up_when_its_outbox_is_empty() -> None:
    outbox = Outbox(soft_bytes=15)
    outbox.push(TEN)
    assert outbox.over_since is None
    outbox.push(TEN)
    assert outbox.over_since is not None
    outbox.miss("room", 7)
    outbox.miss("room", 5)
    outbox.miss("room", 9)
    await outbox.next()
    assert outbox.sent(TEN) is None
    assert outbox.over_since is None, "below the soft limit again, but not empty"
    await outbox.next()
    assert outbox.sent(TEN) == {"room": 5}
    outbox.push(TEN)
    await outbox.next()
    assert outbox.sent(TEN) is None, "told once"


async def test_a_closed_outbox_ends_after_what_is_queued() -> None:
    outbox = Outbox(soft_bytes=100)
    outbox.push(TEN)
    outbox.close()
    assert await outbox.next() is TEN
    assert await outbox.next() is None


async def test_closing_wakes_a_waiting_writer() -> None:
    outbox = Outbox(soft_bytes=100)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(outbox.next)
        await trio.testing.wait_all_tasks_blocked()
        outbox.close()


async def test_events_come_in_order_and_in_bounded_batches() -> None:
    events = Events(max_events=10)
    for number in range(MAX_BATCH + 1):
        events.put(closed(number))
    assert await events.receive() == [closed(number) for number in range(MAX_BATCH)]
    assert await events.receive() == [closed(MAX_BATCH)]


async def test_a_cancelled_receive_takes_nothing() -> None:
    events = Events(max_events=10)
    events.put(closed(1))
    with trio.CancelScope() as scope:
        scope.cancel()
        await events.receive()
    assert scope.cancelled_caught
    assert await events.receive() == [closed(1)]


async def test_only_one_task_may_wait() -> None:
    events = Events(max_events=10)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(events.receive)
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(UsageError):
            await events.receive()
        events.put(closed(1))


async def test_there_is_room_again_once_the_events_are_fetched() -> None:
    events = Events(max_events=2)
    events.put(closed(1))
    await events.room()
    events.put(closed(2))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(events.room)
        await trio.testing.wait_all_tasks_blocked()
        assert events.full
        await events.receive()
