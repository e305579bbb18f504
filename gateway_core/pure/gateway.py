"""`PureGateway`: the commands, and the way of a socket from the listener to its connection."""

from __future__ import annotations

import itertools
import logging
import socket
from collections.abc import Collection, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Self

import trio

from ..config import GatewayConfig
from ..errors import AddressUnavailable, UsageError
from ..gateway import (
    Capability,
    CloseCode,
    ConnectionId,
    Event,
    GatewayStats,
    HttpConnection,
    Opened,
    Payload,
    Request,
)
from .connection import Connection, State
from .head import BadRequest, PlainHttp, Upgrade, parse_head, response
from .listeners import open_listeners
from .outbox import Message
from .shared import Shared
from .stream import end_with
from .usage import check_close, check_position, check_rejection, check_topic

_logger = logging.getLogger(__name__)
_identities = itertools.count(1)
_LONGEST_GOODBYE_SECONDS = 1.0
"""What leaving the block waits for peers that do not answer our Close frame."""


class PureGateway:
    """A `Gateway` without native code: one thread, whatever `reactors` says.

    It cannot compress, and frames a publish anew for each subscriber.
    """

    def __init__(self, config: GatewayConfig) -> None:
        self._config = config
        self._shared = Shared(config)
        self._manager: AbstractAsyncContextManager[trio.Nursery] = trio.open_nursery()
        self._accepting = trio.CancelScope()
        self._draining = False
        self._address = ("", 0)

    @property
    def backend(self) -> str:
        return "pure"

    @property
    def address(self) -> tuple[str, int]:
        return self._address

    @property
    def capabilities(self) -> frozenset[Capability]:
        return frozenset()

    async def __aenter__(self) -> Self:
        config = self._config
        try:
            listeners = await open_listeners(config)
        except OSError as error:
            raise AddressUnavailable(f"cannot listen on {config.host}:{config.port}: {error}") from error
        self._address = listeners[0].socket.getsockname()[:2]
        self._nursery = await self._manager.__aenter__()
        self._nursery.start_soon(self._accept_sockets, listeners)
        self._nursery.start_soon(self._watch_deadlines)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            with trio.move_on_after(min(self._config.close_seconds, _LONGEST_GOODBYE_SECONDS), shield=True):
                await self.drain(CloseCode.GOING_AWAY, seconds=0)
        finally:
            self._shared.events.end()
            self._nursery.cancel_scope.cancel()
            # The body's own exception goes on by itself, not wrapped into a group.
            await self._manager.__aexit__(None, None, None)

    async def receive_events(self) -> list[Event]:
        return await self._shared.events.receive()

    def accept(self, connection: ConnectionId, subprotocol: str | None = None, encoding: str = "") -> bool:
        found = self._find(connection)
        if found is None:
            return False
        if found.state is State.OPEN:
            raise UsageError("the handshake has been accepted already")
        if subprotocol is not None and subprotocol not in found.request.subprotocols:
            raise UsageError(f"the subprotocol {subprotocol!r} was not offered")
        found.accept(subprotocol, encoding)
        return True

    def reject(
        self, connection: ConnectionId, status: int, headers: Iterable[tuple[str, str]] = (), body: bytes = b""
    ) -> bool:
        headers = tuple(headers)
        check_rejection(status, headers)
        found = self._find(connection)
        if found is None:
            return False
        if found.state is State.OPEN:
            raise UsageError("the handshake has been accepted already")
        found.reject(response(status, headers, body))
        return True

    def send(self, connection: ConnectionId, payload: Payload) -> bool:
        found = self._find_open(connection)
        return found is not None and found.send(Message.of(payload))

    def close(self, connection: ConnectionId, code: int = CloseCode.NORMAL, reason: str = "") -> bool:
        check_close(code, reason)
        found = self._find_open(connection)
        if found is not None:
            found.close(code, reason)
        return found is not None

    def subscribe(self, connection: ConnectionId, topic: str) -> bool:
        check_topic(topic)
        found = self._find_open(connection)
        if found is not None:
            self._shared.topics.subscribe(found, topic)
        return found is not None

    def unsubscribe(self, connection: ConnectionId, topic: str) -> bool:
        check_topic(topic)
        found = self._find_open(connection)
        if found is not None:
            self._shared.topics.unsubscribe(found, topic)
        return found is not None

    def publish(
        self,
        topic: str,
        variants: Mapping[str, Payload],
        *,
        position: int | None = None,
        exclude: Collection[ConnectionId] = (),
    ) -> None:
        check_topic(topic)
        check_position(position)
        excluded = frozenset(exclude)
        messages = {encoding: Message.of(payload) for encoding, payload in variants.items()}
        for subscriber in self._shared.topics.subscribers(topic):
            message = messages.get(subscriber.encoding)
            if message is None or subscriber.identity in excluded:
                continue
            outbox = subscriber.outbox
            if topic not in outbox.missed and outbox.over_since is None:
                subscriber.send(message)
            elif position is not None:
                outbox.miss(topic, position)
            elif topic not in outbox.missed:
                self._shared.counters.dropped += 1

    def stats(self) -> GatewayStats:
        shared, counters = self._shared, self._shared.counters
        return GatewayStats(
            connections=len(shared.connections),
            topics=len(shared.topics),
            outbox_bytes=sum(connection.outbox.bytes for connection in shared.connections.values()),
            accepted=counters.accepted,
            refused=counters.refused,
            messages_in=counters.messages_in,
            messages_out=counters.messages_out,
            bytes_in=counters.bytes_in,
            bytes_out=counters.bytes_out,
            dropped=counters.dropped,
            slow_consumers=counters.slow_consumers,
            compressions=0,
        )

    async def drain(self, code: int = CloseCode.NODE_GOING_AWAY, reason: str = "", seconds: float = 20.0) -> None:
        check_close(code, reason)
        self._accepting.cancel()
        self._draining = True
        waiting = list(self._shared.connections.values())
        start = trio.current_time()
        for number, connection in enumerate(waiting):
            await trio.sleep_until(start + seconds * number / len(waiting))
            self._end(connection, code, reason)
        with trio.move_on_after(self._config.close_seconds):
            await self._shared.until_empty()
        for connection in tuple(self._shared.connections.values()):
            connection.cut()
        await self._shared.until_empty()

    def _end(self, connection: Connection, code: int, reason: str) -> None:
        if connection.state is State.OPEN:
            connection.close(code, reason)
        elif connection.state is State.HANDSHAKE:
            connection.reject(response(503, (), b"going away"))

    def _find(self, identity: ConnectionId) -> Connection | None:
        found = self._shared.connections.get(identity)
        return None if found is None or found.state is State.CLOSING else found

    def _find_open(self, identity: ConnectionId) -> Connection | None:
        found = self._find(identity)
        if found is not None and found.state is State.HANDSHAKE:
            raise UsageError("the handshake has not been accepted yet")
        return found

    async def _accept_sockets(self, listeners: list[trio.SocketListener]) -> None:
        with self._accepting:
            await trio.serve_listeners(self._serve, listeners, handler_nursery=self._nursery)

    async def _watch_deadlines(self) -> None:
        config = self._config
        deadlines = (config.ping_interval_seconds, config.ping_timeout_seconds, config.message_seconds)
        tick = min(*deadlines, config.slow_consumer_seconds, 4.0) / 4
        while True:
            await trio.sleep(tick)
            now = trio.current_time()
            for connection in tuple(self._shared.connections.values()):
                connection.check(now)

    async def _serve(self, stream: trio.SocketStream) -> None:
        """From an accepted socket to its end; whatever goes wrong with one peer leaves the others alone."""
        self._shared.counters.accepted += 1
        try:
            connection = await self._greet(stream)
            if connection is not None:
                await connection.run()
        except (trio.BrokenResourceError, OSError):
            self._shared.counters.refused += 1  # it was gone before its request was judged
        except Exception:
            _logger.exception("a connection failed")

    async def _greet(self, stream: trio.SocketStream) -> Connection | None:
        if self._shared.handshakes >= self._config.max_pending_handshakes:
            self._shared.counters.refused += 1
            return None
        data = bytearray()
        try:
            head = await self._read_head(stream, data)
            if isinstance(head, Upgrade):
                return self._open(stream, head, bytes(data[head.size :]))
        except BadRequest as refused:
            self._shared.counters.refused += 1
            await end_with(stream, refused.response, self._config.close_seconds)
            return None
        if head is not None:
            self._hand_over(stream, bytes(data))
        return None

    async def _read_head(self, stream: trio.SocketStream, data: bytearray) -> Upgrade | PlainHttp | None:
        """None if the peer left. Raises: BadRequest."""
        self._shared.handshakes += 1
        try:
            with trio.fail_after(self._config.handshake_seconds):
                while received := await stream.receive_some(self._config.max_header_bytes):
                    data += received
                    if (head := parse_head(data, self._config)) is not None:
                        return head
        except trio.TooSlowError:
            raise BadRequest(408, "the request took too long") from None
        finally:
            self._shared.handshakes -= 1
        self._shared.counters.refused += 1
        return None

    def _open(self, stream: trio.SocketStream, head: Upgrade, early: bytes) -> Connection:
        """Raises: BadRequest if the gateway is full."""
        peer = stream.socket.getpeername()[0]
        if self._draining or len(self._shared.connections) >= self._config.max_connections:
            raise BadRequest(503, "the gateway takes no more connections")
        if self._shared.per_address[peer] >= self._config.max_connections_per_address:
            raise BadRequest(503, "too many connections from this address")
        connection = Connection(self._shared, ConnectionId(next(_identities)), peer, stream, head, early)
        self._shared.add(connection)
        request = Request(head.path, head.query, head.headers, head.subprotocols, peer)
        self._shared.events.put(Opened(connection.identity, request))
        return connection

    def _hand_over(self, stream: trio.SocketStream, data: bytes) -> None:
        handed = socket.socket(fileno=stream.socket.detach())
        handed.setblocking(False)
        self._shared.events.put(HttpConnection(handed, data))
