"""The journal under transactions that end badly; what it stores is the contract's matter."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

import pytest

from chat.adapters.embedded.journal import MAX_MESSAGES, MIN_ENTRY_MESSAGES, Journal, Stored, newest_of
from chat.adapters.embedded.schema import migrate


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    migrate(connection)
    yield connection
    connection.close()


def some(first: int, count: int, room: str = "room") -> list[Stored]:
    return [Stored(room, seq, 1, "user", f"key {room} {seq}", b"\x80") for seq in range(first, first + count)]


def in_table(connection: sqlite3.Connection) -> list[int]:
    return [seq for (seq,) in connection.execute("SELECT seq FROM messages ORDER BY room, seq")]


def test_few_messages_go_straight_into_the_table(connection: sqlite3.Connection) -> None:
    Journal().add(connection, some(1, MIN_ENTRY_MESSAGES - 1))
    assert in_table(connection) == list(range(1, MIN_ENTRY_MESSAGES))
    assert newest_of(connection, "room") == []


def test_many_wait_and_what_follows_waits_behind_them(connection: sqlite3.Connection) -> None:
    journal = Journal()
    journal.add(connection, some(1, 50))
    journal.add(connection, some(51, 1))
    assert in_table(connection) == []
    assert [message.seq for message in newest_of(connection, "room")] == list(range(1, 52))
    journal.fold(connection)
    assert in_table(connection) == list(range(1, 52))
    assert newest_of(connection, "room") == []


def test_it_never_holds_more_than_its_limit(connection: sqlite3.Connection) -> None:
    journal = Journal()
    for number in range(3):
        journal.add(connection, some(1, MAX_MESSAGES - 1, f"room {number}"))
        assert len(journal.recall(connection)) < MAX_MESSAGES
    assert len(in_table(connection)) == 2 * (MAX_MESSAGES - 1)


def test_a_new_process_finds_what_an_earlier_one_left(connection: sqlite3.Connection) -> None:
    Journal().add(connection, some(1, 50))
    journal = Journal()
    assert ("room", "user", "key room 50") in journal.recall(connection)
    journal.add(connection, some(51, 50))
    journal.fold(connection)
    assert in_table(connection) == list(range(1, 101))


@pytest.mark.parametrize("folded", [False, True])
def test_what_is_rolled_back_was_never_there(connection: sqlite3.Connection, folded: bool) -> None:
    journal = Journal()
    journal.add(connection, some(1, 50))
    connection.execute("BEGIN")
    if folded:
        journal.fold(connection)
    journal.add(connection, some(51, 50))
    connection.execute("ROLLBACK")
    assert [message.seq for message in journal.recall(connection).values()] == list(range(1, 51))
    journal.add(connection, some(51, 20))
    journal.fold(connection)
    assert in_table(connection) == list(range(1, 71))


def test_a_savepoint_that_is_taken_back_takes_its_entry_along(connection: sqlite3.Connection) -> None:
    journal = Journal()
    connection.execute("BEGIN")
    connection.execute("SAVEPOINT job")
    journal.add(connection, some(1, 50, "lost"))
    connection.execute("ROLLBACK TO job")
    journal.add(connection, some(1, 50))
    connection.execute("COMMIT")
    assert {message.room for message in journal.recall(connection).values()} == {"room"}
