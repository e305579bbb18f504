"""`RoomStore` on MySQL or MariaDB: rooms with members and marks sharded by room, a user's list of rooms by user."""

from __future__ import annotations

import base64
import functools
import hashlib
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import EllipsisType
from typing import Any

import structlog
from asyncmy.errors import IntegrityError

from ...domain.errors import ChatError, NotFound, Unavailable
from ...domain.messages import Position
from ...domain.rooms import Member, Role, Room, RoomId, RoomKind
from ...domain.users import UserId
from ..ids import new_epoch, new_id
from ..mentions import MENTIONS, by_room
from .mysql_errors import DUPLICATE_KEY, code_of
from .mysql_pool import Change, Session
from .mysql_shards import MySqlShards
from .mysql_sql import LAST_CHARACTER, bounded_limit, chunks, flat, marks, table, values
from .shard_map import Kind
from .user_store import names_of

STALE_AFTER_SECONDS = 24 * 3600.0
"""How old an entry in a user's list must be to be taken out: far beyond the deadline of any write under way.

And beyond what a node's clock may be wrong by: each enters its own time.
"""
_ROOM = "rooms.id, rooms.kind, rooms.name, rooms.epoch"
_log = structlog.get_logger("chat.mysql")

Listed = tuple[Room, Role, Position, int]
_Roles = tuple[Room, dict[UserId, Role | None]]


