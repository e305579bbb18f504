"""The implementations of the store ports, for the contract suites; a new one is a line in `STORES`."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import itertools
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from unittest.mock import patch

import pytest

from chat.adapters.distributed.asyncio_bridge import AsyncioBridge
from chat.adapters.distributed.message_store import open_message_store
from chat.adapters.distributed.mysql_dsn import ShardDsn, parse_shards
from chat.adapters.distributed.mysql_server import DEADLINE_SECONDS
from chat.adapters.distributed.mysql_shards import MySqlShards, migrate_shards, open_shards
from chat.adapters.distributed.room_store import MySqlRoomStore
from chat.adapters.distributed.user_store import MySqlUserStore
from chat.adapters.embedded import journal
from chat.adapters.embedded.database import SqliteDatabase
from chat.adapters.embedded.message_store import SqliteMessageStore
from chat.adapters.embedded.room_store import SqliteRoomStore
from chat.adapters.embedded.session_store import SqliteSessionStore
from chat.adapters.embedded.user_store import SqliteUserStore
from chat.domain.errors import ChatError
from chat.domain.messages import Appended, NewMessage
from chat.domain.rooms import Room, RoomKind
from chat.domain.users import User
from chat.ports.message_store import MessageStore
from chat.ports.room_store import RoomStore
from chat.ports.session_store import SessionStore
from chat.ports.user_store import UserStore
from tests.support.clocks import ManualClock
from tests.support.mysql_servers import MARIADB, MYSQL, MYSQL_ROOT, Flavour, empty_databases

_numbers = itertools.count(1)


@dataclasses.dataclass(frozen=True)
class Stores:
    """The stores of one fresh installation, and the wall clock that they go by."""

    users: UserStore
    rooms: RoomStore
    messages: MessageStore
    sessions: SessionStore
    clock: ManualClock

    async def new_user(self, name: str | None = None) -> User:
        return await self.users.create(name or f"user {next(_numbers)}", "hash")

    async def new_room(self, owner: User | None = None, kind: RoomKind = RoomKind.PUBLIC, name: str = "room") -> Room:
        return await self.rooms.create(name, kind, (owner or await self.new_user()).id)

    async def append(self, room: Room, user: User, key: str | None = None, text: str = "") -> Appended:
        """Appends one message that must be accepted."""
        message = NewMessage(room.id, user.id, key or f"key {next(_numbers)}", {"text": text})
        (answer,) = await self.messages.append([message])
        return accepted(answer)


def accepted(answer: Appended | ChatError) -> Appended:
    assert isinstance(answer, Appended), answer
    return answer


StoresFactory = Callable[[Path], AbstractAsyncContextManager[Stores]]


@contextlib.asynccontextmanager
async def sqlite_stores(directory: Path) -> AsyncIterator[Stores]:
    clock = ManualClock()
    async with SqliteDatabase(directory) as database:
        yield Stores(
            SqliteUserStore(database),
            SqliteRoomStore(database),
            SqliteMessageStore(database, clock=clock),
            SqliteSessionStore(database, clock=clock),
            clock,
        )


@contextlib.asynccontextmanager
async def journaling_stores(directory: Path) -> AsyncIterator[Stores]:
    """Every message begins in the journal, and goes to the table in some later call."""
    with patch.multiple(journal, MIN_ENTRY_MESSAGES=1, MAX_MESSAGES=7):
        async with sqlite_stores(directory) as stores:
            yield stores


@contextlib.asynccontextmanager
async def mysql_stores(directory: Path, flavour: Flavour = MARIADB) -> AsyncIterator[Stores]:
    """Two shards on a server that all tests share; sessions, which are not kept there, in SQLite."""
    databases = empty_databases("one", "two", flavour=flavour)
    shards = parse_shards([f"{name}={dsn}" for name, dsn in databases.items()])
    async with SqliteDatabase(directory) as database, AsyncioBridge() as bridge, sharded(bridge, shards) as opened:
        clock = ManualClock()
        async with open_message_store(opened, clock=clock) as messages:
            rooms = MySqlRoomStore(opened, clock=clock)
            yield Stores(MySqlUserStore(opened), rooms, messages, SqliteSessionStore(database, clock=clock), clock)


@contextlib.asynccontextmanager
async def sharded(
    bridge: AsyncioBridge, shards: Sequence[ShardDsn], deadline_seconds: float = DEADLINE_SECONDS
) -> AsyncIterator[MySqlShards]:
    """Shards whose schema and map are made first, if they are missing."""
    await migrate_shards(bridge, shards)
    async with open_shards(bridge, shards, deadline_seconds=deadline_seconds) as opened:
        yield opened


STORES = [pytest.param(sqlite_stores, id="sqlite")]
SHARDED_STORES = [
    *STORES,
    pytest.param(journaling_stores, id="sqlite-journal"),
    pytest.param(mysql_stores, id="mariadb"),
    pytest.param(
        functools.partial(mysql_stores, flavour=MYSQL),
        id="mysql",
        marks=pytest.mark.skipif(not MYSQL_ROOT, reason="TEST_MYSQL_ROOT does not name a directory with MySQL"),
    ),
]
