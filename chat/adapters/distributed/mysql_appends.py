"""The transaction that appends: everything that waits for a shard, a handful of statements whatever its number."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Container, Iterator, Sequence
from typing import NamedTuple

from asyncmy.errors import IntegrityError

from ...domain.errors import ChatError, NotFound
from ...domain.messages import Appended
from ...domain.rooms import Role
from .archive_keys import Key, find_archived
from .mysql_errors import DUPLICATE_KEY, code_of
from .mysql_pool import Change, Moved, Session
from .mysql_sql import chunks, flat, marks, table, values
from .shard_map import Kind, number_of

MAX_STATEMENT_BYTES = 1 << 20
"""Of bodies in one statement: escaped it stays far below the least `max_allowed_packet` in use, 16 MiB."""


class Row(NamedTuple):
    """A message that can be stored: its body is encoded, its strings are valid and short enough."""

    room: str
    user: str
    key: str
    body: bytes
    mentioned: tuple[str, ...] = ()
    """Users; those who are no members when it is stored are left out."""


Answer = Appended | ChatError | Moved
New = list[tuple[Row, Appended]]


@dataclasses.dataclass(slots=True)
class _Head:
    """A room's newest message, moved on with every append."""

    epoch: str
    seq: int
    ts: int
    archived: int

    def next(self, now: int) -> Appended:
        self.seq += 1
        self.ts = max(self.ts, now)  # a clock that steps back must not reorder a room by time
        return Appended(self.epoch, self.seq, self.ts, duplicate=False)


class AppendBatch:
    """The appends of some calls, as work for one transaction; it may be tried again after a try in doubt.

    A row whose room may be on another shard by now is answered with `Moved`. `clock` gives milliseconds UTC.
    """

    def __init__(self, calls: Sequence[Sequence[Row]], clock: Callable[[], int]) -> None:
        self._calls = calls
        self._rows = list(itertools.chain.from_iterable(calls))
        self._rooms = sorted({row.room for row in self._rows})
        self._clock = clock
        self._tried: set[Key] = set()
        """What an earlier try may have committed: finding it is no sign that the client sent it twice."""

    async def __call__(self, session: Session) -> list[list[Answer]]:
        """Stores the rows, in their order, and answers each call."""
        looks_first = bool(self._tried)
        while True:
            held = await session.hold(Kind.ROOMS, self._rooms)
            heads = await self._lock(session, held)
            known = await self._archived(session, heads)
            if looks_first:
                known |= await self._stored(session, heads)
            answers, new = self._number(held, heads, known)
            try:
                await _insert(session, new)
                break
            except IntegrityError as error:
                if looks_first or code_of(error) != DUPLICATE_KEY:
                    raise
                # A retry is among them. They are rare: to look for them each time costs more than this.
                looks_first = True
                await session.restart()
        await _save_heads(session, {row.room: done for row, done in new})
        await _insert_mentions(session, new)
        await session.record(Kind.ROOMS, (Change("rooms", row.room) for row, _ in new))
        self._tried |= {row[:3] for row, _ in new}
        return answers

    async def _lock(self, session: Session, held: Container[int]) -> dict[str, _Head]:
        """The heads of all rooms that are here, locked in the same order by everybody."""
        rooms = [room for room in self._rooms if number_of(room) in held]
        found: dict[str, _Head] = {}
        for chunk in chunks(rooms):
            query = (
                "SELECT id, epoch, seq, ts, archived FROM rooms FORCE INDEX (PRIMARY)"
                f" WHERE id IN ({marks(len(chunk))}) ORDER BY id FOR UPDATE"
            )
            for room, epoch, seq, ts, archived in await session.rows(query, chunk):
                found[room.decode()] = _Head(epoch.decode(), seq, ts, archived)
        return found

    async def _stored(self, session: Session, heads: dict[str, _Head]) -> dict[Key, Appended]:
        """The first answers to those rows that are retries."""
        found: dict[Key, Appended] = {}
        for chunk in chunks(row[:3] for row in self._rows if row.room in heads):
            wanted = table(("room", "user", "key"), len(chunk))
            query = (
                "SELECT messages.room, messages.user, messages.`key`, seq, ts"
                f" FROM {wanted} AS wanted STRAIGHT_JOIN messages USING (room, user, `key`)"
            )
            for room, user, key, seq, ts in await session.rows(query, flat(chunk)):
                where = room.decode(), user.decode(), key.decode()
                found[where] = Appended(heads[where[0]].epoch, seq, ts, duplicate=where not in self._tried)
        return found

    async def _archived(self, session: Session, heads: dict[str, _Head]) -> dict[Key, Appended]:
        """The first answers to retries of what has left the table, whose keys the insert cannot run into."""
        keys = [row[:3] for row in self._rows if (head := heads.get(row.room)) and head.archived]
        found = await find_archived(session, keys)
        return {key: Appended(heads[key[0]].epoch, seq, ts, duplicate=True) for key, (seq, ts) in found.items()}

    def _number(
        self, held: Container[int], heads: dict[str, _Head], known: dict[Key, Appended]
    ) -> tuple[list[list[Answer]], New]:
        """The answers, and what has to be stored for them."""
        now = self._clock()
        new: New = []

        def answer(row: Row) -> Answer:
            head = heads.get(row.room)
            if head is None:
                return NotFound("no such room") if number_of(row.room) in held else Moved()
            if first := known.get(row[:3]):
                known[row[:3]] = first._replace(duplicate=True)
                return first
            appended = head.next(now)
            known[row[:3]] = appended._replace(duplicate=True)
            new.append((row, appended))
            return appended

        return [[answer(row) for row in call] for call in self._calls], new


async def _insert(session: Session, new: New) -> None:
    for part in _by_size(new):
        rows = flat((row.room, done.seq, done.ts, row.user, row.key, row.body) for row, done in part)
        await session.execute(
            f"INSERT INTO messages (room, seq, ts, user, `key`, body) VALUES {values(6, len(part))}", rows
        )


def _by_size(new: New) -> Iterator[New]:
    part: New = []
    size = 0
    for row, done in new:
        if part and size + len(row.body) > MAX_STATEMENT_BYTES:
            yield part
            part, size = [], 0
        part.append((row, done))
        size += len(row.body)
    if part:
        yield part


async def _save_heads(session: Session, newest: dict[str, Appended]) -> None:
    for chunk in chunks((room, done.seq, done.ts) for room, done in newest.items()):
        heads = table(("id", "seq", "ts"), len(chunk))
        await session.execute(
            f"UPDATE {heads} AS new STRAIGHT_JOIN rooms USING (id) SET rooms.seq = new.seq, rooms.ts = new.ts",
            flat(chunk),
        )


async def _insert_mentions(session: Session, new: New) -> None:
    """Mentions of members, who are neither the sender nor banned; other names are only text."""
    mentions = ((user, done.ts, row.room, done.seq) for row, done in new for user in row.mentioned if user != row.user)
    for chunk in chunks(mentions):
        await session.execute(
            "INSERT INTO mentions (user, ts, room, seq) SELECT new.user, new.ts, new.room, new.seq"
            f" FROM {table(('user', 'ts', 'room', 'seq'), len(chunk))} AS new"
            f" STRAIGHT_JOIN members USING (room, user) WHERE members.role <> '{Role.BANNED.value}'",
            flat(chunk),
        )
