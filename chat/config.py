"""Everything that can be set on a node; `docs/configuration.md` is the list."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Literal

from gateway_core import GatewayConfig

from .http_api.settings import HttpSettings
from .realtime.config import RealtimeConfig
from .services.limits import Limits
from .services.tokens import MIN_SECRET_BYTES

DEFAULT_PORT = 8000


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ChatConfig:
    """The configuration of one node. `load_config` fills it; a test may make one directly.

    Raises `ValueError` on construction if a value is out of range; the message begins with the field.
    """

    data_dir: Path = Path("data")
    """Where messages, accounts and the token key are kept; made if it is missing, for this user alone."""
    node: str = ""
    """The name of this process among all nodes, at most 32 of a-z 0-9 - _; random if it is empty."""
    advertise: str = ""
    """Where clients reach this node and no other, as ws://host:port or wss://host:port. With it, /api/connect of other
    nodes sends clients here; empty: only who asks this node is sent here, by the address that was asked."""
    region: str = ""
    """A name for where this node is; /api/connect prefers nodes of the client's region."""
    workers: int = 1
    """Processes on one port, each a node of its own, started anew when it ends; more than 1 need shards and redis.
    Of what is set for a process (max_connections and so on), each has its own."""
    lease_seconds: float = 15.0
    """How long the others wait for a sign of life until this node counts as dead; given every third of it."""
    backend: Literal["auto", "native", "pure"] = "auto"
    """The gateway: the Rust one, the Python one, or the Rust one if it was built."""
    shards: tuple[str, ...] = dataclasses.field(default=(), metadata={"flag": "--shard"}, repr=False)
    """A MySQL shard as NAME=mysql://user:password@host:port/database, with its replicas' URLs after commas;
    given once for each shard. Messages, rooms and accounts are kept there instead of in the data directory."""
    archive: str = ""
    """Where messages that are old have been moved to, a directory that all nodes see or s3://bucket/prefix; only with
    shards. Needs `pip install 'chat-gateway[archive]'`. Empty: what was moved cannot be read."""
    archive_after_days: float = 0.0
    """What counts as old for `chat-gateway archive run`; 0: nothing, unless --older-than says otherwise."""
    redis: str = dataclasses.field(default="", repr=False)
    """What nodes share at run time, as redis://host, redis+sentinel://host,host/name or redis+cluster://host,host, with
    user:password@ before the host if needed: events, sessions, presence, rates, recent messages. Empty: one node."""
    token_key: str = dataclasses.field(default="", metadata={"secret": True}, repr=False)
    """Signs access tokens, at least 32 bytes; empty: the one in the data directory, where it is made if it is missing.
    With shards nobody makes one: it has to be the same on all nodes."""
    previous_token_key: str = dataclasses.field(default="", metadata={"secret": True}, repr=False)
    """Still verifies tokens, while a new key comes into use."""
    token_seconds: float = 900.0
    """Lifetime of an access token; a session itself lasts 24 hours after its last use."""
    presence_grace_seconds: float = 5.0
    """How long a user who has disconnected still counts as online, so that a reconnect does not flicker."""
    admin_host: str = "127.0.0.1"
    """Where the port for metrics and health listens. It asks nobody who they are: keep it to machines of yours."""
    admin_port: int = 0
    """The port for metrics and health; 0: none."""
    shutdown_seconds: float = 30.0
    """From the first SIGTERM or SIGINT to the exit, at the latest."""
    log_format: Literal["console", "json"] = "console"
    """For people, or one JSON object a line."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """The least severe level that is logged."""

    gateway: GatewayConfig = dataclasses.field(default_factory=lambda: GatewayConfig(port=DEFAULT_PORT))
    limits: Limits = dataclasses.field(default_factory=Limits)
    realtime: RealtimeConfig = dataclasses.field(
        default_factory=RealtimeConfig,
        metadata={
            "derived": (
                *("node", "lease_seconds", "allowed_origins", "heartbeat_seconds", "max_message_bytes"),
                *("frames_per_second", "frame_burst", "bytes_per_second", "bytes_burst"),
            )
        },
    )
    http: HttpSettings = dataclasses.field(default_factory=HttpSettings)

    def __post_init__(self) -> None:
        if len(self.node) > 32 or not set(self.node) <= set("abcdefghijklmnopqrstuvwxyz0123456789-_"):
            raise ValueError("node must have at most 32 characters of a-z 0-9 - _")
        for name in ("token_key", "previous_token_key"):
            if 0 < len(getattr(self, name).encode()) < MIN_SECRET_BYTES:
                raise ValueError(f"{name} must have at least {MIN_SECRET_BYTES} bytes")
        if not re.fullmatch(r"(wss?://[^/?#@\s]+)?", self.advertise):
            raise ValueError("advertise must be ws://host:port or wss://host:port, without a path")
        if not 0 <= self.admin_port <= 65_535:
            raise ValueError("admin_port must be between 0 and 65535")
        if self.workers < 1:
            raise ValueError("workers must be at least 1")
        if self.workers > 1 and not (self.shards and self.redis):
            raise ValueError("workers: more than one needs --shard and --redis; a data directory serves one process")
        for name in ("token_seconds", "shutdown_seconds", "lease_seconds"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1")
