"""What a client protocol is to the rest of chat, and the data model that all of them share.

The model: null, booleans, integers of 64 bits, finite floats, text, arrays, and maps with text keys, nested
at most `MAX_DEPTH` deep. Whatever a codec can write beyond it is refused, so that a message that came in by
one codec always goes out by every other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from gateway_core.gateway import CloseCode, Payload

MAX_DEPTH = 32
"""Of arrays and maps in a frame, the outermost counted."""
MAX_BATCH = 256
"""Commands in one frame."""
MIN_INTEGER, MAX_INTEGER = -(2**63), 2**64 - 1
"""What MessagePack, the format of the stores, can hold."""

Command = dict[str, Any]


class Malformed(Exception):
    """A frame that is refused as a whole: the connection closes with `code`. The reason quotes no content."""

    def __init__(self, reason: str, code: CloseCode = CloseCode.INVALID_PAYLOAD) -> None:
        super().__init__(reason)
        self.reason = reason
        self.code = code


class Codec(Protocol):
    """One encoding of chat protocol version 1; without state, one object serves all connections."""

    @property
    def name(self) -> str:
        """The subprotocol, and the gateway's `encoding`."""

    @property
    def is_text(self) -> bool:
        """Whether its frames are text frames."""

    def decode(self, payload: bytes) -> list[Command]:
        """The commands of one frame, 0 to `MAX_BATCH`. Raises: Malformed, whatever the bytes are."""

    def encode(self, value: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> Payload:
        """A frame with one map, or with an array of maps."""

    def join(self, frames: Sequence[Payload]) -> Payload:
        """One frame with the array of what `frames` hold: one map each."""


def commands_of(value: Any) -> list[Command]:
    """The commands in a decoded frame: one map, or an array of maps. Raises: Malformed."""
    batch = value if type(value) is list else [value]
    if len(batch) > MAX_BATCH:
        raise Malformed(f"more than {MAX_BATCH} commands in a frame", CloseCode.POLICY_VIOLATION)
    for command in batch:
        if type(command) is not dict:
            raise Malformed("a frame holds one map or an array of maps")
    return batch


def check_model(value: Any) -> int:
    """Checks that `value` is within the data model and returns how many map entries it has.

    Goes down level by level, so depth costs no stack. Raises: Malformed.
    """
    entries = 0
    level: list[Any] = []
    _check_item(value, level)
    for _ in range(MAX_DEPTH):
        if not level:
            return entries
        below: list[Any] = []
        for container in level:
            if type(container) is dict:
                entries += len(container)
                for key in container:
                    if type(key) is not str:
                        raise Malformed("the keys of a map are text")
                container = container.values()
            for item in container:
                if type(item) is not str:
                    _check_item(item, below)
        level = below
    if level:
        raise Malformed(f"nested deeper than {MAX_DEPTH}")
    return entries


def _check_item(item: Any, containers: list[Any]) -> None:
    """Adds `item` to `containers` if it is one. Raises: Malformed if it is no part of the model at all."""
    kind = type(item)
    if kind is int:
        if not MIN_INTEGER <= item <= MAX_INTEGER:
            raise Malformed("an integer needs more than 64 bits")
    elif kind is dict or kind is list:
        containers.append(item)
    elif kind is float:
        if item - item != 0.0:  # so it is with infinities and with what is not a number
            raise Malformed("a number is not finite")
    elif not (kind is str or kind is bool or item is None):
        raise Malformed("a value that JSON has no word for")
