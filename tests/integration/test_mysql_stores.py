"""The MySQL stores beyond their contract: hostile texts, buckets that move, lists that are put right."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import trio

from chat.adapters.distributed.migrate import migrate_schema, read_state
from chat.adapters.distributed.mysql_pool import Session
from chat.adapters.distributed.room_store import STALE_AFTER_SECONDS, MySqlRoomStore
from chat.adapters.distributed.schema import MIGRATIONS
from chat.adapters.distributed.shard_map import Bucket, Kind, bucket_of
from chat.domain.errors import ChatError, Conflict, Invalid, NotFound
from chat.domain.messages import NewMessage
from chat.domain.rooms import Role, Room, RoomId, RoomKind
from chat.domain.users import UserId
from tests.support.clocks import ManualClock
from tests.support.mysql_nodes import MySqlNode, mysql_node
from tests.support.mysql_servers import MARIADB, empty_databases, shared_server
from tests.support.stores import accepted

DEADLINE_SECONDS = 60
HOSTILE = [
    "'; DROP TABLE messages; -- ",
    '" OR ""="',
    "\\' OR 1=1 -- ",
    "\\",
    "\\\\'",
    "\xbf'",
    "縗' OR 1=1 -- ",
    "%s %(x)s %% {0} :a ? @@version",
    "a\0b",
    "\x1a\n\r\t\x08",
    "👩‍👩‍👧‍👦 𝕳",
    "‮abc‬",
    "/* */ #",
    "`rooms`",
    "_binary'x'",
    "x" * 64,
]
TWINS = ["k", "k ", "K", "ķ", "k\0", "ß", "ss", "ẞ", "k​", "ﬀ", "ff", "e\u0301", "é"]
"""Texts that collations hold for the same, or show alike."""


@pytest.fixture
async def node() -> AsyncIterator[MySqlNode]:
    with trio.fail_after(DEADLINE_SECONDS):
        async with mysql_node(empty_databases("one", "two")) as node:
            yield node


# --- the schema ---


async def test_a_migration_that_was_interrupted_runs_again(node: MySqlNode) -> None:
    before = await node.rooms.create("Ältere", RoomKind.PRIVATE, await node.new_user())
    for server in node.shards.primaries.values():
        await server.run(_forget_newest_migration)
        assert await server.run(migrate_schema) == len(MIGRATIONS)
    assert await node.rooms.search("äl", None, 10) == [before]


async def _forget_newest_migration(session: Session) -> None:
    await session.execute("DELETE FROM migrations WHERE number = %s", (len(MIGRATIONS),))


async def test_a_schema_from_before_fencing_is_brought_up_to_date(node: MySqlNode) -> None:
    for server in node.shards.primaries.values():
        await server.run(_forget_newest_migration)
        await server.run(_forget_generation)
        assert (await server.run(read_state, fresh=True)).version == len(MIGRATIONS) - 1
        assert await server.run(migrate_schema, fresh=True) == len(MIGRATIONS)


async def _forget_generation(session: Session) -> None:
    await session.execute("ALTER TABLE map_version DROP COLUMN generation")


# --- texts ---


async def test_hostile_texts_are_stored_as_they_are(node: MySqlNode) -> None:
    user = await node.new_user()
    room = await node.room_on("one", user)
    messages = [NewMessage(room.id, user, text, {text: text}, mentions=(text,)) for text in HOSTILE]
    for answer in await node.messages.append(messages):
        accepted(answer)
    stored = await node.messages.read_after(room.id, 0, 500)
    assert [(message.key, message.body) for message in stored] == [(text, {text: text}) for text in HOSTILE]
    for text in HOSTILE:
        account = await node.users.create(text, text)
        assert await node.users.user(account.id) == account
        assert await node.users.by_name(text) == (account, text, False)
        named = await node.rooms.create(text, RoomKind.PRIVATE, account.id)
        assert await node.rooms.room(named.id) == named
        assert (await node.messages.edit(room.id, 1, {"text": text})).body == {"text": text}


@pytest.mark.parametrize("text", [*HOSTILE, "\ud800", "", "x" * 5000])
async def test_a_hostile_text_finds_nothing(node: MySqlNode, text: str) -> None:
    user = await node.new_user()
    room = (await node.room_on("one", user)).id
    for refused in (
        node.rooms.room(RoomId(text)),
        node.rooms.role(RoomId(text), user),
        node.rooms.set_role(room, UserId(text), Role.MEMBER),
        node.users.user(UserId(text)),
        node.users.set_banned(UserId(text), True),
        node.messages.top(RoomId(text)),
        node.messages.read_one(RoomId(text), 1),
    ):
        with pytest.raises((NotFound, Invalid)):
            await refused
    [answer] = await node.messages.append([NewMessage(RoomId(text), user, "k", {})])
    assert isinstance(answer, NotFound | Invalid)


async def test_texts_that_look_alike_are_different_keys(node: MySqlNode) -> None:
    user = await node.new_user()
    room = await node.room_on("one", user)
    answers = await node.messages.append([NewMessage(room.id, user, key, {}) for key in TWINS])
    assert [accepted(answer).seq for answer in answers] == list(range(1, len(TWINS) + 1))
    again = await node.messages.append([NewMessage(room.id, user, key, {}) for key in TWINS])
    assert [(accepted(answer).seq, accepted(answer).duplicate) for answer in again] == [
        (number, True) for number in range(1, len(TWINS) + 1)
    ]


async def test_a_batch_of_the_largest_bodies_fits(node: MySqlNode) -> None:
    user = await node.new_user()
    room = await node.room_on("one", user)
    worst = "'" * 16_000  # escaped it is twice as long
    answers = await node.messages.append([NewMessage(room.id, user, f"{n}", {"text": worst}) for n in range(400)])
    assert [accepted(answer).seq for answer in answers] == list(range(1, 401))
    [last] = await node.messages.read_before(room.id, None, 1)
    assert last.body == {"text": worst}


async def test_what_does_not_fit_is_refused_alone(node: MySqlNode) -> None:
    user = await node.new_user()
    room = await node.room_on("one", user)
    wrong = [
        NewMessage(room.id, user, "k" * 257, {}),
        NewMessage(room.id, UserId("u" * 33), "k", {}),
        NewMessage(room.id, user, "k", {"text": "x" * 70_000}),
    ]
    *refused, fine = await node.messages.append([*wrong, NewMessage(room.id, user, "k", {})])
    assert [type(answer) for answer in refused] == [Invalid] * 3
    assert accepted(fine).seq == 1


# --- buckets that move ---

_ROOM_TABLES = {"rooms": "id", "members": "room", "read_marks": "room", "messages": "room", "mentions": "room"}
_USER_TABLES = {"users": "id", "user_rooms": "user", "names": "folded_name"}


async def move(node: MySqlNode, bucket: Bucket, target: str) -> None:
    """Moves a bucket as an administrator would while no node writes to it: copy, switch, clean up."""
    source = node.shards.map.shard_of(bucket)
    tables = _ROOM_TABLES if bucket.kind is Kind.ROOMS else _USER_TABLES
    columns = {
        table: "id, kind, name, epoch, seq, ts" if table == "rooms" else await _columns(node, table) for table in tables
    }
    statements = [
        f"INSERT INTO {target}.{table} ({columns[table]}) SELECT {columns[table]} FROM {source}.{table}"
        f" WHERE CRC32({key}) % 1024 = {bucket.number}"
        for table, key in tables.items()
    ]
    statements += [
        f"DELETE FROM {source}.{table} WHERE CRC32({key}) % 1024 = {bucket.number}" for table, key in tables.items()
    ]
    for shard in (source, target):
        statements.append(
            f"UPDATE {shard}.bucket_map SET shard = '{target}', term = term + 1"
            f" WHERE kind = '{bucket.kind}' AND bucket = {bucket.number}"
        )
        statements.append(f"UPDATE {shard}.map_version SET version = version + 1")
    await trio.to_thread.run_sync(shared_server(MARIADB).sql, "BEGIN;" + ";".join(statements) + ";COMMIT")


async def _columns(node: MySqlNode, table: str) -> str:
    query = (
        "SELECT CONCAT('`', column_name, '`') FROM information_schema.columns WHERE table_schema = 'one'"
        f" AND table_name = '{table}' AND is_generated = 'NEVER' ORDER BY ordinal_position"
    )
    return ", ".join(name for [name] in shared_server(MARIADB).sql(query))


async def test_a_room_that_has_moved_is_found_again_by_every_operation(node: MySqlNode) -> None:
    user, other = await node.new_user(), await node.new_user()
    room = await node.room_on("one", user)
    stays = await node.room_on("two", user)

    async def read() -> None:
        assert [message.key for message in await node.messages.read_after(room.id, 0, 10)] == ["x"]

    async def top() -> None:
        assert (await node.messages.tops([room.id, stays.id])).keys() == {room.id, stays.id}

    async def append() -> None:
        messages = [NewMessage(where.id, user, "y", {}) for where in (stays, room)]
        assert [accepted(answer).seq for answer in await node.messages.append(messages)] == [1, 2]

    async def retry() -> None:
        assert accepted((await node.messages.append([NewMessage(room.id, user, "x", {})]))[0]).duplicate

    async def edit() -> None:
        assert (await node.messages.edit(room.id, 1, {"text": "new"})).revision == 1

    async def see() -> None:
        assert await node.rooms.role(room.id, user) == (room, Role.OWNER)

    async def list_members() -> None:
        assert [member.user for member in await node.rooms.members(room.id, None, 10)] == [user]

    async def list_rooms() -> None:
        assert {found.id for found, *_ in await node.rooms.rooms_of(user)} == {room.id, stays.id}

    async def mark() -> None:
        assert await node.rooms.mark_read([(stays.id, user, 1), (room.id, user, 1)]) == [0, 1]

    async def enter() -> None:
        assert await node.rooms.set_role(room.id, other, Role.MEMBER)

    await node.messages.append([NewMessage(room.id, user, "x", {})])
    here, there = "one", "two"
    for operation in (read, top, see, list_members, list_rooms, mark, retry, edit, enter, append):
        before = node.shards.map
        await move(node, bucket_of(Kind.ROOMS, room.id), there)
        await operation()
        assert node.shards.map != before, operation.__name__
        here, there = there, here
    assert {found.id for found in await node.rooms.public_rooms(None, 10)} == {room.id, stays.id}


async def test_an_account_that_has_moved_is_found_again_by_every_operation(node: MySqlNode) -> None:
    anna = await node.users.create("anna", "hash")
    room = await node.room_on("one", anna.id)

    async def see() -> None:
        assert await node.users.user(anna.id) == anna

    async def names() -> None:
        assert await node.users.names([anna.id]) == {anna.id: "anna"}

    async def ban() -> None:
        await node.users.set_banned(anna.id, True)

    async def list_rooms() -> None:
        assert [found.id for found, *_ in await node.rooms.rooms_of(anna.id)] == [room.id]

    async def create_room() -> None:
        await node.rooms.create("room", RoomKind.PRIVATE, anna.id)

    async def sign_in() -> None:
        assert await node.users.by_name("anna") == (anna, "hash", True)

    async def take_name() -> None:
        with pytest.raises(Conflict):
            await node.users.create("anna", "other")

    moves = [(anna.id, each) for each in (see, names, ban, list_rooms, create_room)]
    for key, operation in [*moves, ("anna", sign_in), ("anna", take_name)]:
        bucket = bucket_of(Kind.USERS, key)
        before = node.shards.map
        await move(node, bucket, "two" if node.shards.map.shard_of(bucket) == "one" else "one")
        await operation()
        assert node.shards.map != before, operation.__name__


async def test_nothing_is_created_on_a_shard_that_has_given_the_bucket_away(node: MySqlNode) -> None:
    first, second = await node.new_user(), await node.new_user()
    room = await node.rooms.direct(first, second)
    here = node.shards.shard_of(Kind.ROOMS, room.id)
    shared_server(MARIADB).sql(f"DELETE FROM {here}.rooms; DELETE FROM {here}.members")
    bucket = bucket_of(Kind.ROOMS, room.id)
    target = "two" if node.shards.map.shard_of(bucket) == "one" else "one"
    await move(node, bucket, target)
    await node.rooms.direct(first, second)
    assert node.shards.shard_of(Kind.ROOMS, room.id) == target
    assert shared_server(MARIADB).sql(f"SELECT COUNT(*) FROM {target}.rooms WHERE id = '{room.id}'") == [["1"]]


async def test_a_move_that_is_not_over_makes_writers_wait(node: MySqlNode) -> None:
    user = await node.new_user()
    room = await node.room_on("one", user)
    bucket = bucket_of(Kind.ROOMS, room.id)
    given_away = f"UPDATE one.bucket_map SET shard = 'two' WHERE kind = 'rooms' AND bucket = {bucket.number}"
    shared_server(MARIADB).sql(f"{given_away}; DELETE FROM one.rooms WHERE id = '{room.id}'")
    [answer] = await node.messages.append([NewMessage(room.id, user, "x", {})])
    assert isinstance(answer, ChatError)
    assert (answer.code, answer.retryable) == ("unavailable", True)


# --- the list of a user's rooms ---


async def test_a_list_names_too_many_rooms_rather_than_too_few(node: MySqlNode) -> None:
    clock = ManualClock()
    rooms = MySqlRoomStore(node.shards, clock=clock)
    user, owner = await node.new_user(), await node.new_user()
    left, kept = await node.room_on("one", owner), await node.room_on("two", owner)
    for room in (left, kept):
        await rooms.set_role(room.id, user, Role.MEMBER)
    await rooms.set_role(left.id, user, None)

    async def listed() -> set[str]:
        async def read(session: Session) -> set[str]:
            found = await session.rows("SELECT room FROM user_rooms WHERE user = %s", [user])
            return {room.decode() for (room,) in found}

        return await node.shards.on(Kind.USERS, user, read)

    async def shown() -> list[Room]:
        return [room for room, *_ in await rooms.rooms_of(user)]

    assert await shown() == [kept]
    assert await listed() == {left.id, kept.id}, "somebody may be about to enter it again"
    clock.advance(STALE_AFTER_SECONDS + 1)
    assert await shown() == [kept]
    assert await listed() == {kept.id}
