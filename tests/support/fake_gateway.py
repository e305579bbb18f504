"""A gateway without sockets: it obeys the interface and keeps what each peer would have read.

    peer = gateway.connect(subprotocols=["chat.v1.json"])
    await peer.accepted()
    answer = await peer.ask("ping")

It needs neither files nor threads, so the autojump clock works with it.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import cbor2
import msgspec
import trio

from gateway_core.gateway import (
    CloseCode,
    Closed,
    ConnectionId,
    Drained,
    GatewayStats,
    Opened,
    Payload,
    Received,
    Request,
)
from tests.support.memory_gateway import MemoryGateway

WAIT_SECONDS = 1000.0
"""On a virtual clock, where it passes at once if nothing can happen any more."""


class FakePeer:
    """A client's end. `frames` is everything it was sent; `maps` the same, decoded and unpacked."""

    def __init__(self, gateway: FakeGateway, connection: ConnectionId, request: Request) -> None:
        self.connection = connection
        self.request = request
        self.subprotocol: str | None = None
        self.encoding: str | None = None
        self.rejected: tuple[int, dict[str, str], bytes] | None = None
        self.closed: tuple[int, str] | None = None
        self.gone = False
        self.slow = False
        """Above the soft limit: publishes are dropped or cut it off."""
        self.missed: dict[str, int] = {}
        self.frames: list[Payload] = []
        self.maps: list[dict[str, Any]] = []
        self._gateway = gateway
        self._ids = itertools.count(1)

    # What a client does

    def send(self, payload: Payload) -> None:
        """Sends one frame."""
        data = payload.encode() if isinstance(payload, str) else payload
        self._gateway.put(Received(self.connection, data, isinstance(payload, str)))

    def say(self, *commands: Mapping[str, Any]) -> None:
        """Sends commands in its encoding: one as a map, several as an array."""
        value = commands[0] if len(commands) == 1 else list(commands)
        self.send(cbor2.dumps(value) if self.encoding == "chat.v1.cbor" else msgspec.json.encode(value).decode())

    def command(self, op: str, **fields: Any) -> dict[str, Any]:
        """A command with a fresh id."""
        return {"id": next(self._ids), "op": op, **fields}

    async def ask(self, op: str, **fields: Any) -> dict[str, Any]:
        """Sends a command and waits for its answer: `ok`'s or `err`'s map."""
        command = self.command(op, **fields)
        self.say(command)
        answer = await self.answer_to(command["id"])
        result: dict[str, Any] = answer["ok"] if "ok" in answer else answer["err"]
        return result

    def hang_up(self, code: int = 1001) -> None:
        """Closes, as seen by the application."""
        self._gateway.lose(self, code, "")

    def catch_up(self) -> None:
        """Has read everything that waited."""
        self.slow = False
        missed, self.missed = self.missed, {}
        self._gateway.put(Drained(self.connection, missed))

    # What a test waits for

    async def until(self, condition: Any) -> None:
        """Waits until `condition()` holds; looked at whenever the gateway was told something."""
        with trio.fail_after(WAIT_SECONDS):
            while not condition():
                await self._gateway.changed()

    async def accepted(self) -> None:
        await self.until(lambda: self.encoding is not None or self.rejected)
        assert self.rejected is None, self.rejected

    async def refused(self) -> int:
        """The status of the rejection."""
        await self.until(lambda: self.encoding is not None or self.rejected)
        assert self.rejected is not None, "accepted"
        return self.rejected[0]

    async def close_code(self) -> int:
        await self.until(lambda: self.closed)
        assert self.closed is not None
        return self.closed[0]

    async def answer_to(self, number: int | None) -> dict[str, Any]:
        def answers() -> list[dict[str, Any]]:
            return [item for item in self.maps if "re" in item and item["re"] == number]

        await self.until(answers)
        [answer] = answers()
        return answer

    async def pushed(self, kind: str, count: int = 1) -> list[dict[str, Any]]:
        """At least `count` pushes of `kind`, all that came so far."""
        await self.until(lambda: len(self.pushes(kind)) >= count)
        return self.pushes(kind)

    def pushes(self, kind: str) -> list[dict[str, Any]]:
        return [item for item in self.maps if item.get("push") == kind]

    def seqs(self, room: str) -> list[int]:
        """The positions of the messages of `room`, in the order of their arrival."""
        return [item["seq"] for item in self.pushes("message") if item["room"] == room]

    def read(self, payload: Payload) -> None:
        """For the gateway: one frame arrives."""
        self.frames.append(payload)
        value = cbor2.loads(payload) if isinstance(payload, bytes) else msgspec.json.decode(payload)
        self.maps += value if isinstance(value, list) else [value]


