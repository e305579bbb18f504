"""Backpressure: what a peer that does not read misses, what it costs, and when it is closed.

The peers have small receive buffers, and what is sent exceeds by far what the kernel takes for them, so that the
outbox must fill whatever the machine's buffers are.
"""

from __future__ import annotations

import trio

from gateway_core import Closed, ConnectionId, Drained
from tests.support.gateways import Application, Gateways
from tests.support.raw_peer import TEXT, RawPeer, frame

CHUNK = "x" * 65_536
COUNT = 400
"""25 MiB: several times what Linux buffers for one loopback connection."""
RECEIVE_BUFFER = 16_384
PATIENT = {"max_outbox_bytes": 1 << 30, "slow_consumer_seconds": 600.0}


async def numbers_until_end(peer: RawPeer) -> list[int]:
    """The numbers of the messages that arrive before `end`."""
    numbers = []
    while (message := str(await peer.message())) != "end":
        numbers.append(int(message.split(" ")[0]))
    return numbers


def publish_many(app: Application, *, positions: bool, topic: str = "room") -> None:
    for number in range(1, COUNT + 1):
        app.gateway.publish(topic, {"": f"{number} {CHUNK}"}, position=number if positions else None)


async def test_droppable_publishes_are_skipped_above_the_soft_limit(gateways: Gateways) -> None:
    async with gateways(**PATIENT) as app, app.connect("room", receive_buffer=RECEIVE_BUFFER) as (peer, connection):
        publish_many(app, positions=False)
        app.gateway.send(connection, "end")
        got = await numbers_until_end(peer)
        assert got == sorted(got)
        assert 0 < len(got) < COUNT
        await app.until(lambda stats: stats.dropped == COUNT - len(got))
        assert await app.next(Drained) == Drained(connection, {})


async def test_a_topic_with_positions_is_cut_off_and_the_gap_is_named(gateways: Gateways) -> None:
    async with gateways(**PATIENT) as app, app.connect("room", receive_buffer=RECEIVE_BUFFER) as (peer, connection):
        publish_many(app, positions=True)
        app.gateway.send(connection, "end")
        got = await numbers_until_end(peer)
        assert got == list(range(1, len(got) + 1)), "what arrives has no hole"
        assert 0 < len(got) < COUNT
        assert await app.next(Drained) == Drained(connection, {"room": len(got) + 1})
        assert app.gateway.stats().dropped == 0


async def test_after_drained_the_topic_is_silent_until_subscribed_anew(gateways: Gateways) -> None:
    async with gateways(**PATIENT) as app, app.connect("room", receive_buffer=RECEIVE_BUFFER) as (peer, connection):
        publish_many(app, positions=True)
        app.gateway.send(connection, "end")
        await numbers_until_end(peer)
        await app.next(Drained)
        app.gateway.publish("room", {"": "unseen"}, position=COUNT + 1)
        app.gateway.send(connection, "gap")
        app.gateway.subscribe(connection, "room")
        app.gateway.publish("room", {"": "seen"}, position=COUNT + 2)
        assert [await peer.message(), await peer.message()] == ["gap", "seen"]


async def test_each_missed_topic_is_named_with_its_lowest_position(gateways: Gateways) -> None:
    async with (
        gateways(**PATIENT) as app,
        app.connect("room", "quiet", "droppable", "untouched", receive_buffer=RECEIVE_BUFFER) as (peer, connection),
    ):
        for number in range(COUNT):
            app.gateway.send(connection, f"{number} {CHUNK}")  # sends are queued above the soft limit: it stays there
        for position in (7, 8):
            app.gateway.publish("room", {"": "missed"}, position=position)
        for position in (71, 70):
            app.gateway.publish("quiet", {"": "missed"}, position=position)
        app.gateway.publish("droppable", {"": "missed"})
        app.gateway.send(connection, "end")
        assert await numbers_until_end(peer) == list(range(COUNT))
        assert await app.next(Drained) == Drained(connection, {"room": 7, "quiet": 70})
        app.gateway.publish("untouched", {"": "still subscribed"}, position=1)
        assert await peer.message() == "still subscribed"


async def test_a_subscription_that_ends_while_it_is_behind_is_not_named(gateways: Gateways) -> None:
    async with (
        gateways(**PATIENT) as app,
        app.connect("left", "kept", receive_buffer=RECEIVE_BUFFER) as (peer, connection),
    ):
        for number in range(COUNT):
            app.gateway.send(connection, f"{number} {CHUNK}")
        app.gateway.publish("left", {"": "missed"}, position=1)
        app.gateway.publish("kept", {"": "missed"}, position=2)
        app.gateway.unsubscribe(connection, "left")
        app.gateway.send(connection, "end")
        await numbers_until_end(peer)
        assert await app.next(Drained) == Drained(connection, {"kept": 2})


