"""A WebSocket connection gateway for trio: Rust owns the sockets, Python sees batches of events."""

from .config import GatewayConfig
from .errors import AddressUnavailable, BackendUnavailable, GatewayError, UsageError
from .gateway import (
    Capability,
    CloseCode,
    Closed,
    ConnectionId,
    Drained,
    Event,
    Gateway,
    GatewayStats,
    HttpConnection,
    Opened,
    Payload,
    Received,
    Request,
)

__all__ = [
    "AddressUnavailable",
    "BackendUnavailable",
    "Capability",
    "CloseCode",
    "Closed",
    "ConnectionId",
    "Drained",
    "Event",
    "Gateway",
    "GatewayConfig",
    "GatewayError",
    "GatewayStats",
    "HttpConnection",
    "Opened",
    "Payload",
    "Received",
    "Request",
    "UsageError",
]
