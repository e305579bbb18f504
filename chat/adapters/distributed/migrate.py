"""Brings the schema and the map of all shards up to date: `chat-gateway db migrate`."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence

from asyncmy.errors import MySQLError

from .bucket_map import read_map
from .errors import ShardsUnusable
from .mysql_errors import DUPLICATE_COLUMN, code_of
from .mysql_pool import Session
from .schema import MIGRATIONS, VERSION_TABLE
from .shard_map import ShardMap

_FIRST_WITH_TERMS = 4
"""The version from which on the map has terms."""
LOCK_SECONDS = 60
"""How long one migration waits for another that is at work on the same shard."""


@dataclasses.dataclass(frozen=True, slots=True)
class ShardState:
    """What a shard says about itself."""

    version: int
    """Of its schema; 0 if it is empty."""
    name: str
    """Of the shard that this database was made; empty if it has none yet."""
    shard_map: ShardMap | None
    durable: bool
    """Whether a commit is on disk when it returns."""

    @property
    def is_current(self) -> bool:
        """Whether the schema has all that this program needs."""
        return self.version >= len(MIGRATIONS)


async def read_state(session: Session) -> ShardState:
    """Reads a shard of any version, even an empty database."""
    [(durable, has_log, log_durable)] = await session.rows(
        "SELECT @@innodb_flush_log_at_trx_commit, @@log_bin, @@sync_binlog"
    )
    version, name, shard_map = await _version(session), "", None
    if version:
        for (found,) in await session.rows("SELECT shard FROM map_version"):
            name = found.decode()
        shard_map = await read_map(session, with_terms=version >= _FIRST_WITH_TERMS)
    return ShardState(version, name, shard_map, durable == 1 and (not has_log or log_durable == 1))


async def migrate_schema(session: Session) -> int:
    """Runs the migrations that are missing, one process at a time; returns the version."""
    [(locked,)] = await session.rows("SELECT GET_LOCK(CONCAT('chat-gateway ', DATABASE()), %s)", [LOCK_SECONDS])
    if not locked:
        raise ShardsUnusable("another migration is at work")
    if session.is_mariadb:
        await session.execute("SET SESSION max_statement_time = 0")  # to build an index may take an hour
    try:
        version = await _version(session)
        if not version:
            await session.execute(VERSION_TABLE)
        for number, statements in enumerate(MIGRATIONS[version:], start=version + 1):
            for statement in statements:
                await _execute(session, statement)
            await session.execute("INSERT INTO migrations (number) VALUES (%s)", [number])
        return max(version, len(MIGRATIONS))
    finally:
        await session.rows("SELECT RELEASE_LOCK(CONCAT('chat-gateway ', DATABASE()))")


async def _execute(session: Session, statement: str) -> None:
    """Twice is once: an ALTER whose column is there already was carried out as a whole."""
    try:
        await session.execute(statement)
    except MySQLError as error:
        if code_of(error) != DUPLICATE_COLUMN:
            raise


async def _version(session: Session) -> int:
    tables = "SELECT 1 FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = 'migrations'"
    if not await session.rows(tables):
        return 0
    [(version,)] = await session.rows("SELECT MAX(number) FROM migrations")
    return version or 0


def newest_map(states: Mapping[str, ShardState]) -> ShardMap | None:
    """The map that counts, of those that the shards hold."""
    maps = [state.shard_map for state in states.values() if state.shard_map is not None]
    return functools.reduce(ShardMap.merged, maps) if maps else None


def check_states(states: Mapping[str, ShardState], configured: Sequence[str]) -> ShardMap:
    """The map to go by. Raises: ShardsUnusable, in words for the one who starts a node."""
    for name, state in states.items():
        if not state.is_current:
            raise ShardsUnusable(f"shard {name} is not up to date: run `chat-gateway db migrate` first")
        check_name(name, state)
    shard_map = newest_map(states)
    if shard_map is None:
        raise ShardsUnusable("no shard holds a map: run `chat-gateway db migrate` with all shards")
    if missing := shard_map.shards - set(configured):
        raise ShardsUnusable(f"the map names shards that are not given: {', '.join(sorted(missing))}")
    return shard_map


def check_name(name: str, state: ShardState) -> None:
    """Two shards that were mixed up would answer for each other. Raises: ShardsUnusable."""
    if state.name and state.name != name:
        raise ShardsUnusable(f"the database given as shard {name} is shard {state.name}")
