"""Connections to one database, for work that runs in the asyncio loop.

A connection goes back to the pool only if all that was asked on it was answered; any other is closed, so
nobody is ever handed another's answer.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

import asyncmy

from ...domain.errors import ChatError, Invalid
from .mysql_dsn import Dsn
from .mysql_errors import verdict_of
from .mysql_sql import chunks, marks
from .shard_map import Kind, bucket_of

T = TypeVar("T")
Rows = tuple[tuple[Any, ...], ...]

CONNECT_SECONDS = 2.0
STATEMENT_SECONDS = 5
"""After which the server itself gives up, should we have gone away without its noticing."""
LOCK_WAIT_SECONDS = 2
_IDLE_SECONDS = 30.0
"""A connection unused for longer is not trusted: firewalls forget, and the server closes at twice that."""
_SQL_MODE = "STRICT_ALL_TABLES,NO_ZERO_IN_DATE,NO_ZERO_DATE,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION"
_SETTINGS = {
    "sql_mode": f"'{_SQL_MODE}'",
    "innodb_lock_wait_timeout": LOCK_WAIT_SECONDS,
    "wait_timeout": round(2 * _IDLE_SECONDS),
}
_MARIADB_SETTINGS = {
    "max_statement_time": STATEMENT_SECONDS,
    # A node that is stopped within a transaction must not keep others from its rooms.
    "idle_write_transaction_timeout": STATEMENT_SECONDS,
}
_MYSQL_SETTINGS = {"max_execution_time": 1000 * STATEMENT_SECONDS}
_FOUND_ROWS = 2
"""Client flag: an UPDATE counts the rows it found, whether or not they were different before."""


class Moved(Exception):
    """What was asked for lives on another shard by now: the map must be read again."""


class Session:
    """A connection, while one piece of work has it. Texts are bound as bytes: they must be valid Unicode."""

    def __init__(self, connection: Any, shard: str) -> None:
        self._connection = connection
        self.shard = shard

    async def rows(self, sql: str, parameters: Sequence[Any] = ()) -> Rows:
        """All rows of a query; binary columns are bytes."""
        async with self._connection.cursor() as cursor:
            await cursor.execute(sql, _bound(parameters))
            found: Rows = await cursor.fetchall()
            return found

    async def execute(self, sql: str, parameters: Sequence[Any] = ()) -> int:
        """Runs a statement and returns how many rows it found or inserted."""
        async with self._connection.cursor() as cursor:
            count: int = await cursor.execute(sql, _bound(parameters))
            return count

    async def restart(self) -> None:
        """Takes back what the transaction has done so far, and begins anew."""
        await self.execute("ROLLBACK")
        await self.execute("BEGIN")

    async def check_ownership(self, kind: Kind, keys: Sequence[str], *, lock: bool = False) -> None:
        """To be called when something is not here, or is about to be created here.

        With `lock`, the buckets cannot leave before the transaction ends. Raises: Moved.
        """
        numbers = {bucket_of(kind, key).number for key in keys}
        found = 0
        for chunk in chunks(sorted(numbers)):
            query = (
                f"SELECT COUNT(*) FROM bucket_map WHERE kind = '{kind.value}'"
                f" AND bucket IN ({marks(len(chunk))}) AND shard = %s"
            )
            [(count,)] = await self.rows(query + (" LOCK IN SHARE MODE" if lock else ""), [*chunk, self.shard])
            found += count
        if found < len(numbers):
            raise Moved

    @property
    def is_mariadb(self) -> bool:
        return "MariaDB" in self._connection.get_server_info()


Work = Callable[[Session], Awaitable[T]]


class MySqlPool:
    """Used in the loop's thread only. It does not count: whoever calls limits how many are in use."""

    def __init__(self, dsn: Dsn, shard: str) -> None:
        self._dsn = dsn
        self._shard = shard
        self._free: list[tuple[Any, float]] = []

    async def run(self, work: Work[T], *, transaction: bool = False) -> T:
        """Does `work` on a connection, in a transaction if asked for: commits if it returns, else takes it back.

        Raises: what `work` raises; Invalid for text that is none; errors of the driver, after which nothing is
        known but what `verdict_of` says.
        """
        connection = self._take() or await self._connect()
        session = Session(connection, self._shard)
        try:
            value = await (_in_transaction(session, work) if transaction else work(session))
        except (ChatError, Moved):
            self._give_back(connection)
            raise
        except UnicodeEncodeError as error:  # before anything was sent
            connection.close()
            raise Invalid("a text is not valid Unicode") from error
        except BaseException as error:
            connection.close()
            if verdict_of(error) is not None:
                self.clear()
            raise
        self._give_back(connection)
        return value

    def clear(self) -> None:
        """Closes what nobody uses."""
        while self._free:
            self._free.pop()[0].close()

    def _take(self) -> Any | None:
        """The connection used last, so that those that are not needed grow old."""
        while self._free:
            connection, since = self._free.pop()
            if connection.connected and not connection._stream_broken and time.monotonic() - since < _IDLE_SECONDS:
                return connection
            connection.close()
        return None

    def _give_back(self, connection: Any) -> None:
        self._free.append((connection, time.monotonic()))
        while time.monotonic() - self._free[0][1] > _IDLE_SECONDS:
            self._free.pop(0)[0].close()

    async def _connect(self) -> Any:
        connection = await asyncmy.connect(
            host=self._dsn.host,
            port=self._dsn.port,
            user=self._dsn.user,
            password=self._dsn.password.encode(),
            database=self._dsn.database,
            charset="utf8mb4",
            autocommit=True,
            connect_timeout=CONNECT_SECONDS,
            client_flag=_FOUND_ROWS,
            ssl=_tls(self._dsn),
            init_command="SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
        )
        try:
            session = Session(connection, self._shard)
            settings = _SETTINGS | (_MARIADB_SETTINGS if session.is_mariadb else _MYSQL_SETTINGS)
            await session.execute("SET SESSION " + ", ".join(f"{name} = {value}" for name, value in settings.items()))
        except BaseException:
            connection.close()
            raise
        return connection


async def _in_transaction(session: Session, work: Work[T]) -> T:
    await session.execute("BEGIN")
    try:
        value = await work(session)
    except (ChatError, Moved):
        await session.execute("ROLLBACK")
        raise
    await session.execute("COMMIT")
    return value


def _bound(parameters: Sequence[Any]) -> list[Any] | None:
    """Without parameters the driver leaves a `%` in the statement alone."""
    if not parameters:
        return None
    return [value.encode() if isinstance(value, str) else value for value in parameters]


def _tls(dsn: Dsn) -> Any:
    if not dsn.tls:
        return None
    return ssl.create_default_context(cafile=dsn.ca or None)
