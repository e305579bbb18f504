"""An accepted connection: trio-websocket between the socket and the outbox, then the closing handshake."""

from __future__ import annotations

import contextlib
import random
from typing import TYPE_CHECKING

import trio
import trio_websocket

from ..gateway import CloseCode, Drained, Received
from .meter import Meter
from .shared import Shared
from .stream import MeteredStream

if TYPE_CHECKING:
    from .connection import Connection

_MAX_UNANSWERED_PINGS = 16
"""Each waits in memory for its Pong: a peer may send other things instead, but not for ever."""


class Conversation:
    """Two tasks of ours, one of trio-websocket, and the deadlines that `check` looks after."""

    def __init__(self, connection: Connection, shared: Shared) -> None:
        self._connection = connection
        self._shared = shared
        self._config = shared.config
        self._meter = Meter(shared.config, trio.current_time())
        self._stream = MeteredStream(
            connection.socket,
            self._canonical_head(),
            bytes(connection.early),
            self._meter,
            shared.counters,
            lambda violation: connection.fail(violation.code, violation.reason),
        )
        self._websocket: trio_websocket.WebSocketConnection | None = None
        self._nursery: trio.Nursery | None = None
        self._ping_after = self._next_interval()
        self._pinged_at: float | None = None
        self._unanswered = 0

    async def run(self) -> None:
        with self._connection.talk:
            async with trio.open_nursery() as nursery:
                try:
                    with contextlib.suppress(trio_websocket.ConnectionClosed):
                        await self._talk(nursery)
                finally:
                    self._nursery = None  # no more pings: it takes no new task once it ends
                nursery.cancel_scope.cancel()
        await self._finish(self._websocket.closed if self._websocket else None)

    def check(self, now: float) -> None:
        """Acts on the deadlines of an open connection."""
        over_since, started = self._connection.outbox.over_since, self._meter.message_started
        if over_since is not None and now - over_since >= self._config.slow_consumer_seconds:
            self._connection.fail(CloseCode.SLOW_CONSUMER, "the peer reads too slowly")
        elif started is not None and now - started >= self._config.message_seconds:
            self._connection.fail(CloseCode.POLICY_VIOLATION, "the message took too long")
        elif not self._shared.events.full:
            # While events are full nothing is read, so that silence says nothing about the peer.
            self._keep_alive(now)

    def _canonical_head(self) -> bytes:
        """The request with only what was checked: trio-websocket fails on odd values of headers."""
        lines = ["GET / HTTP/1.1", "Host: gateway", "Upgrade: websocket", "Connection: Upgrade"]
        lines += ["Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {self._connection.request.key}"]
        if self._connection.subprotocol is not None:
            lines.append(f"Sec-WebSocket-Protocol: {self._connection.subprotocol}")
        return "\r\n".join([*lines, "", ""]).encode("ascii")

    async def _talk(self, nursery: trio.Nursery) -> None:
        request = await trio_websocket.wrap_server_stream(
            nursery, self._stream, max_message_size=self._config.max_message_bytes, receive_buffer_size=None
        )
        self._websocket = await request.accept(subprotocol=self._connection.subprotocol)
        self._nursery = nursery
        nursery.start_soon(self._write, self._websocket)
        await self._read(self._websocket)

    async def _read(self, websocket: trio_websocket.WebSocketConnection) -> None:
        events, connection = self._shared.events, self._connection
        while True:
            message = await websocket.get_message()
            await events.room()
            if connection.end is None:
                payload = message.encode() if isinstance(message, str) else bytes(message)
                self._shared.counters.messages_in += 1
                events.put(Received(connection.identity, payload, isinstance(message, str)))

    async def _write(self, websocket: trio_websocket.WebSocketConnection) -> None:
        outbox = self._connection.outbox
        with contextlib.suppress(trio_websocket.ConnectionClosed):
            while (message := await outbox.next()) is not None:
                await websocket.send_message(message.payload)
                missed = outbox.sent(message)
                if missed is not None and self._connection.end is None:
                    for topic in missed:
                        self._shared.topics.unsubscribe(self._connection, topic)
                    self._shared.events.put(Drained(self._connection.identity, missed))
            self._connection.talk.cancel()

    def _keep_alive(self, now: float) -> None:
        if self._pinged_at is not None and self._stream.heard_at <= self._pinged_at:
            if now - self._pinged_at >= self._config.ping_timeout_seconds:
                self._connection.fail(CloseCode.PING_TIMEOUT, "no answer to a ping")
        elif now - self._stream.heard_at >= self._ping_after:
            self._pinged_at = now
            self._ping_after = self._next_interval()
            if self._unanswered >= _MAX_UNANSWERED_PINGS:
                self._connection.fail(CloseCode.PING_TIMEOUT, "no answer to many pings")
            elif self._websocket is not None and self._nursery is not None:
                self._nursery.start_soon(self._ping, self._websocket)

    async def _ping(self, websocket: trio_websocket.WebSocketConnection) -> None:
        self._unanswered += 1
        with contextlib.suppress(trio_websocket.ConnectionClosed):
            await websocket.ping()
        self._unanswered -= 1

    def _next_interval(self) -> float:
        return self._config.ping_interval_seconds * random.uniform(0.8, 1.2)  # noqa: S311 (spreads load, hides nothing)

    async def _finish(self, seen: trio_websocket.CloseReason | None) -> None:
        """Ends a conversation that trio-websocket saw end by `seen`, or not."""
        if not self._can_close(seen):
            return
        if self._connection.failed:
            self._connection.report(clean=False)
        with trio.move_on_after(self._config.close_seconds), contextlib.suppress(trio.BrokenResourceError):
            await self._exchange_close_frames()
            self._connection.report(clean=self._meter.peer_closed)
            await self._stream.linger()

    def _can_close(self, seen: trio_websocket.CloseReason | None) -> bool:
        """Settles code and reason; False if the transport broke, so that no more can be said."""
        connection = self._connection
        if seen is not None and self._stream.close_sent:  # the answer to the peer's Close frame
            connection.begin_end(int(seen.code), seen.reason or "")
        elif not self._stream.upgraded or (seen is not None and seen.code == CloseCode.ABNORMAL):
            if connection.end is None:
                connection.begin_end(CloseCode.ABNORMAL, "")
            return False
        elif seen is not None and connection.end is None:
            connection.fail(int(seen.code), "protocol error")
        return True

    async def _exchange_close_frames(self) -> None:
        await self._stream.flush()
        if not self._stream.close_sent and self._connection.end is not None:
            await self._stream.send_close(*self._connection.end)
            if not self._connection.failed:
                await self._stream.receive_close()
