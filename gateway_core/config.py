"""Limits and deadlines of a gateway, each with its unit and its reason."""

from __future__ import annotations

import dataclasses

from .errors import UsageError


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class GatewayConfig:
    """Everything that bounds a gateway. Both backends obey the same fields.

    Raises `UsageError` on construction if a value is out of range; the message names the field.
    """

    host: str = "127.0.0.1"
    """The address to listen on; 0.0.0.0 or :: for all."""
    port: int = 0
    """0 lets the operating system choose; see `Gateway.address`."""
    reactors: int = 1
    """Native threads, each with its own listener on the same port. One saturates one core."""
    share_port: bool = False
    """Lets other processes listen on the same port (SO_REUSEPORT); the system deals the connections out."""
    backlog: int = 4096
    """A storm that overflows it costs its clients seconds of SYN retries, not errors."""

    max_connections: int = 16_000
    """Per process; below the usual limit of 20,000 descriptors, so that files and stores have theirs."""
    max_connections_per_address: int = 16_000
    """The same for one address; lower it where no proxy stands in front."""
    max_pending_handshakes: int = 4_096
    """Sockets that have not finished the opening handshake: what an unauthenticated peer can hold."""
    handshake_seconds: float = 10.0
    """From accept to the end of the request, and again until the application's verdict."""
    max_header_bytes: int = 16_384
    """Request line and headers together."""
    max_headers: int = 64
    """Headers of one request."""

    max_message_bytes: int = 65_536
    """After decompression. A longer message closes with 1009, on the header where the header tells."""
    max_empty_fragments: int = 16
    """In one message. Pieces with data are bounded by `max_message_bytes` and the rates."""
    message_seconds: float = 30.0
    """From the first fragment of a message to its last."""
    max_messages_per_second: float = 200.0
    """Frames, control frames included, as a token bucket; beyond it the close code is 1008."""
    message_burst: int = 1_000
    """Depth of that bucket: a client that comes back sends its outbox at once."""
    max_bytes_per_second: float = 1_048_576.0
    """The same for bytes on the wire."""
    bytes_burst: int = 4_194_304
    """Depth of that bucket."""

    compression: bool = True
    """permessage-deflate (RFC 7692), always without context takeover: one frame serves all."""
    min_compress_bytes: int = 256
    """Below it the deflated frame saves less than it costs."""
    max_inflate_ratio: int = 200
    """Inflated over deflated bytes, judged beyond 64 KiB; text seldom passes 20."""

    soft_outbox_bytes: int = 262_144
    """Above it droppable publishes are skipped and topics with positions are cut off (see `publish`)."""
    max_outbox_bytes: int = 1_048_576
    """A connection that would pass it is closed at once with 4008."""
    slow_consumer_seconds: float = 10.0
    """How long a connection may stay above the soft limit before it is closed with 4008."""

    ping_interval_seconds: float = 25.0
    """Silence from the peer after which it is pinged, spread by ±20 %; below the 60 s of usual proxies."""
    ping_timeout_seconds: float = 15.0
    """Silence after a ping; then the connection is closed with 4012."""
    close_seconds: float = 5.0
    """From our close frame to the peer's; then the socket is closed."""
    max_events: int = 65_536
    """Undelivered events; beyond it reading pauses until the application has caught up."""

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, bool) or not isinstance(value, int | float):
                continue
            if value <= 0 and field.name != "port":
                raise UsageError(f"{field.name} must be positive, not {value}")
        if not 0 <= self.port <= 65_535:
            raise UsageError(f"port must be between 0 and 65535, not {self.port}")
        if self.soft_outbox_bytes > self.max_outbox_bytes:
            raise UsageError("soft_outbox_bytes must not exceed max_outbox_bytes")
