"""Moves old messages of one shard into segments: at every moment each of them is in exactly one place.

    collect ─► begin ─► write ─► check ─► verified ─► move, move … ─► finish
               (noted in the database)               (a transaction each)

What can be killed can be run again: what `begin` noted tells how far a segment was. One that was not verified is
removed, since no message depends on it; the messages of one that was are moved on. Two archivers at work on one
shard do no harm, but part of their work is for nothing.
"""

from __future__ import annotations

import dataclasses
import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import structlog
import trio

from ...domain.errors import Unavailable
from ..ids import new_id
from .catalog import ArchivedRow, Segment
from .errors import Damaged
from .objects import ObjectStore
from .segment import write_segment
from .segment_reader import load_footer, read_rows
from .source import ArchiveSource, Candidate, Run

SEGMENT_ROWS = 50_000
SEGMENT_BYTES = 32 << 20
"""Of bodies. The archiver needs about five times as much memory."""
MIN_ROWS = 50
"""A room is left alone until it has so many old messages, or the oldest is twice as old as it may be: so that a
page of 200 messages needs few reads."""
_MOVE_ROWS = 500
"""In one transaction, during which appends to its rooms wait."""
_READ_ROWS = 500
_READ_ROOMS = 50
"""In one statement."""
_log = structlog.get_logger("chat.archive")
Step = Callable[[str], None]
T = TypeVar("T")


@dataclasses.dataclass(slots=True)
class Report:
    """What one run has done."""

    messages: int = 0
    segments: int = 0
    segment_bytes: int = 0


@dataclasses.dataclass(slots=True)
class _Batch:
    """Rows for one segment, sorted by room and seq."""

    rows: list[ArchivedRow] = dataclasses.field(default_factory=list)
    bytes: int = 0

    def add(self, rows: Sequence[ArchivedRow]) -> None:
        self.rows += rows
        self.bytes += sum(len(row.body) for row in rows)


class Archiver:
    """`older_than_seconds` says what is old; `at_step` is told the name of each step before it is taken."""

    def __init__(
        self,
        source: ArchiveSource,
        objects: ObjectStore,
        older_than_seconds: float,
        *,
        clock: Callable[[], float] = time.time,
        min_rows: int = MIN_ROWS,
        segment_rows: int = SEGMENT_ROWS,
        at_step: Step = lambda step: None,
    ) -> None:
        self._source = source
        self._objects = objects
        self._age_ms = round(older_than_seconds * 1000)
        self._clock = clock
        self._min_rows = min_rows
        self._segment_rows = segment_rows
        self._at_step = at_step

    async def run(self) -> Report:
        """Finishes what was begun, then archives all that is old. Raises: Unavailable, Damaged."""
        report = await self._resume()
        batch = _Batch()
        after: str | None = ""
        while after is not None:
            very_old = self._old - self._age_ms
            found, after = await self._source.candidates(
                after, old=self._old, very_old=very_old, min_rows=self._min_rows
            )
            batch = await self._collect(found, batch, report)
        if batch.rows:
            await self._archive(batch.rows, report)
        return report

    async def _collect(self, candidates: list[Candidate], batch: _Batch, report: Report) -> _Batch:
        """Adds old rows to the batch, which is archived whenever it is full; returns the one to go on with."""
        while candidates:
            rows = await self._source.rows(candidates[:_READ_ROOMS], old=self._old, limit=_READ_ROWS)
            batch.add(rows)
            is_all = len(rows) < _READ_ROWS
            candidates = candidates[_READ_ROOMS:] if is_all else _behind(rows[-1], candidates)
            if len(batch.rows) >= self._segment_rows or batch.bytes >= SEGMENT_BYTES:
                await self._archive(batch.rows, report)
                batch = _Batch()
        return batch

    @property
    def _old(self) -> int:
        return round(self._clock() * 1000) - self._age_ms

    async def _resume(self) -> Report:
        report = Report()
        for segment, _ in await self._source.unfinished():
            if await self._source.abandon(segment):
                self._at_step("remove")
                await self._in_thread(self._objects.delete, segment.path)
                await self._source.finish(segment)
            else:
                report.messages += await self._move_rest(segment)
        return report

    async def _move_rest(self, segment: Segment) -> int:
        """Of a verified segment. If it was lost since, what has not moved stays, for another segment."""
        try:
            rows = await self._read_back(segment)
        except Damaged as error:
            _log.error("segment_damaged", shard=self._source.name, segment=segment.name, error=str(error))
            await self._source.finish(segment)
            return 0
        return await self._move_all(segment, rows)

    async def _archive(self, rows: list[ArchivedRow], report: Report) -> None:
        segment, data = await trio.to_thread.run_sync(write_segment, new_id(), rows)
        self._at_step("begin")
        await self._source.begin(segment)
        self._at_step("write")
        await self._in_thread(self._objects.write, segment.path, data)
        self._at_step("check")
        if await self._read_back(segment) != rows:
            raise Damaged(f"segment {segment.name} is not what was written")
        self._at_step("verified")
        if not await self._source.verified(segment):
            await self._in_thread(self._objects.delete, segment.path)  # it may have been written after its removal
            raise Unavailable("another archiver has abandoned the segment")
        report.segments += 1
        report.segment_bytes += segment.size
        report.messages += await self._move_all(segment, rows)

    async def _move_all(self, segment: Segment, rows: Sequence[ArchivedRow]) -> int:
        """How many messages have left the database by this call. A room's rows stay if those before them stay."""
        moved = 0
        stuck: set[str] = set()
        for runs in _in_transactions(rows):
            wanted = [run for run in runs if run.room not in stuck]
            self._at_step("move")
            began = trio.current_time()
            counts = await self._source.move(segment, wanted) if wanted else []
            moved += sum(counts)
            stuck |= {run.room for run, count in zip(wanted, counts, strict=True) if count < len(run.rows)}
            await trio.sleep(trio.current_time() - began)  # chat shall have the server half of the time
        if stuck:
            _log.info("rooms_left", shard=self._source.name, segment=segment.name, rooms=len(stuck))
        self._at_step("finish")
        await self._source.finish(segment)
        _log.info("segment_done", shard=self._source.name, segment=segment.name, messages=moved, bytes=segment.size)
        return moved

    async def _read_back(self, segment: Segment) -> list[ArchivedRow]:
        def read() -> list[ArchivedRow]:
            footer = load_footer(self._objects, segment)
            return read_rows(self._objects, segment, footer, 0, footer.rows)

        return await self._in_thread(read)

    async def _in_thread(self, work: Callable[..., T], *arguments: object) -> T:
        try:
            return await trio.to_thread.run_sync(work, *arguments)
        except FileNotFoundError as error:
            raise Damaged(f"there is no {error.filename or 'such object'}") from error
        except OSError as error:
            raise Unavailable(f"the archive: {error}") from error


def _behind(last: ArchivedRow, candidates: Sequence[Candidate]) -> list[Candidate]:
    """What remains when everything up to a row was read."""
    rest = [candidate for candidate in candidates if candidate.room > last.room]
    return [Candidate(last.room, last.seq), *rest]


def _in_transactions(rows: Sequence[ArchivedRow]) -> Iterator[list[Run]]:
    """The rows of each room, in their order, at most `_MOVE_ROWS` together."""
    for start in range(0, len(rows), _MOVE_ROWS):
        runs: list[Run] = []
        for _, group in itertools.groupby(rows[start : start + _MOVE_ROWS], key=lambda row: row.room):
            runs.append(Run(start + sum(len(run.rows) for run in runs), list(group)))
        yield runs
