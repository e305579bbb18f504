"""Limits and deadlines of the realtime side, each with its unit and its reason."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RealtimeConfig:
    """How sessions and rooms behave on this node. Nothing here is a secret; clients see most of it."""

    node: str = "node"
    """This process's name in the fleet: no two may share it, since presence counts on it."""
    allowed_origins: tuple[str, ...] = ()
    """Web pages that may connect, beside those that this node itself serves: `https://chat.example.org`."""
    heartbeat_seconds: float = 25.0
    """What clients are told to expect between signs of life: the gateway's ping interval."""
    max_message_bytes: int = 65_536
    """What clients are told of the gateway's limit for one frame."""
    frames_per_second: float = 200.0
    """What clients are told of the frames that the gateway takes from one connection, so that they can pace theirs."""
    frame_burst: int = 1_000
    bytes_per_second: float = 1_048_576.0
    """The same for bytes."""
    bytes_burst: int = 4_194_304

    lease_seconds: float = 15.0
    """How long a node may be frozen until it looks up, before anything else, whether those who are here may be."""
    hello_seconds: float = 10.0
    """From the handshake to a valid token; then the connection closes with 4501."""
    expiry_grace_seconds: float = 25.0
    """From a token's expiry to the close with 4501: time for a client that wakes up to refresh."""
    max_connections_per_user: int = 30
    """On this node; more are refused, not the oldest closed: two clients must not push each other out."""
    max_rooms_per_connection: int = 200
    """Joined at a time."""
    max_queued_commands: int = 256
    """Of one connection, waiting behind the one that is worked on; one full frame."""
    max_queued_bytes: int = 1_048_576
    """Of the frames that hold them."""
    max_refusals: int = 1_024
    """Commands refused in a row for want of room in the queue; then the connection closes with 1008."""

    max_answer_bytes: int = 262_144
    """Of one page of history, so that an answer alone never fills an outbox."""
    max_recovery_messages: int = 1_000
    """What a join sends afterwards at most; a client that missed more pages through the history."""
    max_recovery_bytes: int = 524_288
    """The same in bytes, over all rooms that a connection joins at a time: half an outbox."""
    recovery_bytes_per_second: float = 131_072.0
    """How soon a connection may have that much again: what a slow phone reads."""

    feed_linger_seconds: float = 30.0
    """How long a room without local subscribers stays warm: through a cut of all connections."""
    recent_seconds: float = 120.0
    """How long a delivered message stays at hand for those who resume."""
    max_early_events: int = 1_000
    """Events of a room that wait for an earlier message; beyond it the store will have them."""
    hold_seconds: float = 0.05
    """How long an early message waits for the one before it until the store is asked."""
    retry_seconds: float = 5.0
    """The longest pause between two tries to fill a gap while the store is away."""
    audit_seconds: float = 30.0
    """How often every room's position is compared with the store, ±20 %: finds what a broker lost silently."""
