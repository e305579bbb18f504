"""The archive on a disk and on a stand-in for S3: one history, whatever is where, and nothing wrong in it."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from chat.adapters.archive.archiver import Archiver
from chat.adapters.archive.catalog import Segment
from chat.adapters.archive.errors import Damaged
from chat.adapters.archive.local_objects import LocalObjects
from chat.adapters.archive.message_store import ArchivedMessageStore
from chat.adapters.archive.objects import ObjectStore, open_objects
from chat.adapters.archive.segment_reader import SegmentReader
from chat.adapters.distributed.archive_catalog import MySqlArchiveCatalog
from chat.adapters.distributed.archive_source import MySqlArchiveSource
from chat.adapters.distributed.asyncio_bridge import AsyncioBridge
from chat.adapters.distributed.bucket_mover import Move
from chat.adapters.distributed.cached_message_store import open_cached_store
from chat.adapters.distributed.mysql_dsn import ShardDsn
from chat.adapters.distributed.mysql_server import MySqlServer
from chat.adapters.distributed.recent_cache import RecentCache
from chat.adapters.distributed.redis_client import open_redis
from chat.adapters.distributed.shard_map import Kind, bucket_of
from chat.adapters.distributed.shard_moves import read_shard_map, run_moves
from chat.domain.errors import NotFound, Unavailable
from chat.domain.messages import Message, NewMessage
from chat.domain.rooms import Room, RoomId
from chat.domain.users import User
from tests.support.archives import Archive, archive, whole_history
from tests.support.mysql_servers import empty_databases
from tests.support.redis_servers import emptied
from tests.support.s3_server import s3_server
from tests.support.stores import accepted

DEADLINE_SECONDS = 120


@pytest.fixture
async def opened(objects: ObjectStore, tmp_path: Path) -> AsyncIterator[Archive]:
    with trio.fail_after(DEADLINE_SECONDS):
        async with archive(empty_databases("one", "two"), tmp_path, objects) as opened:
            yield opened


@pytest.fixture
async def local(tmp_path: Path) -> AsyncIterator[Archive]:
    """For what does not depend on where the segments are."""
    with trio.fail_after(DEADLINE_SECONDS):
        objects = LocalObjects(tmp_path / "archive")
        async with archive(empty_databases("one", "two"), tmp_path, objects) as opened:
            yield opened


async def fill(opened: Archive, user: User, room: Room, count: int) -> None:
    """Appends messages, ten of them every ten seconds."""
    messages = [
        NewMessage(room.id, user.id, f"{room.id} {number}", {"text": "grüße 👋 " * (number % 50)})
        for number in range(count)
    ]
    for start in range(0, count, 10):
        opened.stores.clock.advance(10)
        await opened.recent.append(messages[start : start + 10])


async def fill_rooms(opened: Archive, *sizes: int) -> dict[RoomId, list[Message]]:
    """A room of each size, and their whole histories."""
    user = await opened.stores.new_user()
    rooms = [await opened.stores.new_room(user) for _ in sizes]
    for room, size in zip(rooms, sizes, strict=True):
        await fill(opened, user, room, size)
    return {room.id: await whole_history(opened.recent, room.id) for room in rooms}


async def borders(opened: Archive, histories: dict[RoomId, list[Message]]) -> list[int]:
    catalog = MySqlArchiveCatalog(opened.shards)
    return [await catalog.border(room) for room in histories]


# --- reading ---


async def test_a_history_is_the_same_wherever_it_is(opened: Archive) -> None:
    histories = await fill_rooms(opened, 30, 700, 1, 20)
    tops = await opened.stores.messages.tops(list(histories))
    report = await opened.run(410)
    assert await borders(opened, histories) == [30, 310, 0, 0]
    assert report.messages == 340
    node = opened.another_node()
    for room, history in histories.items():
        for page in (500, 200, 60):
            assert await whole_history(node, room, page) == history
        for message in history[:: len(history) // 10 + 1]:
            assert await node.read_one(room, message.seq) == message
    assert await node.tops(list(histories)) == tops
    assert (await opened.verify()).findings == []


async def test_any_page_is_cut_from_the_same_history(opened: Archive) -> None:
    [(room, history)] = (await fill_rooms(opened, 500)).items()
    for older_than in (420, 250, 100):  # so that there are several segments
        await opened.run(older_than)
    chance = random.Random(1)
    for _ in range(60):
        node = opened.another_node() if chance.random() < 0.2 else opened.stores.messages
        at, limit = chance.randint(-2, 510), chance.randint(1, 200)
        assert await node.read_after(room, at, limit) == history[max(0, at) :][:limit]
        assert await node.read_before(room, at, limit) == history[: max(0, at - 1)][-limit:]


async def test_a_room_that_is_archived_to_its_end_goes_on(opened: Archive) -> None:
    [(room, history)] = (await fill_rooms(opened, 10)).items()
    await opened.run(-1)
    node = opened.another_node()
    assert await node.read_after(room, 10, 5) == []
    assert await node.read_after(room, 10**30, 5) == []
    assert await node.read_before(room, 10**30, 5) == history[5:]
    assert await node.read_before(room, None, 500) == history
    with pytest.raises(NotFound):
        await node.read_one(room, 11)
    [answer] = await node.append([NewMessage(room, history[0].user, "new", {})])
    assert await node.read_before(room, None, 2) == [history[-1], await node.read_one(room, 11)], answer


async def test_a_page_comes_from_cache_and_database_and_archive(local: Archive) -> None:
    user = await local.stores.new_user()
    room = (await local.stores.new_room(user)).id
    async with (
        open_redis(emptied("redis").url) as redis,
        open_cached_store(local.stores.messages, RecentCache(redis, quiet_seconds=0.01)) as node,
    ):
        for number in range(450):
            local.stores.clock.advance(1)
            await node.append([NewMessage(room, user.id, f"{number}", {"n": number})])
        history = await whole_history(local.recent, room)
        await local.run(300)
        await node.settled()
        assert await whole_history(node, room) == history
        assert await whole_history(node, room, 500) == history
        assert await node.read_before(room, 260, 200) == history[59:259]
        assert node.hits
        edited = await node.edit(room, 3, {"n": "changed"})
        assert await node.read_after(room, 2, 1) == [edited]


async def test_a_deleted_message_stays_deleted_in_the_archive(opened: Archive) -> None:
    [(room, history)] = (await fill_rooms(opened, 3)).items()
    first = await opened.stores.messages.delete(room, 1)
    await opened.run(-1)
    second = await opened.stores.messages.delete(room, 2)
    third = await opened.stores.messages.edit(room, 3, {"text": "new"})
    assert [(m.seq, m.body, m.deleted) for m in (first, second)] == [(1, {}, True), (2, {}, True)]
    assert await whole_history(opened.another_node(), room) == [first, second, third]
    assert third.key == history[2].key


# --- moving ---


async def test_readers_see_every_message_once_while_it_is_moved(local: Archive) -> None:
    histories = await fill_rooms(local, 400, 300)
    chance = random.Random(2)
    done = trio.Event()
    pages = 0

    async def read(node: ArchivedMessageStore) -> None:
        nonlocal pages
        while not done.is_set():
            room, history = chance.choice(list(histories.items()))
            at = chance.randint(0, len(history))
            assert await node.read_after(room, at, 200) == history[at:][:200]
            assert await node.read_before(room, at + 1, 200) == history[:at][-200:]
            pages += 1

    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(read, local.another_node())
        for older_than in (600, 400, 200, -1):
            await local.run(older_than, segment_rows=60)
        done.set()
    assert await borders(local, histories) == [400, 300]
    assert pages


class _Edited(MySqlArchiveSource):
    """A shard where somebody edits a message while its segment is written."""

    def __init__(self, server: MySqlServer, opened: Archive, room: RoomId) -> None:
        super().__init__(server)
        self._opened = opened
        self._room = room

    async def verified(self, segment: Segment) -> bool:
        await self._opened.recent.edit(self._room, 2, {"text": "late"})
        await self._opened.recent.delete(self._room, 3)
        return await super().verified(segment)


async def test_what_is_edited_while_its_segment_is_written_stays_edited(local: Archive) -> None:
    [(room, history)] = (await fill_rooms(local, 5)).items()
    shard = local.stores.messages.lane(room)
    source = _Edited(local.shards.primaries[shard], local, room)
    await Archiver(source, local.objects, -1, clock=local.stores.clock, min_rows=1).run()
    assert await borders(local, {room: history}) == [5]
    first, second, third, *rest = await whole_history(local.another_node(), room)
    assert [first, *rest] == [history[0], *history[3:]]
    assert (second.body, second.revision) == ({"text": "late"}, 1)
    assert (third.body, third.deleted) == ({}, True)
    assert (await local.stores.messages.edit(room, 2, {"text": "later"})).revision == 2


async def test_two_archivers_at_once_move_each_message_once(local: Archive) -> None:
    histories = await fill_rooms(local, 300, 200, 10)

    async def run() -> None:
        while True:
            try:
                await local.run(-1, segment_rows=100)
                return
            except (Unavailable, Damaged):  # the other one took its segment for abandoned, and removed it
                await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        for _ in range(2):
            nursery.start_soon(run)
    assert await borders(local, histories) == [300, 200, 10]
    for room, history in histories.items():
        assert await whole_history(local.another_node(), room) == history
    assert (await local.verify()).findings == []


async def test_rooms_with_little_to_move_wait_until_it_is_more_or_very_old(local: Archive) -> None:
    histories = await fill_rooms(local, 49, 50)
    for seconds, moved in ((170, [0, 0]), (40, [0, 50]), (200, [49, 50])):
        local.stores.clock.advance(seconds)
        await local.run(200, min_rows=50)
        assert await borders(local, histories) == moved


# --- what is away or wrong ---


async def test_a_node_that_knows_no_archive_says_so(local: Archive) -> None:
    [(room, history)] = (await fill_rooms(local, 20)).items()
    await local.run(5)
    node = ArchivedMessageStore(local.recent, MySqlArchiveCatalog(local.shards), None)
    assert await node.read_before(room, None, 10) == history[10:]
    for read in (node.read_before(room, None, 20), node.read_after(room, 0, 5), node.read_one(room, 1)):
        with pytest.raises(Unavailable):
            await read


async def test_an_archive_that_does_not_answer_makes_old_messages_unavailable(tmp_path: Path) -> None:
    with s3_server() as server:
        with trio.fail_after(DEADLINE_SECONDS):
            objects = open_objects(server.location)
            async with archive(empty_databases("one", "two"), tmp_path, objects) as opened:
                [(room, history)] = (await fill_rooms(opened, 20)).items()
                await opened.run(5)
                segments = SegmentReader(objects, seconds=0.5)
                node = ArchivedMessageStore(opened.recent, MySqlArchiveCatalog(opened.shards), segments)
                server.kill()
                assert await node.read_before(room, None, 10) == history[10:]
                with pytest.raises(Unavailable):
                    await node.read_after(room, 0, 5)
                assert segments.reads == {"read": 0, "damaged": 0, "away": 1}
                verdict = await opened.verify()
                assert len(verdict.findings) == 1
                with pytest.raises(Unavailable):
                    await opened.run(-1)
                assert (await opened.recent.read_before(room, None, 10)) == history[10:]


# --- shards that move ---


async def test_rooms_move_between_shards_while_they_are_archived_and_read(local: Archive) -> None:
    histories = await fill_rooms(local, 200, 200, 200)
    done = trio.Event()
    dsns = [ShardDsn(name, server.dsn, ()) for name, server in local.shards.primaries.items()]

    async def read(node: ArchivedMessageStore) -> None:
        while not done.is_set():
            for room, history in histories.items():
                assert await node.read_after(room, 50, 200) == history[50:]
                assert await node.read_before(room, 150, 100) == history[49:149]

    async def archive_bit_by_bit() -> None:
        for older_than in range(600, -1, -40):
            await local.run(older_than, segment_rows=40)

    async def move_to_and_fro() -> None:
        async with AsyncioBridge() as bridge:
            for _ in range(3):
                for room in histories:
                    bucket = bucket_of(Kind.ROOMS, room)
                    shard_map = await read_shard_map(bridge, dsns)
                    here = shard_map.shard_of(bucket)
                    there = "two" if here == "one" else "one"
                    await run_moves(bridge, dsns, [Move(bucket, here, there)], lambda progress: None)

    async with trio.open_nursery() as readers:
        for _ in range(2):
            readers.start_soon(read, local.another_node())
        async with trio.open_nursery() as workers:
            workers.start_soon(archive_bit_by_bit)
            workers.start_soon(move_to_and_fro)
        done.set()
    await local.run(-1)
    assert await borders(local, histories) == [200, 200, 200]
    for room, history in histories.items():
        assert await whole_history(local.another_node(), room) == history
        [again] = await local.stores.messages.append([NewMessage(room, history[9].user, history[9].key, {})])
        assert (accepted(again).seq, accepted(again).duplicate) == (10, True)
    assert (await local.verify()).findings == []
