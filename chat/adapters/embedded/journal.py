"""The newest messages, written down as they come until there are many to sort into the table.

A message that goes straight into the table changes a page of it and one of its index: 70 messages to
70 rooms write 140 pages, and writing them is most of what they cost. An entry of the journal holds all
70 in two pages. Once there are thousands, many go to each page.
"""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec

from .sql import chunks, flat, values
from .transactions import is_damage

MIN_ENTRY_MESSAGES = 8
"""Fewer go straight into the table, unless there is a journal: what it holds of a room is newer than the table's."""
MAX_MESSAGES = 2_000
MAX_BODY_BYTES = 4 << 20


class Stored(NamedTuple):
    """A row of the table of messages, as it is appended."""

    room: str
    seq: int
    ts: int
    user: str
    key: str
    body: bytes


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[Stored]).decode


def newest_of(connection: sqlite3.Connection, room: str) -> list[Stored]:
    """The messages of `room` that are not in the table yet, by seq. For any connection."""
    entries = connection.execute("SELECT messages FROM journal ORDER BY id")
    return [message for (messages,) in entries for message in _decode(messages) if message.room == room]


class Journal:
    """The database's table `journal`, as the thread that writes knows it.

    Each call is part of the transaction that it is made in. If that is rolled back, the next call notices:
    the numbers of entries never repeat.
    """

    def __init__(self) -> None:
        self.damaged: set[str] = set()
        """Rooms whose messages cannot be sorted in, because a page is damaged."""
        self._careful = False
        self._known: dict[tuple[str, str, str], Stored] = {}
        self._bytes = 0
        self._entries: tuple[int | None, int | None] = (None, None)
        self._last = 0

    def recall(self, connection: sqlite3.Connection) -> dict[tuple[str, str, str], Stored]:
        """The messages of the journal by room, user and key. Not to be changed."""
        query = "SELECT (SELECT min(id) FROM journal), (SELECT max(id) FROM journal)"
        entries = connection.execute(query).fetchone()
        if entries != self._entries:
            self._entries, self._known, self._bytes = entries, {}, 0
            self._last = max(self._last, entries[1] or 0)
            for (rows,) in connection.execute("SELECT messages FROM journal ORDER BY id"):
                self._remember(_decode(rows))
        return self._known

    def add(self, connection: sqlite3.Connection, messages: Sequence[Stored]) -> None:
        """Stores new messages, which must be neither in the table nor in the journal."""
        if len(messages) < MIN_ENTRY_MESSAGES and not self.recall(connection):
            _insert(connection, messages)
            return
        self._append(connection, messages)
        if len(self._known) >= MAX_MESSAGES or self._bytes >= MAX_BODY_BYTES:
            self.fold(connection)

    def fold(self, connection: sqlite3.Connection) -> None:
        """Sorts everything into the table, but for what belongs on a damaged page.

        Such a page spoils the transaction that meets it. The next one sorts in room by room, to learn whose
        it is, and the one after that leaves the room out.
        """
        if not self.recall(connection):
            return
        messages = sorted(self._known.values())  # by room and seq, the order of the table
        self._insert(connection, [message for message in messages if message.room not in self.damaged])
        connection.execute("DELETE FROM journal")
        self._entries, self._known, self._bytes = (None, None), {}, 0
        if left := [message for message in messages if message.room in self.damaged]:
            self._append(connection, left)

    def _insert(self, connection: sqlite3.Connection, messages: list[Stored]) -> None:
        by_room = itertools.groupby(messages, key=lambda message: message.room)
        for portion in (list(room) for _, room in by_room) if self._careful else [messages]:
            try:
                _insert(connection, portion)
            except sqlite3.Error as error:
                if is_damage(error):
                    self.damaged |= {portion[0].room} if self._careful else set()
                    self._careful = True
                raise

    def _append(self, connection: sqlite3.Connection, messages: Sequence[Stored]) -> None:
        self._last += 1
        connection.execute("INSERT INTO journal (id, messages) VALUES (?, ?)", (self._last, _encode(messages)))
        self._entries = (self._entries[0] or self._last, self._last)
        self._remember(messages)

    def _remember(self, messages: Iterable[Stored]) -> None:
        for message in messages:
            self._known[message.room, message.user, message.key] = message
            self._bytes += len(message.body)


def _insert(connection: sqlite3.Connection, messages: Iterable[Stored]) -> None:
    """OR FAIL because the default, ABORT, copies every page first to undo the statement: the caller undoes it all."""
    for chunk in chunks(messages):
        connection.execute(
            f"INSERT OR FAIL INTO messages (room, seq, ts, user, key, body) VALUES {values(6, len(chunk))}", flat(chunk)
        )