async def test_sends_are_queued_above_the_soft_limit(gateways: Gateways) -> None:
    async with gateways(**PATIENT) as app, app.connect(receive_buffer=RECEIVE_BUFFER) as (peer, connection):
        for number in range(COUNT):
            assert app.gateway.send(connection, f"{number} {CHUNK}")
        app.gateway.send(connection, "end")
        assert await numbers_until_end(peer) == list(range(COUNT))
        assert await app.next(Drained) == Drained(connection, {})


async def test_a_slow_subscriber_does_not_hold_up_the_others(gateways: Gateways) -> None:
    async with (
        gateways(**PATIENT) as app,
        app.connect("room", receive_buffer=RECEIVE_BUFFER) as (_, slow),
        app.connect("room") as (peer, _),
    ):
        for number in range(COUNT):
            app.gateway.publish("room", {"": f"{number} {CHUNK}"}, position=number)
            assert str(await peer.message()).startswith(f"{number} ")
        assert app.gateway.send(slow, "still there")


async def test_passing_the_hard_limit_closes_with_4008(gateways: Gateways) -> None:
    async with (
        gateways(close_seconds=30) as app,
        app.connect(receive_buffer=RECEIVE_BUFFER) as (peer, connection),
    ):
        for number in range(COUNT):
            app.gateway.send(connection, f"{number} {CHUNK}")
        await check_slow_consumer(app, peer, connection)


async def test_one_message_beyond_the_hard_limit_closes_with_4008(gateways: Gateways) -> None:
    async with gateways(soft_outbox_bytes=1_000, max_outbox_bytes=2_000) as app, app.connect() as (peer, connection):
        app.gateway.send(connection, "x" * 2_001)
        await check_slow_consumer(app, peer, connection)


async def test_staying_above_the_soft_limit_closes_with_4008(gateways: Gateways) -> None:
    settings = {**PATIENT, "slow_consumer_seconds": 0.2, "close_seconds": 30.0}
    async with gateways(**settings) as app, app.connect("room", receive_buffer=RECEIVE_BUFFER) as (peer, connection):
        publish_many(app, positions=True)
        await check_slow_consumer(app, peer, connection)


async def test_b20_to_read_a_byte_now_and_then_is_not_to_catch_up(gateways: Gateways) -> None:
    async def trickle(peer: RawPeer) -> None:
        while True:
            assert await peer.stream.receive_some(1)
            await trio.sleep(0.01)

    settings = {**PATIENT, "slow_consumer_seconds": 0.5, "close_seconds": 0.5}
    async with gateways(**settings) as app, app.connect("room", receive_buffer=RECEIVE_BUFFER) as (peer, connection):
        publish_many(app, positions=True)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trickle, peer)
            closed = await app.next(Closed)
            nursery.cancel_scope.cancel()
        assert (closed.connection, closed.code, closed.clean) == (connection, 4008, False)
        await app.until(lambda stats: stats.connections == 0)


async def check_slow_consumer(app: Application, peer: RawPeer, connection: ConnectionId) -> None:
    closed = await app.next(Closed)
    assert (closed.connection, closed.code, closed.clean) == (connection, 4008, False)
    assert not app.gateway.send(connection, "late")
    await app.until(lambda stats: stats.slow_consumers == 1)
    assert (await peer.closed()).close_code == 4008, "once it reads again, it learns why"


async def test_a_peer_that_catches_up_in_time_stays(gateways: Gateways) -> None:
    settings = {**PATIENT, "slow_consumer_seconds": 60.0}
    async with gateways(**settings) as app, app.connect("room", receive_buffer=RECEIVE_BUFFER) as (peer, connection):
        for _ in range(2):
            publish_many(app, positions=False)
            app.gateway.send(connection, "end")
            await numbers_until_end(peer)
            await app.next(Drained)
        await peer.send(frame(TEXT, b"still here"))


async def test_a_connection_that_was_never_slow_is_never_drained(gateways: Gateways) -> None:
    async with gateways() as app, app.connect("room") as (peer, _):
        for number in range(100):
            app.gateway.publish("room", {"": str(number)}, position=number)
            await peer.message()
        assert await app.settle() == []
