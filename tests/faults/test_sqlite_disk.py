"""Disks that are full, refuse to write, or give back damaged pages."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import trio

from chat.adapters.embedded.database import DATABASE_NAME, SqliteDatabase
from chat.adapters.embedded.message_store import SqliteMessageStore
from chat.adapters.embedded.room_store import SqliteRoomStore
from chat.adapters.embedded.user_store import SqliteUserStore
from chat.domain.errors import ChatError, Unavailable
from chat.domain.messages import Appended, NewMessage
from chat.domain.rooms import RoomKind
from tests.support.stores import Stores, accepted, journaling_stores, sqlite_stores

REPOSITORY = Path(__file__).parents[2]
DEADLINE_SECONDS = 120


async def test_a_full_database_fails_appends_whole_and_recovers(tmp_path: Path) -> None:
    acknowledged: dict[str, int] = {}
    unavailable: list[str] = []
    async with SqliteDatabase(tmp_path) as database:
        user = await SqliteUserStore(database).create("anna", "hash")
        room = await SqliteRoomStore(database).create("room", RoomKind.PUBLIC, user.id)
        store = SqliteMessageStore(database)

        async def append(key: str) -> None:
            batch = [NewMessage(room.id, user.id, f"{key} {part}", {"text": "x" * 2000}) for part in range(2)]
            try:
                answers = await store.append(batch)
            except Unavailable:
                unavailable.append(key)
            else:
                acknowledged.update({m.key: accepted(a).seq for m, a in zip(batch, answers, strict=True)})

        async def limit_pages(extra: int) -> None:
            await database.write(
                lambda connection: connection.execute(
                    f"PRAGMA max_page_count = {connection.execute('PRAGMA page_count').fetchone()[0] + extra}"
                )
            )

        await limit_pages(80)
        with trio.fail_after(DEADLINE_SECONDS):
            for wave in range(10):
                async with trio.open_nursery() as nursery:
                    for number in range(20):
                        nursery.start_soon(append, f"{wave} {number}")
            assert acknowledged
            assert unavailable
            assert {m.key: m.seq for m in await store.read_after(room.id, 0, 500)} == acknowledged
            await limit_pages(100_000)
            for key in unavailable:
                await append(key)
        stored = await store.read_after(room.id, 0, 500)
        assert {message.key: message.seq for message in stored} == acknowledged
        assert [message.seq for message in stored] == list(range(1, 401))


_CHILD = """
import json, resource, sys
import trio
from pathlib import Path
from chat.domain.errors import Unavailable
from tests.support.stores import sqlite_stores

async def main(directory):
    async with sqlite_stores(directory) as stores:
        user = await stores.new_user()
        room = await stores.new_room(user)
        log = directory / "chat.db-wal"
        _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (log.stat().st_size + 200_000, hard))
        acknowledged, failed = [], []
        for number in range(100):
            try:
                acknowledged.append((await stores.append(room, user, str(number), "x" * 2000)).seq)
            except Unavailable:
                failed.append(number)
        readable = len(await stores.messages.read_after(room.id, 0, 500))
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        retried = [(await stores.append(room, user, str(number), "x")).seq for number in failed]
        stored = [message.seq for message in await stores.messages.read_after(room.id, 0, 500)]
    print(json.dumps([acknowledged, readable, retried, stored]))

trio.run(main, Path(sys.argv[1]))
"""


async def test_a_log_that_cannot_be_written_fails_appends_whole_and_recovers(tmp_path: Path) -> None:
    # A limit on the size of files makes the write itself fail, as a full disk does; it needs a process of its own.
    with trio.fail_after(DEADLINE_SECONDS):
        child = await trio.run_process(
            [sys.executable, "-c", _CHILD, str(tmp_path)],
            cwd=REPOSITORY,
            capture_stdout=True,
            stderr=subprocess.DEVNULL,
        )
    acknowledged, readable, retried, stored = json.loads(child.stdout)
    assert acknowledged == list(range(1, len(acknowledged) + 1))
    assert 0 < len(acknowledged) < 100
    assert readable == len(acknowledged)
    assert retried == list(range(len(acknowledged) + 1, 101))
    assert stored == list(range(1, 101))


async def test_a_damaged_page_fails_its_room_and_no_other(tmp_path: Path) -> None:
    async with sqlite_stores(tmp_path) as stores:
        user = await stores.new_user()
        room, other = await stores.new_room(user), await stores.new_room(user)
        for number in range(100):
            await stores.append(room, user, text=f"needle {number} " + "x" * 1000)
            await stores.append(other, user, text="x" * 1000)
    damage(tmp_path / DATABASE_NAME, b"needle 50 ")
    async with sqlite_stores(tmp_path) as stores:
        with pytest.raises(Unavailable):
            await stores.messages.read_after(room.id, 0, 500)
        assert len(await stores.messages.read_after(other.id, 0, 500)) == 100
        assert (await stores.append(other, user)).seq == 101
        assert (await stores.messages.read_one(room.id, 1)).seq == 1


async def test_messages_that_belong_on_a_damaged_page_stay_in_the_journal(tmp_path: Path) -> None:
    async with sqlite_stores(tmp_path) as stores:
        user = await stores.new_user()
        room, other = await stores.new_room(user), await stores.new_room(user)
        for number in range(100):
            await stores.append(room, user, text=f"needle {number} " + "x" * 1000)
            await stores.append(other, user, text="x" * 1000)
    damage(tmp_path / DATABASE_NAME, b"needle 99 ")
    async with journaling_stores(tmp_path) as stores:
        kept = await stores.append(room, user, key="kept", text="kept")
        refused = 0
        for number in range(20):
            message = NewMessage(other.id, user.id, f"later {number}", {"text": ""})
            while isinstance(answer := await append_or_refusal(stores, message), Unavailable):
                refused += 1
            assert accepted(answer).seq == 101 + number
        assert refused == 2, "one to see the damage, and one to see where"
        assert [message.seq for message in await stores.messages.read_after(other.id, 100, 500)] == [*range(101, 121)]
        assert await stores.append(room, user, key="kept") == kept._replace(duplicate=True)
        assert isinstance(await append_or_refusal(stores, NewMessage(room.id, user.id, "new", {})), Unavailable)


async def append_or_refusal(stores: Stores, message: NewMessage) -> Appended | ChatError:
    try:
        (answer,) = await stores.messages.append([message])
    except Unavailable as refusal:
        return refusal
    return answer


def damage(file: Path, needle: bytes) -> None:
    """Overwrites the page that holds `needle`."""
    content = bytearray(file.read_bytes())
    page = content.index(needle) // 8192 * 8192
    content[page : page + 8192] = b"\xff" * 8192
    file.write_bytes(content)
