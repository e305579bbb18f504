"""Reads the whole archive again, and puts what is not as it was written into quarantine."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import trio

from .catalog import ArchivedRow, Segment
from .errors import Damaged
from .objects import ObjectStore
from .segment_reader import load_footer, read_rows
from .source import ArchiveSource

_PAGE = 500


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong. `what` is a segment, or a room."""

    what: str
    why: str


@dataclasses.dataclass(slots=True)
class Verdict:
    """What was read, and what is wrong with it."""

    segments: int = 0
    bytes: int = 0
    findings: list[Finding] = dataclasses.field(default_factory=list)


class Verifier:
    """`sources` are all shards of the installation: a segment may be needed by several, since rooms move."""

    def __init__(self, sources: Sequence[ArchiveSource], objects: ObjectStore) -> None:
        self._sources = sources
        self._objects = objects

    async def run(self) -> Verdict:
        """Checks every segment and every room's parts. A segment that is right again leaves its quarantine.

        One that cannot be read at the moment is reported, and stays what it was. Raises: Unavailable for a shard.
        """
        verdict = Verdict()
        for segment, quarantined in await self._segments():
            verdict.segments += 1
            verdict.bytes += segment.size
            try:
                await self._check(segment)
            except (Damaged, FileNotFoundError) as error:
                why = "there is no such object" if isinstance(error, FileNotFoundError) else str(error)
                verdict.findings.append(Finding(segment.path, why))
                await self._quarantine(segment, True)
            except OSError as error:
                verdict.findings.append(Finding(segment.path, f"it cannot be read: {error}"))
            else:
                if quarantined:
                    await self._quarantine(segment, False)
        for source in self._sources:
            for room in await _broken(source):
                verdict.findings.append(Finding(f"room {room}", "its parts do not make up its archived messages"))
        return verdict

    async def _segments(self) -> list[tuple[Segment, bool]]:
        """Each once; one that a shard holds for damaged is in quarantine."""
        found: dict[str, tuple[Segment, bool]] = {}
        for source in self._sources:
            after = ""
            while page := await source.segments(after, _PAGE):
                for segment, quarantined in page:
                    _, before = found.get(segment.name, (segment, False))
                    found[segment.name] = segment, quarantined or before
                after = page[-1][0].name
        return list(found.values())

    async def _check(self, segment: Segment) -> None:
        """Raises: OSError, Damaged."""
        rows = await trio.to_thread.run_sync(_read, self._objects, segment)
        for source in self._sources:
            after = ("", 0)
            while page := await source.parts(segment, after, _PAGE):
                for listed in page:
                    _check_part(segment, rows, listed.room, listed.part.row, listed.part.first, listed.part.last)
                after = page[-1].room, page[-1].part.first

    async def _quarantine(self, segment: Segment, quarantined: bool) -> None:
        for source in self._sources:
            await source.quarantine(segment, quarantined)


def _read(objects: ObjectStore, segment: Segment) -> list[ArchivedRow]:
    if (size := objects.size(segment.path)) != segment.size:
        raise Damaged(f"segment {segment.name}: it has {size} bytes in place of {segment.size}")
    footer = load_footer(objects, segment)
    return read_rows(objects, segment, footer, 0, footer.rows)


def _check_part(segment: Segment, rows: Sequence[ArchivedRow], room: str, row: int, first: int, last: int) -> None:
    there = [(each.room, each.seq) for each in rows[row : row + last - first + 1]]
    if there != [(room, seq) for seq in range(first, last + 1)]:
        raise Damaged(f"segment {segment.name}: messages {first} to {last} of room {room} are not at row {row}")


async def _broken(source: ArchiveSource) -> list[str]:
    rooms: list[str] = []
    after: str | None = ""
    while after is not None:
        found, after = await source.broken(after)
        rooms += found
    return rooms
