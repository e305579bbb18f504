"""The WebSocket of a client, on streams in memory; the other end is written byte for byte or by wsproto."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import pytest
import trio
import trio.testing
import wsproto
from wsproto import events

from chat.client import ConnectionLost, HandshakeRefused, ProtocolViolation
from chat.client.calls import Calls
from chat.client.codec import CborCodec
from chat.client.config import ClientConfig
from chat.client.connection import Connection
from chat.client.credentials import Credentials
from chat.client.http import HttpApi
from chat.client.socket import Socket

Stream = trio.StapledStream[Any, Any]


class Far:
    """The server's end. It does what `script` says, and otherwise answers pings until it is deaf."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.protocol = wsproto.WSConnection(wsproto.ConnectionType.SERVER)
        self.seen: list[events.Event] = []

    async def accept(self, subprotocol: str | None = "chat.v1.cbor") -> None:
        while not self.seen:
            await self.read_once()
        await self.send(events.AcceptConnection(subprotocol=subprotocol))

    async def send(self, event: events.Event) -> None:
        await self.stream.send_all(self.protocol.send(event))

    async def read_once(self) -> None:
        self.protocol.receive_data(bytes(await self.stream.receive_some()))
        self.seen += self.protocol.events()

    async def answer_pings(self, count: int) -> None:
        answered = 0
        while answered < count:
            before = len(self.seen)
            await self.read_once()
            for event in self.seen[before:]:
                if isinstance(event, events.Ping):
                    await self.send(event.response())
                    answered += 1


async def connected(max_message_bytes: int = 1_000) -> tuple[Socket, Far]:
    near, end = trio.testing.memory_stream_pair()
    socket, far = Socket(near, max_message_bytes), Far(end)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(far.accept)
        await socket.open("example.org", "/ws", "chat.v1.cbor")
    return socket, far


async def answered_with(answer: bytes) -> None:
    """Opens a socket to a server that answers so, then ends."""
    near, far = trio.testing.memory_stream_pair()
    await far.send_all(answer)
    await far.send_eof()
    await Socket(near, 100).open("example.org", "/ws", "chat.v1.cbor")


async def test_the_handshake_offers_one_subprotocol() -> None:
    _, far = await connected()
    [request] = far.seen
    assert isinstance(request, events.Request)
    assert (request.host, request.target, request.subprotocols) == ("example.org", "/ws", ["chat.v1.cbor"])


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"", ConnectionLost),
        (b"HTTP/1.1 101 Switch", ConnectionLost),
        (b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", ConnectionLost),
        (b"HTTP/1.1 429 Slow\r\nContent-Length: 0\r\n\r\n", ConnectionLost),
        (b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n", HandshakeRefused),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", HandshakeRefused),
        (b"SSH-2.0-OpenSSH_9\r\n\r\n", ProtocolViolation),
        (b"HTTP/1.1 101 Go\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", ProtocolViolation),
    ],
)
async def test_every_answer_to_the_handshake_has_its_meaning(answer: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        await answered_with(answer)


async def test_a_busy_server_says_when_to_come_back() -> None:
    with pytest.raises(ConnectionLost) as caught:
        await answered_with(b"HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n")
    assert caught.value.retry_after == 7.0


async def test_a_server_without_the_subprotocol_is_not_spoken_to() -> None:
    near, end = trio.testing.memory_stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(Far(end).accept, None)
        with pytest.raises(ProtocolViolation, match="does not speak"):
            await Socket(near, 100).open("example.org", "/ws", "chat.v1.cbor")


async def test_messages_come_whole_however_they_are_cut() -> None:
    socket, far = await connected()
    await far.send(events.BytesMessage(b"one", message_finished=False))
    await far.send(events.Ping(b"between"))
    await far.send(events.BytesMessage(b"", message_finished=False))
    await far.send(events.BytesMessage(b" message"))
    await far.send(events.TextMessage("täxt", message_finished=False))
    await far.send(events.TextMessage("!"))
    assert await socket.receive() == b"one message"
    assert await socket.receive() == "täxt!"
    await far.read_once()
    assert far.seen[-1] == events.Pong(b"between")


async def test_a_message_beyond_the_limit_is_refused_while_it_grows() -> None:
    socket, far = await connected(max_message_bytes=10)
    await far.send(events.BytesMessage(b"12345678", message_finished=False))
    await far.send(events.BytesMessage(b"9ab", message_finished=False))
    with pytest.raises(ProtocolViolation, match="more than 10 bytes"):
        await socket.receive()


async def test_a_stream_that_ends_in_a_frame_is_a_lost_connection() -> None:
    socket, far = await connected()
    await far.stream.send_all(b"\x82\x05abc")
    await far.stream.send_eof()
    with pytest.raises(ConnectionLost):
        await socket.receive()


@pytest.mark.parametrize(
    "frame", [b"\xc2\x01a", b"\x83\x00", b"\x82\x81\x00\x00\x00\x00a", b"\x81\x02\xff\xff", b"\x88\x01a"]
)
async def test_a_server_that_breaks_the_protocol_is_told_apart(frame: bytes) -> None:
    socket, far = await connected()
    await far.stream.send_all(frame)
    with pytest.raises(ProtocolViolation):
        await socket.receive()


async def test_the_close_handshake_goes_both_ways() -> None:
    socket, far = await connected()
    await socket.close()
    await far.read_once()
    close = far.seen[-1]
    assert isinstance(close, events.CloseConnection)
    await far.send(close.response())
    with pytest.raises(ConnectionLost, match="1000"):
        await socket.receive()
    with pytest.raises(ConnectionLost):
        await socket.send(b"late")
    await socket.close()


def connection(config: ClientConfig) -> Connection:
    url = "http://example.org"
    return Connection(
        urlsplit(url), None, CborCodec(), config, Credentials(HttpApi(url), token="t"), Calls(1, CborCodec())
    )


async def test_a_silent_server_that_answers_pings_is_kept_and_a_dead_one_is_not(
    autojump_clock: trio.testing.MockClock,
) -> None:
    socket, far = await connected()
    start = trio.current_time()

    async def read() -> None:
        await socket.receive()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read)
        nursery.start_soon(far.answer_pings, 5)
        with pytest.raises(ConnectionLost, match="nothing was heard"):
            await connection(ClientConfig(ping_seconds=20, pong_seconds=10))._keep_alive(socket, 25)
        nursery.cancel_scope.cancel()
    assert trio.current_time() - start == pytest.approx(6 * 20 + 10, abs=1)


@pytest.mark.parametrize("heartbeat", [0.0, -5.0, float("nan"), float("inf"), 1e9])
async def test_a_heartbeat_without_sense_does_not_make_the_client_spin_or_sleep_for_ever(
    heartbeat: float, autojump_clock: trio.testing.MockClock
) -> None:
    socket, _ = await connected()
    start = trio.current_time()
    with pytest.raises(ConnectionLost):
        await connection(ClientConfig())._keep_alive(socket, heartbeat)
    assert 11 <= trio.current_time() - start <= 31
