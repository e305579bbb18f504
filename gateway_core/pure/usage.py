"""What a caller must not do: each check raises `UsageError`."""

from __future__ import annotations

from collections.abc import Iterable

from ..errors import UsageError
from .head import is_header

_MAX_REASON_BYTES = 123
_MAX_POSITION = 2**64 - 1
_MAX_TOPIC_BYTES = 256


def check_close(code: int, reason: str) -> None:
    """RFC 6455 §7.4: codes that may be sent, and what fits behind one in a control frame."""
    if not (1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999):
        raise UsageError(f"{code} is no close code that may be sent")
    if len(reason.encode()) > _MAX_REASON_BYTES:
        raise UsageError(f"a close reason has at most {_MAX_REASON_BYTES} bytes")


def check_rejection(status: int, headers: Iterable[tuple[str, str]]) -> None:
    if not 400 <= status <= 599:
        raise UsageError(f"a handshake is rejected with a status from 400 to 599, not {status}")
    for name, value in headers:
        if not is_header(name, value):
            raise UsageError(f"the header {name!r} cannot be sent")


def check_position(position: int | None) -> None:
    if position is not None and not 0 <= position <= _MAX_POSITION:
        raise UsageError(f"a position is between 0 and 2**64 - 1, not {position}")


def check_topic(topic: str) -> None:
    if len(topic.encode()) > _MAX_TOPIC_BYTES:
        raise UsageError(f"a topic has at most {_MAX_TOPIC_BYTES} bytes")
