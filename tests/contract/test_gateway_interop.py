"""The same gateways with the client libraries that others use, and compression with those that can."""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio
import trio_websocket
from websockets.client import ClientProtocol
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.frames import Frame, Opcode
from websockets.typing import Subprotocol
from websockets.uri import parse_uri

from gateway_core import Capability, Closed, ConnectionId, Opened, Received
from tests.support.gateways import Application, Gateways, need
from tests.support.raw_peer import CONTINUATION, RSV1, TEXT, WAIT_SECONDS, RawPeer, frame

TEXT_TO_COMPRESS = "the quick brown fox jumps over the lazy dog; " * 20


class WebsocketsClient:
    """The sans-IO client of `websockets` on a trio stream."""

    def __init__(self, stream: trio.SocketStream, protocol: ClientProtocol) -> None:
        self.stream = stream
        self.protocol = protocol
        self.frames: list[Frame] = []

    async def flush(self) -> None:
        for data in self.protocol.data_to_send():
            if data:
                await self.stream.send_all(data)

    async def message(self) -> str | bytes:
        """The next message."""
        parts: list[bytes] = []
        opcode = None
        with trio.fail_after(WAIT_SECONDS):
            while True:
                while self.frames:
                    got = self.frames.pop(0)
                    opcode = opcode or got.opcode
                    parts.append(bytes(got.data))
                    if got.fin:
                        return b"".join(parts).decode() if opcode is Opcode.TEXT else b"".join(parts)
                self.protocol.receive_data(await self.stream.receive_some())
                self.frames += [event for event in self.protocol.events_received() if isinstance(event, Frame)]


@asynccontextmanager
async def websockets_client(
    app: Application, *, compression: bool = False, subprotocol: str | None = None
) -> AsyncIterator[tuple[WebsocketsClient, ConnectionId]]:
    """An accepted connection of the `websockets` library."""
    host, port = app.gateway.address
    protocol = ClientProtocol(
        parse_uri(f"ws://{host}:{port}/path"),
        extensions=[ClientPerMessageDeflateFactory(client_max_window_bits=True)] if compression else None,
        subprotocols=[Subprotocol(subprotocol)] if subprotocol else None,
    )
    async with await trio.open_tcp_stream(host, port) as stream:
        client = WebsocketsClient(stream, protocol)
        protocol.send_request(protocol.connect())
        await client.flush()
        opened = await app.next(Opened)
        app.gateway.accept(opened.connection, subprotocol)
        with trio.fail_after(WAIT_SECONDS):
            while not protocol.events_received():
                protocol.receive_data(await stream.receive_some())
        assert protocol.handshake_exc is None
        yield client, opened.connection


async def test_websockets_talks_to_the_gateway(gateways: Gateways) -> None:
    async with gateways() as app, websockets_client(app, subprotocol="chat") as (client, connection):
        assert client.protocol.subprotocol == "chat"
        client.protocol.send_text("grüße".encode())
        client.protocol.send_binary(b"\x00\xff")
        await client.flush()
        assert await app.next(Received) == Received(connection, "grüße".encode(), True)
        assert await app.next(Received) == Received(connection, b"\x00\xff", False)
        app.gateway.send(connection, "text")
        app.gateway.send(connection, b"binary")
        assert [await client.message(), await client.message()] == ["text", b"binary"]
        client.protocol.send_close(4000, "bye")
        await client.flush()
        assert await app.next(Closed) == Closed(connection, 4000, "bye", True)


async def test_trio_websocket_talks_to_the_gateway(gateways: Gateways) -> None:
    async with gateways() as app, trio.open_nursery() as nursery:
        url = "ws://{}:{}/path?query".format(*app.gateway.address)

        async def serve() -> None:
            opened = await app.next(Opened)
            app.gateway.accept(opened.connection, "chat")
            received = await app.next(Received)
            app.gateway.send(opened.connection, received.payload.decode().upper())

        nursery.start_soon(serve)
        with trio.fail_after(WAIT_SECONDS):
            async with trio_websocket.open_websocket_url(url, subprotocols=["other", "chat"]) as client:
                assert client.subprotocol == "chat"
                await client.send_message("hello")
                assert await client.get_message() == "HELLO"
                await client.ping()
        closed = await app.next(Closed)
        assert (closed.code, closed.clean) == (1000, True)


