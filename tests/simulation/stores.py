"""The stores that all nodes share, and what each node sees of them."""

from __future__ import annotations

from collections.abc import Sequence
from types import EllipsisType
from typing import Any

import trio

from chat.adapters.embedded.presence_store import MemoryPresenceStore
from chat.domain.errors import ChatError, Unavailable
from chat.domain.messages import Appended, Message, NewMessage, Position
from chat.domain.rooms import Role, RoomId, RoomKind
from chat.domain.users import UserId
from tests.support.history_checker import History, Row
from tests.support.memory_stores import MemoryMessageStore, MemoryRoomStore, MemorySessionStore, MemoryUserStore

from .life import Link

SHARDS = 2


class RecordedMessages(MemoryMessageStore):
    """Knows when each message was committed."""

    def __init__(self) -> None:
        super().__init__()
        self.committed: dict[tuple[RoomId, int], float] = {}

    def commit(self, room: RoomId, user: UserId, body: dict[str, Any], key: str | None = None) -> Message:
        message = super().commit(room, user, body, key)
        self.committed[room, message.seq] = trio.current_time()
        return message

    def rows(self, room: RoomId) -> list[Row]:
        """The history of a room as the checker wants it."""
        epoch = self.epochs[room]
        return [
            Row(one.seq, one.user, one.key, epoch, one.body["text"], self.committed[room, one.seq])
            for one in self.rooms[room]
        ]


class RecordedRooms(MemoryRoomStore):
    """Writes down who becomes a member and who is one no more, at the moment of the commit."""

    def __init__(self, messages: MemoryMessageStore, users: MemoryUserStore, history: History) -> None:
        super().__init__(messages, users)
        self._history = history

    async def set_role(
        self, room: RoomId, user: UserId, role: Role | None, *, was: Role | EllipsisType | None = ...
    ) -> bool:
        changed = await super().set_role(room, user, role, was=was)
        if changed and role in (None, Role.BANNED):
            is_open = role is None and self.rooms[room].kind is RoomKind.PUBLIC
            self._history.members.removed(room, user, reads_on=is_open)
        elif changed:
            self._history.members.entered(room, user)
        return changed


class KnownPresence(MemoryPresenceStore):
    """Tells who is online, whatever that costs."""

    def users(self, room: RoomId) -> list[UserId]:
        self._lapse()
        return list(self._connections.get(room, ()))


class Stores:
    """One set for the whole fleet."""

    def __init__(self, history: History) -> None:
        self.messages = RecordedMessages()
        self.users = MemoryUserStore()
        self.rooms = RecordedRooms(self.messages, self.users, history)
        self.sessions = MemorySessionStore()
        self.presence = KnownPresence()


class ShardedMessages:
    """`MessageStore` as one node sees it: rooms lie on shards, and each shard has its own link."""

    def __init__(self, messages: RecordedMessages, links: Sequence[Link]) -> None:
        self._messages = messages
        self._links = links

    def lane(self, room: RoomId) -> str:
        return str(self._shard(room))

    async def append(self, messages: Sequence[NewMessage]) -> list[Appended | ChatError]:
        parts: dict[int, list[NewMessage]] = {}
        for message in messages:
            parts.setdefault(self._shard(message.room), []).append(message)
        answers: dict[int, list[Appended | ChatError]] = {}
        async with trio.open_nursery() as nursery:
            for shard, part in parts.items():
                nursery.start_soon(self._append, shard, part, answers)
        refusals = [answer for part in answers.values() for answer in part if isinstance(answer, Unavailable)]
        if len(refusals) == len(messages):
            raise refusals[0]  # as a store does that has only one part
        waiting = {shard: iter(part) for shard, part in answers.items()}
        return [next(waiting[self._shard(message.room)]) for message in messages]

    async def _append(self, shard: int, part: list[NewMessage], answers: dict[int, list[Appended | ChatError]]) -> None:
        try:
            answers[shard] = await self._links[shard].call(self._messages.append, part)
        except Unavailable as error:
            answers[shard] = [error] * len(part)

    async def tops(self, rooms: Sequence[RoomId]) -> dict[RoomId, Position | Unavailable]:
        found: dict[RoomId, Position | Unavailable] = {}
        for shard in dict.fromkeys(self._shard(room) for room in rooms):
            part = [room for room in rooms if self._shard(room) == shard]
            try:
                found |= await self._links[shard].call(self._messages.tops, part)
            except Unavailable as error:
                found |= dict.fromkeys(part, error)
        return found

    async def top(self, room: RoomId) -> Position:
        position: Position = await self._call(room, self._messages.top, room)
        return position

    async def read_after(self, room: RoomId, after: int, limit: int) -> list[Message]:
        page: list[Message] = await self._call(room, self._messages.read_after, room, after, limit)
        return page

    async def read_before(self, room: RoomId, before: int | None, limit: int) -> list[Message]:
        page: list[Message] = await self._call(room, self._messages.read_before, room, before, limit)
        return page

    async def read_one(self, room: RoomId, seq: int) -> Message:
        message: Message = await self._call(room, self._messages.read_one, room, seq)
        return message

    async def edit(self, room: RoomId, seq: int, body: dict[str, Any]) -> Message:
        message: Message = await self._call(room, self._messages.edit, room, seq, body)
        return message

    async def delete(self, room: RoomId, seq: int) -> Message:
        message: Message = await self._call(room, self._messages.delete, room, seq)
        return message

    async def mentions_of(self, user: UserId, after: float, limit: int) -> list[tuple[RoomId, int, float]]:
        return []

    async def _call(self, room: RoomId, operation: Any, *arguments: Any) -> Any:
        return await self._links[self._shard(room)].call(operation, *arguments)

    def _shard(self, room: RoomId) -> int:
        return int(room[1:]) % SHARDS
