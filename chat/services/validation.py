"""What a client may put into a request; each function raises `Invalid` with the field's name."""

from __future__ import annotations

import math
import re
from typing import Any

import msgspec

from ..domain.errors import Invalid
from ..domain.messages import MAX_BODY_BYTES, MAX_KEY_CHARACTERS

MAX_PAGE = 200
MAX_DEPTH = 32
MAX_INTEGER = 2**53 - 1
"""The largest integer that JavaScript reads exactly."""

_KEY = re.compile(rf"[\x21-\x7e]{{1,{MAX_KEY_CHARACTERS}}}")
_encode = msgspec.msgpack.Encoder().encode


def check_page(limit: int) -> int:
    """The size of a page."""
    if not 1 <= limit <= MAX_PAGE:
        raise Invalid(f"limit must be 1 to {MAX_PAGE}")
    return limit


def check_seq(seq: int, what: str = "seq") -> int:
    """A position in a room, which a store can take for a number."""
    if not 0 <= seq <= MAX_INTEGER:
        raise Invalid(f"{what} must be 0 to 2^53-1")
    return seq


def check_key(key: str) -> str:
    """The client's name for a message."""
    if not isinstance(key, str) or _KEY.fullmatch(key) is None:
        raise Invalid(f"key must be 1 to {MAX_KEY_CHARACTERS} visible ASCII characters")
    return key


def check_body(body: dict[str, Any]) -> dict[str, Any]:
    """The body of a message: `text`, and whatever else both JSON and CBOR carry unchanged."""
    if type(body) is not dict:
        raise Invalid("body must be a map")
    text = body.get("text")
    if type(text) is not str or not text:
        raise Invalid("body.text must be a text that is not empty")
    if len(body) > 1:  # the text alone needs no closer look
        _check_values(body)
    try:
        size = len(_encode(body))
    except UnicodeEncodeError:
        raise Invalid("body contains a lone surrogate") from None
    if size > MAX_BODY_BYTES:
        raise _too_big()
    return body


def _check_values(body: dict[str, Any]) -> None:
    """Every value once. A decoder may share values, so the work is bounded by size and not by what arrived."""
    budget = MAX_BODY_BYTES
    waiting: list[tuple[Any, int]] = [(body, 1)]
    while waiting:
        value, depth = waiting.pop()
        budget -= _least_size(value)
        if budget < 0:
            raise _too_big()
        if isinstance(value, (dict, list)):
            if depth > MAX_DEPTH:
                raise Invalid(f"body must nest at most {MAX_DEPTH} deep")
            waiting += [(child, depth + 1) for child in _children(value)]


def _least_size(value: Any) -> int:
    """A lower bound of the encoded size, without the children's. Raises: Invalid for what is not allowed."""
    kind = type(value)
    if kind is str or kind is dict or kind is list:
        return 1 + len(value)
    if kind is int:
        if abs(value) > MAX_INTEGER:
            raise Invalid("body contains an integer beyond 2^53-1")
    elif kind is float:
        if not math.isfinite(value):
            raise Invalid("body contains a number that is not finite")
    elif kind is not bool and value is not None:
        raise Invalid("body may contain text, numbers, booleans, null, lists and maps only")
    return 1


def _children(value: dict[Any, Any] | list[Any]) -> list[Any]:
    if isinstance(value, list):
        return value
    if any(type(key) is not str for key in value):
        raise Invalid("body contains a key that is not a text")
    return [*value, *value.values()]


def _too_big() -> Invalid:
    return Invalid(f"body must have at most {MAX_BODY_BYTES} bytes as MessagePack")
