"""A WebSocket connection gateway for trio: Rust owns the sockets, Python sees batches of events."""

from .backend import open_gateway
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
    "open_gateway",
]
