"""Who the client is when a proxy stands in between: only what trusted proxies say counts."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def parse_networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """Raises: ValueError, beginning with the name of the setting."""
    try:
        return tuple(ipaddress.ip_network(text) for text in texts)
    except ValueError as error:
        raise ValueError(f"trusted_proxies must hold addresses or networks: {error}") from None


def is_trusted(address: str, networks: Sequence[Network]) -> bool:
    """Whether `address` belongs to a trusted proxy; False for what is no address."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped:
        parsed = parsed.ipv4_mapped
    return any(parsed.version == network.version and parsed in network for network in networks)


def client_address(peer: str, forwarded_for: Iterable[str], networks: Sequence[Network]) -> str:
    """The nearest address on the way from `peer` back through X-Forwarded-For that is no trusted proxy.

    What stands to the left of it was written by somebody whom nobody vouches for.
    """
    hops = [hop.strip() for value in forwarded_for for hop in value.split(",")]
    client = peer
    while hops and is_trusted(client, networks):
        try:
            client = str(ipaddress.ip_address(hops.pop()))
        except ValueError:
            break
    return client
