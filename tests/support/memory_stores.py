"""The stores as plain dictionaries: no files and no threads, so that the autojump clock works with them."""

from __future__ import annotations

import dataclasses
import itertools
import secrets
import time
from collections.abc import Sequence
from types import EllipsisType
from typing import Any

import trio

from chat.domain.errors import ChatError, Conflict, NotFound, Unavailable
from chat.domain.messages import Appended, Message, NewMessage, Position
from chat.domain.rooms import Member, Role, Room, RoomId, RoomKind
from chat.domain.users import Account, Session, SessionId, User, UserId, fold_name

SESSION_SECONDS = 86_400.0


class MemoryMessageStore:
    """`is_away` makes it refuse; `latency` is how long an answer takes; `reads` counts what it was asked.

    `slow` are rooms in a lane of their own, and how much longer an append to them takes. `unknown` are rooms
    whose position it does not know.
    """

    def __init__(self) -> None:
        self.rooms: dict[RoomId, list[Message]] = {}
        self.epochs: dict[RoomId, str] = {}
        self.slow: dict[RoomId, float] = {}
        self.unknown: set[RoomId] = set()
        self.is_away = False
        self.latency = 0.0
        self.reads: list[tuple[str, Any]] = []
        self._keys: dict[tuple[RoomId, UserId, str], Appended] = {}

    def add_room(self, room: RoomId, epoch: str = "e1") -> None:
        self.rooms.setdefault(room, [])
        self.epochs[room] = epoch

    def commit(self, room: RoomId, user: UserId, body: dict[str, Any], key: str | None = None) -> Message:
        """A message that nobody is told of."""
        messages = self.rooms[room]
        key = key or secrets.token_hex(8)
        messages.append(Message(room, len(messages) + 1, 1_700_000_000_000 + len(messages), user, key, body))
        return messages[-1]

    async def append(self, messages: Sequence[NewMessage]) -> list[Appended | ChatError]:
        await self._answer("append", len(messages))
        await trio.sleep(max((self.slow.get(message.room, 0.0) for message in messages), default=0.0))
        return [self._append(message) for message in messages]

    def lane(self, room: RoomId) -> str:
        return room if room in self.slow else ""

    async def top(self, room: RoomId) -> Position:
        await self._answer("top", room)
        return self._top(room)

    async def tops(self, rooms: Sequence[RoomId]) -> dict[RoomId, Position | Unavailable]:
        await self._answer("tops", len(rooms))
        away = Unavailable("its part of the store is away")
        return {room: away if room in self.unknown else self._top(room) for room in rooms if room in self.rooms}

    async def read_after(self, room: RoomId, after: int, limit: int) -> list[Message]:
        assert 1 <= limit <= 500
        await self._answer("read_after", (room, after, limit))
        return self.rooms[room][after : after + limit]

    async def read_before(self, room: RoomId, before: int | None, limit: int) -> list[Message]:
        assert 1 <= limit <= 500
        await self._answer("read_before", (room, before, limit))
        messages = self.rooms[room][: before and before - 1]
        return messages[-limit:]

    async def read_one(self, room: RoomId, seq: int) -> Message:
        await self._answer("read_one", (room, seq))
        return self._one(room, seq)

    async def edit(self, room: RoomId, seq: int, body: dict[str, Any]) -> Message:
        await self._answer("edit", (room, seq))
        old = self._one(room, seq)
        if old.deleted:
            raise NotFound("it was deleted")
        return self._replace(old, body, deleted=False)

    async def delete(self, room: RoomId, seq: int) -> Message:
        await self._answer("delete", (room, seq))
        old = self._one(room, seq)
        return old if old.deleted else self._replace(old, {}, deleted=True)

    async def mentions_of(self, user: UserId, after: float, limit: int) -> list[tuple[RoomId, int, float]]:
        return []

    async def _answer(self, what: str, about: Any) -> None:
        self.reads.append((what, about))
        await trio.sleep(self.latency)
        if self.is_away:
            raise Unavailable("the store is away")

    def _append(self, new: NewMessage) -> Appended | ChatError:
        if new.room not in self.rooms:
            return NotFound("no such room")
        key = (new.room, new.user, new.key)
        if (first := self._keys.get(key)) is not None:
            return Appended(first.epoch, first.seq, first.ts, True)
        message = self.commit(new.room, new.user, new.body, new.key)
        self._keys[key] = Appended(self.epochs[new.room], message.seq, message.ts, False)
        return self._keys[key]

    def _top(self, room: RoomId) -> Position:
        if room not in self.rooms:
            raise NotFound("no such room")
        return Position(self.epochs[room], len(self.rooms[room]))

    def _one(self, room: RoomId, seq: int) -> Message:
        if not 1 <= seq <= len(self.rooms.get(room, ())):
            raise NotFound("no such message")
        return self.rooms[room][seq - 1]

    def _replace(self, old: Message, body: dict[str, Any], *, deleted: bool) -> Message:
        new = Message(old.room, old.seq, old.ts, old.user, old.key, body, old.revision + 1, deleted)
        self.rooms[old.room][old.seq - 1] = new
        return new


