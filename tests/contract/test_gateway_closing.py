"""The closing handshake both ways: codes, reasons, who was first, and exactly one `Closed`."""

from __future__ import annotations

import pytest

from gateway_core import Closed, UsageError
from tests.support.gateways import Gateways
from tests.support.raw_peer import BINARY, CLOSE, PING, TEXT, close_frame, frame


async def test_our_close_frame_carries_code_and_reason(gateways: Gateways) -> None:
    async with gateways() as app, app.connect() as (peer, connection):
        assert app.gateway.close(connection, 4001, "going äway")
        got = await peer.closed()
        assert (got.close_code, got.close_reason) == (4001, "going äway")
        await peer.send(close_frame(4001))
        assert await app.next(Closed) == Closed(connection, 4001, "going äway", True)
        assert await peer.end() == b""


async def test_the_socket_ends_as_soon_as_both_close_frames_are_exchanged(gateways: Gateways) -> None:
    """RFC 6455 §7.1.1: the server ends it first; the deadline is for peers that do not answer."""
    async with gateways(close_seconds=600) as app:
        async with app.connect() as (peer, connection):
            app.gateway.close(connection, 4000)
            await peer.closed()
            await peer.send(close_frame(4000))
            assert await peer.end() == b""
        async with app.connect() as (peer, _):
            await peer.send(close_frame(4000))
            await peer.closed()
            assert await peer.end() == b""


async def test_the_default_close_code_is_1000(gateways: Gateways) -> None:
    async with gateways() as app, app.connect() as (peer, connection):
        assert app.gateway.close(connection)
        assert (await peer.closed()).close_code == 1000


@pytest.mark.parametrize("code", [1000, 1001, 1003, 1007, 1011, 1013, 3000, 3999, 4000, 4999])
async def test_the_peers_close_code_is_reported_and_echoed(gateways: Gateways, code: int) -> None:
    async with gateways() as app, app.connect() as (peer, connection):
        await peer.send(close_frame(code, "why ♥".encode()))
        assert (await peer.closed()).close_code == code
        assert await app.next(Closed) == Closed(connection, code, "why ♥", True)
        assert await peer.end() == b""


async def test_a_close_frame_without_a_code_is_1005(gateways: Gateways) -> None:
    async with gateways() as app, app.connect() as (peer, connection):
        await peer.send(frame(CLOSE))
        assert (await peer.closed()).close_code in (1000, 1005)
        assert await app.next(Closed) == Closed(connection, 1005, "", True)


async def test_a_peer_that_only_ends_its_side_is_1006(gateways: Gateways) -> None:
    async with gateways() as app, app.connect() as (peer, connection):
        await peer.stream.send_eof()
        assert await app.next(Closed) == Closed(connection, 1006, "", False)


async def test_a_peer_that_resets_is_1006(gateways: Gateways) -> None:
    async with gateways() as app, app.connect() as (peer, connection):
        peer.reset()
        assert await app.next(Closed) == Closed(connection, 1006, "", False)


async def test_what_was_queued_before_the_close_arrives_before_it(gateways: Gateways) -> None:
    async with gateways() as app, app.connect("room") as (peer, connection):
        app.gateway.send(connection, "one")
        app.gateway.publish("room", {"": "two"})
        app.gateway.close(connection, 4000)
        app.gateway.publish("room", {"": "too late"})
        assert [await peer.message(), await peer.message()] == ["one", "two"]
        assert (await peer.frame()).close_code == 4000


async def test_nothing_received_after_our_close_is_reported(gateways: Gateways) -> None:
    async with gateways() as app, app.connect() as (peer, connection):
        app.gateway.close(connection, 4000, "done")
        await peer.closed()
        await peer.send(frame(TEXT, b"too late"), frame(BINARY, b"too late"), frame(PING), close_frame(1000))
        assert await app.next(Closed) == Closed(connection, 4000, "done", True)
        assert await app.settle() == []


async def test_a_peer_that_never_answers_our_close_is_cut_off(gateways: Gateways) -> None:
    async with gateways(close_seconds=0.2) as app, app.connect() as (peer, connection):
        app.gateway.close(connection, 4000, "done")
        assert await app.next(Closed) == Closed(connection, 4000, "done", False)
        assert (await peer.closed()).close_code == 4000
        await peer.end()


async def test_commands_to_a_closing_connection_return_false(gateways: Gateways) -> None:
    async with gateways() as app, app.connect() as (_, connection):
        gateway = app.gateway
        assert gateway.close(connection, 4000)
        assert not gateway.send(connection, "late")
        assert not gateway.close(connection, 4001)
        assert not gateway.subscribe(connection, "room")
        assert not gateway.unsubscribe(connection, "room")


async def test_commands_to_a_gone_connection_return_false(gateways: Gateways) -> None:
    async with gateways() as app, app.connect("room") as (peer, connection):
        peer.reset()
        await app.next(Closed)
        gateway = app.gateway
        assert not gateway.accept(connection)
        assert not gateway.reject(connection, 403)
        assert not gateway.send(connection, "late")
        assert not gateway.close(connection)
        assert not gateway.subscribe(connection, "room")
        assert not gateway.unsubscribe(connection, "room")
        await app.until(lambda stats: stats.connections == 0)


@pytest.mark.parametrize("code", [-1, 0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 70_000])
async def test_a_code_that_must_not_be_sent_is_a_usage_error(gateways: Gateways, code: int) -> None:
    async with gateways() as app, app.connect() as (peer, connection):
        with pytest.raises(UsageError):
            app.gateway.close(connection, code)
        app.gateway.send(connection, "still open")
        assert await peer.message() == "still open"


async def test_a_reason_has_at_most_123_bytes(gateways: Gateways) -> None:
    async with gateways() as app, app.connect() as (peer, connection):
        with pytest.raises(UsageError):
            app.gateway.close(connection, 4000, "ä" * 62)
        assert app.gateway.close(connection, 4000, "x" * 123)
        assert (await peer.closed()).close_reason == "x" * 123


async def test_closes_that_cross_are_clean(gateways: Gateways) -> None:
    async with gateways() as app, app.connect() as (peer, connection):
        app.gateway.close(connection, 4000)
        await peer.send(close_frame(4100))
        closed = await app.next(Closed)
        assert closed.connection == connection
        assert closed.code in (4000, 4100)
        assert closed.clean
        assert (await peer.closed()).close_code in (4000, 4100)


async def test_every_opened_is_followed_by_exactly_one_closed(gateways: Gateways) -> None:
    async with gateways() as app:
        for ending in ("reset", "eof", "close", "error", "ours"):
            async with app.connect() as (peer, connection):
                if ending == "reset":
                    peer.reset()
                elif ending == "eof":
                    await peer.stream.send_eof()
                elif ending == "close":
                    await peer.send(close_frame(1000), close_frame(1000))
                elif ending == "error":
                    await peer.send(frame(0x3), frame(0x4), close_frame(1000))
                else:
                    app.gateway.close(connection, 4000)
                    await peer.send(close_frame(1000))
                await app.next(Closed, connection)
        assert await app.settle() == []
