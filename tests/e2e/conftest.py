"""A node as users meet it: a process, asked over HTTP and WebSocket."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio
import trio_websocket

from tests.support.command_line import run_command
from tests.support.mysql_servers import empty_databases
from tests.support.node_process import Node, node_process
from tests.support.redis_servers import emptied

PASSWORD = "correct horse"
SECONDS = 30.0


class Socket:
    """A client of `chat.v1.json` that does what it is told and nothing else."""

    def __init__(self, websocket: trio_websocket.WebSocketConnection) -> None:
        self.websocket = websocket
        self.node = ""
        """Who serves it, as the answer to hello has said."""
        self.pushes: list[dict[str, Any]] = []
        self._number = 0

    async def ask(self, op: str, **fields: Any) -> dict[str, Any]:
        """Sends a command and returns its answer: what is below `ok`, or the whole refusal."""
        self._number += 1
        await self.websocket.send_message(json.dumps({"id": self._number, "op": op, **fields}))
        with trio.fail_after(SECONDS):
            while True:
                for frame in await self._receive():
                    if frame.get("re") == self._number:
                        answer: dict[str, Any] = frame.get("ok", frame)
                        return answer
                    self.pushes.append(frame)

    async def push(self, kind: str) -> dict[str, Any]:
        """The next push of one kind; it may have come already."""
        with trio.fail_after(SECONDS):
            while True:
                for frame in self.pushes:
                    if frame.get("push") == kind:
                        self.pushes.remove(frame)
                        return frame
                self.pushes += await self._receive()

    async def close_code(self) -> int:
        """Reads to the end, and says how it came."""
        with trio.fail_after(SECONDS):
            try:
                while True:
                    self.pushes += await self._receive()
            except trio_websocket.ConnectionClosed as closed:
                return int(closed.reason.code) if closed.reason else 1006

    async def _receive(self) -> list[dict[str, Any]]:
        frame = json.loads(await self.websocket.get_message())
        return frame if isinstance(frame, list) else [frame]


@pytest.fixture(params=["native", "pure"])
def backend(request: pytest.FixtureRequest) -> str:
    """Both gateways, if both are there."""
    name = str(request.param)
    if name == "native" and importlib.util.find_spec("gateway_core._native") is None:
        pytest.skip("the native gateway was not built")
    return name


@pytest.fixture
async def node(tmp_path: Path, backend: str) -> AsyncIterator[Node]:
    async with node_process(tmp_path, "--backend", backend) as started:
        yield started


@pytest.fixture
def flags() -> list[str]:
    """Of a node on two databases without anything in them, and a Redis."""
    shards = [f"--shard={name}={dsn}" for name, dsn in empty_databases("one", "two").items()]
    return [*shards, "--redis", emptied("redis").url]


@pytest.fixture
def migrated(flags: list[str], tmp_path: Path) -> list[str]:
    """The same, with a schema."""
    code, _, complaint = run_command(tmp_path, "db", "migrate", *flags[:2])
    assert code == 0, complaint
    return flags


@asynccontextmanager
async def http_client(node: Node) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=node.url, timeout=SECONDS) as client:
        yield client


async def sign_up(node: Node, name: str) -> str:
    """A new account's access token."""
    async with http_client(node) as client:
        answer = await client.post("/api/register", json={"name": name, "password": PASSWORD})
        assert answer.status_code == 201, answer.text
    return await sign_in(node, name)


async def sign_in(node: Node, name: str) -> str:
    async with http_client(node) as client:
        answer = await client.post("/api/login", json={"name": name, "password": PASSWORD})
        assert answer.status_code == 200, answer.text
        return str(answer.json()["access_token"])


async def make_room(node: Node, token: str) -> str:
    async with http_client(node) as client:
        headers = {"Authorization": f"Bearer {token}"}
        answer = await client.post("/api/rooms", json={"name": "a room"}, headers=headers)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["room"]["id"])


def handshake(node: Node, target: str, *headers: str) -> bytes:
    """An opening handshake for `target`, byte for byte."""
    lines = [
        f"GET {target} HTTP/1.1",
        f"Host: {node.host}:{node.port}",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
        "Sec-WebSocket-Protocol: chat.v1.json",
        *headers,
    ]
    return "".join(f"{line}\r\n" for line in [*lines, ""]).encode()


async def handshake_status(node: Node, target: str, *headers: str) -> int:
    """How it is answered."""
    async with await trio.open_tcp_stream(node.host, node.port) as stream:
        await stream.send_all(handshake(node, target, *headers))
        with trio.fail_after(SECONDS):
            return int((await stream.receive_some(4096)).split()[1])


@asynccontextmanager
async def socket(node: Node, token: str) -> AsyncIterator[Socket]:
    """A socket that has said hello. The stream is ours, since the library leaves one that was cut to the collector."""
    failure: Exception | None = None
    async with await trio.open_tcp_stream(node.host, node.port) as stream, trio.open_nursery() as nursery:
        try:
            websocket = await trio_websocket.wrap_client_stream(
                nursery,
                stream,
                node.url.removeprefix("http://"),
                "/ws",
                subprotocols=["chat.v1.json"],
                message_queue_size=10_000,
            )
            connected = Socket(websocket)
            answer = await connected.ask("hello", token=token)
            assert "user" in answer, answer
            connected.node = answer["node"]
            yield connected
            with trio.move_on_after(1):
                await websocket.aclose()
        except Exception as error:  # kept from the nursery, which would make a group of it
            failure = error
        nursery.cancel_scope.cancel()
    if failure is not None:
        raise failure
