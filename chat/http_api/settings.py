"""What bounds the HTTP side of a node, and whom it trusts."""

from __future__ import annotations

import dataclasses

from ..origins import parse_origin
from .proxies import parse_networks


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class HttpSettings:
    """Raises `ValueError` on construction if a value is out of range; the message begins with the field."""

    allowed_origins: tuple[str, ...] = dataclasses.field(default=(), metadata={"flag": "--allowed-origin"})
    """Web origins that may use this node besides its own, each as scheme://host or scheme://host:port."""
    trusted_proxies: tuple[str, ...] = dataclasses.field(default=(), metadata={"flag": "--trusted-proxy"})
    """Addresses or networks of proxies whose X-Forwarded-For and X-Forwarded-Proto are believed."""
    secure_cookies: bool = False
    """Marks the session cookie Secure, always. Set it where browsers come by https."""
    max_http_connections: int = 512
    """Open HTTP connections of this process; one beyond gets 503. WebSockets do not count."""
    max_http_connections_per_address: int = 128
    """The same for one address; trusted proxies are exempt."""
    max_http_body_bytes: int = 65_536
    """Of a request. The largest honest one is a room's name or a password."""
    http_request_seconds: float = 10.0
    """From a request's first byte to its last."""
    http_idle_seconds: float = 15.0
    """How long a connection may wait for its next request."""
    http_answer_seconds: float = 30.0
    """From a request's last byte until the peer has read the answer."""

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, int | float) and not isinstance(value, bool) and value <= 0:
                raise ValueError(f"{field.name} must be positive, not {value:g}")
        for origin in self.allowed_origins:
            if parse_origin(origin) is None:
                raise ValueError(f"allowed_origins must hold origins like https://chat.example.org, not {origin!r}")
        parse_networks(self.trusted_proxies)
