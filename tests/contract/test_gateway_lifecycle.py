"""From `async with` to its end: address, draining, leaving, and thousands of connections."""

from __future__ import annotations

import contextlib

import pytest
import trio

from gateway_core import Closed, ConnectionId, Opened
from tests.support.gateways import Application, Backend, Gateways, open_application
from tests.support.raw_peer import WAIT_SECONDS, RawPeer, close_frame, raw_peer, request

THOUSANDS = 2_000


async def test_the_gateway_says_what_it_is(backend: Backend, gateways: Gateways) -> None:
    async with gateways() as app:
        assert app.gateway.backend == backend
        host, port = app.gateway.address
        assert host == "127.0.0.1"
        assert port > 0


async def test_leaving_the_block_frees_the_port(backend: Backend) -> None:
    async with open_application(backend) as app, app.connect():
        _, port = app.gateway.address
    async with open_application(backend, port=port) as app, app.connect():
        assert app.gateway.address[1] == port


async def test_leaving_the_block_closes_with_1001(gateways: Gateways) -> None:
    async with contextlib.AsyncExitStack() as stack:
        async with gateways(close_seconds=0.5) as app:
            peers = []
            for _ in range(3):
                peer = await stack.enter_async_context(raw_peer(app.gateway.address))
                await peer.send(request())
                app.gateway.accept((await app.next(Opened)).connection)
                await peer.upgraded()
                peers.append(peer)
        for peer in peers:
            assert (await peer.frame()).close_code == 1001
            await peer.end()


async def test_leaving_the_block_does_not_wait_for_peers_for_ever(gateways: Gateways) -> None:
    async with contextlib.AsyncExitStack() as stack:
        with trio.fail_after(WAIT_SECONDS):
            async with gateways(close_seconds=0.2) as app:
                silent, waiting, accepted = [
                    await stack.enter_async_context(raw_peer(app.gateway.address)) for _ in range(3)
                ]
                await waiting.send(request())
                await app.next(Opened)
                await accepted.send(request())
                app.gateway.accept((await app.next(Opened)).connection)
                await accepted.upgraded()
        for peer in (silent, waiting, accepted):
            await peer.end()


async def test_an_exception_leaves_the_block_as_it_is(gateways: Gateways) -> None:
    with pytest.raises(ZeroDivisionError):
        async with gateways(close_seconds=0.2) as app, app.connect():
            raise ZeroDivisionError


async def test_a_cancelled_block_ends(backend: Backend) -> None:
    with trio.fail_after(WAIT_SECONDS), trio.CancelScope() as scope:
        async with open_application(backend, close_seconds=0.2) as app, app.connect():
            scope.cancel()
            await trio.sleep_forever()
    assert scope.cancelled_caught


async def test_draining_closes_everybody_and_the_listener(gateways: Gateways) -> None:
    async with gateways() as app, app.connect() as (one, first), app.connect() as (two, second):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(app.drain, 4001, "restart", 0.2)
            for peer in (one, two):
                got = await peer.closed()
                assert (got.close_code, got.close_reason) == (4001, "restart")
                await peer.send(close_frame(4001))
                await peer.end()
                await peer.aclose()
        closed = {event.connection: event for event in [await app.next(Closed), await app.next(Closed)]}
        assert closed == {name: Closed(name, 4001, "restart", True) for name in (first, second)}
        with pytest.raises(OSError, match="connect"):
            await trio.open_tcp_stream(*app.gateway.address)


async def test_draining_does_not_wait_for_sockets_whose_connection_is_gone(gateways: Gateways) -> None:
    async with (
        gateways(close_seconds=3_600) as app,
        app.connect() as (peer, connection),
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(app.drain, 4001, "", 0.1)
        await peer.closed()
        await peer.send(close_frame(4001))  # and the peer keeps its side of the socket open
        nursery.cancel_scope.deadline = trio.current_time() + WAIT_SECONDS
    assert not nursery.cancel_scope.cancelled_caught
    assert await app.next(Closed) == Closed(connection, 4001, "", True)


async def test_draining_returns_although_a_peer_never_answers(gateways: Gateways) -> None:
    async with gateways(close_seconds=0.2) as app, app.connect() as (_, connection):
        with trio.fail_after(WAIT_SECONDS):
            await app.drain(seconds=0.1)
        assert await app.next(Closed) == Closed(connection, 4001, "", False)


async def test_draining_an_empty_gateway_returns(gateways: Gateways) -> None:
    async with gateways() as app:
        with trio.fail_after(WAIT_SECONDS):
            await app.drain(seconds=0.1)


async def test_a_cancelled_drain_leaves_the_listener_closed_and_the_rest_open(gateways: Gateways) -> None:
    async with gateways() as app, contextlib.AsyncExitStack() as stack:
        peers = [await stack.enter_async_context(app.connect()) for _ in range(4)]
        with trio.move_on_after(0.2) as scope:
            await app.drain(seconds=3_600)
        assert scope.cancelled_caught
        with pytest.raises(OSError, match="connect"):
            await trio.open_tcp_stream(*app.gateway.address)
        answers = [app.gateway.send(connection, "still open") for _, connection in peers]
        assert any(answers)


async def test_thousands_of_connections(gateways: Gateways) -> None:
    """2,000 peers connect at once, get one message each, and leave at once."""
    async with gateways(close_seconds=60) as app, contextlib.AsyncExitStack() as stack:
        peers: list[RawPeer] = []
        limiter = trio.CapacityLimiter(100)

        async def join() -> None:
            async with limiter:
                peer = await stack.enter_async_context(raw_peer(app.gateway.address))
                await peer.send(request())
                await peer.upgraded()
                peers.append(peer)

        async with trio.open_nursery() as nursery:
            for _ in range(THOUSANDS):
                nursery.start_soon(join)
            await welcome(app, THOUSANDS)
        await app.until(lambda stats: stats.connections == THOUSANDS)
        app.gateway.publish("room", {"": "hello"}, position=1)
        for peer in peers:
            assert await peer.message() == "hello"
        for peer in peers:
            peer.reset()
        gone = {(await app.next(Closed)).connection for _ in range(THOUSANDS)}
        assert len(gone) == THOUSANDS
        await app.until(lambda stats: stats.connections == 0)


async def welcome(app: Application, count: int) -> set[ConnectionId]:
    """Accepts `count` connections into the topic `room`."""
    met: set[ConnectionId] = set()
    while len(met) < count:
        opened = await app.next(Opened)
        assert app.gateway.accept(opened.connection)
        assert app.gateway.subscribe(opened.connection, "room")
        met.add(opened.connection)
    return met


async def test_connection_ids_are_never_given_twice(backend: Backend) -> None:
    seen = set()
    for _ in range(2):
        async with open_application(backend) as app:
            for _ in range(3):
                async with app.connect() as (_, connection):
                    seen.add(connection)
    assert len(seen) == 6