class FakeGateway(MemoryGateway):
    """Implements `Gateway`; commands take effect at once, in their order."""

    backend = "fake"

    def __init__(self) -> None:
        super().__init__()
        self.peers: dict[ConnectionId, FakePeer] = {}
        self.published: list[tuple[str, Mapping[str, Payload], int | None]] = []
        self._changed = trio.Event()

    def connect(
        self,
        path: str = "/ws",
        query: str = "",
        headers: Sequence[tuple[str, str]] = (),
        subprotocols: Sequence[str] = ("chat.v1.json",),
    ) -> FakePeer:
        """A handshake that waits for its verdict."""
        request = Request(path, query, (("host", "chat.test"), *headers), tuple(subprotocols), "192.0.2.1")
        connection = self._new_connection()
        peer = self.peers[connection] = FakePeer(self, connection, request)
        self.put(Opened(connection, request))
        return peer

    async def changed(self) -> None:
        """Returns after the next command."""
        await self._changed.wait()

    def lose(self, peer: FakePeer, code: int, reason: str) -> None:
        """The connection is gone."""
        if not peer.gone:
            peer.gone = True
            del self.peers[peer.connection]
            self._leave_all_topics(peer.connection)
            self.put(Closed(peer.connection, code, reason, code != CloseCode.ABNORMAL))

    # The interface

    def accept(self, connection: ConnectionId, subprotocol: str | None = None, encoding: str = "") -> bool:
        peer = self._peer(connection)
        if peer is not None:
            assert subprotocol is None or subprotocol in peer.request.subprotocols
            peer.subprotocol, peer.encoding = subprotocol, encoding
        return peer is not None

    def reject(
        self, connection: ConnectionId, status: int, headers: Iterable[tuple[str, str]] = (), body: bytes = b""
    ) -> bool:
        peer = self._peer(connection)
        if peer is not None:
            peer.rejected = status, {name.lower(): value for name, value in headers}, body
            self.lose(peer, CloseCode.ABNORMAL, "")
        return peer is not None

    def send(self, connection: ConnectionId, payload: Payload) -> bool:
        peer = self._peer(connection)
        if peer is not None and peer.closed is None:
            assert peer.encoding is not None, "not accepted"
            peer.read(payload)
        return peer is not None

    def close(self, connection: ConnectionId, code: int = CloseCode.NORMAL, reason: str = "") -> bool:
        peer = self._peer(connection)
        if peer is not None and peer.closed is None:
            assert len(reason.encode()) <= 123
            peer.closed = code, reason
            self.lose(peer, code, reason)
        return peer is not None

    def subscribe(self, connection: ConnectionId, topic: str) -> bool:
        peer = self._peer(connection)
        if peer is not None:
            self.topics.setdefault(topic, {})[connection] = None
        return peer is not None

    def unsubscribe(self, connection: ConnectionId, topic: str) -> bool:
        peer = self._peer(connection)
        self._unsubscribe(connection, topic)
        return peer is not None

    def publish(
        self,
        topic: str,
        variants: Mapping[str, Payload],
        *,
        position: int | None = None,
        exclude: Collection[ConnectionId] = (),
    ) -> None:
        self.published.append((topic, dict(variants), position))
        for connection in list(self.topics.get(topic, ())):
            peer = self.peers[connection]
            if connection in exclude or peer.encoding is None or peer.encoding not in variants:
                continue
            if not peer.slow:
                peer.read(variants[peer.encoding])
            elif position is not None:
                peer.missed[topic] = min(position, peer.missed.get(topic, position))
                self._unsubscribe(connection, topic)
        self._tell()

    def stats(self) -> GatewayStats:
        return self._stats(len(self.peers))

    async def drain(self, code: int = CloseCode.NODE_GOING_AWAY, reason: str = "", seconds: float = 20.0) -> None:
        for connection in list(self.peers):
            self.close(connection, code, reason)
        await trio.lowlevel.checkpoint()

    def _peer(self, connection: ConnectionId) -> FakePeer | None:
        self._tell()
        return self.peers.get(connection)

    def _tell(self) -> None:
        """Wakes the tests that wait; a command in the same step may follow, so they look again."""
        changed, self._changed = self._changed, trio.Event()
        changed.set()
