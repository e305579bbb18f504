"""`chat-gateway dev-cluster`: a cluster in one command, of which nothing is left."""

from __future__ import annotations

import os
import signal
from contextlib import AsyncExitStack
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import trio

from chat.client import Client, Room, open_client, register
from tests.support.dev_clusters import dev_cluster_process, is_alive

PASSWORD = "correct horse"
NAMES = ("ada", "bob", "eve")
SECONDS = 60.0


async def test_three_clients_on_three_nodes_share_a_room_and_ctrl_c_leaves_nothing(tmp_path: Path) -> None:
    async with dev_cluster_process(tmp_path) as cluster:
        await cluster.until_printed("Ctrl-C stops everything.")
        assert len(set(cluster.urls)) == len(NAMES)
        children = cluster.children()
        assert len(children) == 6 + 4 + 3
        async with AsyncExitStack() as stack:
            clients = [await _client(stack, *who) for who in zip(cluster.urls, NAMES, strict=True)]
            assert {client.node for client in clients} == {"node-1", "node-2", "node-3"}
            await _talk(clients)
            for url in cluster.urls:
                await _until_its_page_may_go_to_each(url, cluster.urls)
            for url in cluster.metrics_urls:
                assert "chat_" in (await _fetched(url))
        cluster.process.send_signal(signal.SIGINT)
        assert await cluster.wait() == 0
        assert not [command for command, pid in children.items() if is_alive(pid)]
        assert not list(cluster.temporaries.iterdir())


async def _fetched(url: str) -> str:
    async with httpx.AsyncClient(timeout=SECONDS) as client:
        return (await client.get(url)).raise_for_status().text


async def _until_its_page_may_go_to_each(page: str, nodes: list[str]) -> None:
    """By its policy, which knows a node a second later than the node itself, and by what the nodes answer to it."""
    sockets = {f"ws://{urlsplit(node).netloc}/ws" for node in nodes}
    async with httpx.AsyncClient(timeout=SECONDS) as client:
        allowed: set[str] = set()
        with trio.fail_after(SECONDS):
            while not sockets <= allowed:
                policy = (await client.get(page)).headers["Content-Security-Policy"]
                allowed = set(policy.replace(";", " ").split())
    for node in nodes:
        assert await _handshake_status(node, page) == 101
        assert await _handshake_status(node, "http://127.0.0.1:1") == 403


async def _handshake_status(node: str, origin: str) -> int:
    """How a node answers the opening handshake of a page of `origin`."""
    headers = {
        "Origin": origin,
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
    }
    async with (
        httpx.AsyncClient(timeout=SECONDS) as client,
        client.stream("GET", f"{node}/ws", headers=headers) as answer,
    ):
        return answer.status_code


async def _client(stack: AsyncExitStack, url: str, name: str) -> Client:
    await register(url, name, PASSWORD)
    return await stack.enter_async_context(open_client(url, name=name, password=PASSWORD))


async def _talk(clients: list[Client]) -> None:
    """Everybody says something, everybody hears all of it in one order, and sees everybody."""
    info = await clients[0].create_room("Lobby")
    rooms = [await client.join(info.id) for client in clients]
    for name, room in zip(NAMES, rooms, strict=True):
        await room.publish(f"I am {name}")
    for room in rooms:
        assert await _heard(room) == [(1, "ada"), (2, "bob"), (3, "eve")]
        await _until_all_are_seen(room)


async def _heard(room: Room) -> list[tuple[int, str]]:
    heard: list[tuple[int, str]] = []
    with trio.fail_after(SECONDS):
        async for message in room:
            assert message.text == f"I am {message.name}"
            heard.append((message.seq, message.name))
            if len(heard) == len(NAMES):
                break
    return heard


async def _until_all_are_seen(room: Room) -> None:
    """Presence is put together from all nodes within a second or two."""
    with trio.fail_after(SECONDS):
        # Presence pushes tell of changes, not of completeness.
        while sorted(user.name for user in (await room.online()).users) != sorted(NAMES):  # noqa: ASYNC110
            await trio.sleep(0.1)


async def test_sigterm_while_it_starts_leaves_nothing(tmp_path: Path) -> None:
    async with dev_cluster_process(tmp_path) as cluster:
        await cluster.until_printed("starting a cluster")
        cluster.process.send_signal(signal.SIGTERM)
        assert await cluster.wait() == 0
        assert not list(cluster.temporaries.iterdir())


async def test_a_part_that_cannot_be_started_is_named_and_the_others_are_stopped(tmp_path: Path) -> None:
    broken = tmp_path / "bin" / "mariadb-install-db"
    broken.parent.mkdir()
    broken.write_text("#!/bin/sh\necho the disk is full >&2\nexit 3\n")
    broken.chmod(0o755)
    async with dev_cluster_process(tmp_path, path=f"{broken.parent}{os.pathsep}{os.environ['PATH']}") as cluster:
        assert await cluster.wait() == 1
        assert "chat-gateway: shard-a-primary has ended with exit code 3\n  the disk is full" in cluster.errors
        assert cluster.output == ""
        assert not list(cluster.temporaries.iterdir())