class MySqlRoomStore:
    """Rooms, their members and read marks; `clock` gives seconds since the epoch.

    What somebody is in a room is decided by the room's shard alone. The user's list says where to ask: a room is
    entered there before its members are written and taken out long after, so it may name too many rooms and
    never too few, whatever fails in between; reading it puts it right.
    """

    def __init__(self, shards: MySqlShards, *, clock: Callable[[], float] = time.time) -> None:
        self._shards = shards
        self._clock = clock

    async def create(self, name: str, kind: RoomKind, owner: UserId) -> Room:
        return await self._create(Room(RoomId(new_id()), kind, name, new_epoch()), {owner: Role.OWNER})

    async def direct(self, first: UserId, second: UserId) -> Room:
        room = _direct_id(first, second)
        try:
            return await self.room(room)
        except NotFound:
            return await self._create(
                Room(room, RoomKind.DIRECT, "", new_epoch()), dict.fromkeys((first, second), Role.MEMBER)
            )

    async def room(self, room: RoomId) -> Room:
        return await self._shards.on(Kind.ROOMS, room, functools.partial(_room, room=room))

    async def role(self, room: RoomId, user: UserId) -> tuple[Room, Role | None]:
        return await self._shards.on(Kind.ROOMS, room, functools.partial(_room_and_role, room=room, user=user))

    async def role_each(self, asked: Sequence[tuple[RoomId, UserId]]) -> list[tuple[Room, Role | None] | ChatError]:
        users: dict[RoomId, list[UserId]] = {}
        for room, user in asked:
            users.setdefault(room, []).append(user)

        async def ask(session: Session, rooms: list[RoomId]) -> dict[RoomId, _Roles | Unavailable]:
            return {**await _roles(session, {room: users[room] for room in rooms})}

        found: dict[RoomId, _Roles | Unavailable] = {}
        for part in await self._shards.on_each(Kind.ROOMS, users, ask, instead=dict.fromkeys):
            found |= part
        return [_role_in(found.get(room), user) for room, user in asked]

    async def set_role(
        self, room: RoomId, user: UserId, role: Role | None, *, was: Role | EllipsisType | None = ...
    ) -> bool:
        if role is not None:
            await self.room(room)  # whoever names rooms that do not exist shall not fill lists with them
            await self._enter_in_list(room, [user])
        work = functools.partial(_change_role, room=room, user=user, role=role, was=was)
        changes = [Change("members", room, user)]
        return await self._shards.on(Kind.ROOMS, room, work, transaction=True, idempotent=False, changes=changes)

    async def members(self, room: RoomId, after: UserId | None, limit: int) -> list[Member]:
        rows = await self._shards.on(Kind.ROOMS, room, functools.partial(_members, room=room, after=after, limit=limit))
        names = await names_of(self._shards, [user for user, _, _ in rows])
        return [Member(user, names.get(user, ""), role, read_seq) for user, role, read_seq in rows]

    async def rooms_of(self, user: UserId) -> list[Listed]:
        listed = await self._shards.on(Kind.USERS, user, functools.partial(_list_of, user=user))

        async def ask(session: Session, rooms: list[RoomId]) -> list[Listed]:
            return await _memberships(session, user, rooms)

        found = [row for part in await self._shards.on_each(Kind.ROOMS, listed, ask) for row in part]
        member_of = {room.id for room, *_ in found}
        stale_before = self._milliseconds() - round(STALE_AFTER_SECONDS * 1000)
        if stale := [room for room, touched in listed.items() if room not in member_of and touched < stale_before]:
            await self._take_out_of_list(user, stale, stale_before)
        visible = [row for row in found if row[1] is not Role.BANNED]
        return sorted(visible, key=lambda row: (row[0].name, row[0].id))

    async def public_rooms(self, after: RoomId | None, limit: int) -> list[Room]:
        """Rooms of a shard that is away are left out, so that all others can still be found."""
        pages = await self._shards.on_all(functools.partial(_public_rooms, after=after, limit=limit))
        return sorted((room for page in pages for room in page), key=lambda room: room.id)[: bounded_limit(limit)]

    async def search(self, prefix: str, after: RoomId | None, limit: int) -> list[Room]:
        behind = ("", "") if after is None else ((await self.room(after)).name.lower(), after)
        limit = bounded_limit(limit)
        work = functools.partial(_search, prefix=prefix.lower(), behind=behind, limit=limit)
        found = sorted(row for page in await self._shards.on_all(work) for row in page)
        return [_as_room(row[1:]) for row in found[:limit]]

    async def unread_mentions(self, user: UserId) -> dict[RoomId, list[int]]:
        found = await self._shards.on_all(functools.partial(_unread_mentions, user=user))
        # While a room moves, two shards have its mentions.
        return by_room(sorted({mention for part in found for mention in part}))

    async def mark_read(self, marks: Sequence[tuple[RoomId, UserId, int]]) -> list[int]:
        async def mark(session: Session, rooms: list[RoomId]) -> dict[int, int]:
            here = set(rooms)
            return await _mark(session, {n: each for n, each in enumerate(marks) if each[0] in here})

        def changes(rooms: list[RoomId]) -> list[Change]:
            here = set(rooms)
            return [Change("read_marks", room, user) for room, user, _ in marks if room in here]

        answers: dict[int, int] = {}
        rooms = [room for room, _, _ in marks]
        for part in await self._shards.on_each(Kind.ROOMS, rooms, mark, transaction=True, changes=changes):
            answers |= part
        return [answers[number] for number in range(len(marks))]

    async def _create(self, room: Room, roles: dict[UserId, Role]) -> Room:
        await self._enter_in_list(room.id, roles)
        work = functools.partial(_insert, room=room, roles=roles)
        changes = [Change("rooms", room.id), *(Change("members", room.id, user) for user in roles)]
        return await self._shards.on(Kind.ROOMS, room.id, work, transaction=True, changes=changes)

    async def _enter_in_list(self, room: RoomId, users: Iterable[UserId]) -> None:
        """Raises: NotFound if a user does not exist, which then is in nobody's way."""
        for user in users:
            work = functools.partial(_enter, user=user, room=room, now=self._milliseconds())
            changes = [Change("user_rooms", user, room)]
            await self._shards.on(Kind.USERS, user, work, transaction=True, changes=changes)

    async def _take_out_of_list(self, user: UserId, rooms: Sequence[RoomId], before: int) -> None:
        work = functools.partial(_take_out, user=user, rooms=rooms, before=before)
        try:
            changes = [Change("user_rooms", user, room) for room in rooms]
            await self._shards.on(Kind.USERS, user, work, transaction=True, changes=changes)
        except ChatError as error:
            _log.warning("room_list_not_repaired", rooms=len(rooms), error=error.code)

    def _milliseconds(self) -> int:
        return round(self._clock() * 1000)


