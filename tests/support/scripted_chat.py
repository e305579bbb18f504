"""A chat server for tests of clients: it speaks the protocol from memory, and misbehaves when it is told to.

    async with scripted_chat() as server:
        async with open_client(server.url, token="t") as client: ...
        await server.drop()

Rooms exist as soon as somebody names them. `server.seen` holds the commands in the order of their arrival.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import cbor2
import trio
from trio_websocket import ConnectionClosed, WebSocketConnection, WebSocketRequest, WebSocketServer

Map = dict[str, Any]


class Peer:
    """One connection of a client."""

    def __init__(self, socket: WebSocketConnection, is_cbor: bool) -> None:
        self.socket = socket
        self.is_cbor = is_cbor
        self.rooms: set[str] = set()

    async def send(self, *items: Map) -> None:
        """One frame; nothing happens if the client has gone."""
        value = items[0] if len(items) == 1 else list(items)
        with suppress(ConnectionClosed):
            await self.socket.send_message(cbor2.dumps(value) if self.is_cbor else json.dumps(value))

    def go_deaf(self) -> None:
        """Takes no more notice of anything that the client sends, pings included, and keeps the socket open."""
        self.socket._wsproto.receive_data = lambda data: None  # type: ignore[method-assign]

    def decode(self, payload: str | bytes) -> list[Map]:
        assert isinstance(payload, bytes) == self.is_cbor
        value = cbor2.loads(payload) if isinstance(payload, bytes) else json.loads(payload)
        return value if isinstance(value, list) else [value]


class ScriptedChat:
    """What the server knows, and the knobs that a test turns."""

    def __init__(self) -> None:
        self.url = ""
        self.epoch = "e1"
        self.logs: dict[str, list[Map]] = defaultdict(list)
        self.keys: dict[tuple[str, str], Map] = {}
        self.peers: list[Peer] = []
        self.seen: list[Map] = []
        self.hellos = 0
        self.recover = True
        self.expires_in: float = 900
        self.heartbeat_seconds: float = 25
        self.limits: Map = {}
        self.hook: Callable[[Peer, Map], Any] = lambda peer, command: None
        """Called with each command first; what it returns is sent instead of the answer, "nothing" sends none."""
        self.reject_status = 0
        self._arrived = trio.Condition()

    async def post(self, room: str, text: str, *, push: bool = True, user: str = "u2") -> Map:
        """A message of somebody else; without `push` it is stored only."""
        return await self._store(room, {"text": text}, f"key-{len(self.keys)}", user, push)

    async def push(self, item: Map) -> None:
        """To every connection."""
        for peer in list(self.peers):
            await peer.send(item)

    async def drop(self) -> None:
        """Cuts every connection without a close frame."""
        for peer in list(self.peers):
            await trio.aclose_forcefully(peer.socket._stream)

    async def close(self, code: int, reason: str = "") -> None:
        """Closes every connection."""
        for peer in list(self.peers):
            with trio.move_on_after(1):
                await peer.socket.aclose(code, reason)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Returns when `condition` holds; it is looked at after each command and connection."""
        with trio.fail_after(30):
            async with self._arrived:
                while not condition():
                    await self._arrived.wait()

    def ops(self) -> Counter[str]:
        """How many commands of each kind have come."""
        return Counter(command["op"] for command in self.seen)

    async def serve(self, request: WebSocketRequest) -> None:
        if self.reject_status:
            await request.reject(self.reject_status)
            return
        offered = request.proposed_subprotocols[0]
        socket = await request.accept(subprotocol=offered)
        peer = Peer(socket, offered == "chat.v1.cbor")
        self.peers.append(peer)
        try:
            with suppress(ConnectionClosed):
                await self._serve(peer)
        finally:
            self.peers.remove(peer)
            with trio.CancelScope(shield=True):
                await self._notify()

    async def _serve(self, peer: Peer) -> None:
        while True:
            for command in peer.decode(await peer.socket.get_message()):
                self.seen.append(command)
                await self._answer(peer, command)
                await self._notify()

    async def _notify(self) -> None:
        async with self._arrived:
            self._arrived.notify_all()

    async def _answer(self, peer: Peer, command: Map) -> None:
        scripted = self.hook(peer, command)
        if scripted == "nothing":
            return
        if scripted is not None:
            await peer.send({"re": command["id"], **scripted})
            return
        handle = getattr(self, f"_{command['op']}", None)
        if handle is None:
            await peer.send({"re": command["id"], "ok": {}})
        else:
            await handle(peer, command)

    async def _hello(self, peer: Peer, command: Map) -> None:
        self.hellos += 1
        ok: Map = {"user": {"id": "u1", "name": "ada"}, "session": "s", "node": "n", "limits": self.limits}
        ok |= {"heartbeat_seconds": self.heartbeat_seconds, "expires_in": self.expires_in, "unknown": [1]}
        await peer.send({"re": command["id"], "ok": ok})

    async def _refresh(self, peer: Peer, command: Map) -> None:
        await peer.send({"re": command["id"], "ok": {"expires_in": self.expires_in}})

    async def _join(self, peer: Peer, command: Map) -> None:
        room, since = command["room"], command.get("since")
        log = self.logs[room]
        recovered = bool(since and self.recover and since["epoch"] == self.epoch and since["seq"] <= len(log))
        ok = {"epoch": self.epoch, "seq": len(log), "recovered": recovered, "members_online": 1}
        missed = log[since["seq"] :] if since and recovered else []
        peer.rooms.add(room)
        await peer.send({"re": command["id"], "ok": ok}, *(self._as_push(room, item) for item in missed))

    async def _leave(self, peer: Peer, command: Map) -> None:
        peer.rooms.discard(command["room"])
        await peer.send({"re": command["id"], "ok": {}})

    async def _publish(self, peer: Peer, command: Map) -> None:
        duplicate = (command["room"], command["key"]) in self.keys
        item = await self._store(command["room"], command["body"], command["key"], "u1", push=True)
        await peer.send({"re": command["id"], "ok": {"seq": item["seq"], "ts": item["ts"], "duplicate": duplicate}})

    async def _history(self, peer: Peer, command: Map) -> None:
        log, limit = self.logs[command["room"]], command["limit"]
        if "after" in command:
            page = [item for item in log if item["seq"] > command["after"]][:limit]
        else:
            page = [item for item in log if item["seq"] < command.get("before", 2**53)][-limit:]
        await peer.send({"re": command["id"], "ok": {"epoch": self.epoch, "messages": page, "more": False}})

    async def _presence(self, peer: Peer, command: Map) -> None:
        ok = {"online": 1, "users": [{"id": "u1", "name": "ada"}]}
        await peer.send({"re": command["id"], "ok": ok})

    async def _store(self, room: str, body: Map, key: str, user: str, push: bool) -> Map:
        if (room, key) in self.keys:
            return self.keys[room, key]
        seq = len(self.logs[room]) + 1
        item = {"seq": seq, "ts": 1_700_000_000_000 + seq, "user": user, "name": "ada", "key": key, "body": body}
        self.logs[room].append(item)
        self.keys[room, key] = item
        if push:
            for peer in [peer for peer in self.peers if room in peer.rooms]:
                await peer.send(self._as_push(room, item))
        return item

    def _as_push(self, room: str, item: Map) -> Map:
        return {"push": "message", "room": room, "epoch": self.epoch, **item}


@asynccontextmanager
async def scripted_chat() -> AsyncIterator[ScriptedChat]:
    """A server on a free port of this machine, for as long as the block runs."""
    server = ScriptedChat()
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listeners[0].socket.getsockname()[1]
    server.url = f"http://127.0.0.1:{port}"
    async with trio.open_nursery() as nursery:
        await nursery.start(WebSocketServer(server.serve, listeners, max_message_size=2**20).run)
        yield server
        nursery.cancel_scope.cancel()
