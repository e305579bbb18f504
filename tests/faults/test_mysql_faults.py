"""MySQL killed, stopped, cut off and locked under load: nothing acknowledged is lost, nothing is stored twice."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import random
from collections.abc import AsyncIterator, Callable, Iterator

import pytest
import trio

from chat.adapters.distributed.mysql_pool import LOCK_WAIT_SECONDS, Session
from chat.adapters.distributed.mysql_sql import flat, values
from chat.domain.errors import ChatError, Unavailable
from chat.domain.messages import Appended, NewMessage, Position
from chat.domain.rooms import Room
from chat.domain.users import UserId
from tests.support.mysql_nodes import AppendCrowd, MySqlNode, mysql_node
from tests.support.mysql_proxy import Cut, commit_proxy
from tests.support.mysql_servers import MySqlProcess, mysql_server
from tests.support.stores import accepted

ACKED_PER_ROUND = 200
DEADLINE_SECONDS = 180


@pytest.fixture(scope="module")
def server() -> Iterator[MySqlProcess]:
    """A durable server that each test leaves in order."""
    with mysql_server() as server:
        server.sql("CREATE DATABASE one")
        yield server


@pytest.fixture(scope="module")
def other_server() -> Iterator[MySqlProcess]:
    with mysql_server() as server:
        server.sql("CREATE DATABASE two")
        yield server


@pytest.fixture
async def node(server: MySqlProcess) -> AsyncIterator[MySqlNode]:
    with trio.fail_after(DEADLINE_SECONDS):
        async with mysql_node({"a": server.dsn("one")}) as node:
            yield node


async def append(node: MySqlNode, room: Room, user: UserId, *keys: str) -> list[Appended | ChatError]:
    return await node.messages.append([NewMessage(room.id, user, key, {}) for key in keys])


async def keys_in(node: MySqlNode, room: Room) -> list[str]:
    """All keys of a room, whose numbers must count from one."""
    messages = await node.messages.read_after(room.id, 0, 500)
    assert [message.seq for message in messages] == list(range(1, len(messages) + 1))
    return [message.key for message in messages]


def judge(crowd: AppendCrowd, rounds: int) -> None:
    crowd.history.check(min_acked=(rounds + 1) * ACKED_PER_ROUND, min_faults=rounds)


# --- killed ---


async def test_a_killed_server_loses_nothing_that_was_acknowledged(server: MySqlProcess, fault_rounds: int) -> None:
    dsns = {"a": server.dsn("one")}
    with trio.fail_after(DEADLINE_SECONDS):
        async with mysql_node(dsns) as first, mysql_node(dsns) as second, trio.open_nursery() as nursery:
            user = await first.new_user()
            rooms = [await first.room_on("a", user) for _ in range(3)]
            crowd = AppendCrowd([first, second], rooms)
            await nursery.start(crowd.run, user)
            for _ in range(fault_rounds):
                await crowd.until_acked(ACKED_PER_ROUND)
                await trio.sleep(random.uniform(0, 0.2))  # any moment may be the wrong one
                server.kill()
                crowd.history.faults += 1
                server.launch()
                await trio.to_thread.run_sync(server.until_ready)
            await crowd.until_acked(ACKED_PER_ROUND)
            crowd.finish()
    assert crowd.refusals >= 1, "the kills were felt"
    judge(crowd, fault_rounds)


async def test_killed_connections_are_not_felt(server: MySqlProcess, fault_rounds: int) -> None:
    query = "SELECT id FROM information_schema.processlist WHERE db = 'one' AND id <> CONNECTION_ID()"
    with trio.fail_after(DEADLINE_SECONDS):
        async with mysql_node({"a": server.dsn("one")}) as node, trio.open_nursery() as nursery:
            user = await node.new_user()
            crowd = AppendCrowd([node], [await node.room_on("a", user)])
            await nursery.start(crowd.run, user)
            for _ in range(fault_rounds):
                await crowd.until_acked(ACKED_PER_ROUND)
                for [number] in server.sql(query):
                    with contextlib.suppress(RuntimeError):  # it may be gone by itself
                        server.sql(f"KILL CONNECTION {number}")
                crowd.history.faults += 1
            await crowd.until_acked(ACKED_PER_ROUND)
            crowd.finish()
    judge(crowd, fault_rounds)


# --- cut off at the commit ---


@pytest.mark.parametrize("where", Cut)
async def test_a_commit_in_doubt_is_settled_by_the_store_itself(server: MySqlProcess, where: Cut) -> None:
    with trio.fail_after(DEADLINE_SECONDS):
        async with commit_proxy(server.port) as proxy:
            dsn = server.dsn("one").replace(f":{server.port}/", f":{proxy.port}/")
            async with mysql_node({"a": dsn}) as node:
                user = await node.new_user()
                room = await node.room_on("a", user)
                proxy.where, proxy.cuts = where, 1
                answers = [accepted(answer) for answer in await append(node, room, user, "x", "y")]
                assert proxy.made == 1
                # Nobody was told before, so nobody has published them yet: they are no duplicates.
                assert [(answer.seq, answer.duplicate) for answer in answers] == [(1, False), (2, False)]
                assert await keys_in(node, room) == ["x", "y"]
                [again] = await append(node, room, user, "y")
                assert accepted(again) == Appended(answers[1].epoch, 2, answers[1].ts, duplicate=True)


@pytest.mark.parametrize("where", Cut)
async def test_a_commit_that_stays_in_doubt_is_settled_by_the_retry_of_the_client(
    server: MySqlProcess, where: Cut
) -> None:
    with trio.fail_after(DEADLINE_SECONDS):
        async with commit_proxy(server.port) as proxy:
            dsn = server.dsn("one").replace(f":{server.port}/", f":{proxy.port}/")
            async with mysql_node({"a": dsn}) as node:
                user = await node.new_user()
                room = await node.room_on("a", user)
                proxy.where, proxy.cuts = where, 1000
                [refusal] = await append(node, room, user, "x")
                assert isinstance(refusal, Unavailable)
                proxy.cuts = 0
                [answer] = await append(node, room, user, "x")
                assert accepted(answer).seq == 1
                assert accepted(answer).duplicate == (where is Cut.AFTER_COMMIT)
                assert await keys_in(node, room) == ["x"]


async def test_what_would_be_done_twice_is_not_tried_again(server: MySqlProcess) -> None:
    with trio.fail_after(DEADLINE_SECONDS):
        async with commit_proxy(server.port) as proxy:
            dsn = server.dsn("one").replace(f":{server.port}/", f":{proxy.port}/")
            async with mysql_node({"a": dsn}) as node:
                user = await node.new_user()
                room = await node.room_on("a", user)
                await append(node, room, user, "x")
                proxy.where, proxy.cuts = Cut.AFTER_COMMIT, 1
                with pytest.raises(Unavailable):
                    await node.messages.edit(room.id, 1, {"text": "new"})
                edited = await node.messages.read_one(room.id, 1)
                assert (edited.revision, edited.body) == (1, {"text": "new"})


async def test_an_account_in_doubt_is_made_once(server: MySqlProcess) -> None:
    with trio.fail_after(DEADLINE_SECONDS):
        async with commit_proxy(server.port) as proxy:
            dsn = server.dsn("one").replace(f":{server.port}/", f":{proxy.port}/")
            async with mysql_node({"a": dsn}) as node:
                for number, where in enumerate(Cut):
                    proxy.where, proxy.cuts = where, 2
                    user = await node.users.create(f"name {number}", "hash")
                    assert await node.users.by_name(f"name {number}") == (user, "hash", False)


# --- mute ---


async def test_a_stopped_shard_fails_its_rooms_and_no_others(server: MySqlProcess, other_server: MySqlProcess) -> None:
    dsns = {"a": server.dsn("mute_a"), "b": other_server.dsn("mute_b")}
    server.sql("CREATE DATABASE mute_a")
    other_server.sql("CREATE DATABASE mute_b")
    with trio.fail_after(DEADLINE_SECONDS):
        async with mysql_node(dsns, deadline_seconds=1.0) as node:
            user = await node.new_user()
            stopped, well = await node.room_on("b", user), await node.room_on("a", user)
            other_server.pause()
            try:
                await _check_stopped(node, stopped, well, user)
            finally:
                other_server.resume()
            while not isinstance((await append(node, stopped, user, "after"))[0], Appended):  # noqa: ASYNC110
                await trio.sleep(0.1)  # as a client does it
            assert (await keys_in(node, stopped))[-1] == "after"


async def _check_stopped(node: MySqlNode, stopped: Room, well: Room, user: UserId) -> None:
    for number in range(8):
        mixed = [NewMessage(room.id, user, f"{number}", {}) for room in (stopped, well)]
        refused, stored = await node.messages.append(mixed)
        assert isinstance(refused, Unavailable)
        assert "shard b" in refused.message
        assert accepted(stored).seq == number + 1
    assert node.shards.primaries["b"].breaker.is_open
    assert not node.shards.primaries["a"].breaker.is_open
    tops = await node.messages.tops([stopped.id, well.id])
    assert isinstance(tops[stopped.id], Unavailable)
    assert tops[well.id] == await node.messages.top(well.id) == Position(well.epoch, 8)
    assert well in await node.rooms.public_rooms(None, 500)
    with pytest.raises(Unavailable):
        await node.messages.top(stopped.id)


async def test_a_node_starts_while_a_shard_is_away(server: MySqlProcess, other_server: MySqlProcess) -> None:
    dsns = {"a": server.dsn("away_a"), "b": other_server.dsn("away_b")}
    server.sql("CREATE DATABASE away_a")
    other_server.sql("CREATE DATABASE away_b")
    with trio.fail_after(DEADLINE_SECONDS):
        async with mysql_node(dsns) as node:
            user = await node.new_user()
            room = await node.room_on("a", user)
        other_server.kill()
        try:
            async with mysql_node(dsns, migrate=False) as node:
                [answer] = await append(node, room, user, "x")
                assert accepted(answer).seq == 1
        finally:
            other_server.start()


# --- locks, and servers that cannot ---


@pytest.fixture
def counted(server: MySqlProcess) -> Callable[[str], int]:
    """How often the server has met something: `lock_timeouts`, `lock_deadlocks`."""
    server.sql("SET GLOBAL innodb_monitor_enable = 'lock_%'")

    def count(name: str) -> int:
        return int(server.sql(f"SELECT count FROM information_schema.innodb_metrics WHERE name = '{name}'")[0][0])

    return count


async def test_a_lock_that_is_held_for_long_is_waited_for_again(
    node: MySqlNode, server: MySqlProcess, counted: Callable[[str], int]
) -> None:
    user = await node.new_user()
    room = await node.room_on("a", user)
    locked = trio.Event()
    token = trio.lowlevel.current_trio_token()

    async def hold(session: Session) -> None:
        await session.rows("SELECT 1 FROM rooms WHERE id = %s FOR UPDATE", [room.id])
        token.run_sync_soon(locked.set)
        await asyncio.sleep(1.2 * LOCK_WAIT_SECONDS)

    before = counted("lock_timeouts")
    async with mysql_node({"a": server.dsn("one")}) as other, trio.open_nursery() as nursery:
        nursery.start_soon(functools.partial(other.shards.primaries["a"].run, hold, transaction=True))
        await locked.wait()
        [answer] = await append(node, room, user, "x")
    assert (accepted(answer).seq, accepted(answer).duplicate) == (1, False)
    assert counted("lock_timeouts") > before, "error 1205 was met"
    assert await keys_in(node, room) == ["x"]


async def test_a_deadlock_is_tried_again(node: MySqlNode, server: MySqlProcess, counted: Callable[[str], int]) -> None:
    user = await node.new_user()
    first, second = sorted([await node.room_on("a", user) for _ in range(2)], key=lambda room: room.id)
    locked = trio.Event()
    token = trio.lowlevel.current_trio_token()

    async def cross(session: Session) -> None:
        """Locks in the wrong order, and has written more, so that it is the other transaction that has to give way."""
        marks = [(first.id, f"u{number}", 1) for number in range(100)]
        await session.execute(f"INSERT INTO read_marks (room, user, seq) VALUES {values(3, 100)}", flat(marks))
        await session.rows("SELECT 1 FROM rooms WHERE id = %s FOR UPDATE", [second.id])
        token.run_sync_soon(locked.set)
        waiting = "SELECT 1 FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'"
        while not await session.rows(waiting):  # noqa: ASYNC110
            await asyncio.sleep(0.2)  # the table shows the same for 0.1 s after it was last read
        await session.rows("SELECT 1 FROM rooms WHERE id = %s FOR UPDATE", [first.id])

    before = counted("lock_deadlocks")
    async with mysql_node({"a": server.dsn("one")}) as other, trio.open_nursery() as nursery:
        nursery.start_soon(functools.partial(other.shards.primaries["a"].run, cross, transaction=True))
        await locked.wait()
        answers = await node.messages.append([NewMessage(room.id, user, "x", {}) for room in (second, first)])
    assert [(accepted(answer).seq, accepted(answer).duplicate) for answer in answers] == [(1, False)] * 2
    assert counted("lock_deadlocks") > before, "error 1213 was met"


async def test_a_server_that_is_read_only_is_read_and_not_written(server: MySqlProcess) -> None:
    server.sql("CREATE OR REPLACE USER chat@127.0.0.1 IDENTIFIED BY 'p,w'; GRANT ALL ON one.* TO chat@127.0.0.1")
    dsn = server.dsn("one").replace("root@", "chat:p%2Cw@")
    with trio.fail_after(DEADLINE_SECONDS):
        async with mysql_node({"a": dsn}) as node:
            user = await node.new_user()
            room = await node.room_on("a", user)
            server.sql("SET GLOBAL read_only = 1")
            try:
                [refusal] = await append(node, room, user, "x")
                assert isinstance(refusal, Unavailable)
                assert await keys_in(node, room) == []
            finally:
                server.sql("SET GLOBAL read_only = 0")
            assert accepted((await append(node, room, user, "x"))[0]).seq == 1


# --- cancelled ---


async def test_a_cancelled_call_leaves_its_connection_to_nobody(node: MySqlNode) -> None:
    user = await node.new_user()
    rooms = [await node.room_on("a", user) for _ in range(4)]
    for room in rooms:
        await append(node, room, user, room.id)

    async def read(room: Room) -> None:
        for _ in range(25):
            with trio.move_on_after(random.choice((0, 0.001, 0.003, 1))):
                [message] = await node.messages.read_after(room.id, 0, 10)
                assert (message.room, message.key) == (room.id, room.id)

    async with trio.open_nursery() as nursery:
        for room in rooms * 5:
            nursery.start_soon(read, room)
