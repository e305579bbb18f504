"""Origins are matched exactly, as parsed."""

from __future__ import annotations

import pytest

from chat.origins import Origin, OriginPolicy, parse_origin

POLICY = OriginPolicy(["https://app.example.com", "http://localhost:5173"])


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ("https://app.example.com", Origin("https", "app.example.com", 443)),
        ("HTTPS://App.Example.COM:443", Origin("https", "app.example.com", 443)),
        ("http://localhost:5173", Origin("http", "localhost", 5173)),
        ("http://[::1]:8000", Origin("http", "::1", 8000)),
        ("https://xn--bcher-kva.example", Origin("https", "xn--bcher-kva.example", 443)),
    ],
)
def test_an_origin_is_scheme_host_and_port(text: str, origin: Origin) -> None:
    assert parse_origin(text) == origin


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "app.example.com",
        "https://",
        "https://app.example.com/",
        "https://app.example.com/path",
        "https://app.example.com?x",
        "https://app.example.com#x",
        "https://user@app.example.com",
        "https://app.example.com:",
        "https://app.example.com:port",
        "https://app.example.com:99999",
        "https://app.example.com.",
        "https://bücher.example",
        "https://app.example.com https://evil.net",
        " https://app.example.com",
        "https://app.exa\tmple.com",
        "ftp://app.example.com",
        "file://",
    ],
)
def test_anything_else_is_no_origin(text: str) -> None:
    assert parse_origin(text) is None


@pytest.mark.parametrize("origin", ["https://app.example.com", "https://APP.example.com:443", "http://localhost:5173"])
def test_an_origin_of_the_list_is_allowed(origin: str) -> None:
    assert POLICY.allows(origin, "elsewhere")


@pytest.mark.parametrize(
    "origin",
    [
        "https://app.example.com.evil.net",
        "https://evilexample.com",
        "https://evil-app.example.com",
        "http://app.example.com",
        "https://app.example.com:8443",
        "https://app.example.com.",
        "https://sub.app.example.com",
        "null",
        "*",
        "",
        None,
    ],
)
def test_a_similar_origin_is_not(origin: str | None) -> None:
    assert not POLICY.allows(origin, "elsewhere")


def test_the_nodes_own_page_is_allowed() -> None:
    assert OriginPolicy([]).allows("http://127.0.0.1:8000", "127.0.0.1:8000")
    assert OriginPolicy([]).allows("https://chat.example.org", "chat.example.org")
    assert not OriginPolicy([]).allows("https://chat.example.org", "chat.example.org:8000")
    assert not OriginPolicy([]).allows("https://chat.example.org", None)
    assert not OriginPolicy([]).allows("https://chat.example.org", "user@chat.example.org")
