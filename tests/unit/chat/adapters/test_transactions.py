from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import trio

from chat.adapters.embedded.batch_thread import Job
from chat.adapters.embedded.transactions import read_batch, write_batch
from chat.domain.errors import Conflict, Unavailable
from chat.metrics.meters import CommitMeter

Work = Callable[..., Any]


@pytest.fixture
async def connection(tmp_path: Path) -> AsyncIterator[sqlite3.Connection]:
    connection = sqlite3.connect(tmp_path / "test.db", isolation_level=None)
    connection.execute("CREATE TABLE t (n INTEGER PRIMARY KEY CHECK (n < 100))")
    yield connection
    connection.close()


def run(connection: sqlite3.Connection, *calls: Work | tuple[Work, Any]) -> list[Any]:
    """The value or error of each call, all in one batch."""
    pairs = [call if isinstance(call, tuple) else (call, None) for call in calls]
    jobs = [Job(work, argument, trio.lowlevel.current_task()) for work, argument in pairs]
    write_batch(connection, CommitMeter(), jobs)
    return [getattr(job.outcome, "value", None) or getattr(job.outcome, "error", None) for job in jobs]


def stored(connection: sqlite3.Connection) -> list[int]:
    return [n for (n,) in connection.execute("SELECT n FROM t ORDER BY n")]


def insert(n: int) -> Work:
    def work(connection: sqlite3.Connection) -> str:
        connection.execute("INSERT INTO t VALUES (?)", (n,))
        return f"inserted {n}"

    return work


def insert_and_raise(n: int, error: Exception) -> Work:
    def work(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO t VALUES (?)", (n,))
        raise error

    return work


def insert_all(connection: sqlite3.Connection, numbers: Sequence[int]) -> list[str]:
    for n in numbers:
        connection.execute("INSERT INTO t VALUES (?)", (n,))
    return [f"{n} of {len(numbers)}" for n in numbers]


def end_the_transaction(connection: sqlite3.Connection) -> None:
    connection.execute("ROLLBACK")
    raise ValueError("as a failing disk does")


async def test_each_write_gets_its_value_and_all_are_committed(connection: sqlite3.Connection) -> None:
    assert run(connection, insert(1), insert(2)) == ["inserted 1", "inserted 2"]
    assert not connection.in_transaction
    assert stored(connection) == [1, 2]


async def test_a_refused_write_is_taken_back_alone(connection: sqlite3.Connection) -> None:
    conflict = Conflict("taken")
    assert run(connection, insert(1), insert_and_raise(2, conflict), insert(3)) == [
        "inserted 1",
        conflict,
        "inserted 3",
    ]
    assert stored(connection) == [1, 3]


async def test_a_refused_write_that_has_the_transaction_to_itself_is_taken_back(connection: sqlite3.Connection) -> None:
    conflict = Conflict("taken")
    assert run(connection, insert_and_raise(1, conflict)) == [conflict]
    assert not connection.in_transaction
    assert run(connection, end_the_transaction) != [None]
    assert run(connection, insert(2)) == ["inserted 2"]
    assert stored(connection) == [2]


async def test_a_bug_in_one_write_surfaces_there_and_nowhere_else(connection: sqlite3.Connection) -> None:
    first, bug, violation, last = run(connection, insert(1), insert_and_raise(2, KeyError("x")), insert(1), insert(3))
    assert isinstance(bug, KeyError)
    assert isinstance(violation, sqlite3.IntegrityError)
    assert (first, last) == ("inserted 1", "inserted 3")
    assert stored(connection) == [1, 3]


async def test_equal_work_is_done_in_one_call(connection: sqlite3.Connection) -> None:
    assert run(connection, (insert_all, 1), insert(2), (insert_all, 3)) == ["1 of 2", "inserted 2", "3 of 2"]
    assert stored(connection) == [1, 2, 3]


async def test_common_work_that_fails_is_repeated_one_by_one(connection: sqlite3.Connection) -> None:
    one, bad, three = run(connection, (insert_all, 1), (insert_all, 500), (insert_all, 3))
    assert (one, three) == ("1 of 1", "3 of 1")
    assert isinstance(bad, sqlite3.IntegrityError)
    assert stored(connection) == [1, 3]


async def test_a_lost_transaction_fails_everybody_and_keeps_nothing(connection: sqlite3.Connection) -> None:
    results = run(connection, insert(1), end_the_transaction, insert(2))
    assert all(isinstance(result, Exception) for result in results)
    assert stored(connection) == []
    assert run(connection, insert(1)) == ["inserted 1"]


async def test_a_full_disk_is_unavailable_for_everybody_and_heals(connection: sqlite3.Connection) -> None:
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {pages}")

    def create_table(connection: sqlite3.Connection) -> None:
        connection.execute("CREATE TABLE u AS SELECT * FROM t")

    results = run(connection, insert(1), create_table, insert(2))
    assert [type(result) for result in results] == [Unavailable] * 3
    assert all(result.retryable for result in results)
    assert stored(connection) == []
    connection.execute("PRAGMA max_page_count = 1000")
    assert run(connection, insert(1), create_table) == ["inserted 1", None]


async def test_a_locked_database_is_unavailable(connection: sqlite3.Connection, tmp_path: Path) -> None:
    connection.execute("PRAGMA busy_timeout = 10")
    other = sqlite3.connect(tmp_path / "test.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    (result,) = run(connection, insert(1))
    other.close()
    assert isinstance(result, Unavailable)
    assert run(connection, insert(1)) == ["inserted 1"]


async def test_reads_of_a_batch_see_one_snapshot(connection: sqlite3.Connection, tmp_path: Path) -> None:
    connection.execute("PRAGMA journal_mode = WAL")
    writer = sqlite3.connect(tmp_path / "test.db", isolation_level=None)

    def read_then_write(connection: sqlite3.Connection) -> list[int]:
        before = stored(connection)
        writer.execute("INSERT INTO t VALUES (7)")
        return before

    jobs = [Job(work, None, trio.lowlevel.current_task()) for work in (read_then_write, stored)]
    read_batch(connection, jobs)
    writer.close()
    assert [job.outcome.unwrap() for job in jobs] == [[], []]
    assert stored(connection) == [7]
