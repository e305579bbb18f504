"""Bad input in the opening handshake: rows B1 to B9 of the matrix of hostile input.

Each test sends bytes as an attacker would. What must follow is an HTTP error or the end of the connection; never an
`Opened` for a request that could be read in two ways, and never harm to others.
"""

from __future__ import annotations

import contextlib

import pytest
import trio

from gateway_core import Closed, ConnectionId, HttpConnection, Opened, Received
from tests.support.gateways import Application, Gateways
from tests.support.raw_peer import KEY, TEXT, RawPeer, close_frame, frame, raw_peer, request


async def answer_to(app: Application, data: bytes) -> int:
    """The status of the answer to `data`, after which the connection must end without an `Opened`."""
    async with app.peer() as peer:
        # The gateway may refuse, and end, before it has taken everything.
        with contextlib.suppress(trio.BrokenResourceError):
            await peer.send(data)
        status = (await peer.response()).status
        assert await peer.end() == b""
    assert await app.settle() == []
    return status


async def serves_others(app: Application) -> None:
    async with app.connect() as (peer, connection):
        await peer.send(frame(TEXT, b"hello"))
        assert await app.next(Received, connection) == Received(connection, b"hello", True)


async def test_b01_a_silent_socket_is_ended(gateways: Gateways) -> None:
    async with gateways(handshake_seconds=0.2) as app, app.peer() as peer:
        answer = await peer.end()
        assert answer.startswith(b"HTTP/1.1 408 ") or not answer
        await app.until(lambda stats: stats.refused == 1)


async def test_b01_half_a_request_is_ended(gateways: Gateways) -> None:
    async with gateways(handshake_seconds=0.2) as app, app.peer() as peer:
        await peer.send(request()[:-1])
        answer = await peer.end()
        assert answer.startswith(b"HTTP/1.1 408 ") or not answer
        stats = await app.until(lambda stats: stats.refused == 1)
        assert stats.connections == 0


async def test_b01_bytes_one_by_one_do_not_move_the_deadline(gateways: Gateways) -> None:
    async with gateways(handshake_seconds=0.2) as app, app.peer() as peer, trio.open_nursery() as nursery:

        async def trickle() -> None:
            with contextlib.suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                await peer.send(b"GET / HTTP/1.1\r\nX: ")
                while True:
                    await peer.send(b"x")
                    await trio.sleep(0.02)

        nursery.start_soon(trickle)
        assert b" 101 " not in await peer.end()
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("name", ["X-Long", "Cookie", "Sec-WebSocket-Protocol", "Sec-WebSocket-Extensions"])
async def test_b02_a_header_of_a_megabyte_is_431(gateways: Gateways, name: str) -> None:
    async with gateways() as app:
        assert await answer_to(app, request("/", [(name, "x" * 1_000_000)])) == 431


async def test_b02_two_thousand_headers_are_431(gateways: Gateways) -> None:
    async with gateways() as app:
        assert await answer_to(app, request("/", [(f"X-{number}", "x") for number in range(2_000)])) == 431


async def test_b02_one_header_more_than_allowed_is_431(gateways: Gateways) -> None:
    async with gateways(max_headers=10) as app:
        headers = [(f"X-{number}", "x") for number in range(6)]
        assert await answer_to(app, request("/", headers)) == 431
        async with app.knock("/", headers[:5]):
            pass


async def test_b02_a_path_of_64_kilobytes_is_414(gateways: Gateways) -> None:
    async with gateways() as app:
        assert await answer_to(app, request("/" + "x" * 65_536)) == 414


async def test_b02_a_request_line_without_an_end_is_414(gateways: Gateways) -> None:
    async with gateways() as app:
        assert await answer_to(app, b"GET /" + b"x" * 100_000) == 414


