"""What the web page may run and reach: its Content-Security-Policy."""

from __future__ import annotations

import re
from collections.abc import Iterable

MAX_SOCKETS = 64
"""Of other nodes. Proxies take no headers of any size: nginx 4 KiB, unless it is told otherwise."""
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; font-src 'self'; "
    "connect-src {sources}; manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
_PLAIN = re.compile(r"wss?://[A-Za-z0-9.-]{1,253}(:[0-9]{1,5})?(/[A-Za-z0-9]+)*")


def page_policy(sockets: Iterable[str] = ()) -> str:
    """Its own origin, and of others nothing but these addresses of sockets, whole and without wildcards.

    Other nodes tell them, so they are not believed: what is no plain address is left out. IPv6 is, too, since
    a policy has no way to write it.
    """
    plain = sorted({address for address in sockets if _PLAIN.fullmatch(address)})
    return _POLICY.format(sources=" ".join(["'self'", *plain[:MAX_SOCKETS]]))
