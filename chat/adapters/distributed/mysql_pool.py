"""Connections to one database, for work that runs in the asyncio loop.

A connection goes back to the pool only if all that was asked on it was answered; any other is closed, so
nobody is ever handed another's answer.
"""

from __future__ import annotations

import dataclasses
import ssl
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from typing import Any, NamedTuple, TypeVar

import asyncmy
from asyncmy.errors import OperationalError

from ...domain.errors import ChatError, Invalid
from .fencing import Fence, read_generation
from .mysql_dsn import Dsn
from .mysql_errors import NO_CONNECTION, verdict_of
from .mysql_sql import chunks, flat, marks, values
from .shard_map import Kind, number_of

Key = TypeVar("Key", bound=str)
T = TypeVar("T")
Rows = tuple[tuple[Any, ...], ...]

CONNECT_SECONDS = 2.0
STATEMENT_SECONDS = 5.0
"""After which the server itself gives up, should we have gone away without its noticing."""
LOCK_WAIT_SECONDS = 2
IDLE_SECONDS = 30.0
"""A connection unused for longer is not trusted: firewalls forget, and the server closes at twice that."""
_SQL_MODE = "STRICT_ALL_TABLES,NO_ZERO_IN_DATE,NO_ZERO_DATE,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION"
_ISOLATION = "'READ-COMMITTED'"
_IDLE_TRANSACTION_SECONDS = 5
"""A node that is stopped within a transaction must not keep others from its rooms."""
_FOUND_ROWS = 2
"""Client flag: an UPDATE counts the rows it found, whether or not they were different before."""


_KINDS = {"rooms": Kind.ROOMS, "users": Kind.USERS, "names": Kind.USERS}


class Moved(Exception):
    """What was asked for lives on another shard by now: the map must be read again."""


class Change(NamedTuple):
    """Rows that a transaction writes: those of `root` in `table`, or the one with the further key `item`.

    For the root's own table that stands for all that an append writes, too.
    """

    table: str
    root: str
    item: str = ""


class Session:
    """A connection, while one piece of work has it. Texts are bound as bytes: they must be valid Unicode.

    What a shard has is what its own `bucket_map` says. So a query reads from `home(table)`, and asks
    `check_ownership` if it finds nothing; a transaction that writes begins with `hold`.
    """

    def __init__(self, connection: Any, shard: str) -> None:
        self._connection = connection
        self._copying: set[int] = set()
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

    async def rows_of(self, kind: Kind, key: str, sql: str, parameters: Sequence[Any]) -> Rows:
        """All rows of a query that finds nothing if `key` is not here. Raises: Moved if it is elsewhere."""
        rows = await self.rows(sql, parameters)
        if not rows:
            await self.check_ownership(kind, [key])
            rows = await self.rows(sql, parameters)  # it may have come just between the two questions
        return rows

    async def each_of(
        self, kind: Kind, keys: Sequence[Key], ask: Callable[[Sequence[Key]], Awaitable[dict[Key, T]]]
    ) -> dict[Key, T]:
        """What `ask` finds of `keys`; it does not find what is not here. Raises: Moved if some are elsewhere."""
        found = await ask(keys)
        if missing := [key for key in keys if key not in found]:
            await self.check_ownership(kind, missing)
            found |= await ask(missing)  # as above
        return found

    async def restart(self) -> None:
        """Takes back what the transaction has done so far, and begins anew."""
        await self.execute("ROLLBACK")
        await self.execute("BEGIN")

    def home(self, table: str) -> str:
        """`rooms`, `users` or `names` for a FROM clause, as far as its rows belong here."""
        return (
            f"{table} STRAIGHT_JOIN bucket_map AS home ON home.kind = '{_KINDS[table]}'"
            f" AND home.bucket = {table}.bucket AND home.shard = '{self.shard}'"
        )

    async def check_ownership(self, kind: Kind, keys: Collection[str]) -> None:
        """To be called when something is not here. Raises: Moved if it may be elsewhere."""
        if len(await self._owned(kind, keys)) < len(_buckets(keys)):
            raise Moved

    async def hold(self, kind: Kind, keys: Collection[str]) -> dict[int, bool]:
        """The buckets of `keys` that are here, which they stay until the transaction ends; True: being copied.

        What is written to a bucket that is being copied must be told with `record`. A bucket that is just about
        to leave counts as gone: nobody waits for a move within a transaction.
        """
        share = "LOCK IN SHARE MODE" if self.is_mariadb else "FOR SHARE"
        held = await self._owned(kind, keys, f"{share} SKIP LOCKED")
        self._copying |= {bucket for bucket, copying in held.items() if copying}
        return held

    async def hold_all(self, kind: Kind, keys: Collection[str]) -> bool:
        """Holds the buckets of all `keys`; whether one of them is being copied. Raises: Moved."""
        held = await self.hold(kind, keys)
        if len(held) < len(_buckets(keys)):
            raise Moved
        return any(held.values())

    async def record(self, kind: Kind, changes: Iterable[Change]) -> None:
        """Tells whoever copies the buckets that are held, if there is somebody, what this transaction writes."""
        if not self._copying:
            return
        rows = ((kind, number_of(change.root), *change) for change in sorted(set(changes)))
        for chunk in chunks(row for row in rows if row[1] in self._copying):
            await self.execute(
                f"INSERT INTO bucket_changes (kind, bucket, `table`, root, item) VALUES {values(5, len(chunk))}"
                " ON DUPLICATE KEY UPDATE times = times + 1",
                flat(chunk),
            )

    async def _owned(self, kind: Kind, keys: Collection[str], lock: str = "") -> dict[int, bool]:
        owned: dict[int, bool] = {}
        for chunk in chunks(_buckets(keys)):
            query = (
                f"SELECT bucket, stage = 'copying' FROM bucket_map WHERE kind = '{kind.value}'"
                f" AND bucket IN ({marks(len(chunk))}) AND shard = %s {lock}"
            )
            owned |= {bucket: bool(copying) for bucket, copying in await self.rows(query, [*chunk, self.shard])}
        return owned

    @property
    def is_mariadb(self) -> bool:
        return "MariaDB" in self._connection.get_server_info()


