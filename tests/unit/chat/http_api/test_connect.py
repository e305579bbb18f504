"""Where to open the socket."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio

from chat.adapters.embedded.node_registry import MemoryNodeRegistry
from chat.adapters.embedded.rate_limiter import MemoryRateLimiter
from chat.domain.errors import Unauthenticated
from chat.domain.users import Identity
from chat.http_api.app import create_app
from chat.http_api.connect import ConnectApi
from chat.http_api.health import Readiness
from chat.http_api.settings import HttpSettings
from chat.http_api.site import Site
from chat.ports.node_registry import NodeInfo
from chat.ports.rate_limiter import Rate
from chat.services.announcer import Announcer
from chat.services.fleet import Fleet
from chat.services.limits import Throttle
from tests.support.services import UNLIMITED, World, open_world

PATH = "/api/connect"


@dataclasses.dataclass(frozen=True)
class Node:
    """One that clients ask, and what it knows of others."""

    world: World
    registry: MemoryNodeRegistry
    client: httpx.AsyncClient

    async def signed_in(self, name: str) -> tuple[Identity, dict[str, str]]:
        who = await self.world.user(name)
        token, _ = self.world.tokens.issue(who.user, who.session)
        return who, {"Authorization": f"Bearer {token}"}


OpenNode = Callable[..., AbstractAsyncContextManager[Node]]


@pytest.fixture
def open_node(tmp_path: Path) -> OpenNode:
    @contextlib.asynccontextmanager
    async def opened(
        base_url: str = "http://chat.test", url: str = "", alone: bool = False, **limits: Rate
    ) -> AsyncIterator[Node]:
        async with open_world(tmp_path) as world:
            registry = MemoryNodeRegistry()
            fleet = Fleet(
                registry,
                NodeInfo(node="me", url=url, max_connections=100),
                auth=world.services.auth,
                throttle=Throttle(MemoryRateLimiter()),
                limits=dataclasses.replace(UNLIMITED, **limits),  # type: ignore[arg-type]
                announcer=Announcer(world.broker),
            )
            readiness = Readiness(lambda: world.rooms.public_rooms(None, 1))
            connect = ConnectApi(fleet, "/ws", alone=alone)
            (tmp_path / "page").mkdir(exist_ok=True)
            (tmp_path / "page" / "index.html").write_text("<!doctype html>")
            site = Site(tmp_path / "page", connect.sockets)
            app = create_app(world.services, HttpSettings(), readiness, site, connect.endpoints)
            async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=base_url) as client:
                yield Node(world, registry, client)

    return opened


@pytest.mark.parametrize(
    ("asked", "url"),
    [("http://chat.test:8000", "ws://chat.test:8000/ws"), ("https://chat.example.org", "wss://chat.example.org/ws")],
)
async def test_a_node_alone_answers_the_address_that_was_asked(open_node: OpenNode, asked: str, url: str) -> None:
    async with open_node(asked) as node:
        who, headers = await node.signed_in("alice")
        answer = await node.client.get(PATH, headers=headers)
        assert answer.status_code == 200
        found = answer.json()
        assert (found["url"], found["node"]) == (url, "me")
        assert 0 < found["expires_in"] <= 900
        [identity] = await node.world.services.auth.verify_each([found["resume"]], resume=True)
        assert isinstance(identity, Identity)
        assert (identity.user, identity.session) == (who.user, who.session)


@pytest.mark.parametrize("alone", [True, False])
async def test_only_a_node_that_will_stay_alone_says_so(open_node: OpenNode, alone: bool) -> None:
    async with open_node(alone=alone) as node:
        _, headers = await node.signed_in("alice")
        assert (await node.client.get(PATH, headers=headers)).json().get("alone", False) is alone


async def test_clients_are_sent_to_another_node_by_region_and_back_by_their_token(open_node: OpenNode) -> None:
    async with open_node(url="wss://me.example") as node:
        for name in ("eu-1", "eu-2", "us-1", "us-2"):
            region = name.partition("-")[0]
            await node.registry.renew(
                NodeInfo(node=name, url=f"wss://{name}.example", region=region, max_connections=10)
            )
        _, headers = await node.signed_in("alice")

        async def asked(more: dict[str, str] | None = None, **query: str) -> dict[str, Any]:
            answer = await node.client.get(PATH, headers=headers | (more or {}), params=query)
            assert answer.status_code == 200, answer.text
            found: dict[str, Any] = answer.json()
            assert found["url"] == f"wss://{found['node']}.example/ws"
            return found

        first = await asked(region="us")
        assert first["node"] in ("us-1", "us-2")
        assert (await asked({"X-Region": "eu"}))["node"] in ("eu-1", "eu-2")
        assert (await asked({"X-Region": "eu"}, region="us"))["node"] in ("us-1", "us-2")
        assert {(await asked(resume=first["resume"]))["node"] for _ in range(20)} == {first["node"]}


async def test_only_who_has_signed_in_is_told_where_to_go(open_node: OpenNode) -> None:
    async with open_node() as node:
        assert (await node.client.get(PATH)).status_code == 401
        who, headers = await node.signed_in("alice")
        resume = (await node.client.get(PATH, headers=headers)).json()["resume"]
        as_access = {"Authorization": f"Bearer {resume}"}
        for path in (PATH, "/api/rooms"):
            assert (await node.client.get(path, headers=as_access)).status_code == 401
        await node.world.services.auth.sign_out(who.session)
        [refusal] = await node.world.services.auth.verify_each([resume], resume=True)
        assert isinstance(refusal, Unauthenticated)


@pytest.mark.parametrize("query", [{"resume": "x" * 5000}, {"region": "x" * 100}])
async def test_what_is_too_long_is_refused(open_node: OpenNode, query: dict[str, str]) -> None:
    async with open_node() as node:
        _, headers = await node.signed_in("alice")
        answer = await node.client.get(PATH, headers=headers, params=query)
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid")


async def test_who_asks_too_often_is_told_to_wait(open_node: OpenNode) -> None:
    async with open_node(connect_per_user=Rate(0.01, 2)) as node:
        _, headers = await node.signed_in("alice")
        answers = [await node.client.get(PATH, headers=headers) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [200, 200, 429]
        assert int(answers[2].headers["Retry-After"]) > 1


async def policy_of(node: Node, **headers: str) -> tuple[str, str, int]:
    """Where the page may connect; its ETag, and the status."""
    answer = await node.client.get("/", headers=headers)
    policy = answer.headers["Content-Security-Policy"]
    [connect] = [part for part in policy.split("; ") if part.startswith("connect-src ")]
    return connect, answer.headers["ETag"], answer.status_code


async def test_the_page_may_connect_to_where_it_may_be_sent_and_nowhere_else(
    open_node: OpenNode, autojump_clock: trio.testing.MockClock
) -> None:
    async with open_node() as alone:
        assert (await policy_of(alone))[0] == "connect-src 'self'"
    async with open_node(url="wss://me.example") as node:
        connect, etag, _ = await policy_of(node)
        assert connect == "connect-src 'self' wss://me.example/ws"
        known = {"If-None-Match": etag}
        assert await policy_of(node, **known) == (connect, etag, 304)
        for name, url in (("b", "wss://b.example:444"), ("a", "wss://a.example"), ("without-address", "")):
            await node.registry.renew(NodeInfo(node=name, url=url, max_connections=10))
        await trio.sleep(2)  # the list of the nodes may be a second old
        connect, renewed, status = await policy_of(node, **known)
        assert connect == "connect-src 'self' wss://a.example/ws wss://b.example:444/ws wss://me.example/ws"
        assert (renewed != etag, status) == (True, 200)
