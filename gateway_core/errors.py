"""The exceptions of `gateway_core`.

    GatewayError
    ├── UsageError           the caller broke the interface's contract: a bug, let it surface
    ├── BackendUnavailable   the backend that was asked for is not in this installation
    └── AddressUnavailable   the listening address cannot be bound

A peer's mistakes are no exceptions: they end its connection and arrive as the event `Closed`.
"""


class GatewayError(Exception):
    """The root of all exceptions that `gateway_core` raises."""


class UsageError(GatewayError):
    """The caller broke the interface's contract; retrying cannot help."""


class BackendUnavailable(GatewayError):
    """The requested backend is not part of this installation."""


class AddressUnavailable(GatewayError):
    """The listening address cannot be bound: in use, forbidden, or not of this machine."""
