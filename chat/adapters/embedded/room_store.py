"""`RoomStore` on SQLite."""

from __future__ import annotations

import functools
import sqlite3
from collections.abc import Sequence
from types import EllipsisType

from ...domain.errors import ChatError, NotFound
from ...domain.messages import Position
from ...domain.rooms import Member, Role, Room, RoomId, RoomKind
from ...domain.users import UserId
from ..ids import new_epoch, new_id
from ..mentions import MENTIONS, by_room
from .database import SqliteDatabase
from .sql import LAST_CHARACTER, bounded_limit, chunks, flat, values

_ROOM = "rooms.id, rooms.kind, rooms.name, rooms.epoch"


class SqliteRoomStore:
    """Rooms, their members and read marks."""

    def __init__(self, database: SqliteDatabase) -> None:
        self._database = database

    async def create(self, name: str, kind: RoomKind, owner: UserId) -> Room:
        return await self._database.write(functools.partial(_create, name=name, kind=kind, owner=owner))

    async def direct(self, first: UserId, second: UserId) -> Room:
        return await self._database.write(functools.partial(_direct, users={first, second}))

    async def room(self, room: RoomId) -> Room:
        return await self._database.read(functools.partial(_room, room=room))

    async def role(self, room: RoomId, user: UserId) -> tuple[Room, Role | None]:
        return _found(await self._database.read_together(_rooms_and_roles, (room, user)))

    async def role_each(self, asked: Sequence[tuple[RoomId, UserId]]) -> list[tuple[Room, Role | None] | ChatError]:
        answers = await self._database.read(functools.partial(_rooms_and_roles, wanted=asked))
        return [NotFound("no such room") if answer is None else answer for answer in answers]

    async def set_role(
        self, room: RoomId, user: UserId, role: Role | None, *, was: Role | EllipsisType | None = ...
    ) -> bool:
        return await self._database.write(functools.partial(_change_role, room=room, user=user, role=role, was=was))

    async def members(self, room: RoomId, after: UserId | None, limit: int) -> list[Member]:
        return await self._database.read(functools.partial(_members, room=room, after=after, limit=limit))

    async def rooms_of(self, user: UserId) -> list[tuple[Room, Role, Position, int]]:
        return await self._database.read(functools.partial(_rooms_of, user=user))

    async def public_rooms(self, after: RoomId | None, limit: int) -> list[Room]:
        return await self._database.read(functools.partial(_public_rooms, after=after, limit=limit))

    async def search(self, prefix: str, after: RoomId | None, limit: int) -> list[Room]:
        return await self._database.read(functools.partial(_search, prefix=prefix.lower(), after=after, limit=limit))

    async def unread_mentions(self, user: UserId) -> dict[RoomId, list[int]]:
        return await self._database.read(functools.partial(_unread_mentions, user=user))

    async def mark_read(self, marks: Sequence[tuple[RoomId, UserId, int]]) -> list[int]:
        return await self._database.write(functools.partial(_mark_all, marks=marks))


def _create(connection: sqlite3.Connection, name: str, kind: RoomKind, owner: UserId) -> Room:
    room = _insert_room(connection, name, kind, pair=None)
    _set_role(connection, room.id, owner, Role.OWNER)
    return room


def _direct(connection: sqlite3.Connection, users: set[UserId]) -> Room:
    pair = " ".join(sorted(users))
    row = connection.execute(f"SELECT {_ROOM} FROM rooms WHERE pair = ?", (pair,)).fetchone()
    if row is not None:
        return _as_room(row)
    room = _insert_room(connection, "", RoomKind.DIRECT, pair)
    for user in users:
        _set_role(connection, room.id, user, Role.MEMBER)
    return room


def _insert_room(connection: sqlite3.Connection, name: str, kind: RoomKind, pair: str | None) -> Room:
    room = Room(RoomId(new_id()), kind, name, new_epoch())
    connection.execute(
        "INSERT INTO rooms (id, kind, name, lower_name, epoch, pair) VALUES (?, ?, ?, ?, ?, ?)",
        (room.id, room.kind, room.name, room.name.lower(), room.epoch, pair),
    )
    connection.execute("INSERT INTO heads (room, seq, ts) VALUES (?, 0, 0)", (room.id,))
    return room


def _as_room(row: Sequence[str]) -> Room:
    room, kind, name, epoch = row
    return Room(RoomId(room), RoomKind(kind), name, epoch)


def _room(connection: sqlite3.Connection, room: RoomId) -> Room:
    row = connection.execute(f"SELECT {_ROOM} FROM rooms WHERE id = ?", (room,)).fetchone()
    if row is None:
        raise NotFound("no such room")
    return _as_room(row)


def _room_and_role(connection: sqlite3.Connection, room: RoomId, user: UserId) -> tuple[Room, Role | None]:
    (answer,) = _rooms_and_roles(connection, [(room, user)])
    return _found(answer)


def _found(answer: tuple[Room, Role | None] | None) -> tuple[Room, Role | None]:
    if answer is None:
        raise NotFound("no such room")
    return answer


