"""HTTP/1.1 on handed-over sockets, against peers that break every rule."""

from __future__ import annotations

import contextlib
import json
import random
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import pytest
import structlog
import trio

from chat.http_api.asgi import Message, Receive, Send
from chat.http_api.server import HttpServer
from chat.http_api.settings import HttpSettings
from gateway_core import HttpConnection

SECONDS = 20.0
SETTINGS = HttpSettings(http_request_seconds=SECONDS, http_idle_seconds=SECONDS, http_answer_seconds=SECONDS)
GET = b"GET /x?q=1 HTTP/1.1\r\nHost: h\r\n\r\n"


async def echo(scope: Message, receive: Receive, send: Send) -> None:
    """Answers what it was asked, as JSON."""
    body = (await receive())["body"]
    seen = {
        "method": scope["method"],
        "path": scope["path"],
        "query": scope["query_string"].decode(),
        "scheme": scope["scheme"],
        "client": scope["client"][0],
        "body": body.decode(),
    }
    content = json.dumps(seen).encode()
    headers = [(b"content-length", b"%d" % len(content))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": content})


class Peer:
    """The client's end of a connection that was handed over with `data` already read."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self._received = b""

    async def send(self, data: bytes) -> None:
        await self.stream.send_all(data)

    async def answer(self, *, to_head: bool = False) -> tuple[int, dict[str, str], bytes]:
        """One answer: status, headers, body."""
        with trio.fail_after(SECONDS):
            while b"\r\n\r\n" not in self._received:
                await self._receive()
            head, _, self._received = self._received.partition(b"\r\n\r\n")
            first, *lines = head.decode().split("\r\n")
            headers = {key.lower(): value for key, value in (line.split(": ", 1) for line in lines)}
            length = 0 if to_head else int(headers.get("content-length", 0))
            while len(self._received) < length:
                await self._receive()
        body, self._received = self._received[:length], self._received[length:]
        return int(first.split()[1]), headers, body

    async def is_closed(self) -> bool:
        """Waits for the end of the stream; nothing may come before it."""
        with trio.fail_after(SECONDS):
            try:
                return not self._received and await self.stream.receive_some(100) == b""
            except trio.BrokenResourceError:
                return True

    async def _receive(self) -> None:
        data = await self.stream.receive_some(65536)
        assert data, f"closed after {self._received!r}"
        self._received += data


class Served(HttpServer):
    """A server, and the peers that it has been given."""

    peers: list[Peer]


async def handed_over(server: Served, data: bytes) -> Peer:
    """A new connection to `server`."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = await trio.open_tcp_stream("127.0.0.1", listener.getsockname()[1])
        accepted, _ = listener.accept()
    accepted.setblocking(False)
    server.start(HttpConnection(accepted, data))
    server.peers.append(Peer(client))
    return server.peers[-1]


@pytest.fixture
async def start(nursery: trio.Nursery) -> AsyncIterator[Callable[..., Any]]:
    peers: list[Peer] = []

    async def start_server(app: Any = echo, **settings: Any) -> Served:
        server = Served(app, replace(SETTINGS, **settings))
        server.peers = peers
        await nursery.start(server.run)
        return server

    yield start_server
    for peer in peers:
        await peer.stream.aclose()


async def test_the_first_bytes_are_replayed_and_the_connection_stays(start: Callable[..., Any]) -> None:
    peer = await handed_over(await start(), GET)
    status, _, body = await peer.answer()
    assert status == 200
    assert json.loads(body) | {"path": "/x", "query": "q=1", "client": "127.0.0.1"} == json.loads(body)
    await peer.send(b"POST /y HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc")
    status, headers, body = await peer.answer()
    assert (status, json.loads(body)["body"]) == (200, "abc")
    assert "connection" not in headers
    assert "date" in headers


async def test_pipelined_requests_are_answered_one_after_the_other(start: Callable[..., Any]) -> None:
    peer = await handed_over(await start(), GET + GET.replace(b"/x", b"/y") + GET.replace(b"/x", b"/z"))
    assert [json.loads((await peer.answer())[2])["path"] for _ in range(3)] == ["/x", "/y", "/z"]


async def test_a_chunked_body_is_put_together(start: Callable[..., Any]) -> None:
    peer = await handed_over(
        await start(), b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n"
    )
    await peer.send(b"1\r\nc\r\n0\r\n\r\n")
    assert json.loads((await peer.answer())[2])["body"] == "abc"


async def test_a_peer_that_asks_before_it_sends_the_body_is_told_to(start: Callable[..., Any]) -> None:
    peer = await handed_over(
        await start(), b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n"
    )
    assert (await peer.answer())[0] == 100
    await peer.send(b"abc")
    assert (await peer.answer())[0] == 200


async def test_head_has_no_body(start: Callable[..., Any]) -> None:
    peer = await handed_over(await start(), GET.replace(b"GET", b"HEAD"))
    assert (await peer.answer(to_head=True))[0] == 200
    await peer.send(GET)
    assert (await peer.answer())[0] == 200


@pytest.mark.parametrize(
    "request_bytes",
    [
        GET.replace(b"Host: h\r\n", b"Host: h\r\nConnection: close\r\n"),
        b"GET /x HTTP/1.0\r\n\r\n",
        b"GET /x HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    ],
)
async def test_the_connection_ends_where_the_peer_wants_no_more(
    start: Callable[..., Any], request_bytes: bytes
) -> None:
    peer = await handed_over(await start(), request_bytes)
    status, headers, _ = await peer.answer()
    assert (status, headers["connection"].lower()) == (200, "close")
    assert await peer.is_closed()


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"POST / HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
        (b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc", 400),
        (b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999999999999\r\n\r\n", 413),
        (b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n" + b"f" * 30 + b"\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: user@h\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: h\r\nBad Name: x\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: h\r\nX: a\x00b\r\n\r\n", 400),
        (b"GET / HTTP/9.9\r\nHost: h\r\n\r\n", 505),
        (b"GET http://h/ HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        (b"CONNECT h:443 HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        (b"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
        (b"\x00" * 20_000, 400),
        (b"GET /" + b"a" * 20_000, 431),
        (b"GET / HTTP/1.1\r\nHost: h\r\n" + b"".join(b"X-%d: 0123456789\r\n" % n for n in range(2000)), 431),
    ],
)
async def test_a_malformed_request_is_refused_and_the_connection_closed(
    start: Callable[..., Any], request_bytes: bytes, status: int
) -> None:
    peer = await handed_over(await start(), request_bytes[:1000])
    await peer.send(request_bytes[1000:] or b"")
    got, headers, body = await peer.answer()
    assert got == status
    assert headers["connection"] == "close"
    assert json.loads(body)["error"]["code"] == "invalid"
    assert await peer.is_closed()


async def test_a_refused_head_has_no_body(start: Callable[..., Any]) -> None:
    peer = await handed_over(await start(), b"HEAD http://h/ HTTP/1.1\r\nHost: h\r\n\r\n")
    assert (await peer.answer(to_head=True))[0] == 400
    assert await peer.is_closed()


async def test_no_bytes_end_the_server(start: Callable[..., Any]) -> None:
    server = await start(http_request_seconds=0.05, http_idle_seconds=0.05)
    choose = random.Random(7)
    parts = [GET, b"POST / HTTP/1.1\r\n", b"Host: h\r\n", b"Content-Length: 3\r\n", b"Transfer-Encoding: chunked\r\n"]
    parts += [b"\r\n", b"abc", b"3\r\nabc\r\n", b"0\r\n\r\n", b"Connection: close\r\n", b"Expect: 100-continue\r\n"]
    parts += [b"HEAD / HTTP/1.1\r\n", b"Upgrade: websocket\r\n", b"\x00", b"\xff", b"\n", b" ", b":", b"HTTP/1.0"]
    with structlog.testing.capture_logs() as logged:
        for _ in range(200):
            peer = await handed_over(server, b"".join(choose.choices(parts, k=choose.randint(0, 12))))
            with contextlib.suppress(trio.BrokenResourceError):
                await peer.stream.send_all(choose.randbytes(choose.randint(0, 50)))
                await peer.stream.send_eof()
                with trio.fail_after(SECONDS):
                    while await peer.stream.receive_some(65536):
                        pass
            await peer.stream.aclose()
    assert "connection failed" not in {entry["event"] for entry in logged}
    assert (await (await handed_over(server, GET)).answer())[0] == 200


async def test_nothing_after_a_refused_request_is_served(start: Callable[..., Any]) -> None:
    smuggled = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + GET
    peer = await handed_over(await start(), smuggled)
    assert (await peer.answer())[0] == 400
    assert await peer.is_closed()


@pytest.mark.parametrize("length", [b"Content-Length: 70000\r\n", b"Transfer-Encoding: chunked\r\n"])
async def test_a_body_beyond_the_limit_is_refused(start: Callable[..., Any], length: bytes) -> None:
    peer = await handed_over(await start(), b"POST / HTTP/1.1\r\nHost: h\r\n" + length + b"\r\n")
    if b"chunked" in length:
        await peer.send(b"11170\r\n" + b"a" * 70_000 + b"\r\n")
    assert (await peer.answer())[0] == 413
    assert await peer.is_closed()


async def test_an_opening_handshake_on_a_used_connection_is_sent_to_a_new_one(start: Callable[..., Any]) -> None:
    peer = await handed_over(await start(), GET)
    await peer.answer()
    await peer.send(b"GET /ws HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
    status, headers, _ = await peer.answer()
    assert (status, headers["upgrade"], headers["connection"]) == (426, "websocket", "close")
    assert await peer.is_closed()


async def test_an_upgrade_to_http_2_is_ignored(start: Callable[..., Any]) -> None:
    peer = await handed_over(
        await start(), GET.replace(b"\r\n\r\n", b"\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")
    )
    assert (await peer.answer())[0] == 200


async def test_a_request_that_dribbles_in_is_cut_off(start: Callable[..., Any]) -> None:
    server = await start(http_request_seconds=0.1)
    peer = await handed_over(server, b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nabc")
    status, _, body = await peer.answer()
    assert (status, json.loads(body)["error"]["retryable"]) == (408, True)
    assert await peer.is_closed()


async def test_a_connection_that_asks_for_nothing_more_is_closed(start: Callable[..., Any]) -> None:
    peer = await handed_over(await start(http_idle_seconds=0.1), GET)
    assert (await peer.answer())[0] == 200
    assert await peer.is_closed()


async def test_a_peer_that_does_not_read_its_answer_is_cut_off(start: Callable[..., Any]) -> None:
    cut_off = trio.Event()

    async def endless(scope: Message, receive: Receive, send: Send) -> None:
        try:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            while True:
                await send({"type": "http.response.body", "body": b"a" * 65536, "more_body": True})
        finally:
            cut_off.set()

    server = await start(endless, http_answer_seconds=0.2)
    peer = await handed_over(server, GET)
    with trio.fail_after(SECONDS):
        await cut_off.wait()
    with contextlib.suppress(trio.BrokenResourceError):
        while await peer.stream.receive_some(1_000_000):
            pass


async def test_an_application_that_does_not_answer_in_time_is_answered_for(start: Callable[..., Any]) -> None:
    async def stuck(scope: Message, receive: Receive, send: Send) -> None:
        await trio.sleep_forever()

    peer = await handed_over(await start(stuck, http_answer_seconds=0.1), GET)
    assert (await peer.answer())[0] == 503
    assert await peer.is_closed()


async def test_an_application_that_fails_is_answered_for_and_the_server_goes_on(start: Callable[..., Any]) -> None:
    async def broken(scope: Message, receive: Receive, send: Send) -> None:
        raise RuntimeError("a bug")

    server = await start(broken)
    for _ in range(2):
        peer = await handed_over(server, GET)
        assert (await peer.answer())[0] == 500
        assert await peer.is_closed()


async def test_connections_beyond_the_limit_get_503_until_one_ends(start: Callable[..., Any]) -> None:
    server = await start(max_http_connections=2)
    first, _ = [await handed_over(server, b"GET /") for _ in range(2)]
    refused = await handed_over(server, GET)
    status, headers, body = await refused.answer()
    assert (status, headers["retry-after"], json.loads(body)["error"]["code"]) == (503, "5", "unavailable")
    await first.send(b" HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
    await first.answer()
    await first.stream.aclose()
    with trio.fail_after(SECONDS):
        while (await (await handed_over(server, GET)).answer())[0] != 200:
            await trio.lowlevel.checkpoint()


async def test_one_address_cannot_take_all_connections_unless_it_is_a_trusted_proxy(
    start: Callable[..., Any],
) -> None:
    server = await start(max_http_connections_per_address=1)
    await handed_over(server, b"GET /")
    assert (await (await handed_over(server, GET)).answer())[0] == 503
    server = await start(max_http_connections_per_address=1, trusted_proxies=("127.0.0.1",))
    await handed_over(server, b"GET /")
    assert (await (await handed_over(server, GET)).answer())[0] == 200


@pytest.mark.parametrize("trusted", [True, False])
async def test_forwarded_headers_count_only_from_a_trusted_proxy(start: Callable[..., Any], trusted: bool) -> None:
    server = await start(trusted_proxies=("127.0.0.0/8",) if trusted else ())
    forwarded = b"\r\nX-Forwarded-For: 203.0.113.5\r\nX-Forwarded-Proto: https\r\n\r\n"
    peer = await handed_over(server, GET.replace(b"\r\n\r\n", forwarded))
    seen = json.loads((await peer.answer())[2])
    assert (seen["client"], seen["scheme"]) == (("203.0.113.5", "https") if trusted else ("127.0.0.1", "http"))


async def test_draining_closes_idle_connections_and_finishes_answers(start: Callable[..., Any]) -> None:
    asked, answer_now = trio.Event(), trio.Event()

    async def slow(scope: Message, receive: Receive, send: Send) -> None:
        if scope["path"] == "/slow":
            asked.set()
            await answer_now.wait()
        await echo(scope, receive, send)

    server = await start(slow)
    idle = await handed_over(server, GET)
    await idle.answer()
    busy = await handed_over(server, GET.replace(b"/x", b"/slow"))
    await asked.wait()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(server.drain, SECONDS)
        assert await idle.is_closed()
        await idle.stream.aclose()
        answer_now.set()
        status, headers, _ = await busy.answer()
        assert (status, headers["connection"]) == (200, "close")
        await busy.stream.aclose()
    late = await handed_over(server, GET)
    assert (await late.answer())[0] == 503


async def test_draining_ends_in_time_whatever_peers_do(start: Callable[..., Any]) -> None:
    server = await start()
    half = await handed_over(server, b"GET /")
    with trio.fail_after(SECONDS):
        await server.drain(0.05)
    assert await half.is_closed()


async def test_a_socket_whose_peer_is_gone_is_no_error(start: Callable[..., Any]) -> None:
    server = await start()
    peer = await handed_over(server, b"GET /")
    peer.stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
    await peer.stream.aclose()
    assert (await (await handed_over(server, GET)).answer())[0] == 200
