"""The opening handshake as the application sees it: `Opened`, then `accept` or `reject`."""

from __future__ import annotations

import pytest

from gateway_core import Closed, Opened, UsageError
from tests.support.gateways import Gateways
from tests.support.raw_peer import request


async def test_the_request_arrives_as_the_peer_sent_it(gateways: Gateways) -> None:
    headers = [("X-Name", "caf\xe9"), ("X-Twice", "1"), ("x-twice", "2"), ("Sec-WebSocket-Protocol", "b, a")]
    async with gateways() as app, app.knock("/a%20b?c=d&e=%2F?", headers) as (_, opened):
        request = opened.request
        assert (request.path, request.query) == ("/a%20b", "c=d&e=%2F?")
        assert request.header("x-name") == "caf\xe9"
        assert [value for name, value in request.headers if name == "x-twice"] == ["1", "2"]
        assert request.header("host") == "127.0.0.1"
        assert request.header("absent") is None
        assert request.subprotocols == ("b", "a")
        assert request.peer == "127.0.0.1"


async def test_a_path_without_a_query_has_an_empty_one(gateways: Gateways) -> None:
    async with gateways() as app, app.knock("/") as (_, opened):
        assert (opened.request.path, opened.request.query) == ("/", "")


async def test_headers_keep_their_order_and_are_lower_case(gateways: Gateways) -> None:
    async with gateways() as app, app.knock("/", [("B-Second", "2"), ("A-Third", "3")]) as (_, opened):
        names = [name for name, _ in opened.request.headers]
        assert names == [name.lower() for name in names]
        assert names.index("host") < names.index("b-second") < names.index("a-third")


async def test_an_accepted_handshake_is_answered_with_101(gateways: Gateways) -> None:
    async with gateways() as app, app.knock() as (peer, opened):
        assert app.gateway.accept(opened.connection)
        answer = await peer.upgraded()
        assert "sec-websocket-protocol" not in answer.headers
        assert "sec-websocket-extensions" not in answer.headers


async def test_the_accepted_subprotocol_is_named(gateways: Gateways) -> None:
    async with gateways() as app, app.knock("/", [("Sec-WebSocket-Protocol", "one, two")]) as (peer, opened):
        assert app.gateway.accept(opened.connection, "two")
        assert (await peer.upgraded()).headers["sec-websocket-protocol"] == "two"


async def test_subprotocols_may_be_offered_in_several_headers(gateways: Gateways) -> None:
    headers = [("Sec-WebSocket-Protocol", "one"), ("Sec-WebSocket-Protocol", "two")]
    async with gateways() as app, app.knock("/", headers) as (_, opened):
        assert opened.request.subprotocols == ("one", "two")


async def test_a_subprotocol_that_was_not_offered_is_a_usage_error(gateways: Gateways) -> None:
    async with gateways() as app, app.knock("/", [("Sec-WebSocket-Protocol", "one")]) as (peer, opened):
        with pytest.raises(UsageError):
            app.gateway.accept(opened.connection, "two")
        assert app.gateway.accept(opened.connection, "one"), "the handshake waits on"
        await peer.upgraded()


async def test_a_rejected_handshake_gets_status_headers_and_body(gateways: Gateways) -> None:
    async with gateways() as app, app.knock() as (peer, opened):
        assert app.gateway.reject(opened.connection, 403, [("X-Why", "because"), ("X-Also", "this")], b"go away")
        answer = await peer.response()
        assert answer.status == 403
        assert (answer.headers["x-why"], answer.headers["x-also"]) == ("because", "this")
        assert answer.body == b"go away"
        assert answer.headers["connection"].lower() == "close"
        assert await peer.end() == b""


async def test_a_rejected_handshake_ends_with_one_closed_1006(gateways: Gateways) -> None:
    async with gateways() as app, app.knock() as (peer, opened):
        app.gateway.reject(opened.connection, 401)
        assert (await peer.response()).status == 401
        assert await app.next(Closed) == Closed(opened.connection, 1006, "", False)
        assert await app.settle() == []


@pytest.mark.parametrize("status", [200, 101, 302, 399, 600])
async def test_a_status_that_is_no_error_cannot_reject(gateways: Gateways, status: int) -> None:
    async with gateways() as app, app.knock() as (_, opened):
        with pytest.raises(UsageError):
            app.gateway.reject(opened.connection, status)


@pytest.mark.parametrize(
    "header",
    [("Bad Name", "x"), ("X-Split", "a\r\nSet-Cookie: b"), ("X-Nul", "a\0b"), ("", "x"), ("Content-Length", "7")],
)
async def test_a_header_that_would_split_the_answer_is_a_usage_error(
    gateways: Gateways, header: tuple[str, str]
) -> None:
    async with gateways() as app, app.knock() as (_, opened):
        with pytest.raises(UsageError):
            app.gateway.reject(opened.connection, 403, [header])


async def test_a_handshake_without_a_verdict_lapses(gateways: Gateways) -> None:
    async with gateways(handshake_seconds=0.2) as app, app.knock() as (peer, opened):
        assert await app.next(Closed) == Closed(opened.connection, 1006, "", False)
        assert not app.gateway.accept(opened.connection)
        assert b" 101 " not in await peer.end()


async def test_a_peer_that_leaves_before_the_verdict_is_reported(gateways: Gateways) -> None:
    async with gateways() as app, app.knock() as (peer, opened):
        await peer.aclose()
        assert await app.next(Closed) == Closed(opened.connection, 1006, "", False)
        assert not app.gateway.accept(opened.connection)
        assert not app.gateway.reject(opened.connection, 403)


async def test_commands_right_behind_accept_are_carried_out_in_order(gateways: Gateways) -> None:
    async with gateways() as app, app.knock() as (peer, opened):
        assert app.gateway.accept(opened.connection)
        assert app.gateway.send(opened.connection, "first")
        assert app.gateway.close(opened.connection, 4000)
        await peer.upgraded()
        assert await peer.message() == "first"
        assert (await peer.closed()).close_code == 4000


async def test_handshakes_wait_for_their_verdicts_side_by_side(gateways: Gateways) -> None:
    async with gateways() as app, app.knock("/1") as (one, first), app.knock("/2") as (two, second):
        assert app.gateway.accept(second.connection)
        await two.upgraded()
        assert app.gateway.reject(first.connection, 404)
        assert (await one.response()).status == 404


async def test_a_request_cut_anywhere_is_read_whole(gateways: Gateways) -> None:
    data = request("/cut", [("X-Header", "value")])
    async with gateways() as app:
        for cut in (1, 3, 14, 17, len(data) - 3, len(data) - 2, len(data) - 1):
            async with app.peer() as peer:
                await peer.send(data[:cut])
                await peer.send(data[cut:])
                opened = await app.next(Opened)
                assert opened.request.header("x-header") == "value"
                assert app.gateway.accept(opened.connection)
                await peer.upgraded()
