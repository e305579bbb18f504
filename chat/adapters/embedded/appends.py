"""The transaction that appends: everything that waits, a handful of statements whatever its number.

A statement for many rows, not many statements: each step gives up the GIL, and beside a busy trio
thread to get it back costs more than the row.
"""

from __future__ import annotations

import dataclasses
import itertools
import sqlite3
from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

from ...domain.errors import ChatError, NotFound, Unavailable
from ...domain.messages import Appended
from ...domain.rooms import Role
from ...domain.users import fold_name
from .journal import Journal, Stored
from .sql import chunks, flat, marks, values


class Row(NamedTuple):
    """A message that can be stored: its body is encoded, its strings are valid."""

    room: str
    user: str
    key: str
    body: bytes
    mentions: tuple[str, ...]


@dataclasses.dataclass(slots=True)
class _Head:
    """A room's newest message, moved on with every append."""

    epoch: str
    seq: int
    ts: int

    def next(self, now: int) -> Appended:
        self.seq += 1
        self.ts = max(self.ts, now)  # a clock that steps back must not reorder a room by time
        return Appended(self.epoch, self.seq, self.ts, duplicate=False)


def append_calls(
    connection: sqlite3.Connection, journal: Journal, calls: Sequence[Sequence[Row]], now: int
) -> list[list[Appended | ChatError]]:
    """Stores the rows of all calls, in their order, and answers each call. `now` is milliseconds UTC."""
    rows = list(itertools.chain.from_iterable(calls))
    heads = _heads(connection, {row.room for row in rows})
    known = _stored(connection, journal, rows, heads)
    stored: list[tuple[Row, Appended]] = []

    def answer(row: Row) -> Appended | ChatError:
        head = heads.get(row.room)
        if head is None:
            return NotFound("no such room")
        if first := known.get((row.room, row.user, row.key)):
            return first._replace(duplicate=True)
        if row.room in journal.damaged:
            return Unavailable("the store is away for the moment")
        appended = known[row.room, row.user, row.key] = head.next(now)
        stored.append((row, appended))
        return appended

    answers = [[answer(row) for row in call] for call in calls]
    journal.add(connection, [Stored(row.room, done.seq, done.ts, row.user, row.key, row.body) for row, done in stored])
    _save_heads(connection, heads, {row.room for row, _ in stored})
    _insert_mentions(connection, stored)
    return answers


def _heads(connection: sqlite3.Connection, rooms: Collection[str]) -> dict[str, _Head]:
    found: dict[str, _Head] = {}
    for chunk in chunks(rooms):
        found |= {
            room: _Head(epoch, seq, ts)
            for room, epoch, seq, ts in connection.execute(
                "SELECT id, epoch, seq, ts FROM rooms JOIN heads ON heads.room = rooms.id"
                f" WHERE id IN ({marks(len(chunk))})",
                chunk,
            )
        }
    return found


def _stored(
    connection: sqlite3.Connection, journal: Journal, rows: Sequence[Row], heads: dict[str, _Head]
) -> dict[tuple[str, str, str], Appended]:
    """The first answers to those rows that are retries."""
    found: dict[tuple[str, str, str], Appended] = {}
    newest = journal.recall(connection)
    for room, user, key, *_ in rows if newest else ():
        if (first := newest.get((room, user, key))) is not None:
            found[room, user, key] = Appended(heads[room].epoch, first.seq, first.ts, duplicate=True)
    for chunk in chunks(row for row in rows if row.room in heads):
        query = (
            f"WITH wanted (room, user, key) AS (VALUES {values(3, len(chunk))})"
            " SELECT room, user, key, seq, ts FROM wanted CROSS JOIN messages USING (room, user, key)"
        )
        for room, user, key, seq, ts in connection.execute(query, flat(row[:3] for row in chunk)):
            found[room, user, key] = Appended(heads[room].epoch, seq, ts, duplicate=True)
    return found


def _save_heads(connection: sqlite3.Connection, heads: dict[str, _Head], changed: Iterable[str]) -> None:
    for chunk in chunks((room, heads[room].seq, heads[room].ts) for room in changed):
        connection.execute(f"REPLACE INTO heads (room, seq, ts) VALUES {values(3, len(chunk))}", flat(chunk))


def _insert_mentions(connection: sqlite3.Connection, stored: Iterable[tuple[Row, Appended]]) -> None:
    """Mentions of members, who are neither the sender nor banned; other names are only text."""
    for row, done in stored:
        if names := {fold_name(name) for name in row.mentions}:
            connection.execute(
                "INSERT INTO mentions (user, ts, room, seq) SELECT users.id, ?, ?, ? FROM users"
                " JOIN members ON members.user = users.id AND members.room = ? AND members.role != ?"
                f" WHERE folded_name IN ({marks(len(names))}) AND users.id != ?",
                (done.ts, row.room, done.seq, row.room, Role.BANNED, *names, row.user),
            )
