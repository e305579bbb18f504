"""Requests that ask for no WebSocket: socket and bytes are handed to the application."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio

from gateway_core import HttpConnection
from tests.support.gateways import Gateways
from tests.support.raw_peer import WAIT_SECONDS

GET = b"GET /api/rooms?x=1 HTTP/1.1\r\nHost: localhost\r\nX-Header: value\r\n\r\n"


@asynccontextmanager
async def serving(handed: HttpConnection) -> AsyncIterator[trio.SocketStream]:
    """The application's side of a connection that was handed over."""
    stream = trio.SocketStream(trio.socket.from_stdlib_socket(handed.socket))
    try:
        yield stream
    finally:
        await trio.aclose_forcefully(stream)


async def read_exactly(stream: trio.SocketStream, data: bytes, size: int) -> bytes:
    with trio.fail_after(WAIT_SECONDS):
        while len(data) < size:
            data += bytes(await stream.receive_some())
    return data


async def test_the_request_is_complete_and_the_socket_works(gateways: Gateways) -> None:
    async with gateways() as app, app.peer() as peer:
        await peer.send(GET)
        handed = await app.next(HttpConnection)
        assert handed.data == GET
        assert not handed.socket.getblocking()
        async with serving(handed) as stream:
            await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            answer = await peer.response()
            assert (answer.status, answer.body) == (200, b"ok")
            await peer.send(GET)
            assert await read_exactly(stream, b"", len(GET)) == GET, "keep-alive is the application's"


async def test_no_byte_of_a_body_is_lost(gateways: Gateways) -> None:
    body = bytes(range(256)) * 400
    head = b"POST /api/login HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body)
    async with gateways() as app, app.peer() as peer:
        await peer.send(head, body[:1_000])
        handed = await app.next(HttpConnection)
        await peer.send(body[1_000:])
        async with serving(handed) as stream:
            assert await read_exactly(stream, handed.data, len(head) + len(body)) == head + body


async def test_a_head_cut_into_pieces_is_handed_over_whole(gateways: Gateways) -> None:
    async with gateways() as app, app.peer() as peer:
        for byte in GET:
            await peer.send(bytes([byte]))
        handed = await app.next(HttpConnection)
        assert handed.data == GET
        handed.socket.close()
        await peer.end()


@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"PATCH"])
async def test_every_method_is_handed_over(gateways: Gateways, method: bytes) -> None:
    async with gateways() as app, app.peer() as peer:
        await peer.send(GET.replace(b"GET", method, 1))
        handed = await app.next(HttpConnection)
        assert handed.data.startswith(method + b" ")
        handed.socket.close()


async def test_a_handed_over_socket_outlives_the_gateway(gateways: Gateways) -> None:
    async with gateways() as app:
        peer = await trio.open_tcp_stream(*app.gateway.address)
        await peer.send_all(GET)
        handed = await app.next(HttpConnection)
    async with peer, serving(handed) as stream:
        await stream.send_all(b"still here")
        assert await read_exactly(peer, b"", 10) == b"still here"


async def test_a_handed_over_socket_counts_no_longer(gateways: Gateways) -> None:
    async with gateways(max_connections=1, max_pending_handshakes=1) as app, app.peer() as peer:
        await peer.send(GET)
        handed = await app.next(HttpConnection)
        async with app.connect():
            await app.until(lambda stats: stats.connections == 1)
        handed.socket.close()
