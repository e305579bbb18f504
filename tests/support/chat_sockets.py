"""A client of the chat protocol on a real socket, as plain as can be: maps out, maps in.

async with open_sockets() as sockets:
    socket = await sockets.connect(address, token)
    answer = await socket.ask("join", room="r1")
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import cbor2
import msgspec
import trio
from trio_websocket import ConnectionClosed, WebSocketConnection, wrap_client_stream

WAIT_SECONDS = 60.0


class ChatSocket:
    """One connection. A task reads it into `maps`, unless it is `paused`."""

    def __init__(self, websocket: WebSocketConnection) -> None:
        self.maps: list[dict[str, Any]] = []
        self.closed: tuple[int, str] | None = None
        self._websocket = websocket
        self._ids = itertools.count(1)
        self._news = trio.Event()
        self._flowing = trio.Event()
        self._flowing.set()

    async def send(self, *commands: Mapping[str, Any]) -> None:
        """Sends commands in one frame."""
        value = commands[0] if len(commands) == 1 else list(commands)
        cbor = self._websocket.subprotocol == "chat.v1.cbor"
        await self.send_frame(cbor2.dumps(value) if cbor else msgspec.json.encode(value).decode())

    async def send_frame(self, payload: bytes | str) -> None:
        await self._websocket.send_message(payload)

    def command(self, op: str, **fields: Any) -> dict[str, Any]:
        return {"id": next(self._ids), "op": op, **fields}

    async def ask(self, op: str, **fields: Any) -> dict[str, Any]:
        """Sends a command and returns the map in its `ok` or `err`."""
        command = self.command(op, **fields)
        await self.send(command)
        return await self.answer_to(command["id"])

    async def answer_to(self, number: int) -> dict[str, Any]:
        await self.until(lambda: any(item.get("re") == number for item in self.maps))
        [answer] = [item for item in self.maps if item.get("re") == number]
        result: dict[str, Any] = answer["ok"] if "ok" in answer else answer["err"]
        return result

    async def pushed(self, kind: str, count: int = 1) -> list[dict[str, Any]]:
        await self.until(lambda: len(self.pushes(kind)) >= count)
        return self.pushes(kind)

    def pushes(self, kind: str) -> list[dict[str, Any]]:
        return [item for item in self.maps if item.get("push") == kind]

    def seqs(self) -> list[int]:
        return [item["seq"] for item in self.pushes("message")]

    async def close_code(self) -> int:
        await self.until(lambda: self.closed is not None)
        assert self.closed is not None
        return self.closed[0]

    async def until(self, condition: Callable[[], object]) -> None:
        with trio.fail_after(WAIT_SECONDS):
            while not condition():
                await self._news.wait()

    async def close(self) -> None:
        await self._websocket.aclose()

    def pause(self) -> None:
        """Stops reading; the library's own buffer holds one more message."""
        self._flowing = trio.Event()

    def go_on(self) -> None:
        self._flowing.set()

    async def read(self) -> None:
        """Reads until the connection ends."""
        try:
            while True:
                await self._flowing.wait()
                payload = await self._websocket.get_message()
                value = cbor2.loads(payload) if isinstance(payload, bytes) else msgspec.json.decode(payload)
                self.maps += value if isinstance(value, list) else [value]
                self._tell()
        except ConnectionClosed as error:
            self.closed = (error.reason.code, error.reason.reason or "") if error.reason else (1006, "")
            self._tell()

    def _tell(self) -> None:
        news, self._news = self._news, trio.Event()
        news.set()


class ChatSockets:
    """Opens connections and keeps them read."""

    def __init__(self, nursery: trio.Nursery, streams: list[trio.SocketStream]) -> None:
        self._nursery = nursery
        self._streams = streams

    async def connect(
        self, address: tuple[str, int], token: str | None = None, codec: str = "chat.v1.json"
    ) -> ChatSocket:
        headers = [(b"Authorization", f"Bearer {token}".encode())] if token else []
        with trio.fail_after(WAIT_SECONDS):
            stream = await trio.open_tcp_stream(*address)
            self._streams.append(stream)
            websocket = await wrap_client_stream(
                self._nursery, stream, f"{address[0]}:{address[1]}", "/ws", subprotocols=[codec], extra_headers=headers
            )
        socket = ChatSocket(websocket)
        self._nursery.start_soon(socket.read)
        return socket


@contextlib.asynccontextmanager
async def open_sockets() -> AsyncIterator[ChatSockets]:
    """Cuts all connections at the end."""
    streams: list[trio.SocketStream] = []
    try:
        async with trio.open_nursery() as nursery:
            yield ChatSockets(nursery, streams)
            nursery.cancel_scope.cancel()
    finally:
        with trio.CancelScope(shield=True):
            for stream in streams:
                await trio.aclose_forcefully(stream)
