"""chat.v1.cbor: the protocol as CBOR (RFC 8949) in binary frames, for programs."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn, cast

import cbor2

from .codec import MAX_DEPTH, Command, Malformed, check_model, commands_of

_TAGS = (0, 1, 2, 3, 4, 5, 25, 28, 29, 30, 35, 36, 37, 52, 54, 100, 256, 258, 260, 261, 1004, 43000, 55799)
"""Those that cbor2 gives a meaning to; it asks the tag hook about all others."""


def _refuse_tag(*_: object) -> NoReturn:
    """Shared references (28, 29) and string references (25, 256) would grow a frame without bound."""
    raise cbor2.CBORDecodeError("tags are not part of the protocol")


_REFUSED = dict.fromkeys(_TAGS, _refuse_tag)
_PAIR = b"\x82"
_GUARD = secrets.token_bytes(8)
_GUARD_ITEM = cbor2.dumps(_GUARD)


class CborCodec:
    """Strict: definite lengths, text keys, each once, no tags, one item and nothing after it."""

    name = "chat.v1.cbor"
    is_text = False

    def decode(self, payload: bytes) -> list[Command]:
        """See `Codec`.

        The frame is read as the pair [frame, guard]: bytes after its item would take the guard's place,
        which `cbor2.loads` alone would pass over. A length sizes no allocation before its bytes are there.
        """
        try:
            value, guard = cbor2.loads(
                b"".join((_PAIR, payload, _GUARD_ITEM)),
                tag_hook=_refuse_tag,
                semantic_decoders=_REFUSED,
                max_depth=MAX_DEPTH + 1,
                allow_indefinite=False,
                allow_duplicate_keys=False,
                strict_hashable_types=True,
            )
        except (cbor2.CBORDecodeError, RecursionError):
            raise Malformed("not CBOR as the protocol uses it, or nested too deeply") from None
        if guard != _GUARD:
            raise Malformed("bytes after the end of the frame's item")
        check_model(value)
        return commands_of(value)

    def encode(self, value: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> bytes:
        """See `Codec`."""
        return cbor2.dumps(value)

    def join(self, frames: Sequence[bytes | str]) -> bytes:
        """See `Codec`."""
        return _array_header(len(frames)) + b"".join(cast(Sequence[bytes], frames))


def _array_header(length: int) -> bytes:
    """The first bytes of an array of `length` items, below 65,536 (§3.1, major type 4)."""
    if length < 24:
        return bytes((0x80 | length,))
    return b"\x98" + length.to_bytes(1, "big") if length < 256 else b"\x99" + length.to_bytes(2, "big")
