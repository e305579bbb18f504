"""Stores over MySQL with an archive behind them."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import trio

from chat.adapters.archive.archiver import Archiver, Report
from chat.adapters.archive.message_store import ArchivedMessageStore
from chat.adapters.archive.objects import ObjectStore
from chat.adapters.archive.segment_reader import SegmentReader
from chat.adapters.archive.verifier import Verdict, Verifier
from chat.adapters.distributed.archive_catalog import MySqlArchiveCatalog
from chat.adapters.distributed.archive_source import MySqlArchiveSource
from chat.adapters.distributed.asyncio_bridge import AsyncioBridge
from chat.adapters.distributed.message_store import open_message_store
from chat.adapters.distributed.mysql_dsn import parse_shards
from chat.adapters.distributed.mysql_shards import MySqlShards
from chat.adapters.distributed.room_store import MySqlRoomStore
from chat.adapters.distributed.user_store import MySqlUserStore
from chat.adapters.embedded.database import SqliteDatabase
from chat.adapters.embedded.session_store import SqliteSessionStore
from chat.domain.messages import Message
from chat.domain.rooms import RoomId
from chat.ports.message_store import MessageStore
from tests.support.clocks import ManualClock
from tests.support.stores import Stores, sharded


@dataclasses.dataclass(frozen=True)
class Archive:
    """`stores` with an archive in `objects`; `recent` is what is behind `stores.messages` without it."""

    stores: Stores
    recent: MessageStore
    shards: MySqlShards
    objects: ObjectStore

    @property
    def sources(self) -> list[MySqlArchiveSource]:
        return [MySqlArchiveSource(server) for server in self.shards.primaries.values()]

    def another_node(self, *, objects: ObjectStore | None = None) -> ArchivedMessageStore:
        """A store that has read nothing yet."""
        segments = SegmentReader(objects or self.objects)
        return ArchivedMessageStore(self.recent, MySqlArchiveCatalog(self.shards), segments)

    async def run(self, older_than_seconds: float, **options: Any) -> Report:
        """Archives what is so old by the clock of the stores, on every shard."""
        report = Report()
        for source in self.sources:
            arguments: dict[str, Any] = {"clock": self.stores.clock, "min_rows": 1, **options}
            done = await Archiver(source, self.objects, older_than_seconds, **arguments).run()
            report = Report(*map(sum, zip(dataclasses.astuple(report), dataclasses.astuple(done), strict=True)))
        return report

    async def verify(self) -> Verdict:
        return await Verifier(self.sources, self.objects).run()


@contextlib.asynccontextmanager
async def archive(dsns: dict[str, str], directory: Path, objects: ObjectStore) -> AsyncIterator[Archive]:
    """Fresh stores over shards, by name, whose messages can be archived to `objects`."""
    clock = ManualClock()
    shards = parse_shards([f"{name}={dsn}" for name, dsn in dsns.items()])
    async with (
        SqliteDatabase(directory) as database,
        AsyncioBridge() as bridge,
        sharded(bridge, shards) as opened,
        open_message_store(opened, clock=clock) as recent,
    ):
        messages = ArchivedMessageStore(recent, MySqlArchiveCatalog(opened), SegmentReader(objects))
        rooms = MySqlRoomStore(opened, clock=clock)
        sessions = SqliteSessionStore(database, clock=clock)
        yield Archive(Stores(MySqlUserStore(opened), rooms, messages, sessions, clock), recent, opened, objects)


class ArchivingStore:
    """A `MessageStore` from which everything is archived before every third call, behind its caller's back."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self._lock = trio.Lock()
        self._calls = 0
        self._is_new = False

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._archive.stores.messages, name)

        async def call(*arguments: Any, **options: Any) -> Any:
            self._calls += 1
            if self._calls % 3 == 0 and self._is_new and not self._lock.locked():
                async with self._lock:
                    self._is_new = False
                    await self._archive.run(-1)
            self._is_new |= name == "append"
            return await method(*arguments, **options)

        return method if name == "lane" else call


async def whole_history(store: MessageStore, room: RoomId, page: int = 200) -> list[Message]:
    """All messages of a room, page by page forwards; backwards they must be the same."""
    messages: list[Message] = []
    while more := await store.read_after(room, len(messages), page):
        messages += more
    backwards: list[Message] = []
    while more := await store.read_before(room, backwards[0].seq if backwards else None, page):
        backwards = more + backwards
    assert backwards == messages
    assert [message.seq for message in messages] == list(range(1, len(messages) + 1))
    return messages