Work = Callable[[Session], Awaitable[T]]


@dataclasses.dataclass(eq=False, slots=True)
class _Connection:
    """One of the driver's, and the generation of the primary that it leads to; 0 for a replica."""

    driver: Any
    generation: int
    free_since: float = 0.0


class MySqlPool:
    """Used in the loop's thread only. It does not count: whoever calls limits how many are in use."""

    def __init__(
        self,
        dsn: Dsn,
        shard: str,
        *,
        is_primary: bool,
        statement_seconds: float = STATEMENT_SECONDS,
        idle_seconds: float = IDLE_SECONDS,
    ) -> None:
        self._dsn = dsn
        self._shard = shard
        self._is_primary = is_primary
        self._statement_seconds = statement_seconds
        self._idle_seconds = idle_seconds
        self._fence = Fence(shard, str(dsn))
        self._free: list[_Connection] = []

    async def run(self, work: Work[T], *, transaction: bool = False, fresh: bool = False) -> T:
        """Does `work` on a connection, in a transaction if asked for: commits if it returns, else takes it back.

        `fresh` opens a connection for it in place of one that nobody uses, and so finds out where the address leads.

        Raises: what `work` raises; Invalid for text that is none; errors of the driver, after which nothing is
        known but what `verdict_of` says.
        """
        connection = self._take()
        if fresh and connection is not None:
            connection.driver.close()
            connection = None
        connection = connection or await self._connect()
        session = Session(connection.driver, self._shard)
        try:
            value = await (_in_transaction(session, work) if transaction else work(session))
            self._fence.check(connection.generation)
        except (ChatError, Moved):
            self._give_back(connection)
            raise
        except UnicodeEncodeError as error:  # before anything was sent
            connection.driver.close()
            raise Invalid("a text is not valid Unicode") from error
        except BaseException as error:
            connection.driver.close()
            if verdict_of(error) is not None:
                self.clear()
            raise
        self._give_back(connection)
        return value

    def clear(self) -> None:
        """Closes what nobody uses."""
        while self._free:
            self._free.pop().driver.close()

    def _take(self) -> _Connection | None:
        """The connection used last, so that those that are not needed grow old."""
        while self._free:
            connection = self._free.pop()
            if self._is_usable(connection):
                return connection
            connection.driver.close()
        return None

    def _give_back(self, connection: _Connection) -> None:
        connection.free_since = time.monotonic()
        self._free.append(connection)
        for each in [each for each in self._free if not self._is_usable(each)]:
            self._free.remove(each)
            each.driver.close()

    def _is_usable(self, connection: _Connection) -> bool:
        return (
            connection.driver.connected
            and not connection.driver._stream_broken
            and time.monotonic() - connection.free_since < self._idle_seconds
            and self._fence.admits(connection.generation)
        )

    async def _connect(self) -> _Connection:
        try:
            driver = await asyncmy.connect(
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
            )
        except RuntimeError as error:  # the driver's word for a connection that is reset just when it is made
            raise OperationalError(NO_CONNECTION, str(error)) from error
        try:
            session = Session(driver, self._shard)
            settings = self._settings(session.is_mariadb)
            await session.execute("SET SESSION " + ", ".join(f"{name} = {value}" for name, value in settings.items()))
            generation = 0
            if self._is_primary:
                generation, server = await read_generation(session)
                self._fence.meet(generation, server)
        except BaseException:
            driver.close()
            raise
        return _Connection(driver, generation)

    def _settings(self, is_mariadb: bool) -> dict[str, object]:
        common = {
            "sql_mode": f"'{_SQL_MODE}'",
            "innodb_lock_wait_timeout": LOCK_WAIT_SECONDS,
            "wait_timeout": round(2 * self._idle_seconds),
        }
        if is_mariadb:
            return {
                **common,
                "tx_isolation": _ISOLATION,
                "max_statement_time": self._statement_seconds,
                "idle_write_transaction_timeout": _IDLE_TRANSACTION_SECONDS,
            }
        return {
            **common,
            "transaction_isolation": _ISOLATION,
            "max_execution_time": round(1000 * self._statement_seconds),
        }


def _buckets(keys: Iterable[str]) -> list[int]:
    return sorted({number_of(key) for key in keys})


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
