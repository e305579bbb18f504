"""A `MessageStore` whose rooms go on in the archive, before the first message that the store has.

It promises what the store promises. The store is asked first and the catalog afterwards, so that a message that
is archived in between is found in the one or the other: the border only ever rises.
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol, TypeVar

import msgspec
import structlog
import trio

from ...domain.errors import ChatError, NotFound, Unavailable
from ...domain.messages import Appended, Message, NewMessage, Position
from ...domain.rooms import RoomId
from ...domain.users import UserId
from ...ports.message_store import MessageStore
from .catalog import ArchiveCatalog, Archived, ArchivedRow, Change, Part

MAX_LIMIT = 500
_MAX_BORDERS = 10_000
"""Rooms whose border is remembered: it spares the store questions that it could not answer."""
_MAX_SEQ = 2**63 - 1
_decode = msgspec.msgpack.Decoder(dict[str, Any]).decode
_log = structlog.get_logger("chat.archive")
T = TypeVar("T")


class Segments(Protocol):
    """What reads the archive: a `SegmentReader`."""

    async def read(self, room: RoomId, part: Part, first: int, last: int) -> list[ArchivedRow]:
        """Messages `first` to `last` of a part. Raises: Unavailable."""


class ArchivedMessageStore:
    """`segments` is None on a node that was not told where the archive is: old messages are unavailable there."""

    def __init__(self, store: MessageStore, catalog: ArchiveCatalog, segments: Segments | None) -> None:
        self._store = store
        self._catalog = catalog
        self._segments = segments
        self._borders: dict[RoomId, int] = {}

    async def append(self, messages: Sequence[NewMessage]) -> list[Appended | ChatError]:
        return await self._store.append(messages)

    def lane(self, room: RoomId) -> str:
        return self._store.lane(room)

    async def top(self, room: RoomId) -> Position:
        return await self._store.top(room)

    async def tops(self, rooms: Sequence[RoomId]) -> dict[RoomId, Position | Unavailable]:
        return await self._store.tops(rooms)

    async def mentions_of(self, user: UserId, after: float, limit: int) -> list[tuple[RoomId, int, float]]:
        return await self._store.mentions_of(user, after, limit)

    # Reading

    async def read_after(self, room: RoomId, after: int, limit: int) -> list[Message]:
        limit = min(limit, MAX_LIMIT)
        after = max(0, min(after, _MAX_SEQ - MAX_LIMIT))
        page: list[Message] = []
        while len(page) < limit and (more := await self._next(room, after + len(page), limit - len(page))):
            page += more
        return page

    async def read_before(self, room: RoomId, before: int | None, limit: int) -> list[Message]:
        limit = min(limit, MAX_LIMIT)
        last = _MAX_SEQ if before is None else min(before - 1, _MAX_SEQ)
        recent: list[Message] = []
        if last > self._borders.get(room, 0):
            found = await self._store.read_before(room, before, limit)
            # A replica may still have what the archive has by now, perhaps changed.
            recent = [message for message in found if message.seq > self._borders.get(room, 0)]
            last = recent[0].seq - 1 if recent else min(last, await self._border(room))
        first = max(1, last - (limit - len(recent)) + 1)
        return [*await self._old(room, first, last), *recent]

    async def read_one(self, room: RoomId, seq: int) -> Message:
        try:
            return await self._store.read_one(room, seq)
        except NotFound:
            return await self._old_one(room, seq)

    async def _next(self, room: RoomId, after: int, limit: int) -> list[Message]:
        """The messages behind `after`, at least one if there is any."""
        border = self._borders.get(room, 0)
        if after < border:
            return await self._old(room, after + 1, min(after + limit, border))
        recent = await self._store.read_after(room, after, limit)
        if recent and recent[0].seq == after + 1:
            return recent
        last = recent[0].seq - 1 if recent else await self._border(room)
        return await self._old(room, after + 1, min(after + limit, last))

    async def _old(self, room: RoomId, first: int, last: int) -> list[Message]:
        """Messages `first` to `last`, which the store does not have (any more). Raises: Unavailable."""
        if first > last:
            return []
        archived = await self._catalog.archived(room, first, last)
        self._remember(room, archived.border)
        if self._segments is None:
            _log.warning("archive_not_configured", room=room)
            raise Unavailable("old messages are in an archive that this node was not given")
        reads = [
            functools.partial(self._segments.read, room, part, max(first, part.first), min(last, part.last))
            for part in archived.parts
        ]
        rows = [row for rows in await _gathered(reads) for row in rows]
        if [row.seq for row in rows] != list(range(first, last + 1)):
            _log.error("archive_incomplete", room=room, first=first, last=last, border=archived.border)
            raise Unavailable("some old messages are missing")
        return [_message(row, archived) for row in rows]

    async def _old_one(self, room: RoomId, seq: int) -> Message:
        if not 0 < seq <= await self._border(room):
            raise NotFound("no such message")
        [message] = await self._old(room, seq, seq)
        return message

    async def _border(self, room: RoomId) -> int:
        border = await self._catalog.border(room)
        self._remember(room, border)
        return border

    def _remember(self, room: RoomId, border: int) -> None:
        if not border:
            return
        self._borders[room] = max(border, self._borders.pop(room, 0))
        if len(self._borders) > _MAX_BORDERS:
            del self._borders[next(iter(self._borders))]

    # Changing

    async def edit(self, room: RoomId, seq: int, body: dict[str, Any]) -> Message:
        try:
            return await self._store.edit(room, seq, body)
        except NotFound:
            return await self._catalog.revise(await self._old_one(room, seq), body)

    async def delete(self, room: RoomId, seq: int) -> Message:
        try:
            return await self._store.delete(room, seq)
        except NotFound:
            return await self._catalog.revise(await self._old_one(room, seq), None)


async def _gathered(calls: Sequence[Callable[[], Awaitable[T]]]) -> list[T]:
    """The values of calls that run at the same time. Raises: the error of the first that fails."""
    if len(calls) == 1:
        return [await calls[0]()]
    values: dict[int, T] = {}
    refused: list[ChatError] = []

    async def run(number: int) -> None:
        try:
            values[number] = await calls[number]()
        except ChatError as error:
            refused.append(error)
            nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        for number in range(len(calls)):
            nursery.start_soon(run, number)
    if refused:
        raise refused[0]
    return [values[number] for number in range(len(calls))]


def _message(row: ArchivedRow, archived: Archived) -> Message:
    change = archived.changes.get(row.seq) or Change(_decode(row.body), row.revision, row.deleted)
    return Message(
        RoomId(row.room), row.seq, row.ts, UserId(row.user), row.key, change.body, change.revision, change.deleted
    )
