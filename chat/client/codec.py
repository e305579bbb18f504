"""The two encodings of the protocol, as a client sees them: one data model, one map or an array of maps a frame."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Protocol

import cbor2
import msgspec

from ..domain.errors import Invalid
from .errors import ProtocolViolation

Encoding = Literal["cbor", "json"]


class Codec(Protocol):
    """`subprotocol` is its name on the wire."""

    subprotocol: str

    def encode(self, item: dict[str, Any]) -> bytes:
        """One map. Raises: Invalid if it holds what cannot be encoded."""

    def frame(self, items: Sequence[bytes]) -> bytes | str:
        """The payload of a frame that carries these encoded maps."""

    def decode(self, payload: bytes | str) -> list[dict[str, Any]]:
        """The maps in a frame. Raises: ProtocolViolation."""


class CborCodec:
    """`chat.v1.cbor`: binary frames."""

    subprotocol = "chat.v1.cbor"

    def encode(self, item: dict[str, Any]) -> bytes:
        try:
            return cbor2.dumps(item)
        except (cbor2.CBOREncodeError, TypeError, ValueError, RecursionError) as error:
            raise Invalid(f"cannot be sent as CBOR: {error}") from None

    def frame(self, items: Sequence[bytes]) -> bytes:
        return items[0] if len(items) == 1 else _array_head(len(items)) + b"".join(items)

    def decode(self, payload: bytes | str) -> list[dict[str, Any]]:
        if isinstance(payload, str):
            raise ProtocolViolation("a text frame in a CBOR connection")
        try:
            value = cbor2.loads(payload)
        except (cbor2.CBORDecodeError, ValueError, RecursionError) as error:
            raise ProtocolViolation(f"a frame of the server is not CBOR: {error}") from None
        return _maps(value)


class JsonCodec:
    """`chat.v1.json`: text frames."""

    subprotocol = "chat.v1.json"

    def encode(self, item: dict[str, Any]) -> bytes:
        try:
            return msgspec.json.encode(item)
        except (msgspec.MsgspecError, TypeError, ValueError, RecursionError) as error:
            raise Invalid(f"cannot be sent as JSON: {error}") from None

    def frame(self, items: Sequence[bytes]) -> str:
        return (items[0] if len(items) == 1 else b"[" + b",".join(items) + b"]").decode()

    def decode(self, payload: bytes | str) -> list[dict[str, Any]]:
        if isinstance(payload, bytes):
            raise ProtocolViolation("a binary frame in a JSON connection")
        try:
            value = msgspec.json.decode(payload)
        except (msgspec.DecodeError, RecursionError) as error:
            raise ProtocolViolation(f"a frame of the server is not JSON: {error}") from None
        return _maps(value)


def codec(encoding: Encoding) -> Codec:
    """The codec of that name."""
    return CborCodec() if encoding == "cbor" else JsonCodec()


def _array_head(length: int) -> bytes:
    """Major type 4 with its length (RFC 8949 §3.1)."""
    return bytes([0x80 | length]) if length < 24 else b"\x99" + length.to_bytes(2, "big")


def _maps(value: Any) -> list[dict[str, Any]]:
    items = value if isinstance(value, list) else [value]
    if not all(isinstance(item, dict) for item in items):
        raise ProtocolViolation("a frame of the server holds something other than maps")
    return items