@pytest.mark.parametrize(
    "lines",
    [
        b"X-Folded: a\r\n b\r\n",
        b"X-Folded: a\r\n\tb\r\n",
        b"X-Nul: a\0b\r\n",
        b"X-Bare: a\nX-Other: b\r\n",
        b"X-Bare: a\rX-Other: b\r\n",
        b"X-Bell: \x07\r\n",
        b"X-Space : a\r\n",
        b" X-Leading: a\r\n",
        b"X-NoColon\r\n",
        b": no name\r\n",
        b"X(Paren): a\r\n",
        b"X-N\xc3\xa4me: a\r\n",
    ],
)
async def test_b02_ambiguous_header_lines_are_400(gateways: Gateways, lines: bytes) -> None:
    async with gateways() as app:
        assert await answer_to(app, request()[:-2] + lines + b"\r\n") == 400


@pytest.mark.parametrize(
    "line",
    [
        b"GET  / HTTP/1.1\r\n",
        b"GET /\r\n",
        b"GET / HTTP/2.0\r\n",
        b"GET / http/1.1\r\n",
        b"GET / HTTP/1.1 \r\n",
        b"G\x00T / HTTP/1.1\r\n",
        b"GET /a b HTTP/1.1\r\n",
        b"GET /\x01 HTTP/1.1\r\n",
        b"\r\nGET / HTTP/1.1\r\n",
        b" GET / HTTP/1.1\r\n",
    ],
)
async def test_b02_a_malformed_request_line_is_400(gateways: Gateways, line: bytes) -> None:
    async with gateways() as app:
        assert await answer_to(app, line + request().split(b"\r\n", 1)[1]) == 400


async def test_b02_lines_that_end_in_lf_only_are_400(gateways: Gateways) -> None:
    async with gateways() as app:
        assert await answer_to(app, request().replace(b"\r\n", b"\n")) == 400


@pytest.mark.parametrize(
    ("without", "headers"),
    [
        ("Connection", []),
        ("Connection", [("Connection", "keep-alive")]),
        ("Connection", [("Connection", "upgrades")]),
        ("Upgrade", [("Upgrade", "websocket"), ("Upgrade", "websocket")]),
        ("Sec-WebSocket-Key", []),
        ("Sec-WebSocket-Key", [("Sec-WebSocket-Key", KEY), ("Sec-WebSocket-Key", KEY)]),
        ("Sec-WebSocket-Key", [("Sec-WebSocket-Key", "")]),
        ("Sec-WebSocket-Key", [("Sec-WebSocket-Key", "c2hvcnQ=")]),
        ("Sec-WebSocket-Key", [("Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA==AAAA")]),
        ("Sec-WebSocket-Key", [("Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA")]),
        ("Sec-WebSocket-Key", [("Sec-WebSocket-Key", "!!!!!!!!!!!!!!!!!!!!!!==")]),
        ("Sec-WebSocket-Key", [("Sec-WebSocket-Key", "\xe4\xe4\xe4\xe4\xe4\xe4\xe4\xe4\xe4\xe4\xe4\xe4AAAAAAAAAA==")]),
    ],
)
async def test_b03_an_incomplete_or_garbled_upgrade_is_400(
    gateways: Gateways, without: str, headers: list[tuple[str, str]]
) -> None:
    async with gateways() as app:
        assert await answer_to(app, request("/", headers, without=[without])) == 400


@pytest.mark.parametrize("versions", [["8"], ["12"], ["14"], ["abc"], ["013"], [""], ["13, 8"], ["13", "13"], []])
async def test_b03_another_version_is_426_and_13_is_named(gateways: Gateways, versions: list[str]) -> None:
    headers = [("Sec-WebSocket-Version", version) for version in versions]
    async with gateways() as app, app.peer() as peer:
        await peer.send(request("/", headers, without=["Sec-WebSocket-Version"]))
        answer = await peer.response()
        assert answer.status == 426
        assert answer.headers["sec-websocket-version"] == "13"
        assert await app.settle() == []


