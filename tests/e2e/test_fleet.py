"""Nodes of one fleet, as processes over MariaDB and Redis: what one learns reaches the others."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import trio

from chat.domain.messages import Appended, NewMessage
from chat.domain.rooms import RoomId
from chat.domain.users import UserId
from tests.e2e.conftest import Socket, http_client, make_room, sign_up, socket
from tests.support.mysql_nodes import mysql_node
from tests.support.node_process import TOKEN_KEY, Node, node_process

DEADLINE_SECONDS = 120
OPTIONS = ["--lease-seconds", "2", "--audit-seconds", "10000", "--shutdown-seconds", "5"]


@pytest.fixture
async def nodes(migrated: list[str], tmp_path: Path) -> AsyncIterator[tuple[Node, Node]]:
    async with (
        node_process(tmp_path, *migrated, *OPTIONS, "--node", "a", env=TOKEN_KEY) as first,
        node_process(tmp_path, *migrated, *OPTIONS, "--node", "b", env=TOKEN_KEY) as second,
    ):
        yield first, second


async def ask(node: Node, method: str, path: str, token: str, **options: Any) -> Any:
    async with http_client(node) as client:
        answer = await client.request(method, path, headers={"Authorization": f"Bearer {token}"}, **options)
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None


async def until_logged(node: Node, *words: str) -> None:
    """Looks again and again: a file tells nobody."""
    with trio.fail_after(DEADLINE_SECONDS):
        while not any(all(word in line for word in words) for line in node.log.splitlines()):  # noqa: ASYNC110
            await trio.sleep(0.05)


async def test_who_is_out_of_a_room_or_signed_out_on_one_node_is_so_on_all(nodes: tuple[Node, Node]) -> None:
    first, second = nodes
    owner, token = await sign_up(first, "Owner"), await sign_up(first, "Alice")
    room = await make_room(first, owner)
    user = (await ask(first, "GET", "/api/users?name=Alice", owner))["user"]["id"]
    async with socket(first, token) as here, socket(second, token) as there:
        for peer in (here, there):
            await peer.ask("join", room=room)
        await ask(second, "PUT", f"/api/rooms/{room}/members/{user}", owner, json={"role": "banned"})
        for peer in (here, there):
            assert (await peer.push("removed"))["reason"] == "banned"
        await ask(second, "POST", "/api/logout", token)
        assert {await here.close_code(), await there.close_code()} == {4503}


async def test_a_frozen_node_asks_who_is_signed_in_before_it_goes_on(nodes: tuple[Node, Node]) -> None:
    frozen, other = nodes
    alice, bob = await sign_up(other, "Alice"), await sign_up(other, "Bob")
    room = await make_room(other, bob)
    async with socket(frozen, alice) as of_alice, socket(frozen, bob) as of_bob, socket(other, bob) as elsewhere:
        for peer in (of_alice, of_bob, elsewhere):
            assert "seq" in await peer.ask("join", room=room)
        frozen.send_signal(signal.SIGSTOP)
        try:
            await say_blindly(of_alice, room, "from-alice")
            await say_blindly(of_bob, room, "from-bob")
            await ask(other, "POST", "/api/logout", alice)
            assert (await elsewhere.ask("publish", room=room, key="k", body={"text": "meanwhile"}))["seq"] == 1
            await until_logged(other, "node_lost")
        finally:
            frozen.send_signal(signal.SIGCONT)
        assert await of_alice.close_code() == 4503
        assert await texts(of_bob, 2) == ["meanwhile", "from-bob"]
        assert await texts(elsewhere, 2) == ["meanwhile", "from-bob"]
        assert [push for push in of_alice.pushes if push.get("push") == "message"] == []
        await until_logged(frozen, "was_frozen")


async def say_blindly(peer: Socket, room: str, text: str) -> None:
    """Publishes on a connection that will not answer now."""
    with trio.move_on_after(0.5):
        await peer.ask("publish", room=room, key=text, body={"text": text})


async def texts(peer: Socket, count: int) -> list[str]:
    return [(await peer.push("message"))["body"]["text"] for _ in range(count)]


async def test_what_a_node_committed_and_told_nobody_is_found_when_it_is_dead(
    nodes: tuple[Node, Node], migrated: list[str]
) -> None:
    """The commit is another program's, which tells nobody either."""
    dying, other = nodes
    token = await sign_up(other, "Alice")
    room = await make_room(other, token)
    async with socket(other, token) as alice:
        await alice.ask("join", room=room)
        user = (await ask(other, "GET", "/api/users?name=Alice", token))["user"]["id"]
        await append_silently(migrated, room, user)
        await dying.kill()
        message = await alice.push("message")
        assert (message["seq"], message["body"]) == (1, {"text": "silent"})
        await until_logged(other, "node_lost")


async def append_silently(flags: list[str], room: str, user: str) -> None:
    dsns = dict(flag.removeprefix("--shard=").split("=", 1) for flag in flags[:2])
    async with mysql_node(dsns, migrate=False) as store:
        [answer] = await store.messages.append([NewMessage(RoomId(room), UserId(user), "k", {"text": "silent"})])
        assert isinstance(answer, Appended)


async def test_clients_are_led_to_nodes_that_stay(migrated: list[str], tmp_path: Path) -> None:
    async with contextlib.AsyncExitStack() as stack:
        going, staying = [
            await stack.enter_async_context(
                node_process(
                    tmp_path,
                    *migrated,
                    *("--shutdown-seconds", "5"),
                    *("--node", name, "--region", name, "--advertise", f"ws://{name}.example"),
                    env=TOKEN_KEY,
                )
            )
            for name in ("going", "staying")
        ]
        token = await sign_up(going, "Alice")
        route = await ask(staying, "GET", "/api/connect?region=going", token)
        with trio.fail_after(DEADLINE_SECONDS):
            while route["node"] != "going":  # which has only just come
                await trio.sleep(0.1)
                route = await ask(staying, "GET", "/api/connect?region=going", token)
        assert urlsplit(route["url"])[:3] == ("ws", "going.example", "/ws")
        async with socket(going, route["resume"]) as there, socket(staying, route["resume"]):
            assert there.node == "going"
            query = {"region": "going", "resume": route["resume"]}
            assert (await ask(staying, "GET", "/api/connect", token, params=query))["node"] == "going"
            going.send_signal(signal.SIGTERM)
            await there.push("bye")
            with trio.fail_after(DEADLINE_SECONDS):
                while route["node"] == "going":
                    route = await ask(staying, "GET", "/api/connect", token, params=query)
                    await trio.sleep(0.1)
        assert await going.wait() == 0
        assert "node_lost" not in staying.log
