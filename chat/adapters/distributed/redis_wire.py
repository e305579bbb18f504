"""The words of the Redis protocol (RESP 2): commands to bytes, slots, and what an error reply asks for."""

from __future__ import annotations

import binascii
import enum
from typing import Any

import hiredis

Reply = Any
"""bytes, int, None, a list of replies, or an error; hiredis leaves it at that."""
ReplyError = hiredis.ReplyError

SLOTS = 16_384
NOTHING_YET = NotImplemented
"""What `Reader.gets` returns until a reply is whole."""


def new_reader() -> hiredis.Reader:
    """Takes bytes in any portions, gives replies; errors among them are returned, not raised."""
    return hiredis.Reader(notEnoughData=NOTHING_YET)


def pack(*words: str | int | float | bytes) -> bytes:
    """The bytes of one command."""
    packed: bytes = hiredis.pack_command(words)  # type: ignore[arg-type]  # its stub allows one word only
    return packed


def slot_of(key: str) -> int:
    """The hash slot of a key or sharded channel; of its part in braces, if that is not empty."""
    start = key.find("{")
    end = key.find("}", start + 1)
    if 0 <= start < end - 1:
        key = key[start + 1 : end]
    return binascii.crc_hqx(key.encode(), 0) % SLOTS


class Remedy(enum.Enum):
    """What to do about an error reply."""

    REDIRECT = enum.auto()
    """The slot has moved: ask the node that the reply names."""
    ASK = enum.auto()
    """The slot is moving: ask the node that the reply names, this once."""
    LOAD = enum.auto()
    """The script is not known there: send its text."""
    WAIT = enum.auto()
    """Not now, or not there: look for the primary again, then try again."""
    REFUSE = enum.auto()
    """Trying again would not help."""


_REMEDIES = {
    "MOVED": Remedy.REDIRECT,
    "ASK": Remedy.ASK,
    "NOSCRIPT": Remedy.LOAD,
    **dict.fromkeys(("BUSY", "CLUSTERDOWN", "LOADING", "MASTERDOWN", "READONLY", "TRYAGAIN"), Remedy.WAIT),
}


def code_of(error: ReplyError) -> str:
    """The first word of an error reply: safe to log, as the rest may hold what was sent."""
    return str(error).partition(" ")[0][:32]


def remedy_for(error: ReplyError) -> Remedy:
    return _REMEDIES.get(code_of(error), Remedy.REFUSE)


def redirection(error: ReplyError, asked: tuple[str, int]) -> tuple[str, int] | None:
    """Where MOVED or ASK points: "MOVED 3999 127.0.0.1:6381", without a host if it is the one asked."""
    words = str(error).split(" ")
    host, colon, port = words[-1].rpartition(":")
    if len(words) != 3 or not colon or not port.isascii() or not port.isdigit():
        return None
    return host or asked[0], int(port)
