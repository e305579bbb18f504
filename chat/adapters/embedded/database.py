"""The SQLite database of one node: a thread that writes, and two that read."""

from __future__ import annotations

import contextlib
import functools
import os
import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import trio

from ...metrics.meters import CommitMeter
from .batch_thread import MAX_WAITING_JOBS, BatchThread
from .directory_lock import locked
from .errors import DatabaseUnusable
from .schema import migrate
from .transactions import read_batch, write_batch

T = TypeVar("T")
A = TypeVar("A")

DATABASE_NAME = "chat.db"
READERS = 2
"""The second one is for when the first waits for a cold disk."""
_SLOW_READ_SECONDS = 0.01
_PAUSE_SECONDS = 0.003
"""Between large transactions: each costs an fsync and five pages of the log, however many messages it holds."""
BUSY_TIMEOUT_SECONDS = 5
"""Only an administrator's own tool can hold the lock, since nodes exclude each other."""
_MIN_SQLITE = (3, 33, 0)
_PAGE_BYTES = 8192
"""A row of 1 KB fits: in a clustered table, what exceeds a quarter of the page gets a page of its own."""
_PRAGMAS = """
PRAGMA synchronous = FULL;
PRAGMA foreign_keys = ON;
PRAGMA trusted_schema = OFF;
PRAGMA temp_store = MEMORY;          -- savepoints keep copies of the pages they change
PRAGMA cache_size = -16384;          -- KiB
PRAGMA wal_autocheckpoint = 4000;    -- pages: a page that is written often is copied back less often
PRAGMA journal_size_limit = 67108864;
"""


class SqliteDatabase:
    """The database in `directory`, which is made if it is missing; open inside `async with`.

    All writes that wait share one transaction, which is on disk (WAL, synchronous=FULL) before any of
    them returns. A read sees every write that had returned before it was called.
    Entering raises: DatabaseUnusable, if another node is at work in the directory, or its file is no
    database, another program's, or of a newer version.
    Reading and writing raise `Unavailable` if the disk fails or the database is closed; it works again
    as soon as the disk does.
    """

    def __init__(self, directory: str | os.PathLike[str], *, max_waiting_writes: int = MAX_WAITING_JOBS) -> None:
        self.commits = CommitMeter()
        """Of the transactions that write."""
        self._directory = Path(directory)
        self._max_waiting_writes = max_waiting_writes
        self._writer: BatchThread
        self._readers: list[BatchThread] = []
        self._opened = self._open()

    async def __aenter__(self) -> Self:
        await self._opened.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        return await self._opened.__aexit__(kind, error, traceback)

    async def write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Runs `work` in a savepoint of the next transaction and returns its value once that is committed.

        What `work` raises takes back this write alone. Cancelling returns at once: the write is then
        done or not done, never half. If too much is waiting, it waits.
        """
        result: T = await self._writer.call(work)
        return result

    async def write_together(
        self, work: Callable[[sqlite3.Connection, Sequence[A]], Sequence[T]], argument: A, size: int = 1
    ) -> T:
        """The same for work that is cheaper in company: one call for all arguments that wait for the same `work`.

        `size` is how many things the argument stands for. `work` answers in the order of the arguments. If it
        raises, it is called again for each alone.
        """
        result: T = await self._writer.call(work, argument, size)
        return result

    async def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Runs `work` on a snapshot that holds every write that returned before this call."""
        result: T = await self._reader().call(work)
        return result

    async def read_together(self, work: Callable[[sqlite3.Connection, Sequence[A]], Sequence[T]], argument: A) -> T:
        """The same for work that is cheaper in company, as with `write_together`."""
        result: T = await self._reader().call(work, argument)
        return result

    def _reader(self) -> BatchThread:
        """The first reader that is not held up, since two at once only compete for the GIL."""
        prompt = (reader for reader in self._readers if reader.busy_seconds() < _SLOW_READ_SECONDS)
        return next(prompt, None) or min(self._readers, key=lambda reader: reader.waiting_jobs)

    @contextlib.asynccontextmanager
    async def _open(self) -> AsyncIterator[None]:
        async with contextlib.AsyncExitStack() as stack:
            held = contextlib.ExitStack()
            stack.push_async_callback(_close, held)
            writer, *readers = await trio.to_thread.run_sync(_open_connections, self._directory, held)
            self._writer = BatchThread(
                functools.partial(write_batch, writer, self.commits),
                name="sqlite writer",
                max_waiting_jobs=self._max_waiting_writes,
                pause_seconds=_PAUSE_SECONDS,
            )
            stack.push_async_callback(self._writer.aclose)
            for reader in readers:
                thread = BatchThread(functools.partial(read_batch, reader), name="sqlite reader")
                stack.push_async_callback(thread.aclose)
                self._readers.append(thread)
            yield


async def _close(held: contextlib.ExitStack) -> None:
    """In a thread, since the last connection to close writes the log back into the file."""
    with trio.CancelScope(shield=True):
        await trio.to_thread.run_sync(held.close)


def _open_connections(directory: Path, held: contextlib.ExitStack) -> list[sqlite3.Connection]:
    """Locks, opens and migrates; what it acquires is released with `held`."""
    if sqlite3.sqlite_version_info < _MIN_SQLITE:
        raise DatabaseUnusable(f"SQLite {sqlite3.sqlite_version} is too old: 3.33 or newer is needed")
    path = directory / DATABASE_NAME
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        held.enter_context(locked(directory))
        # It holds password hashes and private messages; the files beside it inherit this mode.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    except OSError as error:
        raise DatabaseUnusable(f"{directory} cannot be used: {error.strerror}") from error
    try:
        connections = [_connect(path, held) for _ in range(1 + READERS)]
        migrate(connections[0])
    except (sqlite3.Error, DatabaseUnusable) as error:
        raise DatabaseUnusable(f"{path} cannot be used: {error}") from error
    return connections


def _connect(path: Path, held: contextlib.ExitStack) -> sqlite3.Connection:
    connection = sqlite3.connect(
        path, timeout=BUSY_TIMEOUT_SECONDS, isolation_level=None, check_same_thread=False, cached_statements=512
    )
    held.callback(connection.close)
    connection.execute(f"PRAGMA page_size = {_PAGE_BYTES}")
    (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode != "wal":
        raise DatabaseUnusable(f"its file system has no shared memory, which the write-ahead log needs (mode {mode})")
    connection.executescript(_PRAGMAS)
    return connection
