"""How a node ends: politely, at once, or by force; and what it refuses to start on."""

from __future__ import annotations

import contextlib
import signal
import socket as sockets
import uuid
from pathlib import Path

import httpx
import pytest
import trio

from tests.e2e.conftest import handshake, http_client, make_room, sign_in, sign_up, socket
from tests.support.node_process import Node, node_process

GOODBYE = ("--shutdown-seconds", "10")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_a_node_after_a_goodbye(tmp_path: Path, backend: str, number: signal.Signals) -> None:
    async with node_process(tmp_path, *GOODBYE, "--backend", backend) as node:
        token = await sign_up(node, "Alice")
        async with socket(node, token) as alice:
            node.send_signal(number)
            goodbye = await alice.push("bye")
            assert goodbye["reconnect_after_ms"] >= 0
            assert await alice.close_code() == 4001
        assert await node.wait() == 0
        assert "stopped" in node.log


async def test_an_idle_node_ends_at_once(node: Node) -> None:
    node.send_signal(signal.SIGTERM)
    assert await node.wait(25) == 0


async def test_a_node_that_goes_is_not_ready_but_alive(tmp_path: Path) -> None:
    async with node_process(tmp_path, *GOODBYE) as node:
        token = await sign_up(node, "Alice")
        async with socket(node, token) as first, socket(node, token) as second, http_client(node) as client:
            assert (await client.get("/readyz")).status_code == 200
            node.send_signal(signal.SIGTERM)
            await first.push("bye")
            with contextlib.suppress(httpx.TransportError):  # the connection may be closed by now
                assert (await client.get("/readyz")).status_code == 503
            assert {await first.close_code(), await second.close_code()} == {4001}
        assert await node.wait() == 0


async def test_peers_that_do_nothing_cannot_keep_a_node_from_ending(tmp_path: Path, backend: str) -> None:
    async with node_process(tmp_path, "--shutdown-seconds", "5", "--backend", backend) as node:
        token = await sign_up(node, "Alice")
        stuck = [
            b"GET /api/rooms HTTP/1.1\r\nHost: h\r\n",
            b"POST /api/login HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\n{",
            handshake(node, f"/ws?access_token={token}"),
            b"",
        ]
        async with contextlib.AsyncExitStack() as stack:
            for data in stuck:
                stream = await trio.open_tcp_stream(node.host, node.port)
                stack.push_async_callback(stream.aclose)
                if data:
                    await stream.send_all(data)
                if b"Upgrade" in data:
                    assert b"101" in await stream.receive_some(4096)
            node.send_signal(signal.SIGTERM)
            assert await node.wait(25) == 0


async def test_the_second_signal_ends_a_node_at_once_and_loses_nothing(tmp_path: Path) -> None:
    async with node_process(tmp_path) as node:
        token = await sign_up(node, "Alice")
        room = await make_room(node, token)
        async with socket(node, token) as alice, socket(node, token) as lingering:
            await alice.ask("join", room=room)
            answer = await alice.ask("publish", room=room, key=str(uuid.uuid4()), body={"text": "kept"})
            node.send_signal(signal.SIGTERM)
            await lingering.push("bye")
            node.send_signal(signal.SIGTERM)
            assert await node.wait(15) == 128 + signal.SIGTERM
    async with node_process(tmp_path) as node:
        assert await _texts(node, room) == {answer["seq"]: "kept"}


async def test_what_was_acknowledged_survives_sigkill_with_sessions_and_positions(tmp_path: Path) -> None:
    acknowledged: dict[int, str] = {}
    async with node_process(tmp_path, "--publish-per-user-per-second", "0") as node:
        token = await sign_up(node, "Alice")
        room = await make_room(node, token)

        async def publish() -> None:
            with contextlib.suppress(Exception):
                async with socket(node, token) as alice:
                    while True:
                        text = str(uuid.uuid4())
                        answer = await alice.ask("publish", room=room, key=text, body={"text": text})
                        acknowledged[answer["seq"]] = text
                        if len(acknowledged) >= 100:
                            enough.set()

        enough = trio.Event()
        async with trio.open_nursery() as nursery:
            for _ in range(4):
                nursery.start_soon(publish)
            with trio.fail_after(60):
                await enough.wait()
            await node.kill()
    async with node_process(tmp_path) as node:
        stored = await _texts(node, room)
        assert acknowledged.items() <= stored.items()
        assert sorted(stored) == list(range(1, len(stored) + 1))
        assert len(set(stored.values())) == len(stored)
        async with socket(node, token) as alice:  # the token of before still counts
            assert (await alice.ask("join", room=room))["seq"] == len(stored)


async def test_two_nodes_on_one_data_directory_are_one_too_many(tmp_path: Path) -> None:
    async with node_process(tmp_path) as node, node_process(tmp_path, listen=False) as second:
        assert await second.wait() == 1
        [complaint] = second.log.splitlines()
        assert complaint.startswith("chat-gateway: ")
        assert f"is in use by another node (process {node.process.pid})" in complaint
        assert await sign_up(node, "Alice")


async def test_a_port_in_use_is_one_clear_line(tmp_path: Path, backend: str) -> None:
    with sockets.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        async with node_process(tmp_path, "--port", str(port), "--backend", backend, listen=False) as node:
            assert await node.wait() == 1
            [complaint] = node.log.splitlines()
            assert complaint.startswith("chat-gateway: ")
            assert str(port) in complaint


@pytest.mark.parametrize(
    ("arguments", "env", "complaint"),
    [
        (["--max-connections", "0"], {}, "setting max_connections (from --max-connections): "),
        ([], {"CHAT_GATEWAY_TOKEN_KEY": "weak"}, "setting token_key (from CHAT_GATEWAY_TOKEN_KEY): "),
        ([], {"CHAT_GATEWAY_BACKEN": "pure"}, "there is no setting CHAT_GATEWAY_BACKEN; did you mean"),
    ],
)
async def test_a_wrong_setting_is_one_clear_line_and_exit_code_2(
    tmp_path: Path, arguments: list[str], env: dict[str, str], complaint: str
) -> None:
    async with node_process(tmp_path, *arguments, env=env, listen=False) as node:
        assert await node.wait() == 2
        [line] = node.log.splitlines()
        assert complaint in line
        assert "weak" not in line


async def test_a_data_directory_that_cannot_be_made_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    async with node_process(tmp_path, data_dir=tmp_path / "file" / "data", listen=False) as node:
        assert await node.wait() == 1
        [complaint] = node.log.splitlines()
        assert str(tmp_path / "file") in complaint


async def _texts(node: Node, room: str) -> dict[int, str]:
    """The whole history of a room."""
    token = await sign_in(node, "Alice")
    found: dict[int, str] = {}
    async with http_client(node) as client:
        more = True
        while more:
            query = {"after": str(max(found, default=0)), "limit": "200"}
            headers = {"Authorization": f"Bearer {token}"}
            page = (await client.get(f"/api/rooms/{room}/messages", params=query, headers=headers)).json()
            found |= {message["seq"]: message["body"]["text"] for message in page["messages"]}
            more = page["more"]
    return found
