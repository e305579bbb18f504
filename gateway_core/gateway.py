"""The interface that both backends implement: events up, commands down.

A gateway owns the sockets. The application waits for batches of events and answers with commands;
commands never block and never wait for a peer. Commands are carried out in the order in which they
are given, whatever connections and topics they name: a `send` followed by a `subscribe` means that
the sent message arrives before anything published to that topic.

`tests/contract/test_gateway_*.py` are this contract as tests.
"""

from __future__ import annotations

import enum
import socket
from collections.abc import Collection, Iterable, Mapping
from types import TracebackType
from typing import NewType, Protocol, Self

import msgspec

ConnectionId = NewType("ConnectionId", int)
"""Names one connection for ever: never given twice in a process's life."""

Payload = bytes | str
"""`str` travels as a text frame, `bytes` as a binary one."""


class CloseCode(enum.IntEnum):
    """Close codes (RFC 6455 §7.4). 4000–4499: reconnect and resume. 4500–4999: do not."""

    NORMAL = 1000
    GOING_AWAY = 1001
    PROTOCOL_ERROR = 1002
    UNSUPPORTED_DATA = 1003
    NO_STATUS = 1005
    ABNORMAL = 1006
    INVALID_PAYLOAD = 1007
    POLICY_VIOLATION = 1008
    MESSAGE_TOO_BIG = 1009
    INTERNAL_ERROR = 1011
    TRY_AGAIN_LATER = 1013
    NODE_GOING_AWAY = 4001
    SLOW_CONSUMER = 4008
    PING_TIMEOUT = 4012
    UNAUTHENTICATED = 4501
    SESSION_REVOKED = 4503
    BANNED = 4504


class Capability(enum.Enum):
    """What a backend may be unable to do."""

    COMPRESSION = "permessage-deflate"


class Request(msgspec.Struct, frozen=True, gc=False):
    """An opening handshake that is well-formed and waits for `accept` or `reject`."""

    path: str
    """Without the query, percent-encoded as it came."""
    query: str
    """Without the question mark; empty if there is none."""
    headers: tuple[tuple[str, str], ...]
    """Names in lower case, in the order of arrival; values decoded as Latin-1."""
    subprotocols: tuple[str, ...]
    """As offered, best first."""
    peer: str
    """The peer's IP address."""

    def header(self, name: str) -> str | None:
        """The first value of the header `name` (lower case), or None."""
        return next((value for key, value in self.headers if key == name), None)


class Opened(msgspec.Struct, frozen=True, gc=False):
    """A handshake waits for its verdict; it lapses after `handshake_seconds`."""

    connection: ConnectionId
    request: Request


class Received(msgspec.Struct, frozen=True, gc=False):
    """A whole message: reassembled, decompressed, and valid UTF-8 if it is text."""

    connection: ConnectionId
    payload: bytes
    is_text: bool


class Closed(msgspec.Struct, frozen=True, gc=False):
    """The connection is gone; every `Opened` is followed by exactly one, whatever happened.

    `code` and `reason` are the peer's if it closed first, else ours; 1006 if the transport broke.
    `clean` tells whether both close frames were exchanged. After a `reject` the code is 1006.
    """

    connection: ConnectionId
    code: int
    reason: str
    clean: bool


class Drained(msgspec.Struct, frozen=True, gc=False):
    """A slow connection has caught up: its outbox is empty again after passing the soft limit.

    `missed` names every topic that it was cut off from, with the lowest `position` it did not get.
    The application tells the peer and subscribes anew; until then nothing of the topic reaches it.
    """

    connection: ConnectionId
    missed: dict[str, int]


class HttpConnection(msgspec.Struct, frozen=True):
    """A peer that asked for something other than a WebSocket: the socket is the application's now.

    `data` is what was read from it so far, at least up to the end of the request's headers.
    The socket is connected and non-blocking.
    """

    socket: socket.socket
    data: bytes


