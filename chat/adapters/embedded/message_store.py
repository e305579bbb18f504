"""`MessageStore` on SQLite."""

from __future__ import annotations

import functools
import itertools
import sqlite3
import time
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import trio

from ...domain.errors import ChatError, Invalid, NotFound, Unavailable
from ...domain.messages import Appended, Message, NewMessage, Position
from ...domain.rooms import RoomId
from ...domain.users import UserId
from .appends import Row, append_calls
from .database import SqliteDatabase
from .journal import Journal, Stored, newest_of
from .sql import bounded_limit, bounded_seq, chunks, marks

_COLUMNS = "room, seq, ts, user, key, body, revision, deleted"
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(dict[str, Any]).decode
_EMPTY = _encode({})


class SqliteMessageStore:
    """The history of all rooms, clustered by (room, seq); `clock` gives seconds since the epoch."""

    def __init__(self, database: SqliteDatabase, *, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock
        self._journal = Journal()
        self._append_waiting = self._append_calls  # bound once: what waits for the same work is done together

    async def append(self, messages: Sequence[NewMessage]) -> list[Appended | ChatError]:
        prepared = [_row(message) for message in messages]
        rows = [row for row in prepared if isinstance(row, Row)]
        if not rows:
            await trio.lowlevel.checkpoint()
        answers = iter(await self._database.write_together(self._append_waiting, rows, len(rows)) if rows else ())
        return [next(answers) if isinstance(row, Row) else row for row in prepared]

    def lane(self, room: RoomId) -> str:
        return ""  # one writer commits everything

    async def top(self, room: RoomId) -> Position:
        found = await self._tops([room])
        if room not in found:
            raise NotFound("no such room")
        return found[room]

    async def tops(self, rooms: Sequence[RoomId]) -> dict[RoomId, Position | Unavailable]:
        return {**await self._tops(rooms)}

    async def read_after(self, room: RoomId, after: int, limit: int) -> list[Message]:
        return await self._database.read(functools.partial(_after, room=room, after=after, limit=limit))

    async def read_before(self, room: RoomId, before: int | None, limit: int) -> list[Message]:
        return await self._database.read(functools.partial(_before, room=room, before=before, limit=limit))

    async def read_one(self, room: RoomId, seq: int) -> Message:
        return await self._database.read(functools.partial(_one, room=room, seq=seq))

    async def edit(self, room: RoomId, seq: int, body: dict[str, Any]) -> Message:
        edit = functools.partial(_edit, room=room, seq=seq, body=_encoded(body))
        return await self._database.write(functools.partial(self._change, change=edit))

    async def delete(self, room: RoomId, seq: int) -> Message:
        delete = functools.partial(_delete, room=room, seq=seq)
        return await self._database.write(functools.partial(self._change, change=delete))

    async def mentions_of(self, user: UserId, after: float, limit: int) -> list[tuple[RoomId, int, float]]:
        return await self._database.read(functools.partial(_mentions, user=user, after=after, limit=limit))

    def _change(self, connection: sqlite3.Connection, change: Callable[[sqlite3.Connection], Message]) -> Message:
        self._journal.fold(connection)
        return change(connection)

    async def _tops(self, rooms: Sequence[RoomId]) -> dict[RoomId, Position]:
        return await self._database.read(functools.partial(_tops, rooms=rooms))

    def _append_calls(
        self, connection: sqlite3.Connection, calls: Sequence[Sequence[Row]]
    ) -> list[list[Appended | ChatError]]:
        return append_calls(connection, self._journal, calls, round(self._clock() * 1000))


def _row(message: NewMessage) -> Row | Invalid:
    try:
        message.key.encode()
    except UnicodeEncodeError:
        return Invalid("key is no valid text")
    try:
        return Row(message.room, message.user, message.key, _encoded(message.body), message.mentions)
    except Invalid as refused:
        return refused


def _encoded(body: dict[str, Any]) -> bytes:
    try:
        return _encode(body)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise Invalid("body holds a value that cannot be stored") from error


def _message(row: tuple[Any, ...]) -> Message:
    room, seq, ts, user, key, body, revision, deleted = row
    return Message(room, seq, ts, user, key, _decode(body), revision, bool(deleted))


def _tops(connection: sqlite3.Connection, rooms: Sequence[RoomId]) -> dict[RoomId, Position]:
    found: dict[RoomId, Position] = {}
    for chunk in chunks(rooms):
        query = f"SELECT id, epoch, seq FROM rooms JOIN heads ON room = id WHERE id IN ({marks(len(chunk))})"
        found |= {room: Position(epoch, seq) for room, epoch, seq in connection.execute(query, chunk)}
    return found


def _after(connection: sqlite3.Connection, room: RoomId, after: int, limit: int) -> list[Message]:
    query = f"SELECT {_COLUMNS} FROM messages WHERE room = ? AND seq > ? ORDER BY seq LIMIT ?"
    rows = connection.execute(query, (room, bounded_seq(after), bounded_limit(limit)))
    newest = [row for row in newest_of(connection, room) if row.seq > after]
    found = itertools.islice(itertools.chain(rows, map(_unchanged, newest)), bounded_limit(limit))
    return [_message(row) for row in found]


def _before(connection: sqlite3.Connection, room: RoomId, before: int | None, limit: int) -> list[Message]:
    query = f"SELECT {_COLUMNS} FROM messages WHERE room = ? AND seq < ? ORDER BY seq DESC LIMIT ?"
    rows = connection.execute(query, (room, bounded_seq(before), bounded_limit(limit)))
    newest = [row for row in newest_of(connection, room) if before is None or row.seq < before]
    found = itertools.islice(itertools.chain(map(_unchanged, reversed(newest)), rows), bounded_limit(limit))
    return [_message(row) for row in found][::-1]


def _one(connection: sqlite3.Connection, room: RoomId, seq: int) -> Message:
    found = _after(connection, room, seq - 1, 1)
    if not found or found[0].seq != seq:
        raise NotFound("no such message")
    return found[0]


def _unchanged(stored: Stored) -> tuple[Any, ...]:
    """A message of the journal as a row of the table."""
    return (*stored, 0, 0)


def _edit(connection: sqlite3.Connection, room: RoomId, seq: int, body: bytes) -> Message:
    if _one(connection, room, seq).deleted:
        raise NotFound("the message was deleted")
    _revise(connection, room, seq, body, deleted=False)
    return _one(connection, room, seq)


def _delete(connection: sqlite3.Connection, room: RoomId, seq: int) -> Message:
    if (message := _one(connection, room, seq)).deleted:
        return message
    _revise(connection, room, seq, _EMPTY, deleted=True)
    connection.execute("DELETE FROM mentions WHERE room = ? AND seq = ?", (room, seq))
    return _one(connection, room, seq)


def _revise(connection: sqlite3.Connection, room: RoomId, seq: int, body: bytes, *, deleted: bool) -> None:
    connection.execute(
        "UPDATE messages SET body = ?, deleted = ?, revision = revision + 1 WHERE room = ? AND seq = ?",
        (body, deleted, room, seq),
    )


def _mentions(
    connection: sqlite3.Connection, user: UserId, after: float, limit: int
) -> list[tuple[RoomId, int, float]]:
    query = "SELECT room, seq, ts FROM mentions WHERE user = ? AND ts > ? ORDER BY ts, room, seq LIMIT ?"
    rows = connection.execute(query, (user, round(after * 1000), bounded_limit(limit)))
    return [(room, seq, ts / 1000) for room, seq, ts in rows]
