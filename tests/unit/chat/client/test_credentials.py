"""Tokens: obtained, renewed, refused; and given to a server before they expire."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import pytest
import trio

from chat.client import ConnectionLost, SessionEnded, User
from chat.client.calls import Calls
from chat.client.client import Client
from chat.client.codec import CborCodec
from chat.client.config import ClientConfig
from chat.client.connection import Connection
from chat.client.credentials import Credentials
from chat.client.events import RoomInfo
from chat.client.http import HttpApi, SignedIn
from chat.domain.errors import Forbidden, RateLimited, Unauthenticated
from tests.support.scripted_chat import ScriptedChat, scripted_chat


class MemoryApi(HttpApi):
    """Signs in without a network. `session_ends` makes the cookie worthless."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.lifetime = 900.0
        self.session_ends = False
        self.failures: list[Exception] = []
        self.refused = ""
        """A token that is not taken."""

    async def rooms(self, token: str) -> list[RoomInfo]:
        await trio.lowlevel.checkpoint()
        self.asked.append(f"rooms by {token}")
        if token == self.refused:
            raise Unauthenticated("the access token is not valid")
        return []

    async def login(self, name: str, password: str) -> SignedIn:
        if password != "right":
            raise Unauthenticated("wrong name or password")
        return await self._sign_in("login")

    async def renew(self) -> SignedIn:
        if self.session_ends:
            self.asked.append("renew")
            raise Unauthenticated("no session")
        return await self._sign_in("renew")

    async def _sign_in(self, how: str) -> SignedIn:
        await trio.lowlevel.checkpoint()
        self.asked.append(how)
        if self.failures:
            raise self.failures.pop(0)
        return SignedIn(f"token {len(self.asked)}", self.lifetime, User("u1", "ada"))


@pytest.fixture
def api() -> MemoryApi:
    return MemoryApi()


@pytest.fixture
async def server() -> AsyncIterator[ScriptedChat]:
    async with scripted_chat() as server:
        yield server


@pytest.mark.parametrize(
    "given", [{}, {"name": "ada"}, {"password": "x"}, {"name": "a", "password": "x", "token": "t"}]
)
def test_one_way_to_sign_in_is_enough_and_needed(api: MemoryApi, given: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="either"):
        Credentials(api, **given)


async def test_a_token_is_used_until_it_is_about_to_expire(api: MemoryApi, autojump_clock: Any) -> None:
    credentials = Credentials(api, "ada", "right")
    assert await credentials.token() == "token 1"
    await trio.sleep(860)
    assert await credentials.token() == "token 1"
    await trio.sleep(20)
    assert await credentials.token() == "token 2"
    assert api.asked == ["login", "renew"]


async def test_a_session_that_has_ended_is_followed_by_a_new_one(api: MemoryApi) -> None:
    credentials = Credentials(api, "ada", "right")
    await credentials.token()
    api.session_ends = True
    assert await credentials.renew() == "token 3"
    assert api.asked == ["login", "renew", "login"]


async def test_what_may_be_tried_again_is_a_lost_connection_and_the_rest_is_not(api: MemoryApi) -> None:
    credentials = Credentials(api, "ada", "right")
    api.failures = [RateLimited("slowly", retry_after=3.0), Forbidden("never")]
    with pytest.raises(ConnectionLost) as caught:
        await credentials.token()
    assert caught.value.retry_after == 3.0
    with pytest.raises(Forbidden):
        await credentials.token()
    with pytest.raises(Unauthenticated):
        await Credentials(api, "ada", "wrong").token()


async def test_a_refused_token_is_replaced_once(api: MemoryApi) -> None:
    credentials = Credentials(api, "ada", "right")
    await credentials.token()
    credentials.accepted()
    credentials.refused()
    assert await credentials.token() == "token 2"
    with pytest.raises(Unauthenticated):
        credentials.refused()


async def test_a_bare_token_is_used_and_never_replaced(api: MemoryApi) -> None:
    credentials = Credentials(api, token="t")
    assert await credentials.token() == "t"
    credentials.accepted()
    with pytest.raises(Unauthenticated):
        credentials.refused()
    assert not credentials.renewable
    with pytest.raises(Unauthenticated):
        await credentials.renew()


def client_of(api: MemoryApi, **credentials: str) -> Client:
    config = ClientConfig()
    return Client("http://chat.test", api, Credentials(api, **credentials), "cbor", None, config, None, None)


async def test_a_request_whose_token_is_refused_is_made_again_with_a_fresh_one(api: MemoryApi) -> None:
    client = client_of(api, name="ada", password="right")
    api.refused = "token 1"
    assert await client.rooms() == []
    assert api.asked == ["login", "rooms by token 1", "renew", "rooms by token 3"]


async def test_a_request_with_a_bare_token_that_is_refused_fails(api: MemoryApi) -> None:
    api.refused = "t"
    with pytest.raises(Unauthenticated):
        await client_of(api, token="t").rooms()
    assert api.asked == ["rooms by t"]


async def run_connection(server: ScriptedChat, credentials: Credentials) -> None:
    codec = CborCodec()
    calls = Calls(10, codec)
    connection = Connection(urlsplit(server.url), None, codec, ClientConfig(), credentials, calls)
    await connection.run(lambda hello: None, lambda push: None)


async def test_the_server_gets_a_fresh_token_in_band_before_the_old_one_expires(
    server: ScriptedChat, api: MemoryApi
) -> None:
    server.expires_in = 1.0
    api.failures = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run_connection, server, Credentials(api, "ada", "right"))
        await server.until(lambda: server.hellos == 1)
        api.failures = [ConnectionLost("away for a moment", retry_after=0.01)]
        await server.until(lambda: server.ops()["refresh"] == 2)
        nursery.cancel_scope.cancel()
    tokens = [command["token"] for command in server.seen]
    assert tokens == ["token 1", "token 3", "token 4"]
    assert server.hellos == 1


async def test_a_connection_closed_for_its_token_is_followed_by_one_with_a_fresh_one(
    server: ScriptedChat, api: MemoryApi
) -> None:
    async def close_when_open() -> None:
        await server.until(lambda: server.hellos == 1)
        await server.close(4501, "the access token has expired")

    credentials = Credentials(api, "ada", "right")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(close_when_open)
        with pytest.raises(ConnectionLost):
            await run_connection(server, credentials)
    assert await credentials.token() == "token 2"


async def test_a_bare_token_that_has_expired_ends_the_session(server: ScriptedChat, api: MemoryApi) -> None:
    async def close_when_open() -> None:
        await server.until(lambda: server.hellos == 1)
        await server.close(4501, "the access token has expired")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(close_when_open)
        with pytest.raises(SessionEnded, match="expired"):
            await run_connection(server, Credentials(api, token="t"))


async def test_a_token_that_hello_refuses_is_replaced_unless_it_was_fresh(server: ScriptedChat, api: MemoryApi) -> None:
    server.hook = lambda peer, command: {"err": {"code": "unauthenticated", "message": "key rotated"}}
    credentials = Credentials(api, "ada", "right")
    await credentials.token()
    credentials.accepted()
    with pytest.raises(ConnectionLost):
        await run_connection(server, credentials)
    with pytest.raises(Unauthenticated):
        await run_connection(server, credentials)
    assert api.asked == ["login", "renew"]
