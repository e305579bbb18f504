"""What `gateway_core` exports is a promise: a name is added here on purpose, and removed with a major version."""

from __future__ import annotations

import subprocess
import sys

import gateway_core
from gateway_core import CloseCode

PUBLIC = {
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
}


def test_the_public_names_are_these() -> None:
    assert set(gateway_core.__all__) == PUBLIC
    assert all(hasattr(gateway_core, name) for name in gateway_core.__all__)


def test_close_codes_are_these() -> None:
    assert {code.name: code.value for code in CloseCode} == {
        "NORMAL": 1000,
        "GOING_AWAY": 1001,
        "PROTOCOL_ERROR": 1002,
        "UNSUPPORTED_DATA": 1003,
        "NO_STATUS": 1005,
        "ABNORMAL": 1006,
        "INVALID_PAYLOAD": 1007,
        "POLICY_VIOLATION": 1008,
        "MESSAGE_TOO_BIG": 1009,
        "INTERNAL_ERROR": 1011,
        "TRY_AGAIN_LATER": 1013,
        "NODE_GOING_AWAY": 4001,
        "SLOW_CONSUMER": 4008,
        "PING_TIMEOUT": 4012,
        "UNAUTHENTICATED": 4501,
        "SESSION_REVOKED": 4503,
        "BANNED": 4504,
    }


def test_importing_the_interface_imports_no_backend() -> None:
    code = "import sys, gateway_core; print([n for n in sys.modules if n.startswith(('trio_websocket', 'wsproto'))])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
