"""`MessageStore` on MySQL or MariaDB, sharded by room."""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import structlog
import trio

from ...domain.errors import ChatError, Invalid, NotFound, Unavailable
from ...domain.messages import Appended, Message, NewMessage, Position
from ...domain.rooms import RoomId
from ...domain.users import UserId, fold_name
from ...metrics.meters import CommitMeter
from .background import background_tasks
from .group_commit import GroupCommit
from .mysql_appends import Answer, AppendBatch, Row
from .mysql_pool import Change, Moved, Session, Work
from .mysql_shards import MySqlShards, gathered
from .mysql_sql import bounded_limit, bounded_seq, chunks, marks
from .read_routing import RecentKeys
from .shard_map import Kind
from .user_store import ids_of

MAX_BATCH_BYTES = 4 << 20
"""Of one transaction, whose rows and locks everybody behind it waits for."""
_ROW_BYTES = 8 << 10
"""What a row counts at least, so that a batch has at most 512 rows."""
_MAX_KEY_BYTES = 256
_MAX_ID_BYTES = 32
_MAX_BODY_BYTES = 65_535
_MESSAGE = "messages.room, messages.seq, messages.ts, user, `key`, body, revision, deleted"
_log = structlog.get_logger("chat.mysql")
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(dict[str, Any]).decode
_EMPTY = _encode({})


class MySqlMessageStore:
    """The history of all rooms; made by `open_message_store`.

    Appends that wait for the same shard share a transaction. A shard that is away answers each message for its
    rooms with `Unavailable`, and no other. Pages of history come from a replica if it has them whole, which their
    numbers show; a message in them that another node has just changed may be as it was before, for some seconds.
    """

    def __init__(self, shards: MySqlShards, clock: Callable[[], float]) -> None:
        self._shards = shards
        self._clock = clock
        self._changed = RecentKeys(max(rotation.staleness_seconds for rotation in shards.rotations.values()))
        """Rooms of which a replica may have a message as it was before a change that was made here."""
        self.meters: dict[str, CommitMeter] = {}
        """Of the appends, by shard."""
        self.commits = {name: self._group_commit(name) for name in shards.primaries}

    async def append(self, messages: Sequence[NewMessage]) -> list[Appended | ChatError]:
        users = await self._mentioned(messages)
        rows = [_row(message, users) for message in messages]
        answers: dict[int, Answer] = {
            number: Moved() if isinstance(row, Row) else row for number, row in enumerate(rows)
        }

        async def attempt() -> None:
            """Appends what has not found its place yet."""
            homeless = (number for number, answer in answers.items() if isinstance(answer, Moved))
            answers.update(await self._append({n: row for n in homeless if isinstance(row := rows[n], Row)}))
            if any(isinstance(answer, Moved) for answer in answers.values()):
                raise Moved

        await trio.lowlevel.checkpoint()
        with contextlib.suppress(Unavailable):
            await self._shards.rerouted(attempt)
        return [_settled(answers[number]) for number in range(len(rows))]

    def lane(self, room: RoomId) -> str:
        return self._shards.shard_of(Kind.ROOMS, room)

    async def top(self, room: RoomId) -> Position:
        return await self._shards.on(Kind.ROOMS, room, functools.partial(_top, room=room))

    async def tops(self, rooms: Sequence[RoomId]) -> dict[RoomId, Position | Unavailable]:
        found: dict[RoomId, Position | Unavailable] = {}
        for part in await self._shards.on_each(Kind.ROOMS, rooms, _tops, instead=dict.fromkeys):
            found |= part
        return found

    async def read_after(self, room: RoomId, after: int, limit: int) -> list[Message]:
        def is_complete(page: list[Message]) -> bool:
            """Nothing is left out, and the end of it need not be the end of the room."""
            return _is_run(page, after + 1) and len(page) == bounded_limit(limit)

        return await self._page(room, functools.partial(_after, room=room, after=after, limit=limit), is_complete)

    async def read_before(self, room: RoomId, before: int | None, limit: int) -> list[Message]:
        def is_complete(page: list[Message]) -> bool:
            if before is None or not _is_run(page, before - len(page)):
                return False
            return len(page) == bounded_limit(limit) or before - len(page) == 1

        return await self._page(room, functools.partial(_before, room=room, before=before, limit=limit), is_complete)

    async def read_one(self, room: RoomId, seq: int) -> Message:
        return await self._shards.on(Kind.ROOMS, room, functools.partial(_one, room=room, seq=seq))

    async def edit(self, room: RoomId, seq: int, body: dict[str, Any]) -> Message:
        work = functools.partial(_edit, room=room, seq=seq, body=encoded_body(body))
        return await self._change(room, seq, work, idempotent=False)

    async def delete(self, room: RoomId, seq: int) -> Message:
        return await self._change(room, seq, functools.partial(_delete, room=room, seq=seq), idempotent=True)

    async def mentions_of(self, user: UserId, after: float, limit: int) -> list[tuple[RoomId, int, float]]:
        """A shard that is away is left out: its mentions come with a later call, if that asks from the same time."""
        found = await self._shards.on_all(functools.partial(_mentions, user=user, after=after, limit=limit))
        # While a room moves, two shards have its mentions.
        return sorted({mention for part in found for mention in part}, key=_by_time)[: bounded_limit(limit)]

    async def _page(
        self, room: RoomId, work: Work[list[Message]], is_complete: Callable[[list[Message]], bool]
    ) -> list[Message]:
        if room in self._changed:
            return await self._shards.on(Kind.ROOMS, room, work)
        return await self._shards.read(Kind.ROOMS, room, work, is_complete=is_complete)

    async def _change(self, room: RoomId, seq: int, work: Work[Message], *, idempotent: bool) -> Message:
        changes = [Change("messages", room, str(bounded_seq(seq)))]
        try:
            return await self._shards.on(
                Kind.ROOMS, room, work, transaction=True, idempotent=idempotent, changes=changes
            )
        finally:
            self._changed.add(room)

    async def _append(self, rows: dict[int, Row]) -> dict[int, Answer]:
        """Hands each shard its rows and waits for all; a shard that is away answers for its own."""
        parts: dict[str, dict[int, Row]] = {}
        for number, row in rows.items():
            parts.setdefault(self._shards.shard_of(Kind.ROOMS, row.room), {})[number] = row

        async def commit(shard: str, part: dict[int, Row]) -> dict[int, Answer]:
            try:
                self._shards.primary(shard)
                return dict(zip(part, await self.commits[shard].call(list(part.values())), strict=True))
            except Unavailable as error:
                return dict.fromkeys(part, error)

        answers: dict[int, Answer] = {}
        for done in await gathered(functools.partial(commit, *item) for item in parts.items()):
            answers |= done
        return answers

    def _group_commit(self, shard: str) -> GroupCommit[list[Row], list[Answer]]:
        server = self._shards.primaries[shard]
        meter = self.meters[shard] = CommitMeter()

        async def commit(calls: Sequence[list[Row]]) -> list[list[Answer]]:
            began = trio.current_time()
            try:
                answers = await server.run(AppendBatch(calls, self._milliseconds), transaction=True)
            except Exception:
                meter.failures += 1
                raise
            meter.committed(trio.current_time() - began, sum(map(len, calls)))
            return answers

        return GroupCommit(commit, size=_weight, max_size=MAX_BATCH_BYTES)

    def _milliseconds(self) -> int:
        return round(self._clock() * 1000)

    async def _mentioned(self, messages: Sequence[NewMessage]) -> dict[str, UserId]:
        """The users of the names that are mentioned; if they cannot be asked for, a message is more than a mention."""
        names = {fold_name(name) for message in messages for name in message.mentions}
        if not names:
            return {}
        try:
            return await ids_of(self._shards, names)
        except ChatError as error:
            _log.warning("mentions_lost", names=len(names), error=error.code)
            return {}


