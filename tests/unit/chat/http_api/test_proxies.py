"""Only what trusted proxies say about the client counts."""

from __future__ import annotations

import pytest

from chat.http_api.proxies import client_address, is_trusted, parse_networks

TRUSTED = parse_networks(["10.0.0.0/8", "fd00::/8", "192.0.2.1"])


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("203.0.113.5", ["198.51.100.1"], "203.0.113.5"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["203.0.113.5"], "203.0.113.5"),
        ("10.0.0.1", ["198.51.100.1, 203.0.113.5"], "203.0.113.5"),
        ("10.0.0.1", ["198.51.100.1", "203.0.113.5, 10.0.0.2"], "203.0.113.5"),
        ("10.0.0.1", ["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        ("10.0.0.1", ["203.0.113.5, unknown"], "10.0.0.1"),
        ("10.0.0.1", ["203.0.113.5:1234"], "10.0.0.1"),
        ("fd00::1", ["2001:db8::7"], "2001:db8::7"),
    ],
)
def test_the_client_is_the_nearest_address_that_is_no_trusted_proxy(
    peer: str, forwarded: list[str], client: str
) -> None:
    assert client_address(peer, forwarded, TRUSTED) == client


def test_an_ipv4_proxy_is_known_on_an_ipv6_socket_too() -> None:
    assert is_trusted("::ffff:10.1.2.3", TRUSTED)


def test_nobody_is_trusted_by_default() -> None:
    assert not is_trusted("127.0.0.1", parse_networks([]))


@pytest.mark.parametrize("address", ["", "unix:", "10.0.0.1.2"])
def test_what_is_no_address_is_not_trusted(address: str) -> None:
    assert not is_trusted(address, TRUSTED)
