"""What a terminal needs: lines from a descriptor, and text of strangers that cannot command the screen."""

from __future__ import annotations

import codecs
import os
import unicodedata
from collections.abc import AsyncGenerator

import trio

MAX_LINE_CHARACTERS = 65_536
"""Longer ones are cut in pieces, which bounds what is kept of a line without end."""
_CHUNK_BYTES = 4_096
_UNSAFE = frozenset({"Cc", "Cs", "Zl", "Zp"})
"""Controls (escape sequences begin with one), lone surrogates, line separators."""
_DIRECTIONS = frozenset("\u200e\u200f\u061c\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Could make one's text look like another's."""


def printable(text: str) -> str:
    """`text` on one line, without anything that moves the cursor, colours, or turns the direction of writing."""
    shown = text.replace("\r\n", "\n").replace("\n", " ↵ ").replace("\t", " ")
    return "".join(
        character
        for character in shown
        if unicodedata.category(character) not in _UNSAFE and character not in _DIRECTIONS
    )


async def read_lines(descriptor: int) -> AsyncGenerator[str, None]:
    """Lines of a terminal, a pipe or a file, without their ends, until the end of the input.

    Neither blocks trio nor needs a thread that could outlive it. Bytes that are no UTF-8 are replaced.
    """
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    waiting = ""
    while data := await _read(descriptor):
        *lines, waiting = (waiting + decoder.decode(data)).split("\n")
        for line in lines:
            yield line.removesuffix("\r")
        if len(waiting) > MAX_LINE_CHARACTERS:
            yield waiting
            waiting = ""
    if waiting := waiting + decoder.decode(b"", final=True):
        yield waiting


async def _read(descriptor: int) -> bytes:
    try:
        await trio.lowlevel.wait_readable(descriptor)
    except PermissionError:  # epoll does not watch regular files, which are always ready
        await trio.lowlevel.checkpoint()
    return os.read(descriptor, _CHUNK_BYTES)