@asynccontextmanager
async def open_message_store(
    shards: MySqlShards, *, clock: Callable[[], float] = time.time
) -> AsyncIterator[MySqlMessageStore]:
    """The store, with a task for each shard that commits; `clock` gives seconds since the epoch."""
    store = MySqlMessageStore(shards, clock)
    async with background_tasks() as nursery:
        for commit in store.commits.values():
            nursery.start_soon(commit.run)
        yield store


def _settled(answer: Answer) -> Appended | ChatError:
    return Unavailable("the shard is being moved", retry_after=1.0) if isinstance(answer, Moved) else answer


def _weight(rows: list[Row]) -> int:
    return sum(_ROW_BYTES + len(row.body) for row in rows)


def _row(message: NewMessage, users: dict[str, UserId]) -> Row | Invalid:
    limits = ((message.room, _MAX_ID_BYTES), (message.user, _MAX_ID_BYTES), (message.key, _MAX_KEY_BYTES))
    try:
        if any(len(text.encode()) > limit for text, limit in limits):
            return Invalid("room, user or key is too long")
    except UnicodeEncodeError:
        return Invalid("room, user or key is no valid text")
    try:
        body = encoded_body(message.body)
    except Invalid as refused:
        return refused
    mentioned = dict.fromkeys(users[name] for name in map(fold_name, message.mentions) if name in users)
    return Row(message.room, message.user, message.key, body, tuple(mentioned))


