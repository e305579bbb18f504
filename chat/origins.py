"""Which web pages may use a node: an exact match on the parsed origin (RFC 6454 §5), never on its text."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple
from urllib.parse import urlsplit

_DEFAULT_PORTS = {"http": 80, "https": 443}


class Origin(NamedTuple):
    """Scheme, host and port, in lower case; the port is always there."""

    scheme: str
    host: str
    port: int


def parse_origin(text: str) -> Origin | None:
    """The origin that `text` is: `scheme://host[:port]` and nothing more; None for anything else, `null` too."""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return None
    scheme, host = parts.scheme, parts.hostname
    if scheme not in _DEFAULT_PORTS or not host or not host.isascii() or host.endswith("."):
        return None
    plain = f"{scheme}://{parts.netloc}"
    if "@" in parts.netloc or parts.netloc.endswith(":") or text.lower() != plain.lower():
        return None
    return Origin(scheme, host, port if port is not None else _DEFAULT_PORTS[scheme])


class OriginPolicy:
    """The allow-list, and the node's own pages: those whose host and port are what the request was sent to."""

    def __init__(self, allowed: Iterable[str]) -> None:
        self._allowed = frozenset(filter(None, map(parse_origin, allowed)))

    def allows(self, origin: str | None, host: str | None) -> bool:
        """Whether a request with these headers `Origin` and `Host` comes from a page that may send it.

        False if there is no origin: then no page vouches for the request, and its cookies mean nothing.
        """
        parsed = parse_origin(origin) if origin else None
        if parsed is None:
            return False
        return parsed in self._allowed or (host is not None and parsed == parse_origin(f"{parsed.scheme}://{host}"))