def _direct_id(first: UserId, second: UserId) -> RoomId:
    """Made of the pair, so that however many make the room at once, they make the same one."""
    pair = " ".join(sorted({first, second}))
    digest = hashlib.blake2b(pair.encode(), digest_size=20, person=b"direct room").digest()
    return RoomId(base64.b32encode(digest).decode("ascii").lower())


def _as_room(row: Sequence[Any]) -> Room:
    room, kind, name, epoch = row
    return Room(RoomId(room.decode()), RoomKind(kind.decode()), name, epoch.decode())


async def _room(session: Session, room: RoomId) -> Room:
    rows = await session.rows_of(Kind.ROOMS, room, f"SELECT {_ROOM} FROM {session.home('rooms')} WHERE id = %s", [room])
    if not rows:
        raise NotFound("no such room")
    return _as_room(rows[0])


async def _room_and_role(session: Session, room: RoomId, user: UserId) -> tuple[Room, Role | None]:
    answer = _role_in((await _roles(session, {room: [user]})).get(room), user)
    if isinstance(answer, ChatError):
        raise answer
    return answer


async def _roles(session: Session, users: Mapping[RoomId, Sequence[UserId]]) -> dict[RoomId, _Roles]:
    """Every room that is here, and what its `users` are in it."""

    async def ask(rooms: Sequence[RoomId]) -> dict[RoomId, _Roles]:
        found: dict[RoomId, _Roles] = {}
        for chunk in chunks((room, user) for room in rooms for user in users[room]):
            query = (
                f"SELECT {_ROOM}, wanted.user, members.role FROM {table(('room', 'user'), len(chunk))} AS wanted"
                f" STRAIGHT_JOIN {session.home('rooms')} AND rooms.id = wanted.room"
                " LEFT JOIN members ON members.room = rooms.id AND members.user = wanted.user"
            )
            for *row, user, role in await session.rows(query, flat(chunk)):
                room = _as_room(row)
                _, roles = found.setdefault(room.id, (room, {}))
                roles[UserId(user.decode())] = role and Role(role.decode())
        return found

    return await session.each_of(Kind.ROOMS, list(users), ask)


def _role_in(found: _Roles | Unavailable | None, user: UserId) -> tuple[Room, Role | None] | ChatError:
    match found:
        case Unavailable():
            return found
        case None:
            return NotFound("no such room")
        case room, roles:
            return room, roles.get(user)


async def _insert(session: Session, room: Room, roles: dict[UserId, Role]) -> Room:
    """Twice is once: the room that is there already is the answer."""
    query = f"SELECT {_ROOM} FROM rooms WHERE id = %s"
    if rows := await session.rows(query, (room.id,)):
        return _as_room(rows[0])
    insert = "INSERT INTO rooms (id, kind, name, epoch) VALUES (%s, %s, %s, %s)"
    try:
        await session.execute(insert, (room.id, room.kind, room.name, room.epoch))
    except IntegrityError as error:
        if code_of(error) != DUPLICATE_KEY:
            raise
        return _as_room((await session.rows(query, (room.id,)))[0])
    await session.execute(
        f"INSERT INTO members (room, user, role) VALUES {values(3, len(roles))}",
        flat((room.id, user, role) for user, role in roles.items()),
    )
    return room


async def _change_role(
    session: Session, room: RoomId, user: UserId, role: Role | None, was: Role | EllipsisType | None
) -> bool:
    if not await session.rows("SELECT 1 FROM rooms WHERE id = %s FOR UPDATE", (room,)):
        raise NotFound("no such room")
    _, current = await _room_and_role(session, room, user)
    if role is current or was not in (..., current):
        return False
    if role is None:
        await session.execute("DELETE FROM members WHERE room = %s AND user = %s", (room, user))
    else:
        await session.execute("REPLACE INTO members (room, user, role) VALUES (%s, %s, %s)", (room, user, role))
    return True


