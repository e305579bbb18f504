from __future__ import annotations

import datetime
import decimal
from typing import Any

import cbor2
import msgspec
import pytest

from chat.domain.errors import Invalid
from chat.domain.messages import MAX_BODY_BYTES
from chat.services.validation import MAX_DEPTH, check_body, check_key, check_page, check_seq


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    "body",
    [
        {"text": "x"},
        {"text": " "},
        {"text": "😀 \0 \u202e", "reply_to": 7},
        {"text": "x", "more": [None, True, 1.5, -(2**53 - 1), 2**53 - 1, {"": []}]},
        {"text": "x", "seq": 99, "user": "somebody", "ts": 0},
        {"text": "x" * (MAX_BODY_BYTES - 9)},
        {"text": "x", "deep": nested(MAX_DEPTH - 1)},
    ],
    ids=repr,
)
def test_a_body_that_both_codecs_carry_is_taken_unchanged(body: dict[str, Any]) -> None:
    assert check_body(body) is body
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(body)) == body
    assert msgspec.json.decode(msgspec.json.encode(body)) == body
    assert cbor2.loads(cbor2.dumps(body)) == body


BAD = {
    "a text": "text",
    "a list": ["text"],
    "nothing": None,
    "empty": {},
    "no text": {"more": 1},
    "empty text": {"text": ""},
    "text a number": {"text": 1},
    "text bytes": {"text": b"x"},
    "bytes": {"text": "x", "more": b"x"},
    "2^53": {"text": "x", "more": 2**53},
    "-2^53": {"text": "x", "more": [-(2**53)]},
    "a very large integer": {"text": "x", "more": 2**4000},
    "NaN": {"text": "x", "more": float("nan")},
    "infinity": {"text": "x", "more": float("-inf")},
    "lone surrogate": {"text": "\ud800"},
    "lone surrogate in a key": {"text": "x", "\udc00": 1},
    "key a number": {"text": "x", "more": {1: 2}},
    "key a list": {"text": "x", "more": {(1,): 2}},
    "a tag": {"text": "x", "more": cbor2.CBORTag(1000, 1)},
    "a time": {"text": "x", "more": datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)},
    "a decimal": {"text": "x", "more": decimal.Decimal(1)},
    "undefined": {"text": "x", "more": cbor2.undefined},
    "a simple value": {"text": "x", "more": cbor2.CBORSimpleValue(99)},
    "a set": {"text": "x", "more": {1}},
    "a tuple": {"text": "x", "more": (1,)},
    "too deep": {"text": "x", "more": nested(MAX_DEPTH)},
    "far too deep": {"text": "x", "more": nested(100_000)},
    "one byte too long": {"text": "x" * (MAX_BODY_BYTES - 8)},
    "too long in bytes, not in characters": {"text": "ä" * (MAX_BODY_BYTES - 100)},
    "a long key": {"text": "x", "k" * MAX_BODY_BYTES: 1},
    "many values": {"text": "x", "more": [0] * MAX_BODY_BYTES},
}


@pytest.mark.parametrize("name", BAD)
def test_a_body_that_would_not_arrive_as_it_was_sent_is_refused(name: str) -> None:
    with pytest.raises(Invalid, match="body"):
        check_body(BAD[name])  # type: ignore[arg-type]


def test_b27_values_shared_a_million_times_over_cost_no_more_than_their_limit() -> None:
    value: Any = "x"
    for _ in range(MAX_DEPTH - 2):
        value = [value] * 10
    with pytest.raises(Invalid, match="bytes"):
        check_body({"text": "x", "more": value})


def test_a_body_that_contains_itself_is_refused() -> None:
    body: dict[str, Any] = {"text": "x"}
    body["more"] = body
    with pytest.raises(Invalid):
        check_body(body)


@pytest.mark.parametrize("key", ["k", "k" * 64, "0b2c-!~"])
def test_a_key_is_visible_ascii(key: str) -> None:
    assert check_key(key) == key


@pytest.mark.parametrize("key", ["", "k" * 65, "a b", "a\n", "ä", "\0", "\ud800", 7, None, b"k"])
def test_what_is_no_key_is_refused(key: Any) -> None:
    with pytest.raises(Invalid, match="key"):
        check_key(key)


def test_numbers_have_limits_that_every_store_can_take() -> None:
    assert (check_seq(0), check_seq(2**53 - 1), check_page(1), check_page(200)) == (0, 2**53 - 1, 1, 200)
    for seq in (-1, 2**53, 2**64):
        with pytest.raises(Invalid, match="before"):
            check_seq(seq, "before")
    for limit in (-1, 0, 201):
        with pytest.raises(Invalid, match="limit"):
            check_page(limit)
