"""Buckets that move while nodes read and write: nothing is lost, nothing is there twice, nobody is refused."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator

import pytest
import trio

from chat.adapters.distributed.asyncio_bridge import AsyncioBridge
from chat.adapters.distributed.bucket_mover import Move, Step
from chat.adapters.distributed.bucket_tables import OF_THE_SHARD, TREES
from chat.adapters.distributed.errors import MoveFailed
from chat.adapters.distributed.mysql_dsn import parse_shards
from chat.adapters.distributed.mysql_pool import Rows, Session
from chat.adapters.distributed.shard_map import Bucket, Kind, bucket_of
from chat.adapters.distributed.shard_moves import cancel_moves, unfinished_moves
from chat.adapters.ids import new_epoch, new_id
from chat.domain.errors import ChatError, Unavailable
from chat.domain.messages import Appended, NewMessage
from chat.domain.rooms import Role, Room, RoomId, RoomKind
from chat.domain.users import UserId
from tests.support.mysql_nodes import AppendCrowd, MySqlNode, mysql_node
from tests.support.mysql_servers import (
    MARIADB,
    MYSQL,
    MYSQL_ROOT,
    Flavour,
    MySqlProcess,
    empty_databases,
    shared_server,
)
from tests.support.shard_moves import Interrupted, TestMover
from tests.support.stores import accepted

DEADLINE_SECONDS = 120


@pytest.fixture(
    params=[
        pytest.param(MARIADB, id="mariadb"),
        pytest.param(
            MYSQL,
            id="mysql",
            marks=pytest.mark.skipif(not MYSQL_ROOT, reason="TEST_MYSQL_ROOT does not name a directory with MySQL"),
        ),
    ]
)
def flavour(request: pytest.FixtureRequest) -> Flavour:
    """The servers that both shards are on."""
    found: Flavour = request.param
    return found


@pytest.fixture
def server(flavour: Flavour) -> MySqlProcess:
    return shared_server(flavour)


@pytest.fixture
def dsns(flavour: Flavour) -> dict[str, str]:
    return empty_databases("one", "two", flavour=flavour)


@pytest.fixture
async def node(dsns: dict[str, str]) -> AsyncIterator[MySqlNode]:
    with trio.fail_after(DEADLINE_SECONDS):
        async with mysql_node(dsns) as node:
            yield node


@pytest.fixture
def mover(dsns: dict[str, str]) -> TestMover:
    return TestMover(dsns)


def move_of(room: Room, source: str = "one", target: str = "two") -> Move:
    return Move(bucket_of(Kind.ROOMS, room.id), source, target)


def moves_of_user(node: MySqlNode, user: UserId, name: str) -> list[Move]:
    """To the other shard each: of the account, and of its name."""
    buckets = {bucket_of(Kind.USERS, user), bucket_of(Kind.USERS, name)}
    homes = {bucket: node.shards.map.shard_of(bucket) for bucket in buckets}
    return [Move(bucket, home, "two" if home == "one" else "one") for bucket, home in homes.items()]


async def dump(node: MySqlNode, shard: str, bucket: Bucket) -> dict[str, Rows]:
    """All rows of a bucket on a shard, whether they belong there or not."""

    async def work(session: Session) -> dict[str, Rows]:
        return {
            table.name: await session.rows(
                f"SELECT * FROM {table.name} WHERE CRC32(`{table.root}`) % 1024 = {bucket.number} ORDER BY 1, 2, 3"
            )
            for tree in TREES[bucket.kind]
            for table in tree.tables
        }

    return await node.shards.primaries[shard].run(work)


async def append(
    node: MySqlNode, room: Room, user: UserId, *keys: str, mentions: tuple[str, ...] = ()
) -> list[Appended]:
    messages = [NewMessage(room.id, user, key, {"text": key}, mentions=mentions) for key in keys]
    return [accepted(answer) for answer in await node.messages.append(messages)]


async def keys_in(node: MySqlNode, room: Room) -> list[str]:
    messages = await node.messages.read_after(room.id, 0, 500)
    assert [message.seq for message in messages] == list(range(1, len(messages) + 1))
    return [message.key for message in messages]


async def test_every_table_either_moves_or_stays(node: MySqlNode, server: MySqlProcess) -> None:
    tables = {name for [name] in server.sql("SHOW TABLES", "one")}
    moving = {table.name for trees in TREES.values() for tree in trees for table in tree.tables}
    assert moving | OF_THE_SHARD == tables
    assert not moving & OF_THE_SHARD


async def test_everything_of_a_room_moves(node: MySqlNode, server: MySqlProcess, mover: TestMover) -> None:
    owner, guest = await node.new_user(), await node.users.create("guest", "hash")
    room = await node.room_on("one", owner)
    await node.rooms.set_role(room.id, guest.id, Role.MEMBER)
    await append(node, room, owner, *(f"{number}" for number in range(700)))
    await append(node, room, owner, "x", "y", mentions=("guest",))
    await node.messages.edit(room.id, 1, {"text": "edited"})
    await node.messages.delete(room.id, 2)
    await node.rooms.mark_read([(room.id, guest.id, 5)])
    server.sql(
        f"INSERT INTO one.archive_parts VALUES ('{room.id}', 1, 9, 0, 's', 1, 1, REPEAT('a', 32), 0);"
        f"INSERT INTO one.archive_keys VALUES ('{room.id}', REPEAT(X'00', 16), 1, 2);"
        f"INSERT INTO one.archive_changes VALUES ('{room.id}', 1, X'80', 1, 0)"
    )
    bucket = bucket_of(Kind.ROOMS, room.id)
    before = await dump(node, "one", bucket)
    assert all(before.values()), "there is something in every table"
    await mover.move([move_of(room)])
    assert await dump(node, "two", bucket) == before
    assert not any((await dump(node, "one", bucket)).values())
    assert node.shards.map.shard_of(bucket) == "one", "the node has not noticed yet"
    assert (await node.messages.top(room.id)).seq == 702
    assert node.shards.map.shard_of(bucket) == "two"


async def test_everything_of_a_user_moves(node: MySqlNode, mover: TestMover) -> None:
    anna = await node.users.create("anna", "hash")
    room = await node.room_on("one", anna.id)
    moves = moves_of_user(node, anna.id, "anna")
    before = [await dump(node, move.source, move.bucket) for move in moves]
    await mover.move(moves)
    assert [await dump(node, move.target, move.bucket) for move in moves] == before
    for move in moves:
        assert not any((await dump(node, move.source, move.bucket)).values())
    assert await node.users.by_name("anna") == (anna, "hash", False)
    assert [found.id for found, *_ in await node.rooms.rooms_of(anna.id)] == [room.id]


@pytest.mark.parametrize("step", [Step.COPY, Step.CATCH_UP, Step.COMPARE, Step.FENCE])
async def test_what_is_written_to_a_room_on_its_way_arrives(
    node: MySqlNode, server: MySqlProcess, mover: TestMover, step: Step
) -> None:
    owner, first, second = await node.new_user(), await node.new_user(), await node.users.create("second", "hash")
    room = await node.room_on("one", owner)
    bucket = bucket_of(Kind.ROOMS, room.id)
    for user in (first, second.id):
        await node.rooms.set_role(room.id, user, Role.MEMBER)
    await append(node, room, owner, "a", "b", "c", mentions=("second",))
    await node.rooms.mark_read([(room.id, first, 1)])
    before: dict[str, Rows] = {}

    async def write() -> None:
        await append(node, room, owner, "d", mentions=("second",))
        await node.messages.edit(room.id, 4, {"text": "edited"})
        await append(node, room, owner, "e", "f")
        await node.messages.edit(room.id, 1, {"text": "edited"})
        await node.messages.delete(room.id, 2)
        await node.rooms.set_role(room.id, first, None)
        await node.rooms.set_role(room.id, second.id, Role.MODERATOR)
        await node.rooms.mark_read([(room.id, second.id, 6), (room.id, owner, 2)])
        new = next(new for _ in iter(int, 1) if bucket_of(Kind.ROOMS, new := RoomId(new_id())) == bucket)
        created = await node.rooms._create(Room(new, RoomKind.PUBLIC, "new", new_epoch()), {owner: Role.OWNER})
        await append(node, created, owner, "g")
        before.update(await dump(node, "one", bucket))

    mover.looks[step] = write
    await mover.move([move_of(room)])
    assert await dump(node, "two", bucket) == before
    assert await keys_in(node, room) == ["a", "b", "c", "d", "e", "f"]
    assert not server.sql("SELECT * FROM one.bucket_changes")


async def test_what_is_written_to_a_user_on_the_way_arrives(node: MySqlNode, mover: TestMover) -> None:
    anna = await node.users.create("anna", "hash")
    moves = moves_of_user(node, anna.id, "anna")
    rooms: list[Room] = []

    async def write() -> None:
        await node.users.set_password_hash(anna.id, "new")
        await node.users.set_banned(anna.id, True)
        rooms.append(await node.rooms.create("room", RoomKind.PRIVATE, anna.id))

    mover.looks[Step.COMPARE] = write
    await mover.move(moves)
    assert await node.users.by_name("anna") == (anna, "new", True)
    assert [found.id for found, *_ in await node.rooms.rooms_of(anna.id)] == [rooms[0].id]


async def test_rooms_move_to_and_fro_under_load_and_nobody_notices(dsns: dict[str, str], mover: TestMover) -> None:
    with trio.fail_after(DEADLINE_SECONDS):
        async with mysql_node(dsns) as first, mysql_node(dsns) as second, trio.open_nursery() as nursery:
            user = await first.new_user()
            rooms = [await first.room_on("one", user) for _ in range(3)]
            crowd = AppendCrowd([first, second], rooms)
            await nursery.start(crowd.run, user)
            for source, target in (("one", "two"), ("two", "one")):
                await crowd.until_acked(100)
                await mover.move([move_of(room, source, target) for room in rooms])
                crowd.history.faults += 1
            await crowd.until_acked(100)
            crowd.finish()
    crowd.history.check(min_acked=300, min_faults=2)
    assert mover.steps >= {Step.COPY, Step.COMPARE, Step.FENCE, Step.SWITCH, Step.CLEAN, Step.DONE}


async def test_a_write_waits_for_the_fence_and_goes_to_the_new_place(
    node: MySqlNode, server: MySqlProcess, mover: TestMover
) -> None:
    user = await node.new_user()
    room, other = await node.room_on("one", user), await node.room_on("one", user)
    answers: list[Appended] = []

    async def write(nursery: trio.Nursery) -> None:
        async def late() -> None:
            answers.extend(await append(node, room, user, "late"))

        nursery.start_soon(late)
        assert [answer.seq for answer in await append(node, other, user, "x")] == [1], "others do not wait"
        assert answers == []

    async with trio.open_nursery() as nursery:
        mover.looks[Step.SWITCH] = functools.partial(write, nursery)
        await mover.move([move_of(room)])
    assert [answer.seq for answer in answers] == [1]
    assert server.sql("SELECT `key` FROM two.messages") == [["late"]]


async def test_a_retry_gets_its_first_answer_after_the_move(node: MySqlNode, mover: TestMover) -> None:
    user = await node.new_user()
    room = await node.room_on("one", user)
    [first] = await append(node, room, user, "x")
    await mover.move([move_of(room)])
    assert await append(node, room, user, "x") == [first._replace(duplicate=True)]


# --- movers that end, or come back ---


async def interrupt() -> None:
    raise Interrupted


STEPS = [
    Step.CLEAR,
    Step.BEGIN,
    Step.COPY,
    Step.CATCH_UP,
    Step.COMPARE,
    Step.FENCE,
    Step.SWITCH,
    Step.ACTIVATE,
    Step.CLEAN,
]


@pytest.mark.parametrize("step", STEPS)
async def test_a_move_goes_on_where_it_was_interrupted(
    node: MySqlNode, server: MySqlProcess, dsns: dict[str, str], mover: TestMover, step: Step
) -> None:
    user = await node.new_user()
    room = await node.room_on("one", user)
    await append(node, room, user, "a")
    mover.looks[step] = interrupt
    with pytest.raises(Interrupted):
        await mover.move([move_of(room)])
    await append(node, room, user, "b")
    await TestMover(dsns).move([])
    await append(node, room, user, "c")
    assert await keys_in(node, room) == ["a", "b", "c"]
    bucket = bucket_of(Kind.ROOMS, room.id)
    home, other = ("one", "two") if step in (Step.CLEAR, Step.BEGIN) else ("two", "one")
    assert len((await dump(node, home, bucket))["messages"]) == 3
    assert not any((await dump(node, other, bucket)).values())
    stages = [server.sql(f"SELECT stage FROM {name}.bucket_map WHERE stage <> ''") for name in dsns]
    assert stages == [[], []]


async def test_a_mover_that_was_stopped_does_no_harm_when_it_goes_on(
    node: MySqlNode, dsns: dict[str, str], mover: TestMover
) -> None:
    user = await node.new_user()
    room = await node.room_on("one", user)
    await append(node, room, user, "a")

    async def overtake() -> None:
        await append(node, room, user, "b")
        await TestMover(dsns).move([move_of(room)])
        await append(node, room, user, "c")
        await node.messages.edit(room.id, 1, {"text": "edited"})

    mover.looks[Step.CATCH_UP] = overtake
    with pytest.raises(MoveFailed, match="taken over"):
        await mover.move([move_of(room)])
    assert await keys_in(node, room) == ["a", "b", "c"]
    assert (await node.messages.read_one(room.id, 1)).body == {"text": "edited"}


async def test_a_copy_that_is_not_the_same_is_not_used(node: MySqlNode, server: MySqlProcess, mover: TestMover) -> None:
    user = await node.new_user()
    room = await node.room_on("one", user)
    await append(node, room, user, "a", "b")

    async def spoil() -> None:
        server.sql(f"UPDATE two.messages SET body = X'80' WHERE room = '{room.id}' AND seq = 1")

    mover.looks[Step.COMPARE] = spoil
    with pytest.raises(MoveFailed, match="copies differ"):
        await mover.move([move_of(room)])
    assert (await node.messages.read_one(room.id, 1)).body == {"text": "a"}


async def test_a_move_can_be_given_up(
    node: MySqlNode, server: MySqlProcess, dsns: dict[str, str], mover: TestMover
) -> None:
    user = await node.new_user()
    room = await node.room_on("one", user)
    await append(node, room, user, "a")
    mover.looks[Step.COMPARE] = interrupt
    with pytest.raises(Interrupted):
        await mover.move([move_of(room)])
    await append(node, room, user, "b")
    shards = parse_shards([f"{name}={dsn}" for name, dsn in dsns.items()])
    async with AsyncioBridge() as bridge:
        assert await cancel_moves(bridge, shards, mover.reports.append) == [move_of(room)]
        assert await unfinished_moves(bridge, shards) == []
    await append(node, room, user, "c")
    assert await keys_in(node, room) == ["a", "b", "c"]
    assert not any((await dump(node, "two", bucket_of(Kind.ROOMS, room.id))).values())
    assert not server.sql("SELECT * FROM one.bucket_changes")


# --- nodes and shards ---


async def test_a_shard_that_a_node_was_not_given_is_away_and_no_other(
    node: MySqlNode, flavour: Flavour, dsns: dict[str, str]
) -> None:
    user = await node.new_user()
    moved, stays = await node.room_on("one", user), await node.room_on("one", user)
    dsn = {"three": empty_databases("three", flavour=flavour)["three"]}
    async with mysql_node(dsns | dsn) as informed:
        await TestMover(dsns | dsn).move([move_of(moved, target="three")])
        await append(informed, moved, user, "x")
        refused, stored = await node.messages.append([NewMessage(room.id, user, "y", {}) for room in (moved, stays)])
        assert isinstance(refused, Unavailable)
        assert "not given shard three" in refused.message
        assert accepted(stored).seq == 1
        with pytest.raises(Unavailable):
            await node.messages.top(moved.id)
        tops: dict[RoomId, object] = {**await node.messages.tops([moved.id, stays.id])}
        assert isinstance(tops[moved.id], ChatError)
        await TestMover(dsns | dsn).move([move_of(moved, "three", "one")])
        while isinstance((await node.messages.append([NewMessage(moved.id, user, "z", {})]))[0], ChatError):  # noqa: ASYNC110
            await trio.sleep(0.1)  # as a client does it
        assert (await node.messages.top(moved.id)).seq == 2


async def test_a_node_learns_of_a_move_without_asking_for_it(node: MySqlNode, mover: TestMover) -> None:
    room = await node.room_on("one", await node.new_user())
    await mover.move([move_of(room)])
    while node.shards.shard_of(Kind.ROOMS, room.id) == "one":  # noqa: ASYNC110
        await trio.sleep(0.1)  # as a node that serves nobody