@pytest.mark.parametrize("upgrade", [[], [("Upgrade", "h2c")], [("Upgrade", "websockets")]])
async def test_b03_a_request_for_no_websocket_is_plain_http(gateways: Gateways, upgrade: list[tuple[str, str]]) -> None:
    async with gateways() as app, app.peer() as peer:
        await peer.send(request("/", upgrade, without=["Upgrade"]))
        (await app.next(HttpConnection)).socket.close()


async def test_b03_names_and_tokens_are_read_in_any_case(gateways: Gateways) -> None:
    headers = [("UPGRADE", "WebSocket"), ("connection", "keep-alive, UPGRADE")]
    async with gateways() as app, app.peer() as peer:
        await peer.send(request("/", headers, without=["Upgrade", "Connection"]))
        app.gateway.accept((await app.next(Opened)).connection)
        await peer.upgraded()


async def test_b03_another_method_is_400(gateways: Gateways) -> None:
    async with gateways() as app:
        assert await answer_to(app, request().replace(b"GET", b"POST", 1)) == 400


BAD_OFFERS = [
    "permessage-deflate; client_max_window_bits=7",
    "permessage-deflate; client_max_window_bits=16",
    "permessage-deflate; client_max_window_bits=abc",
    "permessage-deflate; client_max_window_bits=09",
    "permessage-deflate; server_max_window_bits",
    "permessage-deflate; server_max_window_bits=8; server_max_window_bits=9",
    "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
    "permessage-deflate; server_no_context_takeover=1",
    "permessage-deflate; unknown",
    "x-webkit-deflate-frame",
]


@pytest.mark.parametrize("offer", BAD_OFFERS)
async def test_b04_a_bad_offer_of_compression_is_declined(gateways: Gateways, offer: str) -> None:
    async with gateways() as app, app.knock("/", [("Sec-WebSocket-Extensions", offer)]) as (peer, opened):
        app.gateway.accept(opened.connection)
        assert "sec-websocket-extensions" not in (await peer.upgraded()).headers
        await peer.send(frame(TEXT, b"plain"))
        assert (await app.next(Received)).payload == b"plain"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Sec-WebSocket-Extensions", 'permessage-deflate; client_max_window_bits="15'),
        ("Sec-WebSocket-Extensions", 'a; b="' + "\\" * 5_000),
        ("Sec-WebSocket-Extensions", "permessage-deflate" + " " * 7_000 + ";"),
        ("Sec-WebSocket-Extensions", "permessage-deflate," * 300),
        ("Sec-WebSocket-Extensions", "a=b=c;;,,;" * 500),
        ("Sec-WebSocket-Protocol", '"unclosed'),
        ("Sec-WebSocket-Protocol", "a" + " " * 7_000 + "b"),
        ("Sec-WebSocket-Protocol", ",".join(f"p{number}" for number in range(1_000))),
        ("Sec-WebSocket-Protocol", "caf\xe9"),
        ("Sec-WebSocket-Protocol", ", ,,"),
    ],
)
async def test_b04_garbled_lists_are_refused_or_ignored(gateways: Gateways, name: str, value: str) -> None:
    """400, or a handshake without the extension: trio-websocket knows none and does not read the header."""
    async with gateways() as app, app.peer() as peer:
        await peer.send(request("/", [(name, value)]))
        async with trio.open_nursery() as nursery:

            async def accept() -> None:
                app.gateway.accept((await app.next(Opened)).connection)

            nursery.start_soon(accept)
            answer = await peer.response()
            nursery.cancel_scope.cancel()
        assert answer.status in (101, 400)
        await serves_others(app)


