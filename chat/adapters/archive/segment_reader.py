"""Reads archived messages: by ranges, in threads, and never without their checksums."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TypeVar

import structlog
import trio

from ...domain.errors import Unavailable
from ...domain.rooms import RoomId
from .catalog import ArchivedRow, Part, Segment
from .errors import Damaged
from .objects import ObjectStore
from .segment import Footer, read_block, read_footer

T = TypeVar("T")

READ_SECONDS = 10.0
"""For one part of a page, with all that waits before it."""
MAX_THREADS = 8
"""Which read, and decode, at the same time; a node that is asked for more answers the rest later."""
_MAX_FOOTERS = 128
"""Kept in memory, some 100 KB each."""
_log = structlog.get_logger("chat.archive")


class SegmentReader:
    """One for each node. Footers are kept, blocks are not: old pages are seldom read twice."""

    def __init__(self, objects: ObjectStore, *, seconds: float = READ_SECONDS) -> None:
        self._objects = objects
        self._seconds = seconds
        self._threads = trio.CapacityLimiter(MAX_THREADS)
        self.reads = dict.fromkeys(("read", "damaged", "away"), 0)
        """How many ended how."""
        self._footer = functools.lru_cache(_MAX_FOOTERS)(functools.partial(load_footer, objects))

    async def read(self, room: RoomId, part: Part, first: int, last: int) -> list[ArchivedRow]:
        """Messages `first` to `last` of a part.

        Raises: Unavailable if the segment is in quarantine, damaged, or cannot be read in time.
        """
        if part.quarantined:
            raise _unavailable()
        return await self._in_thread(functools.partial(self._read, room, part, first, last), part.segment)

    async def _in_thread(self, work: Callable[[], T], segment: Segment) -> T:
        error: Exception | None = None
        with trio.move_on_after(self._seconds):
            try:
                value = await trio.to_thread.run_sync(work, abandon_on_cancel=True, limiter=self._threads)
                self.reads["read"] += 1
                return value
            except (Damaged, OSError) as raised:
                error = raised
        if isinstance(error, Damaged | FileNotFoundError):
            self.reads["damaged"] += 1
            _log.error("segment_damaged", segment=segment.name, error=str(error))
        else:
            self.reads["away"] += 1
            _log.warning("archive_away", segment=segment.name, error=str(error or "no answer in time"))
        raise _unavailable()

    def _read(self, room: RoomId, part: Part, first: int, last: int) -> list[ArchivedRow]:
        footer = self._footer(part.segment)
        row = part.row + first - part.first
        rows = read_rows(self._objects, part.segment, footer, row, last - first + 1)
        if [(each.room, each.seq) for each in rows] != [(room, seq) for seq in range(first, last + 1)]:
            raise Damaged(f"segment {part.segment.name}: row {row} is not message {first} of room {room}")
        return rows


def load_footer(objects: ObjectStore, segment: Segment) -> Footer:
    """Fetches the footer of a segment. Raises: OSError, Damaged."""
    start = segment.size - segment.footer_size
    return read_footer(segment, objects.read(segment.path, start, segment.footer_size))


def read_rows(objects: ObjectStore, segment: Segment, footer: Footer, row: int, count: int) -> list[ArchivedRow]:
    """`count` rows from `row` on, as far as there are so many, in one read. Raises: OSError, Damaged."""
    blocks = footer.blocks_of(row, count)
    if not blocks:
        return []
    start = blocks[0].offset
    data = objects.read(segment.path, start, blocks[-1].offset + blocks[-1].size - start)
    rows: list[ArchivedRow] = []
    for block in blocks:
        rows += read_block(segment, footer, block, data[block.offset - start : block.offset - start + block.size])
    skipped = row - blocks[0].row
    return rows[skipped : skipped + count]


def _unavailable() -> Unavailable:
    return Unavailable("these old messages are not available at the moment", retry_after=10.0)