def encoded_body(body: dict[str, Any]) -> bytes:
    """As it is stored. Raises: Invalid."""
    try:
        encoded = _encode(body)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise Invalid("body holds a value that cannot be stored") from error
    if len(encoded) > _MAX_BODY_BYTES:
        raise Invalid("body is too large")
    return encoded


def _message(row: tuple[Any, ...]) -> Message:
    room, seq, ts, user, key, body, revision, deleted = row
    return Message(
        RoomId(room.decode()), seq, ts, UserId(user.decode()), key.decode(), _decode(body), revision, bool(deleted)
    )


async def _top(session: Session, room: RoomId) -> Position:
    found = await _tops(session, [room])
    if room not in found:
        raise NotFound("no such room")
    return found[room]


async def _tops(session: Session, rooms: Sequence[RoomId]) -> dict[RoomId, Position]:
    async def ask(rooms: Sequence[RoomId]) -> dict[RoomId, Position]:
        found: dict[RoomId, Position] = {}
        for chunk in chunks(rooms):
            query = f"SELECT id, epoch, seq FROM {session.home('rooms')} WHERE id IN ({marks(len(chunk))})"
            for room, epoch, seq in await session.rows(query, chunk):
                found[RoomId(room.decode())] = Position(epoch.decode(), seq)
        return found

    return await session.each_of(Kind.ROOMS, rooms, ask)


async def _page(
    session: Session, room: RoomId, comparison: str, seq: int, limit: int, *, order: str = "ASC"
) -> list[Message]:
    """Joined with the room, so that one that has moved away is not taken for one at its end."""
    query = (
        f"SELECT {_MESSAGE} FROM {session.home('rooms')}"
        " STRAIGHT_JOIN messages FORCE INDEX (PRIMARY) ON messages.room = rooms.id"
        f" WHERE rooms.id = %s AND messages.seq {comparison} %s ORDER BY messages.seq {order} LIMIT %s"
    )
    found = await session.rows_of(Kind.ROOMS, room, query, (room, seq, limit)) if limit else ()
    return [_message(row) for row in found]


async def _after(session: Session, room: RoomId, after: int, limit: int) -> list[Message]:
    return await _page(session, room, ">", bounded_seq(after), bounded_limit(limit))


async def _before(session: Session, room: RoomId, before: int | None, limit: int) -> list[Message]:
    return (await _page(session, room, "<", bounded_seq(before), bounded_limit(limit), order="DESC"))[::-1]


async def _one(session: Session, room: RoomId, seq: int) -> Message:
    found = await _page(session, room, "=", bounded_seq(seq), 1)
    if not found:
        raise NotFound("no such message")
    return found[0]


async def _edit(session: Session, room: RoomId, seq: int, body: bytes) -> Message:
    await _lock(session, room)
    if (message := await _one(session, room, seq)).deleted:
        raise NotFound("the message was deleted")
    return await _revise(session, message, body, deleted=False)


async def _delete(session: Session, room: RoomId, seq: int) -> Message:
    await _lock(session, room)
    if (message := await _one(session, room, seq)).deleted:
        return message
    await session.execute("DELETE FROM mentions WHERE room = %s AND seq = %s", (room, message.seq))
    return await _revise(session, message, _EMPTY, deleted=True)


async def _lock(session: Session, room: RoomId) -> None:
    """Every write of a room locks its head, which makes it wait for appends."""
    if not await session.rows("SELECT 1 FROM rooms WHERE id = %s FOR UPDATE", (room,)):
        raise NotFound("no such message")


async def _revise(session: Session, message: Message, body: bytes, *, deleted: bool) -> Message:
    await session.execute(
        "UPDATE messages SET body = %s, deleted = %s, revision = revision + 1 WHERE room = %s AND seq = %s",
        (body, deleted, message.room, message.seq),
    )
    return await _one(session, message.room, message.seq)


async def _mentions(session: Session, user: UserId, after: float, limit: int) -> list[tuple[RoomId, int, float]]:
    query = "SELECT room, seq, ts FROM mentions WHERE user = %s AND ts > %s ORDER BY ts, room, seq LIMIT %s"
    rows = await session.rows(query, (user, round(after * 1000), bounded_limit(limit)))
    return [(RoomId(room.decode()), seq, ts / 1000) for room, seq, ts in rows]


def _is_run(page: list[Message], first: int) -> bool:
    """Whether the numbers of a page count from `first` without a gap."""
    return [message.seq for message in page] == list(range(first, first + len(page)))


def _by_time(mention: tuple[RoomId, int, float]) -> tuple[float, RoomId, int]:
    room, seq, at = mention
    return at, room, seq
