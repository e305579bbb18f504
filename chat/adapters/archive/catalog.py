"""What the database knows of the archive: which messages of a room are where.

The archived messages of a room are always its first ones, 1 to its border; those behind the border are in the
database. The border only ever rises, in the same transaction that removes the messages from there.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from ...domain.messages import Message
from ...domain.rooms import RoomId


class ArchivedRow(NamedTuple):
    """A message as the database stores it: the body is encoded."""

    room: str
    seq: int
    ts: int
    user: str
    key: str
    body: bytes
    revision: int
    deleted: bool


@dataclasses.dataclass(frozen=True, slots=True)
class Segment:
    """An object in the archive. The footer is its end, which holds the checksums of all that comes before."""

    name: str
    size: int
    footer_size: int
    footer_sha256: bytes

    @property
    def path(self) -> str:
        """Of the object: spread over directories, so that none grows too large."""
        return f"{self.name[:2]}/{self.name}.parquet"


@dataclasses.dataclass(frozen=True, slots=True)
class Part:
    """Messages `first` to `last` of a room in `segment`, where `first` is row `row`."""

    first: int
    last: int
    row: int
    segment: Segment
    quarantined: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Change:
    """What became of a message after it was archived."""

    body: dict[str, Any]
    revision: int
    deleted: bool


@dataclasses.dataclass(frozen=True, slots=True)
class Archived:
    """What of a room's messages is archived: those up to `border`, and where those are that were asked for."""

    border: int
    parts: Sequence[Part] = ()
    changes: Mapping[int, Change] = dataclasses.field(default_factory=dict)


class ArchiveCatalog(Protocol):
    """Every method raises `Unavailable`."""

    async def border(self, room: RoomId) -> int:
        """The newest archived message; 0 if there is none, or no such room."""

    async def archived(self, room: RoomId, first: int, last: int) -> Archived:
        """Where messages `first` to `last` are, as far as they are archived; parts in order of seq."""

    async def revise(self, message: Message, body: dict[str, Any] | None) -> Message:
        """Edits an archived message, or deletes it if `body` is None, and returns it as it is then.

        `message` is as the archive has it. Deleting twice is once. Raises: NotFound if it was deleted; Invalid.
        """
