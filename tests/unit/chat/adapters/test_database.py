from __future__ import annotations

import os
import sqlite3
import stat
import threading
from pathlib import Path
from typing import Any

import pytest
import trio

from chat.adapters.embedded import database as database_module
from chat.adapters.embedded import schema
from chat.adapters.embedded.database import DATABASE_NAME, SqliteDatabase
from chat.adapters.embedded.errors import DatabaseUnusable
from chat.adapters.embedded.room_store import SqliteRoomStore
from chat.adapters.embedded.user_store import SqliteUserStore
from chat.domain.errors import Unavailable
from chat.domain.users import User, UserId


async def refusal(directory: Path) -> str:
    """Why the directory is refused; nothing may be left open by then."""
    with pytest.raises(DatabaseUnusable) as refused:
        async with SqliteDatabase(directory):
            pass
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("sqlite")]
    return str(refused.value)


def pragma(name: str) -> Any:
    return lambda connection: connection.execute(f"PRAGMA {name}").fetchone()[0]


def insert_user(name: str) -> Any:
    query = "INSERT INTO users (id, name, folded_name, password_hash) VALUES (?1, ?1, ?1, '')"
    return lambda connection: connection.execute(query, (name,))


async def test_a_missing_directory_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    directory = tmp_path / "deep" / "data"
    async with SqliteDatabase(directory) as database:
        await database.write(insert_user("anna"))
        files = list(directory.iterdir())
        assert {file.name for file in files} == {"chat.db", "chat.db-wal", "chat.db-shm", "lock"}
        assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700


async def test_commits_reach_the_disk_and_references_hold(tmp_path: Path) -> None:
    async with SqliteDatabase(tmp_path) as database:
        assert await database.write(pragma("synchronous")) == 2
        assert await database.write(pragma("foreign_keys")) == 1
        assert await database.read(pragma("journal_mode")) == "wal"
        assert await database.read(pragma("user_version")) == len(schema.MIGRATIONS)


async def test_what_was_written_is_there_after_reopening(tmp_path: Path) -> None:
    for round_number in range(3):
        async with SqliteDatabase(tmp_path) as database:
            await database.write(insert_user(str(round_number)))
            count = await database.read(lambda connection: connection.execute("SELECT count(*) FROM users").fetchone())
            assert count == (round_number + 1,)


async def test_an_error_inside_passes_through_unchanged(tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        async with SqliteDatabase(tmp_path):
            raise KeyError("mine")
    async with SqliteDatabase(tmp_path):
        pass


async def test_a_second_node_is_kept_out_and_told_who_is_in(tmp_path: Path) -> None:
    async with SqliteDatabase(tmp_path):
        with pytest.raises(DatabaseUnusable, match=f"in use by another node .process {os.getpid()}."):
            async with SqliteDatabase(tmp_path):
                pass
    async with SqliteDatabase(tmp_path):
        pass


async def test_a_newer_version_is_refused_and_left_alone(tmp_path: Path) -> None:
    async with SqliteDatabase(tmp_path) as database:
        await database.write(lambda connection: connection.execute("PRAGMA user_version = 99"))
    assert "version 99 is newer" in await refusal(tmp_path)
    connection = sqlite3.connect(tmp_path / DATABASE_NAME)
    assert connection.execute("PRAGMA user_version").fetchone() == (99,)
    connection.close()


async def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    content = b"these are my notes, not a database\n" * 1000
    (tmp_path / DATABASE_NAME).write_bytes(content)
    assert "not a database" in await refusal(tmp_path)
    assert (tmp_path / DATABASE_NAME).read_bytes() == content


async def test_another_programs_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / DATABASE_NAME)
    connection.execute("CREATE TABLE recipes (name TEXT)")
    connection.close()
    assert "another program" in await refusal(tmp_path)
    connection = sqlite3.connect(tmp_path / DATABASE_NAME)
    assert connection.execute("SELECT name FROM sqlite_schema").fetchall() == [("recipes",)]
    connection.close()


async def test_a_file_in_the_place_of_the_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    assert "cannot be used" in await refusal(tmp_path / "data")


async def test_a_migration_that_fails_leaves_the_version_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with SqliteDatabase(tmp_path):
        pass
    before = len(schema.MIGRATIONS)
    broken = "CREATE TABLE extra (n INTEGER); INSERT INTO nowhere VALUES (1);"
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, broken))
    assert "nowhere" in await refusal(tmp_path)
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS[:-1], "CREATE TABLE extra (n INTEGER);"))
    async with SqliteDatabase(tmp_path) as database:
        assert await database.read(pragma("user_version")) == before + 1


async def test_rooms_of_the_first_version_are_found_by_name_after_the_upgrade(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as before:
        before.setattr(schema, "MIGRATIONS", schema.MIGRATIONS[:1])
        async with SqliteDatabase(tmp_path) as database:
            await database.write(insert_user("anna"))
            await database.write(
                lambda connection: connection.execute("INSERT INTO rooms VALUES ('r', 'public', 'ÄÖÜ', 'e', NULL)")
            )
    async with SqliteDatabase(tmp_path) as database:
        assert [room.id for room in await SqliteRoomStore(database).search("äö", None, 10)] == ["r"]
        assert await SqliteUserStore(database).user(UserId("anna")) == User(UserId("anna"), "anna", admin=False)


async def test_a_closed_database_is_unavailable(tmp_path: Path) -> None:
    async with SqliteDatabase(tmp_path) as database:
        pass
    for refused in (database.read(pragma("user_version")), database.write(pragma("user_version"))):
        with pytest.raises(Unavailable):
            await refused


async def test_many_writes_share_few_transactions(tmp_path: Path) -> None:
    commits = 0

    def count_commits(connection: sqlite3.Connection) -> None:
        def count(statement: str) -> None:
            nonlocal commits
            commits += statement == "COMMIT"

        connection.set_trace_callback(count)

    async with SqliteDatabase(tmp_path) as database:
        await database.write(count_commits)
        async with trio.open_nursery() as nursery:
            for number in range(500):
                nursery.start_soon(database.write, insert_user(str(number)))
    assert 1 <= commits <= 100


async def test_a_slow_read_does_not_hold_up_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database_module, "_SLOW_READ_SECONDS", 1e-9)
    begun, end = threading.Event(), threading.Event()

    def read_slowly(_connection: sqlite3.Connection) -> bool:
        begun.set()
        return end.wait(20)

    async with SqliteDatabase(tmp_path) as database:
        with trio.fail_after(20):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(database.read, read_slowly)
                assert await trio.to_thread.run_sync(begun.wait, 20)
                assert await database.read(pragma("user_version")) == len(schema.MIGRATIONS)
                end.set()
