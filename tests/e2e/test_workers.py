"""`serve --workers`: several processes on one port."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket as sockets
from pathlib import Path

import trio
import trio_websocket

from tests.e2e.conftest import make_room, sign_up, socket
from tests.support.node_process import TOKEN_KEY, Node, node_process

DEADLINE_SECONDS = 120
_CUT_OFF = (OSError, trio.BrokenResourceError, trio_websocket.HandshakeError, trio_websocket.ConnectionClosed)
OPTIONS = ["--node", "w", "--workers", "2", "--log-format", "json", "--shutdown-seconds", "10"]


def started(node: Node) -> list[tuple[int, int]]:
    """Number and process of each worker that was started."""
    events = [json.loads(line) for line in node.log.splitlines() if line.startswith("{")]
    return [(event["worker"], event["process"]) for event in events if event["event"] == "worker_started"]


async def until_served_by(node: Node, token: str, name: str) -> None:
    """Connects again and again, as nothing tells where a connection will come out."""
    with trio.fail_after(DEADLINE_SECONDS):
        while True:
            with contextlib.suppress(*_CUT_OFF):
                async with socket(node, token) as peer:
                    if peer.node == name:
                        return
            await trio.sleep(0.2)


async def test_workers_share_a_port_and_one_that_is_killed_comes_back(migrated: list[str], tmp_path: Path) -> None:
    async with node_process(tmp_path, *migrated, *OPTIONS, env=TOKEN_KEY) as node:
        token = await sign_up(node, "Alice")
        room = await make_room(node, token)
        await until_served_by(node, token, "w-0")
        async with contextlib.AsyncExitStack() as stack:
            while True:
                survivor = await stack.enter_async_context(socket(node, token))
                if survivor.node == "w-1":
                    break
            await survivor.ask("join", room=room)
            [(_, killed), _] = sorted(started(node))
            os.kill(killed, signal.SIGKILL)
            assert (await survivor.ask("publish", room=room, key="k", body={"text": "here"}))["seq"] == 1
            await until_served_by(node, token, "w-0")
            assert [number for number, _ in started(node)].count(0) == 2
            async with socket(node, token) as late:
                assert (await late.ask("join", room=room))["seq"] == 1
                for process in [node.process.pid, *(each for _, each in started(node) if each != killed)]:
                    os.kill(process, signal.SIGTERM)  # as service managers do
                await survivor.push("bye")
                assert {await survivor.close_code(), await late.close_code()} == {4001}
        assert await node.wait() == 0


async def test_workers_end_with_their_supervisor_however_that_ends(migrated: list[str], tmp_path: Path) -> None:
    async with node_process(tmp_path, *migrated, *OPTIONS, env=TOKEN_KEY) as node:
        token = await sign_up(node, "Alice")
        async with socket(node, token) as alice:
            await node.kill()
            assert await alice.close_code() == 4001
        with trio.fail_after(DEADLINE_SECONDS):
            while True:
                try:
                    stream = await trio.open_tcp_stream(node.host, node.port)
                except OSError:
                    break
                await stream.aclose()
                await trio.sleep(0.05)


async def test_what_keeps_workers_from_starting_is_said_once(flags: list[str], tmp_path: Path) -> None:
    async with node_process(tmp_path, *flags, *OPTIONS, env=TOKEN_KEY, listen=False) as node:
        assert await node.wait() == 1
        [complaint] = [line for line in node.log.splitlines() if line.startswith("chat-gateway: ")]
        assert "`chat-gateway db migrate`" in complaint


async def test_a_port_in_use_is_one_clear_line_of_the_supervisor(tmp_path: Path) -> None:
    nowhere = ["--shard", "a=mysql://nobody@127.0.0.1:1/none", "--redis", "redis://127.0.0.1:1"]
    with sockets.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        async with node_process(tmp_path, *nowhere, *OPTIONS, "--port", f"{port}", listen=False) as node:
            assert await node.wait() == 1
            [complaint] = node.log.splitlines()
            assert complaint.startswith(f"chat-gateway: cannot listen on 127.0.0.1:{port}: ")


async def test_a_data_directory_serves_no_workers(tmp_path: Path) -> None:
    async with node_process(tmp_path, "--workers", "2", listen=False) as node:
        assert await node.wait() == 2
        assert "setting workers (from --workers): workers: more than one needs --shard and --redis" in node.log
