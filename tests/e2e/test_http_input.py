"""What peers may send to the port of a real node instead of an honest request."""

from __future__ import annotations

import contextlib
import json
import re
from pathlib import Path

import trio

from tests.e2e.conftest import SECONDS, http_client, sign_up
from tests.support.node_process import Node, node_process

HEALTH = b"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n"


async def exchange(node: Node, *pieces: bytes) -> bytes:
    """Everything the node says to `pieces`, sent one after the other, until it closes."""
    received = b""
    with trio.fail_after(SECONDS):
        async with await trio.open_tcp_stream(node.host, node.port) as stream:
            with contextlib.suppress(trio.BrokenResourceError):
                for piece in pieces:
                    await stream.send_all(piece)
            with contextlib.suppress(trio.BrokenResourceError):
                while data := await stream.receive_some(65536):
                    received += data
    return received


def statuses(received: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", received)]


def post(*headers: bytes, body: bytes = b"") -> bytes:
    return b"\r\n".join([b"POST /api/login HTTP/1.1", b"Host: h", *headers, b"", body])


REFUSED = [
    post(b"Content-Length: 4", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n" + HEALTH),
    post(b"Content-Length: 4", b"Content-Length: 5", body=b"abcd" + HEALTH),
    post(b"Transfer-Encoding: xchunked", body=HEALTH),
    post(b"Transfer-Encoding: chunked, identity", body=HEALTH),
    post(b"Transfer-Encoding : chunked", body=b"0\r\n\r\n" + HEALTH),
    post(b"Content-Length: +4", body=b"abcd" + HEALTH),
    post(b"Content-Length: 0x4", body=b"abcd" + HEALTH),
    post(b"Content-Length: 70000", body=b"a" * 70_000 + HEALTH),
    post(b"Transfer-Encoding: chunked", body=b"zz\r\n" + HEALTH),
    b"POST /api/login HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + HEALTH,
    b"GET http://other/healthz HTTP/1.1\r\nHost: h\r\n\r\n" + HEALTH,
    b"GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n" + HEALTH,
    b"GET /healthz HTTP/1.1\r\nHost: user@h\r\n\r\n" + HEALTH,
    b"GET /healthz HTTP/1.1\r\n\r\n" + HEALTH,
    b"GET\r\n\r\n" + HEALTH,
    b"CONNECT other:443 HTTP/1.1\r\nHost: other\r\n\r\n" + HEALTH,
    b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: h\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: h\r\n" + b"X: y\r\n" * 5_000 + b"\r\n",
    b"GET / HTTP/1.1\r\nHost: h\r\nX: " + b"a" * 1_000_000 + b"\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 500 + b"\r\n\r\n",
    b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n" + HEALTH,
]


async def test_an_ambiguous_or_oversized_request_is_refused_and_the_connection_closed(node: Node) -> None:
    for request in REFUSED:
        received = await exchange(node, request)
        assert len(statuses(received)) <= 1, request[:200]
        assert all(400 <= status <= 505 for status in statuses(received)), request[:200]
        assert b"ok\n" not in received, request[:200]


async def test_pipelined_requests_are_answered_in_order(node: Node) -> None:
    last = HEALTH.replace(b"Host", b"Connection: close\r\nHost").replace(b"/healthz", b"/api/nothing")
    assert statuses(await exchange(node, HEALTH * 3 + last)) == [200, 200, 200, 404]


async def test_an_old_client_is_answered_and_the_connection_closed(node: Node) -> None:
    received = await exchange(node, b"GET /healthz HTTP/1.0\r\n\r\n")
    assert statuses(received) == [200]
    assert received.endswith(b"ok\n")


async def test_a_request_in_single_bytes_is_one_request(node: Node) -> None:
    last = HEALTH.replace(b"Host", b"Connection: close\r\nHost")
    assert statuses(await exchange(node, *(last[n : n + 1] for n in range(len(last))))) == [200]


async def test_an_upgrade_of_a_used_connection_gets_426(node: Node) -> None:
    upgrade = b"GET /ws HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    assert statuses(await exchange(node, HEALTH + upgrade + HEALTH)) == [200, 426]


async def test_slow_requests_are_cut_off_and_hold_up_nobody(tmp_path: Path) -> None:
    flags = ("--http-request-seconds", "1", "--http-idle-seconds", "1", "--handshake-seconds", "1")
    async with node_process(tmp_path, *flags) as node, trio.open_nursery() as nursery:
        answers: list[bytes] = []

        async def dribble(*pieces: bytes) -> None:
            answers.append(await exchange(node, *pieces))

        for _ in range(50):
            nursery.start_soon(dribble, b"GET / HTTP/1.1\r\nHo")
            nursery.start_soon(dribble, post(b"Content-Length: 100", b"Content-Type: application/json", body=b"{"))
            nursery.start_soon(dribble, HEALTH)
        assert await sign_up(node, "Alice")
    assert len(answers) == 150
    assert {status for answer in answers for status in statuses(answer)} <= {200, 408}


async def test_a_peer_cannot_pretend_to_be_another_address(tmp_path: Path) -> None:
    flags = ("--login-per-address-per-second", "0.001", "--login-per-address-burst", "3")

    async def attempts(node: Node) -> list[int]:
        async with http_client(node) as client:
            return [
                (
                    await client.post(
                        "/api/login",
                        json={"name": "Alice", "password": "wrong horse"},
                        headers={"X-Forwarded-For": f"203.0.113.{number}"},
                    )
                ).status_code
                for number in range(5)
            ]

    async with node_process(tmp_path / "direct", *flags) as node:
        assert await attempts(node) == [401, 401, 401, 429, 429]
    async with node_process(tmp_path / "proxied", *flags, "--trusted-proxy", "127.0.0.1") as node:
        assert await attempts(node) == [401] * 5


async def test_a_log_line_cannot_be_forged_by_a_path(tmp_path: Path) -> None:
    async with node_process(tmp_path, "--log-format", "json") as node:
        await exchange(node, b"GET /a%0d%0a%1b[31mforged%00 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        await node.kill()
        events = [json.loads(line) for line in node.log.splitlines()]
        [request] = [event for event in events if event["event"] == "request"]
        assert request["path"] == "/a\\r\\n\\x1b[31mforged\\x00"
        assert request["status"] == 404
