"""Messages both ways: text, binary, fragments, sizes."""

from __future__ import annotations

import pytest

from gateway_core import Closed, Opened, Received
from tests.support.gateways import Gateways
from tests.support.raw_peer import BINARY, CONTINUATION, PING, PONG, TEXT, close_frame, frame, request

SIZES = [0, 1, 125, 126, 127, 65_535, 65_536, 1_000_000]
BIG = {"max_message_bytes": 2_000_000, "max_outbox_bytes": 4_000_000}


async def test_a_text_message_arrives_as_utf8(gateways: Gateways) -> None:
    async with gateways() as app, app.connect() as (peer, connection):
        await peer.send_text("grüße 🐢")
        assert await app.next(Received) == Received(connection, "grüße 🐢".encode(), True)


async def test_a_binary_message_arrives_as_it_is(gateways: Gateways) -> None:
    async with gateways() as app, app.connect() as (peer, connection):
        await peer.send(frame(BINARY, b"\x00\xff\xfe"))
        assert await app.next(Received) == Received(connection, b"\x00\xff\xfe", False)


async def test_str_is_sent_as_text_and_bytes_as_binary(gateways: Gateways) -> None:
    async with gateways() as app, app.connect() as (peer, connection):
        assert app.gateway.send(connection, "grüße 🐢")
        assert app.gateway.send(connection, b"\x00\xff")
        assert await peer.message() == "grüße 🐢"
        assert await peer.message() == b"\x00\xff"


@pytest.mark.parametrize("size", SIZES)
async def test_messages_of_every_length_form_arrive(gateways: Gateways, size: int) -> None:
    payload = bytes(range(256)) * (size // 256 + 1)
    async with gateways(**BIG) as app, app.connect() as (peer, connection):
        await peer.send(frame(BINARY, payload[:size]))
        assert (await app.next(Received)).payload == payload[:size]
        assert app.gateway.send(connection, payload[:size])
        assert await peer.message() == payload[:size]


async def test_fragments_become_one_message(gateways: Gateways) -> None:
    async with gateways() as app, app.connect() as (peer, connection):
        await peer.send(frame(TEXT, b"one ", first=TEXT), frame(CONTINUATION, b"two ", first=CONTINUATION))
        await peer.send(frame(CONTINUATION, b"three"))
        assert await app.next(Received) == Received(connection, b"one two three", True)


async def test_a_character_may_be_split_between_fragments(gateways: Gateways) -> None:
    turtle = "🐢".encode()
    async with gateways() as app, app.connect() as (peer, connection):
        await peer.send(frame(TEXT, turtle[:1], first=TEXT), frame(CONTINUATION, turtle[1:]))
        assert await app.next(Received) == Received(connection, turtle, True)


async def test_a_frame_sent_byte_by_byte_arrives_whole(gateways: Gateways) -> None:
    async with gateways() as app, app.connect() as (peer, _):
        for byte in frame(BINARY, b"x" * 200):
            await peer.send(bytes([byte]))
        assert (await app.next(Received)).payload == b"x" * 200


async def test_many_messages_in_one_segment_arrive_in_order(gateways: Gateways) -> None:
    async with gateways() as app, app.connect() as (peer, _):
        await peer.send(*(frame(TEXT, str(number).encode()) for number in range(500)))
        assert [int((await app.next(Received)).payload) for _ in range(500)] == list(range(500))


async def test_a_ping_is_answered_with_its_payload(gateways: Gateways) -> None:
    async with gateways() as app, app.connect() as (peer, _):
        await peer.send(frame(PING, b"payload"))
        answer = await peer.frame()
        assert (answer.opcode, answer.payload) == (PONG, b"payload")


async def test_a_ping_between_fragments_is_answered_at_once(gateways: Gateways) -> None:
    async with gateways() as app, app.connect() as (peer, _):
        await peer.send(frame(TEXT, b"a", first=TEXT), frame(PING, b"now"))
        assert (await peer.frame()).payload == b"now"
        await peer.send(frame(CONTINUATION, b"b"))
        assert (await app.next(Received)).payload == b"ab"


async def test_an_unasked_pong_is_ignored(gateways: Gateways) -> None:
    async with gateways() as app, app.connect() as (peer, _):
        await peer.send(frame(PONG, b"unasked"), frame(TEXT, b"after"))
        assert (await app.next(Received)).payload == b"after"


async def test_invalid_utf8_closes_with_1007(gateways: Gateways) -> None:
    async with gateways() as app, app.connect() as (peer, connection):
        await peer.send(frame(TEXT, b"\xc0\xaf"))
        assert (await peer.closed()).close_code == 1007
        closed = await app.next(Closed)
        assert (closed.connection, closed.code, closed.clean) == (connection, 1007, False)


async def test_binary_messages_need_not_be_utf8(gateways: Gateways) -> None:
    async with gateways() as app, app.connect() as (peer, _):
        await peer.send(frame(BINARY, b"\xc0\xaf"))
        assert (await app.next(Received)).payload == b"\xc0\xaf"


async def test_messages_before_an_error_are_still_reported(gateways: Gateways) -> None:
    async with gateways() as app, app.connect() as (peer, connection):
        await peer.send(frame(TEXT, b"good"), frame(0x3, b"unknown opcode"))
        assert (await app.next(Received)).payload == b"good"
        closed = await app.next(Closed, connection)
        assert (closed.code, closed.clean) == (1002, False)
        assert (await peer.closed()).close_code == 1002


async def test_messages_before_a_close_frame_are_still_reported(gateways: Gateways) -> None:
    async with gateways() as app, app.connect() as (peer, connection):
        await peer.send(*(frame(TEXT, b"x") for _ in range(100)), close_frame(1000))
        for _ in range(100):
            await app.next(Received)
        assert await app.next(Closed) == Closed(connection, 1000, "", True)


async def test_frames_sent_with_the_handshake_are_not_lost(gateways: Gateways) -> None:
    async with gateways() as app, app.peer() as peer:
        await peer.send(request(), frame(TEXT, b"early"))
        opened = await app.next(Opened)
        assert app.gateway.accept(opened.connection)
        await peer.upgraded()
        assert await app.next(Received) == Received(opened.connection, b"early", True)


async def test_two_connections_do_not_mix(gateways: Gateways) -> None:
    async with gateways() as app, app.connect() as (one, first), app.connect() as (two, second):
        await one.send(frame(TEXT, b"from one", first=TEXT))
        await two.send_text("from two")
        assert await app.next(Received) == Received(second, b"from two", True)
        await one.send(frame(CONTINUATION, b", whole"))
        assert await app.next(Received) == Received(first, b"from one, whole", True)
        app.gateway.send(first, "to one")
        app.gateway.send(second, "to two")
        assert (await one.message(), await two.message()) == ("to one", "to two")