def _rooms_and_roles(
    connection: sqlite3.Connection, wanted: Sequence[tuple[RoomId, UserId]]
) -> list[tuple[Room, Role | None] | None]:
    """Each room and what the user is in it; None if there is no such room."""
    found: dict[tuple[str, str], tuple[Room, Role | None]] = {}
    for chunk in chunks(dict.fromkeys(wanted)):
        query = (
            f"WITH wanted (room, user) AS (VALUES {values(2, len(chunk))}) SELECT {_ROOM}, wanted.user, members.role"
            " FROM wanted CROSS JOIN rooms ON rooms.id = wanted.room"
            " LEFT JOIN members ON members.room = wanted.room AND members.user = wanted.user"
        )
        for *room, user, role in connection.execute(query, flat(chunk)):
            found[room[0], user] = _as_room(room), None if role is None else Role(role)
    return [found.get(asked) for asked in wanted]


def _change_role(
    connection: sqlite3.Connection, room: RoomId, user: UserId, role: Role | None, was: Role | EllipsisType | None
) -> bool:
    _, current = _room_and_role(connection, room, user)
    if role is current or was not in (..., current):
        return False
    _set_role(connection, room, user, role)
    return True


def _set_role(connection: sqlite3.Connection, room: RoomId, user: UserId, role: Role | None) -> None:
    if role is None:
        connection.execute("DELETE FROM members WHERE room = ? AND user = ?", (room, user))
        return
    if connection.execute("SELECT 1 FROM users WHERE id = ?", (user,)).fetchone() is None:
        raise NotFound("no such user")
    connection.execute("REPLACE INTO members (room, user, role) VALUES (?, ?, ?)", (room, user, role))


def _members(connection: sqlite3.Connection, room: RoomId, after: UserId | None, limit: int) -> list[Member]:
    rows = connection.execute(
        "SELECT users.id, users.name, members.role, coalesce(read_marks.seq, 0) FROM members"
        " JOIN users ON users.id = members.user LEFT JOIN read_marks USING (room, user)"
        " WHERE members.room = ? AND members.user > ? ORDER BY members.user LIMIT ?",
        (room, after or "", bounded_limit(limit)),
    )
    return [Member(user, name, Role(role), read_seq) for user, name, role, read_seq in rows]


def _rooms_of(connection: sqlite3.Connection, user: UserId) -> list[tuple[Room, Role, Position, int]]:
    rows = connection.execute(
        f"SELECT {_ROOM}, members.role, heads.seq, coalesce(read_marks.seq, 0) FROM members"
        " JOIN rooms ON rooms.id = members.room JOIN heads ON heads.room = members.room"
        " LEFT JOIN read_marks ON read_marks.room = members.room AND read_marks.user = members.user"
        " WHERE members.user = ? AND members.role != ? ORDER BY rooms.name, rooms.id",
        (user, Role.BANNED),
    )
    return [(room := _as_room(row[:4]), Role(row[4]), Position(room.epoch, row[5]), row[6]) for row in rows]


def _public_rooms(connection: sqlite3.Connection, after: RoomId | None, limit: int) -> list[Room]:
    rows = connection.execute(
        f"SELECT {_ROOM} FROM rooms WHERE kind = 'public' AND id > ? ORDER BY id LIMIT ?",
        (after or "", bounded_limit(limit)),
    )
    return [_as_room(row) for row in rows]


def _search(connection: sqlite3.Connection, prefix: str, after: RoomId | None, limit: int) -> list[Room]:
    behind = ("", "") if after is None else (_room(connection, after).name.lower(), after)
    rows = connection.execute(
        f"SELECT {_ROOM} FROM rooms WHERE lower_name >= ? AND lower_name < ? AND (lower_name, id) > (?, ?)"
        " AND kind != 'direct' ORDER BY lower_name, id LIMIT ?",
        (prefix, prefix + LAST_CHARACTER, *behind, bounded_limit(limit)),
    )
    return [_as_room(row) for row in rows]


def _unread_mentions(connection: sqlite3.Connection, user: UserId) -> dict[RoomId, list[int]]:
    rows = connection.execute(
        "SELECT newest.room, newest.seq FROM"
        " (SELECT room, seq FROM mentions WHERE user = ?1 ORDER BY ts DESC LIMIT ?2) AS newest"
        " LEFT JOIN read_marks ON read_marks.room = newest.room AND read_marks.user = ?1"
        " WHERE newest.seq > coalesce(read_marks.seq, 0) ORDER BY newest.room, newest.seq",
        (user, MENTIONS),
    )
    return by_room(rows)


def _mark_all(connection: sqlite3.Connection, marks: Sequence[tuple[RoomId, UserId, int]]) -> list[int]:
    return [_mark(connection, room, user, seq) for room, user, seq in marks]


def _mark(connection: sqlite3.Connection, room: RoomId, user: UserId, seq: int) -> int:
    """Nobody but a member has a mark to raise; whoever was one keeps it."""
    row = connection.execute(
        "SELECT heads.seq, members.role, coalesce(read_marks.seq, 0) FROM heads"
        " LEFT JOIN members ON members.room = heads.room AND members.user = ?1"
        " LEFT JOIN read_marks ON read_marks.room = heads.room AND read_marks.user = ?1 WHERE heads.room = ?2",
        (user, room),
    ).fetchone()
    top, role, current = row or (0, None, 0)
    raised: int = min(seq, top)
    if role in (None, Role.BANNED) or raised <= current:
        return int(current)
    connection.execute("REPLACE INTO read_marks (room, user, seq) VALUES (?, ?, ?)", (room, user, raised))
    return raised
