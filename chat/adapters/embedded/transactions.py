"""Batches of jobs on one connection: writes in one transaction, reads in one snapshot.

A job is `work(connection)`, or, if it has an argument, `work(connection, arguments)` for all jobs of
the batch that have the same `work`. What one job does wrong is taken back alone; when the disk gives
way, nothing of the batch is kept and everybody is told to come again.
"""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable, Sequence
from typing import Any

import outcome

from ...domain.errors import Unavailable
from ...metrics.meters import CommitMeter
from .batch_thread import Job

_log = logging.getLogger(__name__)

_DISK_ERRORS = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_PROTOCOL,
    sqlite3.SQLITE_READONLY,
}
"""They are nobody's fault and hit everybody alike."""
_DAMAGE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
"""They hit who touches the damaged page: other rooms may still be whole."""


def write_batch(connection: sqlite3.Connection, meter: CommitMeter, jobs: list[Job]) -> None:
    """Gives every job its outcome; those with a value are committed."""
    began = time.perf_counter()
    if _run_batch(connection, jobs, _BEGIN_WRITE, _in_savepoint, alone=_in_transaction):
        meter.committed(time.perf_counter() - began, len(jobs))
    else:
        meter.failures += 1


def read_batch(connection: sqlite3.Connection, jobs: list[Job]) -> None:
    """Gives every job its outcome, as of the last commit before the batch began."""
    _run_batch(connection, jobs, "BEGIN", _as_it_is, alone=_as_it_is)


_BEGIN_WRITE = "BEGIN IMMEDIATE"
_Guard = Callable[[sqlite3.Connection, Callable[[], Any]], Any]


def _run_batch(connection: sqlite3.Connection, jobs: list[Job], begin: str, guard: _Guard, *, alone: _Guard) -> bool:
    """`guard` takes back what a group did wrong, `alone` the same for one that has the transaction to itself.

    Returns whether the transaction was committed.
    """
    outcomes: list[outcome.Outcome[Any]] = []
    groups = _groups(jobs)
    committed = False
    try:
        connection.execute(begin)
        for group in groups:
            outcomes += _run_group(connection, group, alone if len(groups) == 1 else guard, guard)
        connection.execute("COMMIT")
        committed = True
    except BaseException as error:  # the thread must survive everything, and nobody may wait for ever
        _log.error("a transaction of %d jobs failed: %s", len(jobs), _described(error), exc_info=not _is_disk(error))
        _roll_back(connection)
        outcomes = [outcome.Error(_unavailable()) for _ in jobs]
    for job, result in zip((job for group in groups for job in group), outcomes, strict=True):
        job.outcome = result
    return committed


def _groups(jobs: list[Job]) -> list[list[Job]]:
    groups: dict[object, list[Job]] = {}
    for job in jobs:
        groups.setdefault(job if job.argument is None else job.work, []).append(job)
    return list(groups.values())


def _run_group(
    connection: sqlite3.Connection, group: list[Job], guard: _Guard, guard_singly: _Guard
) -> Sequence[outcome.Outcome[Any]]:
    """Runs jobs together; if that fails, each alone, so that only the culprit is refused."""
    work, arguments = group[0].work, [job.argument for job in group]
    try:
        if arguments[0] is None:
            return [outcome.Value(guard(connection, lambda: work(connection)))]
        return [outcome.Value(value) for value in guard(connection, lambda: work(connection, arguments))]
    except Exception as error:
        if _is_disk(error) or not connection.in_transaction:  # SQLite may have ended it by itself
            raise
        if len(group) == 1:
            return [outcome.Error(_refusal(error))]
    return [result for job in group for result in _run_group(connection, [job], guard_singly, guard_singly)]


def _in_savepoint(connection: sqlite3.Connection, work: Callable[[], Any]) -> Any:
    connection.execute("SAVEPOINT job")
    try:
        value = work()
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK TO job")
            connection.execute("RELEASE job")
        raise
    connection.execute("RELEASE job")
    return value


def _in_transaction(connection: sqlite3.Connection, work: Callable[[], Any]) -> Any:
    """A savepoint would keep a copy of every page that changes: 6 µs of a message's 40."""
    try:
        return work()
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
            connection.execute(_BEGIN_WRITE)
        raise


def _as_it_is(_connection: sqlite3.Connection, work: Callable[[], Any]) -> Any:
    return work()


def is_damage(error: BaseException) -> bool:
    """Whether `error` comes from a page of the database that is not what it should be."""
    return _primary_code(error) in _DAMAGE


def _is_disk(error: BaseException) -> bool:
    return _primary_code(error) in _DISK_ERRORS


def _roll_back(connection: sqlite3.Connection) -> None:
    try:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
    except sqlite3.Error as error:
        _log.error("a rollback failed: %s", _described(error))


def _refusal(error: Exception) -> Exception:
    """What the caller is told: `Unavailable` where a page is damaged, any other error as it is: a refusal, or a bug."""
    if not is_damage(error):
        return error
    _log.error("the database is damaged: %s", _described(error))
    return _unavailable()


def _unavailable() -> Unavailable:
    return Unavailable("the store is away for the moment")


def _described(error: BaseException) -> str:
    return f"{getattr(error, 'sqlite_errorname', type(error).__name__)}: {error}"


def _primary_code(error: BaseException) -> int:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF
