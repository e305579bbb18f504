"""What the archiver asks of a shard: a port, so that it knows nothing of SQL."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from .catalog import ArchivedRow, Part, Segment


class State(enum.StrEnum):
    """How far a segment is whose messages are on their way."""

    WRITING = "writing"
    """Perhaps not whole; no message depends on it."""
    VERIFIED = "verified"
    """It was read back and is right: its messages may leave the database."""
    ABANDONED = "abandoned"
    """About to be removed; no message may depend on it any more."""


class Candidate(NamedTuple):
    """A room with messages that are old enough, behind `border`."""

    room: str
    border: int


class Run(NamedTuple):
    """Rows of one room that follow each other, of which the first is row `row` of the segment."""

    row: int
    rows: Sequence[ArchivedRow]

    @property
    def room(self) -> str:
        """Whose messages they are."""
        return self.rows[0].room


@dataclasses.dataclass(frozen=True, slots=True)
class Listed:
    """A part of a room, as the catalog has it."""

    room: str
    part: Part


class ArchiveSource(Protocol):
    """One shard. Every method raises `Unavailable`, after which a write may have happened; twice is once."""

    @property
    def name(self) -> str:
        """Of the shard."""

    async def candidates(
        self, after: str, *, old: int, very_old: int, min_rows: int
    ) -> tuple[list[Candidate], str | None]:
        """Rooms behind `after`, in order of id, and the room to go on from; None at the end.

        A room is taken if `min_rows` of its messages are older than `old`, or one is older than `very_old`
        (milliseconds UTC).
        """

    async def rows(self, candidates: Sequence[Candidate], *, old: int, limit: int) -> list[ArchivedRow]:
        """The first `limit` messages behind the borders that are older than `old`, in order of room and seq."""

    async def unfinished(self) -> list[tuple[Segment, State]]:
        """Segments that were begun and not finished."""

    async def begin(self, segment: Segment) -> None:
        """Notes that a segment is about to be written."""

    async def verified(self, segment: Segment) -> bool:
        """Notes that a segment is right. False if it was abandoned meanwhile."""

    async def abandon(self, segment: Segment) -> bool:
        """Takes care that no message comes to depend on a segment. False if it is verified."""

    async def move(self, segment: Segment, runs: Sequence[Run]) -> list[int]:
        """In one transaction, makes a verified segment the place of these messages and removes them from the tables.

        Returns how many messages of each run were moved, by this or an earlier call: those of a room that has gone
        elsewhere, or whose rows are not those of the segment, stay where they are. What was edited after the
        segment was written is kept as a change.
        """

    async def finish(self, segment: Segment) -> None:
        """Forgets that a segment was unfinished."""

    async def segments(self, after: str, limit: int) -> list[tuple[Segment, bool]]:
        """Segments that rooms of this shard need, in order of name, and whether each is in quarantine."""

    async def parts(self, segment: Segment, after: tuple[str, int], limit: int) -> list[Listed]:
        """What rooms of this shard have in a segment, behind (room, first), in this order."""

    async def broken(self, after: str) -> tuple[list[str], str | None]:
        """Rooms behind `after` whose parts are not exactly messages 1 to the border, and the room to go on from."""

    async def quarantine(self, segment: Segment, quarantined: bool) -> None:
        """Lets nobody read a segment, or everybody again."""
