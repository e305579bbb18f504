"""The head of a request, byte by byte; the wire tests try it over sockets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_core import GatewayConfig
from gateway_core.pure.head import BadRequest, PlainHttp, Upgrade, is_header, parse_head, response
from tests.support.raw_peer import KEY, request

CONFIG = GatewayConfig()


def test_an_upgrade_is_parsed() -> None:
    data = request("/a?b", [("Sec-WebSocket-Protocol", "x, y")])
    head = parse_head(data + b"frames", CONFIG)
    assert isinstance(head, Upgrade)
    assert (head.path, head.query, head.key, head.subprotocols) == ("/a", "b", KEY, ("x", "y"))
    assert head.size == len(data)


def test_a_plain_request_is_told_from_an_upgrade() -> None:
    assert parse_head(b"POST /x HTTP/1.1\r\nHost: a\r\n\r\nbody", CONFIG) == PlainHttp()


@pytest.mark.parametrize("cut", range(1, len(request())))
def test_a_part_of_a_request_is_incomplete_and_no_error(cut: int) -> None:
    assert parse_head(request()[:cut], CONFIG) is None


def refusal(data: bytes) -> BadRequest | None:
    """Why `data` is refused; None if it is not."""
    try:
        parse_head(data, CONFIG)
    except BadRequest as refused:
        return refused
    return None


@given(st.binary(min_size=1, max_size=400))
def test_noise_is_never_taken_for_an_upgrade(data: bytes) -> None:
    refused = refusal(data)
    if refused is None:
        assert parse_head(data, CONFIG) in (None, PlainHttp())
    else:
        assert refused.response.startswith(b"HTTP/1.1 4")


@given(st.binary(max_size=60), st.integers(0, len(request())))
def test_noise_inside_a_request_never_breaks_the_parser(noise: bytes, at: int) -> None:
    refused = refusal(request()[:at] + noise + request()[at:])
    assert refused is None or refused.status in (400, 414, 426, 431)


def test_a_response_states_its_length_and_its_end() -> None:
    assert response(403, [("X-Why", "no")], b"body") == (
        b"HTTP/1.1 403 Forbidden\r\nX-Why: no\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbody"
    )


def test_a_status_without_a_name_gets_one() -> None:
    assert response(499, [], b"").startswith(b"HTTP/1.1 499 Refused\r\n")


@pytest.mark.parametrize(
    ("name", "value", "valid"),
    [
        ("X-Name", "value with spaces\tand tabs", True),
        ("X-Name", "", True),
        ("X Name", "value", False),
        ("", "value", False),
        ("X-Name", "line\r\nbreak", False),
        ("X-Name", "caf\xe9", False),
        ("connection", "keep-alive", False),
        ("Content-Length", "1", False),
    ],
)
def test_headers_that_would_break_a_response_are_told(name: str, value: str, *, valid: bool) -> None:
    assert is_header(name, value) is valid