async def _members(session: Session, room: RoomId, after: UserId | None, limit: int) -> list[tuple[UserId, Role, int]]:
    query = (
        f"SELECT members.user, members.role, COALESCE(read_marks.seq, 0) FROM {session.home('rooms')}"
        " STRAIGHT_JOIN members ON members.room = rooms.id"
        " LEFT JOIN read_marks ON read_marks.room = rooms.id AND read_marks.user = members.user"
        " WHERE rooms.id = %s AND members.user > %s ORDER BY members.user LIMIT %s"
    )
    rows = await session.rows_of(Kind.ROOMS, room, query, (room, after or "", bounded_limit(limit)))
    return [(UserId(user.decode()), Role(role.decode()), read_seq) for user, role, read_seq in rows]


async def _memberships(session: Session, user: UserId, rooms: list[RoomId]) -> list[Listed]:
    """Those of `rooms` that the user has a row in, bans included."""

    async def ask(rooms: Sequence[RoomId]) -> dict[RoomId, Listed | None]:
        return await _listed(session, user, rooms)

    found = await session.each_of(Kind.ROOMS, rooms, ask)
    return [row for row in found.values() if row is not None]


async def _listed(session: Session, user: UserId, rooms: Sequence[RoomId]) -> dict[RoomId, Listed | None]:
    """Every room that is here; None if the user has no row in it."""
    found: dict[RoomId, Listed | None] = {}
    for chunk in chunks(rooms):
        query = (
            f"SELECT {_ROOM}, rooms.seq, members.role, COALESCE(read_marks.seq, 0) FROM {session.home('rooms')}"
            " LEFT JOIN members ON members.room = rooms.id AND members.user = %s"
            " LEFT JOIN read_marks ON read_marks.room = rooms.id AND read_marks.user = %s"
            f" WHERE rooms.id IN ({marks(len(chunk))})"
        )
        for row in await session.rows(query, (user, user, *chunk)):
            room, role = _as_room(row[:4]), row[5]
            found[room.id] = role and (room, Role(role.decode()), Position(room.epoch, row[4]), row[6])
    return found


async def _public_rooms(session: Session, after: RoomId | None, limit: int) -> list[Room]:
    """Those that this shard owns: while rooms move, two shards have them."""
    query = (
        f"SELECT {_ROOM} FROM {session.home('rooms')}"
        f" WHERE rooms.kind = '{RoomKind.PUBLIC.value}' AND rooms.id > %s ORDER BY rooms.id LIMIT %s"
    )
    rows = await session.rows(query, (after or "", bounded_limit(limit)))
    return [_as_room(row) for row in rows]


async def _search(session: Session, prefix: str, behind: tuple[str, str], limit: int) -> list[tuple[Any, ...]]:
    """Lower names and rooms. Those that this shard owns: while rooms move, two shards have them."""
    query = (
        f"SELECT lower_name, {_ROOM} FROM {session.home('rooms')}"
        " WHERE lower_name >= %s AND lower_name < %s AND (lower_name > %s OR (lower_name = %s AND rooms.id > %s))"
        f" AND rooms.kind <> '{RoomKind.DIRECT.value}' ORDER BY lower_name, rooms.id LIMIT %s"
    )
    name, room = behind
    parameters = (prefix, prefix + LAST_CHARACTER, name, name, room, limit)
    return list(await session.rows(query, parameters))


async def _unread_mentions(session: Session, user: UserId) -> list[tuple[str, int]]:
    """Those of rooms that this shard has: a copy on its way in or out knows nothing of the newest marks."""
    query = (
        "SELECT newest.room, newest.seq FROM"
        " (SELECT room, seq FROM mentions WHERE user = %s ORDER BY ts DESC LIMIT %s) AS newest"
        f" STRAIGHT_JOIN ({session.home('rooms')}) ON rooms.id = newest.room"
        " LEFT JOIN read_marks ON read_marks.room = newest.room AND read_marks.user = %s"
        " WHERE newest.seq > COALESCE(read_marks.seq, 0)"
    )
    return [(room.decode(), seq) for room, seq in await session.rows(query, (user, MENTIONS, user))]


