"""Who may connect: origin, path, subprotocol and credentials, as the gateway shows them."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
import trio
from trio.testing import MockClock

from chat.domain.errors import ChatError
from chat.http_api.errors import STATUS
from chat.origins import OriginPolicy
from chat.realtime.handshake import Handshake, judge
from gateway_core.gateway import Request
from tests.support.chat_nodes import open_cluster

POLICY = OriginPolicy(["https://app.example.org"])
HOST = ("host", "chat.example.net:8000")


def request(
    *headers: tuple[str, str], path: str = "/ws", query: str = "", subprotocols: tuple[str, ...] = ()
) -> Request:
    return Request(path, query, (HOST, *headers), subprotocols, "192.0.2.1")


def status(*headers: tuple[str, str], **fields: Any) -> int:
    """The status of the refusal, or 101."""
    try:
        judge(request(*headers, **fields), POLICY)
    except ChatError as error:
        return STATUS[error.code]
    return 101


@pytest.mark.parametrize(
    "origin", ["https://app.example.org", "HTTPS://APP.example.org:443", "http://chat.example.net:8000"]
)
def test_b5_an_allowed_or_own_origin_may_connect(origin: str) -> None:
    assert status(("origin", origin)) == 101


@pytest.mark.parametrize(
    "origin",
    [
        "",
        "null",
        "https://app.example.org.evil.net",
        "https://evilapp.example.org",
        "http://app.example.org",
        "https://app.example.org:8443",
        "https://app.example.org.",
        "https://app.example.org/",
        "https://user@app.example.org",
        "https://äpp.example.org",
        "https://[::1",
        "https://chat.example.net:8000.evil.net",
        "http://chat.example.net",
        "//app.example.org",
        "javascript:alert(1)",
    ],
)
def test_b5_b6_any_other_origin_is_forbidden_whatever_the_cookie(origin: str) -> None:
    assert status(("origin", origin), ("cookie", "session=abc")) == 403


def test_b5_two_origins_are_forbidden() -> None:
    assert status(("origin", "https://app.example.org"), ("origin", "https://app.example.org")) == 403


def test_the_origin_is_checked_before_anything_else() -> None:
    assert status(("origin", "https://evil.net"), ("authorization", "Basic x"), path="/else") == 403


def test_b5_without_an_origin_only_a_token_counts() -> None:
    asked = judge(request(("cookie", "session=abc")), POLICY)
    assert asked.token is None
    assert judge(request(("authorization", "Bearer abc")), POLICY).token == "abc"


@pytest.mark.parametrize("path", ["/", "/ws/", "/WS", "/ws/../ws", "/%77s", "/api/rooms", "*"])
def test_another_path_is_not_found(path: str) -> None:
    assert status(path=path) == 404


def test_the_offered_subprotocol_is_confirmed_and_none_means_json() -> None:
    asked = judge(request(subprotocols=("x", "chat.v1.cbor")), POLICY)
    assert (asked.codec.name, asked.subprotocol) == ("chat.v1.cbor", "chat.v1.cbor")
    asked = judge(request(), POLICY)
    assert (asked.codec.name, asked.subprotocol) == ("chat.v1.json", None)


def test_only_unknown_subprotocols_are_a_bad_request() -> None:
    assert status(subprotocols=("mqtt",)) == 400


@pytest.mark.parametrize(
    ("header", "query", "token"),
    [
        ("Bearer abc.def", "", "abc.def"),
        ("bearer   abc", "", "abc"),
        (None, "access_token=abc%2Bd&x=1", "abc+d"),
        ("Bearer head", "access_token=query", "head"),
        (None, "", None),
        (None, "token=abc", None),
    ],
)
def test_the_token_comes_from_the_header_or_the_query(header: str | None, query: str, token: str | None) -> None:
    headers = [("authorization", header)] if header else []
    asked = judge(request(*headers, query=query), POLICY)
    assert isinstance(asked, Handshake)
    assert asked.token == token


@pytest.mark.parametrize("header", ["Basic dXNlcg==", "Bearer", "Bearer ", "", "Bearer " + "x" * 4097])
def test_credentials_of_another_kind_are_refused(header: str) -> None:
    assert status(("authorization", header)) == 401


@pytest.mark.parametrize("query", ["access_token=", "access_token=a&access_token=b", "access_token=" + "x" * 5000])
def test_a_query_with_no_or_several_tokens_is_refused(query: str) -> None:
    assert status(query=query) == 401


def test_a_query_with_very_many_fields_is_a_bad_request() -> None:
    assert status(query="&".join(f"a{number}=1" for number in range(1000))) == 400


# Over a node


async def test_a_valid_token_opens_an_authenticated_connection(autojump_clock: MockClock) -> None:
    async with open_cluster() as cluster:
        alice = await cluster.user("alice")
        peer = cluster.nodes[0].gateway.connect(query=f"access_token={cluster.token(alice)}")
        await peer.accepted()
        assert (await peer.ask("hello"))["user"] == {"id": alice.user.id, "name": "alice"}


@pytest.mark.parametrize("token", ["x", "a.b.c", "é" * 10, "\x00"])
async def test_an_invalid_token_is_refused_with_401(autojump_clock: MockClock, token: str) -> None:
    async with open_cluster() as cluster:
        peer = cluster.nodes[0].gateway.connect(headers=[("authorization", f"Bearer {token}")])
        assert await peer.refused() == 401
        _, headers, body = peer.rejected
        assert headers["www-authenticate"].startswith("Bearer")
        error = msgspec.json.decode(body)["error"]
        assert error == {"code": "unauthenticated", "message": error["message"], "retryable": False}
        assert token not in error["message"]


async def test_a_token_whose_session_was_revoked_is_refused(autojump_clock: MockClock) -> None:
    async with open_cluster() as cluster:
        alice = await cluster.user("alice")
        token = cluster.token(alice)
        await cluster.nodes[0].services.auth.sign_out(alice.session)
        peer = cluster.nodes[0].gateway.connect(headers=[("authorization", f"Bearer {token}")])
        assert await peer.refused() == 401


async def test_a_node_knows_its_allowed_origins(autojump_clock: MockClock) -> None:
    async with open_cluster(allowed_origins=("https://app.example.org",)) as cluster:
        gateway = cluster.nodes[0].gateway
        assert await gateway.connect(headers=[("origin", "https://evil.net")]).refused() == 403
        await gateway.connect(headers=[("origin", "https://app.example.org")]).accepted()


async def test_a_peer_that_leaves_during_the_check_leaves_nothing_behind(autojump_clock: MockClock) -> None:
    async with open_cluster() as cluster:
        cluster.sessions.latency = 1.0
        alice = await cluster.user("alice")
        node = cluster.nodes[0]
        peer = node.gateway.connect(query=f"access_token={cluster.token(alice)}")
        peer.hang_up()
        second = await node.connect(alice)
        assert node.realtime.sessions == 1
        second.hang_up()
        await trio.sleep(1)
        assert node.realtime.sessions == 0
