"""What the page may reach, whatever other nodes say of themselves."""

from __future__ import annotations

import pytest

from chat.http_api.page_policy import MAX_SOCKETS, page_policy


def sources(policy: str) -> list[str]:
    """Of `connect-src`."""
    [found] = [part for part in policy.split("; ") if part.startswith("connect-src ")]
    return found.split()[1:]


def test_it_reaches_its_own_origin_and_the_sockets_of_nodes() -> None:
    assert sources(page_policy()) == ["'self'"]
    told = ["wss://node-2.chat.example.org/ws", "ws://127.0.0.1:8001/ws", "wss://node-2.chat.example.org/ws"]
    assert sources(page_policy(told)) == ["'self'", "ws://127.0.0.1:8001/ws", "wss://node-2.chat.example.org/ws"]


@pytest.mark.parametrize(
    "address",
    [
        "*",
        "wss:",
        "wss://*/ws",
        "wss://*.example.org/ws",
        "https://example.org",
        "wss://a.example; script-src *",
        "wss://a.example/ws 'unsafe-inline'",
        "wss://a.example/ws\r\nSet-Cookie: x=y",
        "wss://a.example/ws\n",
        "wss://a.example,b.example/ws",
        "wss://user:password@a.example/ws",
        "wss://[::1]:8000/ws",
        "data:text/html,x",
        "",
    ],
)
def test_what_is_no_plain_address_is_left_out(address: str) -> None:
    assert page_policy([address]) == page_policy()


def test_a_large_fleet_does_not_make_a_header_that_no_proxy_takes() -> None:
    told = [f"wss://node-{number}.chat.example.org/ws" for number in range(1000)]
    policy = page_policy(told)
    assert len(sources(policy)) == 1 + MAX_SOCKETS
    assert policy == page_policy(reversed(told))
    assert len(policy) < 4096
