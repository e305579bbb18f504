"""Topics: subscriptions, fan-out, variants, exclusion, and the order of commands."""

from __future__ import annotations

import contextlib

from gateway_core import Closed, ConnectionId
from tests.support.gateways import Gateways
from tests.support.raw_peer import RawPeer


async def test_subscribers_get_what_is_published_to_their_topic(gateways: Gateways) -> None:
    async with gateways() as app, app.connect("room") as (one, _), app.connect("room") as (two, _):
        app.gateway.publish("room", {"": "hello"})
        assert (await one.message(), await two.message()) == ("hello", "hello")


async def test_other_topics_do_not_arrive(gateways: Gateways) -> None:
    async with gateways() as app, app.connect("room") as (peer, connection):
        app.gateway.publish("other", {"": "not for you"})
        app.gateway.send(connection, "end")
        assert await peer.message() == "end"


async def test_publishing_to_nobody_is_no_error(gateways: Gateways) -> None:
    async with gateways() as app:
        app.gateway.publish("nobody", {"": "hello"}, position=1)
        async with app.connect():
            assert app.gateway.stats().messages_out == 0


async def test_commands_take_effect_in_the_order_given(gateways: Gateways) -> None:
    async with gateways() as app, app.connect() as (peer, connection):
        gateway = app.gateway
        gateway.publish("room", {"": "before"})
        gateway.send(connection, "sent first")
        gateway.subscribe(connection, "room")
        gateway.publish("room", {"": "subscribed"})
        gateway.send(connection, "sent between")
        gateway.publish("room", {"": "still subscribed"})
        gateway.unsubscribe(connection, "room")
        gateway.publish("room", {"": "after"})
        gateway.send(connection, "sent last")
        expected = ["sent first", "subscribed", "sent between", "still subscribed", "sent last"]
        assert [await peer.message() for _ in expected] == expected


async def test_subscribing_twice_is_once(gateways: Gateways) -> None:
    async with gateways() as app, app.connect("room", "room") as (peer, connection):
        app.gateway.publish("room", {"": "once"})
        app.gateway.send(connection, "end")
        assert [await peer.message(), await peer.message()] == ["once", "end"]
        assert app.gateway.unsubscribe(connection, "room")
        app.gateway.publish("room", {"": "no more"})
        app.gateway.send(connection, "end")
        assert await peer.message() == "end"


async def test_unsubscribing_from_what_was_never_subscribed_is_no_error(gateways: Gateways) -> None:
    async with gateways() as app, app.connect("room") as (peer, connection):
        assert app.gateway.unsubscribe(connection, "other")
        app.gateway.publish("room", {"": "still here"})
        assert await peer.message() == "still here"


async def test_excluded_connections_get_nothing(gateways: Gateways) -> None:
    async with gateways() as app, app.connect("room") as (one, first), app.connect("room") as (two, _):
        app.gateway.publish("room", {"": "for two"}, exclude=[first])
        app.gateway.publish("room", {"": "for both"}, exclude=[ConnectionId(2**40)])
        assert await one.message() == "for both"
        assert [await two.message(), await two.message()] == ["for two", "for both"]


async def test_each_subscriber_gets_the_variant_of_its_encoding(gateways: Gateways) -> None:
    async with (
        gateways() as app,
        app.connect("room", encoding="json") as (json, _),
        app.connect("room", encoding="cbor") as (cbor, _),
        app.connect("room", encoding="other") as (other, connection),
    ):
        app.gateway.publish("room", {"json": "text", "cbor": b"binary"})
        app.gateway.send(connection, "end")
        assert await json.message() == "text"
        assert await cbor.message() == b"binary"
        assert await other.message() == "end"


async def test_a_connection_may_follow_many_topics(gateways: Gateways) -> None:
    topics = [f"room {number}" for number in range(100)]
    async with gateways() as app, app.connect(*topics) as (peer, _):
        for topic in topics:
            app.gateway.publish(topic, {"": topic})
        assert [await peer.message() for _ in topics] == topics


async def test_topics_and_payloads_may_hold_any_text(gateways: Gateways) -> None:
    topic = "räume/🐢\0\r\n{}"
    async with gateways() as app, app.connect(topic) as (peer, _):
        app.gateway.publish(topic, {"": topic})
        assert await peer.message() == topic


async def test_the_order_of_publishes_is_the_same_for_all(gateways: Gateways) -> None:
    async with gateways() as app, contextlib.AsyncExitStack() as stack:
        peers: list[RawPeer] = [(await stack.enter_async_context(app.connect("a", "b")))[0] for _ in range(5)]
        for number in range(200):
            app.gateway.publish("ab"[number % 2], {"": str(number)})
        for peer in peers:
            assert [await peer.message() for _ in range(200)] == [str(number) for number in range(200)]


async def test_a_closed_connection_leaves_its_topics(gateways: Gateways) -> None:
    async with gateways() as app:
        async with app.connect("room", "other") as (peer, _):
            await app.until(lambda stats: stats.topics == 2)
            peer.reset()
            await app.next(Closed)
        app.gateway.publish("room", {"": "nobody"})
        stats = await app.until(lambda stats: stats.topics == 0)
        assert stats.messages_out == 0


async def test_every_queued_message_is_counted(gateways: Gateways) -> None:
    async with gateways() as app, app.connect("room") as (one, first), app.connect("room") as (two, _):
        app.gateway.publish("room", {"": "both"})
        app.gateway.send(first, "one")
        assert [await one.message(), await one.message(), await two.message()] == ["both", "one", "both"]
        stats = await app.until(lambda stats: stats.messages_out == 3)
        assert (stats.connections, stats.topics, stats.accepted) == (2, 1, 2)
        await app.until(lambda stats: stats.bytes_out > 0)