async def _mark(session: Session, wanted: dict[int, tuple[RoomId, UserId, int]]) -> dict[int, int]:
    """Nobody but a member has a mark to raise; whoever was one keeps it."""
    pairs = list(dict.fromkeys((room, user) for room, user, _ in wanted.values()))
    state = await _mark_state(session, pairs)
    answers: dict[int, int] = {}
    raised: dict[tuple[RoomId, UserId], int] = {}
    for number, (room, user, seq) in wanted.items():
        top, may_raise, current = state.get((room, user), (0, False, 0))
        mark = min(seq, top)
        if may_raise and mark > current:
            state[room, user] = (top, may_raise, mark)
            raised[room, user] = current = mark
        answers[number] = current
    for chunk in chunks((room, user, mark) for (room, user), mark in raised.items()):
        await session.execute(
            f"INSERT INTO read_marks (room, user, seq) SELECT new.room, new.user, new.mark FROM"
            f" {table(('room', 'user', 'mark'), len(chunk))} AS new"
            " ON DUPLICATE KEY UPDATE read_marks.seq = GREATEST(read_marks.seq, new.mark)",
            flat(chunk),
        )
    return answers


async def _mark_state(
    session: Session, pairs: Sequence[tuple[RoomId, UserId]]
) -> dict[tuple[RoomId, UserId], tuple[int, bool, int]]:
    """The room's top, whether the user is a member, and the user's mark."""
    found: dict[tuple[RoomId, UserId], tuple[int, bool, int]] = {}
    for chunk in chunks(pairs):
        query = (
            "SELECT wanted.room, wanted.user, rooms.seq, members.role, COALESCE(read_marks.seq, 0) FROM"
            f" {table(('room', 'user'), len(chunk))} AS wanted STRAIGHT_JOIN rooms ON rooms.id = wanted.room"
            " LEFT JOIN members ON members.room = rooms.id AND members.user = wanted.user"
            " LEFT JOIN read_marks ON read_marks.room = rooms.id AND read_marks.user = wanted.user"
        )
        for room, user, top, role, current in await session.rows(query, flat(chunk)):
            may_raise = role is not None and role.decode() != Role.BANNED
            found[RoomId(room.decode()), UserId(user.decode())] = (top, may_raise, current)
    return found


async def _list_of(session: Session, user: UserId) -> dict[RoomId, int]:
    """The rooms of the user's list, and when each was entered."""
    query = (
        f"SELECT user_rooms.room, user_rooms.touched FROM {session.home('users')}"
        " LEFT JOIN user_rooms ON user_rooms.user = users.id WHERE users.id = %s"
    )
    rows = await session.rows_of(Kind.USERS, user, query, [user])
    return {RoomId(room.decode()): touched for room, touched in rows if room is not None}


async def _enter(session: Session, user: UserId, room: RoomId, now: int) -> None:
    if not await session.rows("SELECT 1 FROM users WHERE id = %s LOCK IN SHARE MODE", (user,)):
        raise NotFound("no such user")
    await session.execute(
        "INSERT INTO user_rooms (user, room, touched) VALUES (%s, %s, %s) ON DUPLICATE KEY UPDATE touched = %s",
        (user, room, now, now),
    )


async def _take_out(session: Session, user: UserId, rooms: Sequence[RoomId], before: int) -> None:
    """Only what was entered before a time: what is entered now may become a membership the next moment."""
    for chunk in chunks(rooms):
        await session.execute(
            f"DELETE FROM user_rooms WHERE user = %s AND touched < %s AND room IN ({marks(len(chunk))})",
            (user, before, *chunk),
        )
