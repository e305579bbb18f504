"""A replica that is behind, stopped or gone: nobody reads less than was acknowledged."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import NamedTuple

import pytest
import trio

from chat.adapters.distributed.asyncio_bridge import AsyncioBridge
from chat.adapters.distributed.message_store import MySqlMessageStore, open_message_store
from chat.adapters.distributed.mysql_dsn import parse_shards
from chat.adapters.distributed.mysql_shards import MySqlShards
from chat.adapters.distributed.read_routing import Rotation
from chat.adapters.distributed.room_store import MySqlRoomStore
from chat.adapters.distributed.user_store import MySqlUserStore
from chat.adapters.ids import new_id
from chat.domain.messages import Message, NewMessage
from chat.domain.rooms import Room, RoomKind
from chat.domain.users import User
from tests.support.mysql_servers import MySqlProcess, mysql_pair
from tests.support.stores import accepted, sharded

DEADLINE_SECONDS = 90


class Pair(NamedTuple):
    """A shard with a replica, and a room on it with ten messages."""

    primary: MySqlProcess
    replica: MySqlProcess
    shards: MySqlShards
    messages: MySqlMessageStore
    room: Room
    user: User

    @property
    def rotation(self) -> Rotation:
        return self.shards.rotations["a"]

    async def append(self, *keys: str) -> None:
        answers = await self.messages.append([NewMessage(self.room.id, self.user.id, key, {}) for key in keys])
        for answer in answers:
            accepted(answer)

    async def until_in_rotation(self, wanted: bool) -> None:
        while (self.rotation.choose() is not None) != wanted:
            await self.rotation.measure()
            await trio.sleep(0.05)  # its lag has to grow, or it has to catch up

    def wait_for_replica(self) -> None:
        """Until it has everything that the primary has at this moment."""
        [[position]] = self.primary.sql("SELECT @@gtid_binlog_pos")
        assert self.replica.sql(f"SELECT MASTER_GTID_WAIT('{position}', {DEADLINE_SECONDS})") == [["0"]]

    async def before(self, seq: int, limit: int) -> list[Message]:
        return await self.messages.read_before(self.room.id, seq, limit)


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[MySqlProcess, MySqlProcess]]:
    with mysql_pair() as servers:
        yield servers


@pytest.fixture
async def pair(servers: tuple[MySqlProcess, MySqlProcess]) -> AsyncIterator[Pair]:
    with trio.fail_after(DEADLINE_SECONDS):
        async with _open(*servers) as pair:
            yield pair


@asynccontextmanager
async def _open(primary: MySqlProcess, replica: MySqlProcess) -> AsyncIterator[Pair]:
    primary.sql("CREATE DATABASE IF NOT EXISTS chat")
    shards = parse_shards([f"a={primary.dsn('chat')},{replica.dsn('chat')}"])
    async with AsyncioBridge() as bridge, sharded(bridge, shards) as opened, open_message_store(opened) as messages:
        user = await MySqlUserStore(opened).create(f"user {new_id()}", "hash")
        room = await MySqlRoomStore(opened).create("room", RoomKind.PUBLIC, user.id)
        pair = Pair(primary, replica, opened, messages, room, user)
        await pair.append(*map(str, range(1, 11)))
        pair.wait_for_replica()
        await pair.until_in_rotation(True)
        yield pair


def seqs(page: list[Message]) -> list[int]:
    return [message.seq for message in page]


async def test_pages_of_history_come_from_the_replica(pair: Pair) -> None:
    # Nobody but the replica has this body.
    pair.replica.sql(
        f"SET sql_log_bin = 0; UPDATE chat.messages SET body = 0x81a172c3 WHERE room = '{pair.room.id}' AND seq = 5"
    )
    assert [message.body for message in await pair.before(6, 2)] == [{}, {"r": True}]
    assert [message.body for message in await pair.messages.read_after(pair.room.id, 4, 2)] == [{"r": True}, {}]
    assert (await pair.messages.read_one(pair.room.id, 5)).body == {}


async def test_what_the_replica_lacks_is_read_from_the_primary(pair: Pair) -> None:
    pair.replica.sql("STOP SLAVE SQL_THREAD")
    try:
        await pair.append("11", "12", "13")
        assert pair.rotation.choose() is not None, "it counts as near until the next measurement"
        assert seqs(await pair.before(14, 3)) == [11, 12, 13]
        assert seqs(await pair.before(12, 3)) == [9, 10, 11]
        assert seqs(await pair.messages.read_after(pair.room.id, 9, 100)) == [10, 11, 12, 13]
        assert (await pair.messages.top(pair.room.id)).seq == 13
    finally:
        pair.replica.sql("START SLAVE SQL_THREAD")


async def test_a_change_is_seen_by_whoever_made_it(pair: Pair) -> None:
    pair.replica.sql("STOP SLAVE SQL_THREAD")
    try:
        await pair.messages.edit(pair.room.id, 5, {"text": "new"})
        assert [message.body for message in await pair.before(6, 1)] == [{"text": "new"}]
        await pair.messages.delete(pair.room.id, 4)
        assert [message.deleted for message in await pair.before(5, 1)] == [True]
    finally:
        pair.replica.sql("START SLAVE SQL_THREAD")


async def test_a_replica_that_lags_leaves_the_rotation_and_comes_back(pair: Pair) -> None:
    pair.replica.sql("STOP SLAVE SQL_THREAD")
    try:
        await pair.until_in_rotation(False)
        assert pair.rotation.replicas[0].lag_seconds > 2.0
        assert seqs(await pair.before(3, 5)) == [1, 2]
    finally:
        pair.replica.sql("START SLAVE SQL_THREAD")
    await pair.until_in_rotation(True)


@pytest.mark.parametrize("left", ["DELETE FROM chat.heartbeat", "DROP TABLE chat.heartbeat"])
async def test_a_replica_that_has_nothing_yet_is_not_in_the_rotation(pair: Pair, left: str) -> None:
    [[before]] = pair.replica.sql("SELECT ts FROM chat.heartbeat")
    pair.replica.sql(f"STOP SLAVE SQL_THREAD; SET sql_log_bin = 0; {left}")
    try:
        await pair.until_in_rotation(False)
        assert seqs(await pair.before(4, 3)) == [1, 2, 3]
    finally:
        pair.replica.sql(
            "SET sql_log_bin = 0; CREATE TABLE IF NOT EXISTS chat.heartbeat (only TINYINT PRIMARY KEY, ts BIGINT);"
            f"INSERT INTO chat.heartbeat VALUES (1, {before}); START SLAVE SQL_THREAD"
        )
    await pair.until_in_rotation(True)


async def test_a_replica_that_is_mute_delays_a_page_and_no_more(pair: Pair) -> None:
    pair.replica.pause()
    try:
        assert seqs(await pair.before(4, 3)) == [1, 2, 3]
        await pair.until_in_rotation(False)
    finally:
        pair.replica.resume()
    await pair.until_in_rotation(True)


async def test_a_replica_that_dies_is_not_missed(pair: Pair) -> None:
    pair.replica.kill()
    try:
        assert seqs(await pair.before(4, 3)) == [1, 2, 3]
        assert pair.rotation.choose() is None
    finally:
        pair.replica.start()
    await pair.until_in_rotation(True)
