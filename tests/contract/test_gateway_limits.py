"""What bounds a peer: sizes, rates, numbers of connections, deadlines."""

from __future__ import annotations

import contextlib

import pytest
import trio
import trio.testing

from gateway_core import Closed, Opened, Received
from tests.support.gateways import Application, Gateways
from tests.support.raw_peer import CONTINUATION, PING, PONG, TEXT, RawPeer, close_frame, frame, request


async def check_refused(app: Application, peer: RawPeer, code: int) -> None:
    """The connection ends by our Close frame with `code`."""
    assert (await peer.closed()).close_code == code
    await peer.send(close_frame(code))
    await peer.end()
    closed = await app.next(Closed)
    assert (closed.code, closed.clean) == (code, False)


async def test_a_message_at_the_limit_arrives(gateways: Gateways) -> None:
    async with gateways(max_message_bytes=1_000) as app, app.connect() as (peer, _):
        await peer.send(frame(TEXT, b"x" * 1_000))
        assert len((await app.next(Received)).payload) == 1_000


async def test_a_message_one_byte_over_the_limit_closes_with_1009(gateways: Gateways) -> None:
    async with gateways(max_message_bytes=1_000) as app, app.connect() as (peer, _):
        await peer.send(frame(TEXT, b"x" * 1_001))
        await check_refused(app, peer, 1009)


async def test_the_limit_counts_bytes_and_not_characters(gateways: Gateways) -> None:
    async with gateways(max_message_bytes=1_000) as app, app.connect() as (peer, _):
        await peer.send_text("🐢" * 251)
        await check_refused(app, peer, 1009)


async def test_fragments_that_add_up_to_too_much_close_with_1009(gateways: Gateways) -> None:
    async with gateways(max_message_bytes=1_000) as app, app.connect() as (peer, _):
        await peer.send(frame(TEXT, b"x" * 600, first=TEXT), frame(CONTINUATION, b"x" * 401, first=CONTINUATION))
        await check_refused(app, peer, 1009)


async def test_the_limit_is_for_each_message_anew(gateways: Gateways) -> None:
    async with gateways(max_message_bytes=1_000) as app, app.connect() as (peer, _):
        for _ in range(5):
            await peer.send(frame(TEXT, b"x" * 600, first=TEXT), frame(CONTINUATION, b"x" * 400))
            assert len((await app.next(Received)).payload) == 1_000


@pytest.mark.parametrize("opcode", [TEXT, PING, PONG])
async def test_more_frames_than_the_rate_allows_close_with_1008(gateways: Gateways, opcode: int) -> None:
    async with gateways(max_messages_per_second=1, message_burst=20) as app, app.connect() as (peer, _):
        await peer.send(*(frame(opcode, b"x") for _ in range(40)))
        await check_refused(app, peer, 1008)


async def test_the_messages_within_the_burst_are_reported(gateways: Gateways) -> None:
    async with gateways(max_messages_per_second=1, message_burst=20) as app, app.connect() as (peer, connection):
        await peer.send(*(frame(TEXT, str(number).encode()) for number in range(20)))
        assert [int((await app.next(Received)).payload) for _ in range(20)] == list(range(20))
        app.gateway.send(connection, "still open")
        assert await peer.message() == "still open"


async def test_more_bytes_than_the_rate_allows_close_with_1008(gateways: Gateways) -> None:
    async with gateways(max_bytes_per_second=1, bytes_burst=10_000) as app, app.connect() as (peer, _):
        await peer.send(*(frame(TEXT, b"x" * 1_000) for _ in range(20)))
        await check_refused(app, peer, 1008)


async def test_more_connections_than_allowed_are_refused_with_503(gateways: Gateways) -> None:
    async with gateways(max_connections=2) as app, app.connect(), app.connect() as (second, _):
        await check_no_entry(app)
        second.reset()
        await app.next(Closed)
        async with app.connect():
            pass


async def test_more_connections_from_one_address_than_allowed_are_refused(gateways: Gateways) -> None:
    async with gateways(max_connections_per_address=2) as app, app.connect(), app.connect() as (second, _):
        await check_no_entry(app)
        second.reset()
        await app.next(Closed)
        async with app.connect():
            pass


async def check_no_entry(app: Application) -> None:
    """Another connection gets 503, or an end if the kernel drops that with the unread request."""
    refused = app.gateway.stats().refused
    async with app.peer() as peer:
        await peer.send(request())
        answer = await peer.end()
        assert answer.startswith(b"HTTP/1.1 503 ") or not answer
    await app.until(lambda stats: stats.refused == refused + 1)


async def test_more_pending_handshakes_than_allowed_are_refused(gateways: Gateways) -> None:
    async with gateways(max_pending_handshakes=2) as app, contextlib.AsyncExitStack() as stack:
        silent = [await stack.enter_async_context(app.peer()) for _ in range(2)]
        async with app.peer() as peer:
            assert b" 101 " not in await peer.end(), "the third is not listened to"
        for peer in silent:
            await peer.send(request())
            await peer_enters(app, peer)
        async with app.connect():
            pass


async def peer_enters(app: Application, peer: RawPeer) -> None:
    app.gateway.accept((await app.next(Opened)).connection)
    await peer.upgraded()


async def test_a_request_that_does_not_end_is_cut_off(gateways: Gateways) -> None:
    async with gateways(handshake_seconds=0.2) as app, app.peer() as peer:
        await peer.send(request()[:-2])
        assert b" 101 " not in await peer.end()
        stats = await app.until(lambda stats: stats.refused == 1)
        assert stats.connections == 0


async def test_a_message_that_does_not_end_is_cut_off(gateways: Gateways) -> None:
    async with gateways(message_seconds=0.2) as app, app.connect() as (peer, _):
        await peer.send(frame(TEXT, b"x", first=TEXT))
        await check_refused(app, peer, 1008)


async def test_reading_pauses_while_too_many_events_wait(gateways: Gateways) -> None:
    """A flood that the application does not fetch stays with its sender, and nothing of it is lost."""
    rates = {"max_messages_per_second": 1e9, "message_burst": 10**9, "max_bytes_per_second": 1e12}
    count, payload = 2_000, b"x" * 32_000
    async with (
        gateways(max_events=10, bytes_burst=10**12, **rates) as app,
        app.connect() as (peer, _),
        trio.open_nursery() as nursery,
    ):
        sent = 0

        async def flood() -> None:
            nonlocal sent
            for number in range(count):
                await peer.stream.send_all(frame(TEXT, b"%d " % number + payload))
                sent += 1

        nursery.start_soon(flood)
        await trio.testing.wait_all_tasks_blocked(cushion=0.5)
        assert sent < count, "64 MB do not fit between a sender and a gateway that has stopped reading"
        for number in range(count):
            assert int((await app.next(Received)).payload.split(b" ")[0]) == number