class MemoryUserStore:
    def __init__(self) -> None:
        self.users: dict[UserId, User] = {}
        self._numbers = itertools.count(1)

    async def create(self, name: str, password_hash: str) -> User:
        if any(fold_name(user.name) == fold_name(name) for user in self.users.values()):
            raise Conflict("the name is taken")
        user = User(UserId(f"u{next(self._numbers)}"), name)
        self.users[user.id] = user
        return user

    async def user(self, user: UserId) -> User:
        if user not in self.users:
            raise NotFound("no such user")
        return self.users[user]

    async def by_name(self, name: str) -> tuple[User, str, bool] | None:
        return None

    async def names(self, users: Sequence[UserId]) -> dict[UserId, str]:
        await trio.lowlevel.checkpoint()
        return {user: self.users[user].name for user in users if user in self.users}

    async def set_password_hash(self, user: UserId, password_hash: str) -> None:
        await self.user(user)

    async def set_banned(self, user: UserId, banned: bool) -> None:
        await self.user(user)

    async def set_admin(self, user: UserId, admin: bool) -> None:
        self.users[user] = dataclasses.replace(await self.user(user), admin=admin)

    async def search(self, prefix: str, after: UserId | None, limit: int) -> list[Account]:
        return []


class MemorySessionStore:
    """`latency` is how long a touch takes; `touched` counts the sessions of each call."""

    def __init__(self) -> None:
        self.touched: list[int] = []
        self.sessions: dict[SessionId, Session] = {}
        self.latency = 0.0

    async def create(self, user: UserId) -> Session:
        session = Session(SessionId(secrets.token_hex(16)), user, time.time(), time.time() + SESSION_SECONDS)
        self.sessions[session.id] = session
        return session

    async def touch(self, session: SessionId) -> Session | None:
        [found] = await self.touch_each([session])
        assert not isinstance(found, Unavailable)
        return found

    async def touch_each(self, sessions: Sequence[SessionId]) -> list[Session | Unavailable | None]:
        self.touched.append(len(sessions))
        found: list[Session | Unavailable | None] = [self.sessions.get(session) for session in sessions]
        await trio.sleep(self.latency)
        return found

    async def restore(self, session: SessionId, user: UserId) -> Session | None:
        return None

    async def revoke(self, session: SessionId) -> bool:
        return self.sessions.pop(session, None) is not None

    async def revoke_user(self, user: UserId) -> list[SessionId]:
        ended = [session.id for session in self.sessions.values() if session.user == user]
        for session in ended:
            del self.sessions[session]
        return ended


class MemoryRoomStore:
    """Shares the rooms' epochs and tops with the message store.

    `is_away` makes it refuse to say roles, `latency` is how long it takes to; `reads` are the roles that it was
    asked for, `batches` how many at a time where it was asked for many.
    """

    def __init__(self, messages: MemoryMessageStore, users: MemoryUserStore) -> None:
        self.rooms: dict[RoomId, Room] = {}
        self.roles: dict[RoomId, dict[UserId, Role]] = {}
        self.marks: dict[tuple[RoomId, UserId], int] = {}
        self.reads: list[tuple[RoomId, UserId]] = []
        self.batches: list[int] = []
        self.is_away = False
        self.latency = 0.0
        self._messages = messages
        self._users = users
        self._numbers = itertools.count(1)

    async def create(self, name: str, kind: RoomKind, owner: UserId) -> Room:
        room = Room(RoomId(f"r{next(self._numbers)}"), kind, name, "e1")
        self._messages.add_room(room.id)
        self.rooms[room.id] = room
        self.roles[room.id] = {owner: Role.OWNER}
        return room

    async def direct(self, first: UserId, second: UserId) -> Room:
        room = await self.create("", RoomKind.DIRECT, first)
        self.roles[room.id] = {first: Role.MEMBER, second: Role.MEMBER}
        return room

    async def room(self, room: RoomId) -> Room:
        if room not in self.rooms:
            raise NotFound("no such room")
        return self.rooms[room]

    async def role(self, room: RoomId, user: UserId) -> tuple[Room, Role | None]:
        [answer] = await self._role_each([(room, user)])
        if isinstance(answer, ChatError):
            raise answer
        return answer

    async def role_each(self, asked: Sequence[tuple[RoomId, UserId]]) -> list[tuple[Room, Role | None] | ChatError]:
        self.batches.append(len(asked))
        return await self._role_each(asked)

    async def _role_each(self, asked: Sequence[tuple[RoomId, UserId]]) -> list[tuple[Room, Role | None] | ChatError]:
        if self.is_away:
            raise Unavailable("the rooms are away")
        self.reads += asked
        answers: list[tuple[Room, Role | None] | ChatError] = [
            (self.rooms[room], self.roles[room].get(user)) if room in self.rooms else NotFound("no such room")
            for room, user in asked
        ]
        await trio.sleep(self.latency)
        return answers

    async def set_role(
        self, room: RoomId, user: UserId, role: Role | None, *, was: Role | EllipsisType | None = ...
    ) -> bool:
        roles = self.roles[room]
        if (was is not ... and roles.get(user) is not was) or roles.get(user) is role:
            return False
        if role is None:
            del roles[user]
        else:
            roles[user] = role
        return True

    async def members(self, room: RoomId, after: UserId | None, limit: int) -> list[Member]:
        found = sorted(user for user in self.roles[room] if after is None or user > after)
        return [Member(user, self._users.users[user].name, self.roles[room][user], 0) for user in found[:limit]]

    async def rooms_of(self, user: UserId) -> list[tuple[Room, Role, Position, int]]:
        return []

    async def public_rooms(self, after: RoomId | None, limit: int) -> list[Room]:
        return []

    async def search(self, prefix: str, after: RoomId | None, limit: int) -> list[Room]:
        return []

    async def unread_mentions(self, user: UserId) -> dict[RoomId, list[int]]:
        return {}

    async def mark_read(self, marks: Sequence[tuple[RoomId, UserId, int]]) -> list[int]:
        result = []
        for room, user, seq in marks:
            top = len(self._messages.rooms[room])
            self.marks[room, user] = max(self.marks.get((room, user), 0), min(seq, top))
            result.append(self.marks[room, user])
        return result
