"""Bad input in compressed messages: rows B21 to B24 of the matrix of hostile input."""

from __future__ import annotations

import random
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from gateway_core import Capability, Closed, ConnectionId, Received
from tests.support.gateways import Application, Gateways, need
from tests.support.raw_peer import BINARY, CONTINUATION, FIN, RSV1, TEXT, RawPeer, frame
from tests.support.wire import check_closed_with, serves_others

TAIL = b"\x00\x00\xff\xff"
"""Ends a flushed block, and is left out on the wire (RFC 7692 §7.2.1)."""


def deflated(data: bytes, *, flush: int = zlib.Z_SYNC_FLUSH, level: int = 9) -> bytes:
    """`data` as the payload of a compressed message."""
    compress = zlib.compressobj(level, zlib.DEFLATED, -15)
    result = compress.compress(data) + compress.flush(flush)
    return result.removesuffix(TAIL)


def compressed(payload: bytes, opcode: int = BINARY) -> bytes:
    """A frame with RSV1."""
    return frame(opcode, payload, first=FIN | RSV1 | opcode)


def text_of(size: int) -> bytes:
    """Text that deflates about 2:1, so that no limit of the ratio is met."""
    return random.Random(size).randbytes(size // 2 + 1).hex().encode()[:size]


@asynccontextmanager
async def deflating(
    app: Application, offer: str = "permessage-deflate"
) -> AsyncIterator[tuple[RawPeer, ConnectionId, str]]:
    """A peer that has agreed on compression; the third is what the gateway answered to its offer."""
    need(app.gateway, Capability.COMPRESSION)
    async with app.knock("/", [("Sec-WebSocket-Extensions", offer)]) as (peer, opened):
        app.gateway.accept(opened.connection)
        yield peer, opened.connection, (await peer.upgraded()).headers["sec-websocket-extensions"]


async def check_refused(gateways: Gateways, data: bytes, *codes: int, **settings: float) -> None:
    async with gateways(**settings) as app:
        async with deflating(app) as (peer, connection, _):
            await peer.send(data)
            await check_closed_with(app, peer, connection, *codes)
        await serves_others(app)


async def test_b21_a_bomb_closes_with_1009(gateways: Gateways) -> None:
    """64 KiB that inflate to 64 MiB, a thousand times the limit."""
    bomb = compressed(deflated(bytes(1 << 26)))
    assert len(bomb) < 66_000
    await check_refused(gateways, bomb, 1009, max_message_bytes=65_536)


async def test_b21_a_bomb_in_fragments_closes_with_1009(gateways: Gateways) -> None:
    payload = deflated(bytes(1 << 24))
    frames = frame(BINARY, payload[:100], first=RSV1 | BINARY) + frame(CONTINUATION, payload[100:])
    await check_refused(gateways, frames, 1009)


async def test_b21_a_bomb_below_the_limit_is_judged_by_its_ratio(gateways: Gateways) -> None:
    await check_refused(gateways, compressed(deflated(bytes(1 << 20))), 1009, max_message_bytes=1 << 24)


async def test_b21_many_bombs_cost_no_more_than_one(gateways: Gateways) -> None:
    await check_refused(gateways, compressed(deflated(bytes(1 << 24))) * 50, 1009)


async def test_b21_a_bomb_in_a_bomb_is_inflated_once(gateways: Gateways) -> None:
    inner = deflated(bytes(60_000))
    async with gateways() as app, deflating(app) as (peer, connection, _):
        await peer.send(compressed(deflated(inner)))
        assert await app.next(Received) == Received(connection, inner, False)


async def test_b21_a_message_exactly_at_the_limit_arrives(gateways: Gateways) -> None:
    async with gateways(max_message_bytes=50_000) as app, deflating(app) as (peer, connection, _):
        await peer.send(compressed(deflated(text_of(50_000)), TEXT))
        assert await app.next(Received) == Received(connection, text_of(50_000), True)


async def test_b21_one_byte_over_the_limit_closes_with_1009(gateways: Gateways) -> None:
    await check_refused(gateways, compressed(deflated(text_of(50_001))), 1009, max_message_bytes=50_000)


BAD_DATA = {
    "reserved block type": b"\x07\xff\xff",
    "stored block with a wrong length check": b"\x00\x05\x00\x00\x00hello",
    "noise": bytes(random.Random(7).randbytes(300)),
}


@pytest.mark.parametrize("data", BAD_DATA.values(), ids=BAD_DATA)
async def test_b22_bad_deflate_data_closes_with_1007_or_1002(gateways: Gateways, data: bytes) -> None:
    await check_refused(gateways, compressed(data), 1007, 1002)


async def test_b22_a_distance_before_the_message_closes_with_1007_or_1002(gateways: Gateways) -> None:
    """What was deflated against a dictionary that the gateway does not have."""
    secret = bytes(random.Random(3).randbytes(200))
    compress = zlib.compressobj(wbits=-15, zdict=secret)
    data = (compress.compress(secret) + compress.flush(zlib.Z_SYNC_FLUSH)).removesuffix(TAIL)
    await check_refused(gateways, compressed(data), 1007, 1002)


async def test_b22_truncated_data_closes_with_1007_or_1002(gateways: Gateways) -> None:
    await check_refused(gateways, compressed(deflated(text_of(1_000))[:-40]), 1007, 1002)


async def test_b22_text_that_inflates_to_invalid_utf8_closes_with_1007(gateways: Gateways) -> None:
    await check_refused(gateways, compressed(deflated(b"\xc0\xaf" * 10), TEXT), 1007)


async def test_b22_a_final_block_may_end_a_message(gateways: Gateways) -> None:
    """RFC 7692 §7.2.3.4: BFINAL is legal; the receiver appends the tail all the same."""
    async with gateways() as app, deflating(app) as (peer, connection, _):
        for _ in range(2):
            await peer.send(compressed(deflated(b"final", flush=zlib.Z_FINISH) + b"\x00", TEXT))
            assert await app.next(Received) == Received(connection, b"final", True)


async def test_b22_several_blocks_and_an_empty_one_are_legal(gateways: Gateways) -> None:
    compress = zlib.compressobj(wbits=-15)
    data = compress.compress(b"one ") + compress.flush(zlib.Z_SYNC_FLUSH)
    data += compress.compress(b"two") + compress.flush(zlib.Z_FULL_FLUSH)
    async with gateways() as app, deflating(app) as (peer, connection, _):
        await peer.send(compressed(data.removesuffix(TAIL), TEXT))
        assert await app.next(Received) == Received(connection, b"one two", True)
        await peer.send(compressed(b"\x00", TEXT))
        assert await app.next(Received) == Received(connection, b"", True)


async def test_b22_a_compressed_control_frame_closes_with_1002(gateways: Gateways) -> None:
    await check_refused(gateways, frame(0x9, b"x", first=FIN | RSV1 | 0x9), 1002)


async def test_b22_a_bad_message_leaves_the_next_connection_unharmed(gateways: Gateways) -> None:
    """The codec is shared by the connections of a reactor: an error must not stay in it."""
    async with gateways() as app:
        for _ in range(5):
            async with deflating(app) as (peer, connection, _):
                await peer.send(compressed(b"\x07\xff\xff"))
                assert (await app.next(Closed, connection)).code in (1007, 1002)
            async with deflating(app) as (peer, connection, _):
                await peer.send(compressed(deflated(text_of(5_000)), TEXT))
                assert await app.next(Received) == Received(connection, text_of(5_000), True)


@pytest.mark.parametrize(
    "offer",
    [
        "permessage-deflate",
        "permessage-deflate; client_max_window_bits",
        "permessage-deflate; client_max_window_bits=15; server_max_window_bits=15",
        "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
    ],
)
async def test_b23_no_connection_keeps_a_window(gateways: Gateways, offer: str) -> None:
    """Whatever is offered, no context is taken over in either direction: nothing to hold between messages."""
    async with gateways() as app, deflating(app, offer) as (_, _, agreed):
        parameters = {part.strip().split("=")[0] for part in agreed.split(";")}
        assert {"permessage-deflate", "server_no_context_takeover", "client_no_context_takeover"} <= parameters


async def test_b24_equal_messages_are_equal_on_the_wire(gateways: Gateways) -> None:
    """Nothing of one message shows in the length of the next, so that no secret can be guessed at."""
    async with gateways() as app, deflating(app) as (peer, connection, _):
        for text in ("a" * 300, "b" * 300, "a" * 300):
            app.gateway.send(connection, text)
        first, _, third = [await peer.frame() for _ in range(3)]
        assert first.compressed
        assert first == third


async def test_b24_what_one_peer_sends_does_not_show_to_another(gateways: Gateways) -> None:
    guess = text_of(600).decode()
    async with gateways() as app, deflating(app) as (one, first, _), deflating(app) as (two, second, _):
        app.gateway.send(second, guess)
        alone = await two.frame()
        app.gateway.send(first, guess)
        await one.frame()
        app.gateway.send(second, guess)
        assert await two.frame() == alone
