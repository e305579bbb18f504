"""The client protocols: a file each, one data model."""

from __future__ import annotations

from collections.abc import Sequence

from .cbor import CborCodec
from .codec import MAX_BATCH, MAX_DEPTH, Codec, Command, Malformed
from .json import JsonCodec

__all__ = ["CODECS", "DEFAULT", "MAX_BATCH", "MAX_DEPTH", "Codec", "Command", "Malformed", "negotiate"]

DEFAULT: Codec = JsonCodec()
"""For a client that offers no subprotocol: what people type into a console is JSON."""
CODECS: dict[str, Codec] = {codec.name: codec for codec in (DEFAULT, CborCodec())}


def negotiate(offered: Sequence[str]) -> Codec | None:
    """The first offered codec that exists; `DEFAULT` if nothing is offered; None if all are unknown."""
    if not offered:
        return DEFAULT
    return next((CODECS[name] for name in offered if name in CODECS), None)
