"""From an empty directory to messages that reach everybody, once, in order."""

from __future__ import annotations

import re
import stat
import uuid
from pathlib import Path

import httpx
import trio

from tests.e2e.conftest import PASSWORD, handshake_status, http_client, make_room, sign_up, socket
from tests.support.node_process import node_process


async def test_two_users_talk_and_read_back_what_they_said(tmp_path: Path, backend: str) -> None:
    async with node_process(tmp_path, "--backend", backend) as node:
        alice, bob = await sign_up(node, "Alice"), await sign_up(node, "Bob")
        room = await make_room(node, alice)
        async with socket(node, alice) as first, socket(node, bob) as second:
            assert (await first.ask("join", room=room))["seq"] == 0
            await second.ask("join", room=room)
            for number in range(1, 4):
                key = str(uuid.uuid4())
                answer = await first.ask("publish", room=room, key=key, body={"text": f"message {number}"})
                assert answer["seq"] == number
                again = await first.ask("publish", room=room, key=key, body={"text": f"message {number}"})
                assert (again["seq"], again["ts"], again["duplicate"]) == (number, answer["ts"], True)
            for reader in (first, second):
                received = [await reader.push("message") for _ in range(3)]
                assert [message["seq"] for message in received] == [1, 2, 3]
                assert received[0]["name"] == "Alice"
        async with http_client(node) as client:
            headers = {"Authorization": f"Bearer {bob}"}
            history = (await client.get(f"/api/rooms/{room}/messages", headers=headers)).json()
            assert [message["body"]["text"] for message in history["messages"]] == [f"message {n}" for n in (1, 2, 3)]
            assert (await client.get("/api/unread", headers=headers)).json() == {
                "rooms": {room: 3},
                "total": 3,
                "mentions": {},
                "total_mentions": 0,
            }


async def test_logging_out_closes_the_sockets_of_the_session(tmp_path: Path) -> None:
    async with node_process(tmp_path) as node:
        token = await sign_up(node, "Alice")
        async with socket(node, token) as alice, http_client(node) as client:
            answer = await client.post("/api/logout", headers={"Authorization": f"Bearer {token}"})
            assert answer.status_code == 204
            assert await alice.close_code() == 4503


async def test_no_token_and_no_password_is_in_anything_the_node_writes(tmp_path: Path, backend: str) -> None:
    flags = ("--backend", backend, "--log-level", "debug", "--log-format", "json")
    async with node_process(tmp_path, *flags) as node:
        token = await sign_up(node, "Alice")
        assert await handshake_status(node, f"/ws?access_token={token}") == 101
        assert await handshake_status(node, f"/nowhere?access_token={token}") == 404
        assert await handshake_status(node, f"/ws?access_token={token}broken") == 401
        async with http_client(node) as client:
            await client.get("/api/rooms", params={"access_token": token})
            await client.get(
                f"/api/{token}", headers={"Authorization": f"Bearer {token}", "Cookie": f"chat_session={token}"}
            )
            await client.post("/api/login", content=f'{{"password": "{PASSWORD}", "name": {token}')
            await client.post("/api/token", headers={"Origin": node.url, "Cookie": f"chat_session={token}"})
        await node.kill()
        written = node.log + node.output
        assert len(node.log.splitlines()) > 5
        assert token not in written
        assert token.split(".")[1] not in written
        assert token.split(".")[2] not in written
        assert PASSWORD not in written
        assert not re.search(r"eyJ[\w-]+\.", written)


async def test_the_data_directory_is_for_its_owner_alone(tmp_path: Path) -> None:
    async with node_process(tmp_path) as node:
        await sign_up(node, "Alice")
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in [node.data_dir, *node.data_dir.iterdir()]}
    assert modes["data"] == 0o700
    assert modes["token.key"] == 0o600
    assert not [name for name, mode in modes.items() if mode & 0o077]


async def test_nothing_for_operators_is_served_to_everybody(tmp_path: Path) -> None:
    async with node_process(tmp_path) as node, http_client(node) as client:
        for path in ("/metrics", "/debug", "/api/admin", "/server-status", "/.env", "/data/chat.db"):
            assert (await client.get(path)).status_code == 404
        assert (await client.get("/api/admin/overview")).status_code == 401
        page, root = await client.get("/admin"), await client.get("/")
        assert page.content == root.content  # what it shows it has to ask for


async def test_only_pages_of_this_node_may_open_a_socket_unless_others_are_allowed(tmp_path: Path) -> None:
    allowed = "https://app.example.com"
    async with node_process(tmp_path / "default") as node:
        assert await handshake_status(node, "/ws", f"Origin: {node.url}") == 101
        assert await handshake_status(node, "/ws", f"Origin: {allowed}") == 403
        assert await handshake_status(node, "/ws", "Origin: null") == 403
    async with node_process(tmp_path / "allowed", "--allowed-origin", allowed) as node:
        assert await handshake_status(node, "/ws", f"Origin: {allowed}") == 101
        assert await handshake_status(node, "/ws", f"Origin: {allowed}.evil.net") == 403


async def test_health_and_documents_are_there(tmp_path: Path) -> None:
    async with node_process(tmp_path) as node, http_client(node) as client:
        assert (await client.get("/healthz")).text == "ok\n"
        assert (await client.get("/readyz")).text == "ok\n"
        assert (await client.get("/api/openapi.json")).json()["openapi"] == "3.1.0"
        assert (await client.get("/api/docs")).status_code == 200
        assert (await client.get("/")).status_code == 200


async def test_a_socket_and_requests_share_the_port_while_many_come_at_once(tmp_path: Path) -> None:
    async with node_process(tmp_path) as node:
        token = await sign_up(node, "Alice")

        async def ask(client: httpx.AsyncClient) -> None:
            assert (await client.get("/api/rooms", headers={"Authorization": f"Bearer {token}"})).status_code == 200

        async with socket(node, token) as alice, http_client(node) as client, trio.open_nursery() as nursery:
            for _ in range(50):
                nursery.start_soon(ask, client)
            assert await alice.ask("ping") == {}
