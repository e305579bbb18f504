"""A gateway in memory, with outboxes: what a slow client does not read piles up, and the limits hold.

The client's end is a `Socket`. It gets what it was sent in order, then the close code; a process that dies
takes what was not read with it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import partial

import trio

from gateway_core.gateway import (
    CloseCode,
    Closed,
    ConnectionId,
    Drained,
    Event,
    GatewayStats,
    Opened,
    Payload,
    Received,
    Request,
)
from tests.support.memory_gateway import MemoryGateway

from .clock import call_at
from .life import Life

SOFT_BYTES = 4_000
HARD_BYTES = 16_000
PING_SECONDS = 5.0
"""Until a client that has vanished is missed."""


class Socket:
    """A client's end of a connection."""

    def __init__(self, gateway: SimGateway, connection: ConnectionId) -> None:
        self.connection = connection
        self.encoding: str | None = None
        self.status = 0
        """Of the HTTP answer, if the handshake was refused."""
        self.close_code: int | None = None
        self.outbox: deque[Payload] = deque()
        self.outbox_bytes = 0
        self.is_over = False
        """Above the soft limit since the outbox was last empty."""
        self.missed: dict[str, int] = {}
        self._gateway = gateway
        self._news = trio.Event()

    @property
    def is_decided(self) -> bool:
        """Whether the handshake is over."""
        return self.encoding is not None or self.close_code is not None

    async def decided(self) -> None:
        """Waits for the end of the handshake."""
        while not self.is_decided:
            await self._wait()

    async def receive(self) -> list[Payload]:
        """Everything that has been sent; empty once the connection is closed and all of it was read."""
        while not self.outbox and self.close_code is None:
            await self._wait()
        frames = list(self.outbox)
        self.outbox.clear()
        self.outbox_bytes = 0
        if self.is_over and self.close_code is None:
            self.is_over = False
            missed, self.missed = self.missed, {}
            self._gateway.put(Drained(self.connection, missed))
        return frames

    def send(self, payload: Payload) -> None:
        """Sends one frame; if the connection has gone, nothing happens."""
        if self.close_code is None:
            data = payload.encode() if isinstance(payload, str) else payload
            self._gateway.put(Received(self.connection, data, isinstance(payload, str)))

    def hang_up(self) -> None:
        """Ends the connection, as both ends see it."""
        self._gateway.lose(self, CloseCode.NORMAL)

    def vanish(self) -> None:
        """Ends the connection as the client sees it; the node finds out when no ping is answered."""
        self.outbox.clear()
        self.end(CloseCode.ABNORMAL)
        call_at(trio.current_time() + PING_SECONDS, partial(self._gateway.lose, self, CloseCode.PING_TIMEOUT))

    def end(self, code: int) -> None:
        """For the gateway: nothing more comes."""
        if self.close_code is None:
            self.close_code = code
        self.tell()

    def tell(self) -> None:
        news, self._news = self._news, trio.Event()
        news.set()

    async def _wait(self) -> None:
        await self._news.wait()


class SimGateway(MemoryGateway):
    """Implements `Gateway`; commands take effect at once, in their order."""

    backend = "simulated"

    def __init__(self, life: Life) -> None:
        super().__init__()
        self.sockets: dict[ConnectionId, Socket] = {}
        self.is_listening = True
        self._life = life

    def connect(self, headers: Sequence[tuple[str, str]], subprotocol: str) -> Socket:
        """A handshake that waits for its verdict."""
        connection = self._new_connection()
        socket = self.sockets[connection] = Socket(self, connection)
        request = Request("/ws", "", (("host", "chat.test"), *headers), (subprotocol,), "192.0.2.1")
        self.put(Opened(connection, request))
        return socket

    def lose(self, socket: Socket, code: int) -> None:
        """The connection is gone."""
        if self.sockets.pop(socket.connection, None) is not None:
            self._leave_all_topics(socket.connection)
            socket.end(code)
            self.put(Closed(socket.connection, code, "", code != CloseCode.ABNORMAL))

    def die(self) -> None:
        """The process is gone, and with it what it had not sent."""
        self.is_listening = False
        for socket in list(self.sockets.values()):
            socket.outbox.clear()
            self.lose(socket, CloseCode.ABNORMAL)

    # The interface

    async def receive_events(self) -> list[Event]:
        await self._arrived.wait()
        await self._life.go_on()
        return await super().receive_events()

    def accept(self, connection: ConnectionId, subprotocol: str | None = None, encoding: str = "") -> bool:
        socket = self.sockets.get(connection)
        if socket is not None:
            socket.encoding = encoding
            socket.tell()
        return socket is not None

    def reject(
        self, connection: ConnectionId, status: int, headers: Iterable[tuple[str, str]] = (), body: bytes = b""
    ) -> bool:
        socket = self.sockets.get(connection)
        if socket is not None:
            socket.status = status
            self.lose(socket, CloseCode.ABNORMAL)
        return socket is not None

    def send(self, connection: ConnectionId, payload: Payload) -> bool:
        socket = self.sockets.get(connection)
        if socket is not None:
            self._queue(socket, payload)
        return socket is not None

    def close(self, connection: ConnectionId, code: int = CloseCode.NORMAL, reason: str = "") -> bool:
        socket = self.sockets.get(connection)
        if socket is not None:
            self.lose(socket, code)
        return socket is not None

    def subscribe(self, connection: ConnectionId, topic: str) -> bool:
        if connection in self.sockets:
            self.topics.setdefault(topic, {})[connection] = None
        return connection in self.sockets

    def unsubscribe(self, connection: ConnectionId, topic: str) -> bool:
        self._unsubscribe(connection, topic)
        return connection in self.sockets

    def publish(
        self,
        topic: str,
        variants: Mapping[str, Payload],
        *,
        position: int | None = None,
        exclude: Collection[ConnectionId] = (),
    ) -> None:
        for connection in list(self.topics.get(topic, ())):
            socket = self.sockets[connection]
            if socket.is_over:
                if position is not None:
                    socket.missed[topic] = min(position, socket.missed.get(topic, position))
                    self._unsubscribe(connection, topic)
            elif (payload := variants.get(socket.encoding or "")) is not None:
                self._queue(socket, payload)

    def stats(self) -> GatewayStats:
        return self._stats(len(self.sockets), sum(socket.outbox_bytes for socket in self.sockets.values()))

    async def drain(self, code: int = CloseCode.NODE_GOING_AWAY, reason: str = "", seconds: float = 20.0) -> None:
        self.is_listening = False
        pause = seconds / max(1, len(self.sockets))
        while self.sockets:
            self.close(next(iter(self.sockets)), code, reason)
            await self._life.sleep(pause)

    def _queue(self, socket: Socket, payload: Payload) -> None:
        socket.outbox.append(payload)
        socket.outbox_bytes += len(payload)
        socket.is_over = socket.is_over or socket.outbox_bytes > SOFT_BYTES
        if socket.outbox_bytes > HARD_BYTES:
            self.lose(socket, CloseCode.SLOW_CONSUMER)
        socket.tell()
