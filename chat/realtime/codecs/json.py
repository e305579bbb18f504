"""chat.v1.json: the protocol as JSON (RFC 8259) in text frames, for browsers and for reading along."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, cast

import msgspec

from .codec import Command, Malformed, check_model, commands_of

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode
_SPACED_COLON = re.compile(rb'"[ \t\r\n]+:')
_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"')


class JsonCodec:
    """Strict: no duplicate keys, no lone surrogates, nothing after the value, no byte order mark."""

    name = "chat.v1.json"
    is_text = True

    def decode(self, payload: bytes) -> list[Command]:
        """See `Codec`. msgspec stops at the interpreter's recursion limit, far from the end of the stack."""
        try:
            value = _decode(payload)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise Malformed("not JSON, or nested too deeply") from None
        _check_unique_keys(payload, check_model(value))
        return commands_of(value)

    def encode(self, value: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> str:
        """See `Codec`."""
        return _encode(value).decode()

    def join(self, frames: Sequence[bytes | str]) -> str:
        """See `Codec`."""
        return f"[{','.join(cast(Sequence[str], frames))}]"


def _check_unique_keys(payload: bytes, entries: int) -> None:
    """Raises Malformed if the text names more entries than the maps kept: a key was there twice.

    Each entry has one colon outside strings, right behind a quotation mark unless there are blanks; in text that
    is rare. Only what has more of these than entries needs the closer look.
    """
    if payload.count(b":") <= entries or (payload.count(b'":') <= entries and not _SPACED_COLON.search(payload)):
        return
    if _STRING.sub(b"", payload).count(b":") > entries:
        raise Malformed("a map has the same key twice")