@pytest.mark.parametrize(
    "origin",
    [
        None,
        "null",
        "https://app.example.com.evil.net",
        "https://evilexample.com",
        "HTTPS://App.Example.Com",
        "https://app.example.com:8443",
        "https://app.example.com.",
        "https://xn--pple-43d.com",
        "https://\xe4pp.example.com",
    ],
)
async def test_b05_the_origin_reaches_the_application_as_it_was_sent(gateways: Gateways, origin: str | None) -> None:
    """Which origins may enter is the application's to decide: it must see exactly what was sent."""
    async with gateways() as app, app.knock("/", [("Origin", origin)] if origin else []) as (_, opened):
        assert opened.request.header("origin") == origin


async def test_b05_a_second_origin_is_not_hidden(gateways: Gateways) -> None:
    headers = [("Origin", "https://good.example"), ("Origin", "https://evil.example")]
    async with gateways() as app, app.knock("/", headers) as (_, opened):
        assert [value for name, value in opened.request.headers if name == "origin"] == [value for _, value in headers]


async def test_b06_a_refused_origin_gets_403_and_none_of_its_frames_is_read(gateways: Gateways) -> None:
    headers = [("Origin", "https://evil.example"), ("Cookie", "session=secret")]
    async with gateways() as app, app.peer() as peer:
        await peer.send(request("/", headers), frame(TEXT, b"early"))
        app.gateway.reject((await app.next(Opened)).connection, 403)
        assert (await peer.response()).status == 403
        await app.next(Closed)
        assert await app.settle() == []


@pytest.mark.parametrize(
    "headers",
    [
        [("Content-Length", "5")],
        [("Transfer-Encoding", "chunked")],
        [("Transfer-Encoding", "chunked"), ("Content-Length", "5")],
        [("Transfer-Encoding", "identity")],
        [("Content-Length", "-1")],
        [("Content-Length", "0"), ("Content-Length", "5")],
    ],
)
async def test_b07_a_handshake_with_a_body_is_400(gateways: Gateways, headers: list[tuple[str, str]]) -> None:
    async with gateways() as app:
        assert await answer_to(app, request("/", headers) + b"hello") == 400


@pytest.mark.parametrize("target", ["http://127.0.0.1/", "*", "127.0.0.1:80", "/a#fragment", "a"])
async def test_b07_a_target_that_is_no_path_is_400(gateways: Gateways, target: str) -> None:
    async with gateways() as app:
        assert await answer_to(app, request(target)) == 400


async def test_b07_http_1_0_is_400(gateways: Gateways) -> None:
    async with gateways() as app:
        assert await answer_to(app, request().replace(b"HTTP/1.1", b"HTTP/1.0")) == 400


@pytest.mark.parametrize(
    "hosts",
    [[], ["a", "b"], ["a", "a"], ["user@host"], ["host/path"], ["a b"], [""], ["h\xf6st"], ["host:port"], ["[::1"]],
)
async def test_b07_a_missing_repeated_or_strange_host_is_400(gateways: Gateways, hosts: list[str]) -> None:
    async with gateways() as app:
        headers = [("Host", host) for host in hosts]
        assert await answer_to(app, request("/", headers, without=["Host"])) == 400


@pytest.mark.parametrize("host", ["localhost", "localhost:8000", "[::1]:8000", "127.0.0.1", "a-b.example.com."])
async def test_b07_usual_hosts_are_accepted(gateways: Gateways, host: str) -> None:
    async with gateways() as app, app.peer() as peer:
        await peer.send(request("/", [("Host", host)], without=["Host"]))
        assert (await app.next(Opened)).request.header("host") == host


async def test_b07_a_second_request_behind_the_first_is_read_as_frames_and_refused(gateways: Gateways) -> None:
    async with gateways() as app, app.peer() as peer:
        await peer.send(request("/first"), request("/second"))
        opened = await app.next(Opened)
        assert opened.request.path == "/first"
        app.gateway.accept(opened.connection)
        await peer.upgraded()
        assert (await peer.closed()).close_code == 1002
        assert (await app.next(Closed)).code == 1002
        assert await app.settle() == []


