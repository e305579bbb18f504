"""Pings to silent peers, and 4012 for those that do not answer."""

from __future__ import annotations

import contextlib

from gateway_core import Closed, Received
from tests.support.gateways import Gateways
from tests.support.raw_peer import PING, PONG, TEXT, frame


async def test_a_silent_peer_is_pinged(gateways: Gateways) -> None:
    async with gateways(ping_interval_seconds=0.2) as app, app.connect() as (peer, _):
        assert (await peer.frame()).opcode == PING


async def test_a_peer_that_answers_pings_stays(gateways: Gateways) -> None:
    async with gateways(ping_interval_seconds=0.1) as app, app.connect() as (peer, _):
        for _ in range(5):
            ping = await peer.frame()
            assert ping.opcode == PING
            await peer.send(frame(PONG, ping.payload))
        await peer.send(frame(TEXT, b"still here"))
        assert (await app.next(Received)).payload == b"still here"


async def test_a_peer_that_does_not_answer_is_closed_with_4012(gateways: Gateways) -> None:
    async with (
        gateways(ping_interval_seconds=0.2, ping_timeout_seconds=0.2) as app,
        app.connect() as (peer, connection),
    ):
        closed = await app.next(Closed)
        assert (closed.connection, closed.code, closed.clean) == (connection, 4012, False)
        assert (await peer.frame()).opcode == PING
        assert (await peer.frame()).close_code == 4012


async def test_any_sign_of_life_counts_as_an_answer(gateways: Gateways) -> None:
    async with (
        gateways(ping_interval_seconds=0.1, ping_timeout_seconds=20) as app,
        app.connect() as (peer, _),
    ):
        for _ in range(3):
            assert (await peer.frame()).opcode == PING
            await peer.send(frame(TEXT, b"busy"))
            assert (await app.next(Received)).payload == b"busy"


async def test_pings_and_ends_may_cross(gateways: Gateways) -> None:
    """Every connection is due for a ping at any moment, and most of all in the moment that it ends."""
    async with gateways(ping_interval_seconds=0.001, ping_timeout_seconds=60) as app:
        for _ in range(5):
            async with contextlib.AsyncExitStack() as stack:
                peers = [(await stack.enter_async_context(app.connect()))[0] for _ in range(50)]
                for peer in peers:
                    await peer.send(frame(TEXT, b"busy"))
                    await peer.aclose()
            for _ in peers:
                assert (await app.next(Closed)).code == 1006


async def test_a_ping_is_answered_before_the_message_behind_it(gateways: Gateways) -> None:
    async with gateways() as app, app.connect() as (peer, connection):
        for number in range(50):
            await peer.send(frame(PING, b"first") + frame(TEXT, b"then"))
            assert (await app.next(Received)).payload == b"then"
            app.gateway.send(connection, str(number))
            assert [(await peer.frame()).opcode, (await peer.frame()).opcode] == [PONG, TEXT]