Event = Opened | Received | Closed | Drained | HttpConnection


class GatewayStats(msgspec.Struct, frozen=True, kw_only=True):
    """Counters since the start, and gauges (`connections`, `outbox_bytes`, `topics`) of this moment."""

    connections: int
    topics: int
    outbox_bytes: int
    accepted: int
    """Sockets accepted."""
    refused: int
    """Sockets and handshakes refused: limits, malformed requests, lapsed deadlines."""
    messages_in: int
    messages_out: int
    """One for each connection that a message was queued for."""
    bytes_in: int
    bytes_out: int
    dropped: int
    """Droppable publishes skipped because an outbox was above its soft limit."""
    slow_consumers: int
    """Connections closed with 4008."""
    compressions: int
    """Payloads deflated: at most one for each publish and variant."""


class Gateway(Protocol):
    """A listening gateway, open from `async with` to its end.

    Leaving the block closes every connection with 1001 and frees the port.
    All methods belong to the thread that runs trio.
    """

    @property
    def backend(self) -> str:
        """`"native"` or `"pure"`."""

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What this backend can do beyond the contract."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    async def receive_events(self) -> list[Event]:
        """Waits for events and returns all that are there, at least one, at most 4,096, in order.

        The events of one connection keep their order. Cancelling loses none.
        Raises: UsageError if another task waits already, and once the block has ended.
        """

    def accept(self, connection: ConnectionId, subprotocol: str | None = None, encoding: str = "") -> bool:
        """Completes the handshake. `encoding` names the variant of a publish that it will get.

        Returns False if the connection has gone meanwhile, as do all commands that name one.
        Raises: UsageError if `subprotocol` was not offered.
        """

    def reject(
        self, connection: ConnectionId, status: int, headers: Iterable[tuple[str, str]] = (), body: bytes = b""
    ) -> bool:
        """Answers the handshake with an HTTP error (400–599) and closes the socket."""

    def send(self, connection: ConnectionId, payload: Payload) -> bool:
        """Queues one message. True promises no delivery: the peer may be gone before it is read."""

    def close(self, connection: ConnectionId, code: int = CloseCode.NORMAL, reason: str = "") -> bool:
        """Starts the closing handshake after what is queued. `reason`: at most 123 bytes of UTF-8.

        Nothing queued later is sent, and nothing received later is reported but `Closed`.
        Raises: UsageError for a code that must not be sent (RFC 6455 §7.4).
        """

    def subscribe(self, connection: ConnectionId, topic: str) -> bool:
        """From now on `connection` gets what is published to `topic` (at most 256 bytes); twice is once."""

    def unsubscribe(self, connection: ConnectionId, topic: str) -> bool:
        """Ends a subscription; one that does not exist is no error."""

    def publish(
        self,
        topic: str,
        variants: Mapping[str, Payload],
        *,
        position: int | None = None,
        exclude: Collection[ConnectionId] = (),
    ) -> None:
        """Queues a message for each subscriber of `topic`, in the variant of its encoding.

        A subscriber whose encoding is not among `variants` gets nothing. Each variant is framed and
        compressed once, whatever the number of subscribers.

        A subscriber above its soft limit does not get the message. With a `position` (0 to 2⁶⁴−1) it is
        also unsubscribed, and `Drained` will name the topic and the lowest position missed.
        Without, the message counts as droppable, and nobody is told.
        """

    def stats(self) -> GatewayStats:
        """A snapshot; counters of different threads may be a moment apart."""

    async def drain(self, code: int = CloseCode.NODE_GOING_AWAY, reason: str = "", seconds: float = 20.0) -> None:
        """Stops accepting and closes all connections, spread evenly over `seconds`.

        Returns when the last one is gone; what remains `close_seconds` after the last close frame is
        cut off. Cancelling stops the closing and leaves the listener closed. Keep receiving events meanwhile.
        """