async def test_b07_early_frames_are_read_once(gateways: Gateways) -> None:
    async with gateways() as app, app.peer() as peer:
        await peer.send(request(), frame(TEXT, b"one"), frame(TEXT, b"two"), close_frame(1000))
        opened = await app.next(Opened)
        app.gateway.accept(opened.connection)
        await peer.upgraded()
        assert [(await app.next(Received)).payload for _ in range(2)] == [b"one", b"two"]
        assert await app.next(Closed) == Closed(opened.connection, 1000, "", True)
        assert await app.settle() == []


async def test_b07_too_many_early_frames_hurt_nobody(gateways: Gateways) -> None:
    """A peer that floods before its verdict waits, or is cut off; it does not grow in memory."""
    async with gateways(handshake_seconds=2) as app, app.knock() as (peer, opened):
        with trio.move_on_after(0.5), contextlib.suppress(trio.BrokenResourceError):
            for _ in range(1_000):
                await peer.stream.send_all(frame(TEXT, b"x" * 60_000))
        assert await app.next(Closed, opened.connection) == Closed(opened.connection, 1006, "", False)
        await serves_others(app)


@pytest.mark.parametrize(
    "junk",
    [
        bytes.fromhex("1603010200010001fc0303") + bytes(500),
        b"PROXY TCP4 10.0.0.1 10.0.0.2 1234 80\r\n" + request(),
        bytes.fromhex("0d0a0d0a000d0a515549540a2111000c") + bytes(12) + request(),
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"\x00" * 1_000,
        b"\xff" * 1_000,
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
)
async def test_b08_what_is_no_http_is_400(gateways: Gateways, junk: bytes) -> None:
    async with gateways() as app:
        assert await answer_to(app, junk) == 400


@pytest.mark.parametrize("name", ["X-Forwarded-For", "X-Real-IP", "Forwarded", "CF-Connecting-IP"])
async def test_b08_a_claimed_address_is_not_believed(gateways: Gateways, name: str) -> None:
    async with gateways() as app, app.knock("/", [(name, "10.1.2.3")]) as (_, opened):
        assert opened.request.peer == "127.0.0.1"


async def test_b09_half_open_handshakes_are_bounded_and_ended(gateways: Gateways) -> None:
    async with gateways(max_pending_handshakes=50, handshake_seconds=2) as app, contextlib.AsyncExitStack() as stack:
        peers: list[RawPeer] = []
        for _ in range(100):
            peer = await stack.enter_async_context(raw_peer(app.gateway.address))
            with contextlib.suppress(trio.BrokenResourceError):
                await peer.send(b"GET / HTTP/1.1\r\n")
            peers.append(peer)
        for peer in peers:
            assert b" 101 " not in await peer.end()
        stats = await app.until(lambda stats: stats.refused == 100)
        assert stats.connections == 0
        await serves_others(app)


async def test_b09_requests_without_a_verdict_are_bounded_and_ended(gateways: Gateways) -> None:
    async with gateways(max_pending_handshakes=50, handshake_seconds=2) as app, contextlib.AsyncExitStack() as stack:
        for _ in range(100):
            peer = await stack.enter_async_context(raw_peer(app.gateway.address))
            with contextlib.suppress(trio.BrokenResourceError):
                await peer.send(request())
        await app.until(lambda stats: stats.refused == 100)
        waiting: set[ConnectionId] = set()
        for event in await app.settle():
            if isinstance(event, Opened):
                waiting.add(event.connection)
                assert len(waiting) <= 50
            else:
                assert isinstance(event, Closed)
                waiting.remove(event.connection)
        assert not waiting


async def test_b09_a_connection_that_says_nothing_after_its_handshake_is_closed(gateways: Gateways) -> None:
    async with (
        gateways(ping_interval_seconds=0.1, ping_timeout_seconds=0.1) as app,
        app.connect() as (_, connection),
    ):
        assert (await app.next(Closed)).code == 4012
        assert not app.gateway.send(connection, "late")