async def test_compressed_messages_arrive_inflated(gateways: Gateways) -> None:
    async with gateways() as app:
        need(app.gateway, Capability.COMPRESSION)
        async with websockets_client(app, compression=True) as (client, connection):
            assert client.protocol.extensions
            for _ in range(3):
                client.protocol.send_text(TEXT_TO_COMPRESS.encode())
                await client.flush()
                assert await app.next(Received) == Received(connection, TEXT_TO_COMPRESS.encode(), True)


async def test_long_messages_are_sent_compressed(gateways: Gateways) -> None:
    async with gateways() as app:
        need(app.gateway, Capability.COMPRESSION)
        async with websockets_client(app, compression=True) as (client, connection):
            for _ in range(3):
                app.gateway.send(connection, TEXT_TO_COMPRESS)
                assert await client.message() == TEXT_TO_COMPRESS


async def test_a_publish_is_compressed_once_for_all_subscribers(gateways: Gateways) -> None:
    async with gateways() as app, contextlib.AsyncExitStack() as stack:
        need(app.gateway, Capability.COMPRESSION)
        clients = []
        for _ in range(10):
            client, connection = await stack.enter_async_context(websockets_client(app, compression=True))
            app.gateway.subscribe(connection, "room")
            clients.append(client)
        app.gateway.publish("room", {"": TEXT_TO_COMPRESS})
        for client in clients:
            assert await client.message() == TEXT_TO_COMPRESS
        stats = await app.until(lambda stats: stats.messages_out == len(clients))
        assert stats.compressions == 1


@asynccontextmanager
async def deflating(app: Application) -> AsyncIterator[tuple[RawPeer, ConnectionId]]:
    """A raw peer that has agreed on permessage-deflate."""
    need(app.gateway, Capability.COMPRESSION)
    headers = [("Sec-WebSocket-Extensions", "permessage-deflate")]
    async with app.knock("/", headers) as (peer, opened):
        app.gateway.accept(opened.connection)
        agreed = (await peer.upgraded()).headers["sec-websocket-extensions"]
        assert agreed.split(";")[0] == "permessage-deflate"
        assert "server_no_context_takeover" in agreed
        yield peer, opened.connection


def deflated(data: bytes) -> bytes:
    """A message's payload (RFC 7692 §7.2.1)."""
    compress = zlib.compressobj(wbits=-15)
    return (compress.compress(data) + compress.flush(zlib.Z_SYNC_FLUSH))[:-4]


async def test_a_long_message_carries_rsv1_and_a_short_one_does_not(gateways: Gateways) -> None:
    async with gateways(min_compress_bytes=256) as app, deflating(app) as (peer, connection):
        app.gateway.send(connection, "x" * 255)
        app.gateway.send(connection, "x" * 256)
        short, long = await peer.frame(), await peer.frame()
        assert not short.compressed
        assert long.compressed
        assert zlib.decompressobj(wbits=-15).decompress(long.payload + b"\x00\x00\xff\xff") == b"x" * 256


async def test_a_compressed_message_may_be_fragmented(gateways: Gateways) -> None:
    async with gateways() as app, deflating(app) as (peer, connection):
        data = deflated(TEXT_TO_COMPRESS.encode())
        await peer.send(frame(TEXT, data[:5], first=TEXT | RSV1), frame(CONTINUATION, data[5:]))
        assert await app.next(Received) == Received(connection, TEXT_TO_COMPRESS.encode(), True)


async def test_without_the_setting_nothing_is_compressed(gateways: Gateways) -> None:
    headers = [("Sec-WebSocket-Extensions", "permessage-deflate")]
    async with gateways(compression=False) as app, app.knock("/", headers) as (peer, opened):
        app.gateway.accept(opened.connection)
        assert "sec-websocket-extensions" not in (await peer.upgraded()).headers
