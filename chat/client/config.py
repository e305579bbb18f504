"""Limits and deadlines of a client, each with its unit and its reason."""

from __future__ import annotations

import dataclasses

from .backoff import BASE_SECONDS, CAP_SECONDS
from .resume import CAPACITY


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ClientConfig:
    """The defaults suit a person's client and a bot alike."""

    route: bool = False
    """Whether to ask the server before each connection which of its nodes to open it to."""
    region: str = ""
    """Where this client is, for a server whose nodes are in several places."""
    connect_seconds: float = 20.0
    """From dialling to the answer to `hello`."""
    ping_seconds: float = 20.0
    """Silence of the server after which it is pinged; the server's heartbeat counts if it is shorter."""
    pong_seconds: float = 10.0
    """Silence after that; then the socket is dropped without waiting for anybody."""
    backoff_base_seconds: float = BASE_SECONDS
    """Before the first reconnect: 0 to this, at random; doubled with each failure."""
    backoff_cap_seconds: float = CAP_SECONDS
    """The longest such interval: 10,000 clients are back within it, at 500 handshakes a second."""
    max_reconnect_seconds: float = 300.0
    """The longest delay that a server may wish for."""
    max_waiting: int = 1_000
    """Requests without an answer. More callers wait: while the server is away, memory does not grow."""
    max_message_bytes: int = 4_194_304
    """Of one frame from the server; a page of history is far below it."""
    room_capacity: int = CAPACITY
    """Events of one room that wait for the application. What it is too slow for is read from history, later."""
    frames_per_second: float = 100.0
    """At most, and never above half of what the server says; more publishes at a time make larger frames, not more."""
    frame_burst: int = 200
    bytes_per_second: float = 524_288.0
    """Likewise."""
    bytes_burst: int = 2_097_152
