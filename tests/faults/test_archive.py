"""The archiver killed at each step, segments damaged, full disks: every message is there once, or unavailable."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import os
import random
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import trio

from chat.adapters.archive.local_objects import LocalObjects
from chat.adapters.archive.message_store import ArchivedMessageStore
from chat.adapters.archive.segment_reader import SegmentReader
from chat.adapters.distributed.archive_catalog import MySqlArchiveCatalog
from chat.domain.errors import Unavailable
from chat.domain.messages import Message, NewMessage
from chat.domain.rooms import Room, RoomId
from chat.domain.users import User
from tests.support.archive_and_die import HALF_WRITTEN
from tests.support.archives import Archive, archive, whole_history
from tests.support.mysql_nodes import AppendCrowd, MySqlNode, mysql_node
from tests.support.mysql_servers import MARIADB, empty_databases, mysql_server, shared_server

REPOSITORY = Path(__file__).parents[2]
DEADLINE_SECONDS = 240
FAULT_ROUNDS = int(os.environ.get("FAULT_ROUNDS", "1"))
"""All steps, and some of them many times, only when it has to be proven."""
STEPS = ["begin", "write", HALF_WRITTEN, "check", "verified", "move", "finish"]
MOMENTS = [(step, times) for step in STEPS for times in (1, 2)]
if FAULT_ROUNDS < 10:
    MOMENTS = [(HALF_WRITTEN, 1), ("move", 2)]
ACKED_PER_ROUND = 150


async def archive_and_die(directory: Path, step: str, times: int, dsns: dict[str, str]) -> int:
    """Archives in a child process until it kills itself; returns its exit code."""
    shards = [f"{name}={dsn}" for name, dsn in dsns.items()]
    command = [sys.executable, "-m", "tests.support.archive_and_die", str(directory), step, str(times), *shards]
    done = await trio.run_process(command, cwd=REPOSITORY, check=False, stdout=subprocess.DEVNULL)
    return done.returncode


@pytest.fixture
def dsns() -> dict[str, str]:
    return empty_databases("one", "two")


@pytest.fixture
async def opened(dsns: dict[str, str], tmp_path: Path) -> AsyncIterator[Archive]:
    with trio.fail_after(DEADLINE_SECONDS):
        async with archive(dsns, tmp_path, LocalObjects(tmp_path / "archive")) as opened:
            yield opened


async def fill_rooms(opened: Archive, *sizes: int) -> dict[RoomId, list[Message]]:
    """A room of each size, on the shards in turn, and their whole histories."""
    user = await opened.stores.new_user()
    shards = itertools.cycle(opened.shards.primaries)
    rooms = [await new_room_on(opened, shard, user) for _, shard in zip(sizes, shards, strict=False)]
    for room, size in zip(rooms, sizes, strict=True):
        opened.stores.clock.advance(1)
        keys = [f"{room.id} {number}" for number in range(size)]
        await opened.recent.append([NewMessage(room.id, user.id, key, {"text": key * 5}) for key in keys])
    return {room.id: await whole_history(opened.recent, room.id) for room in rooms}


async def new_room_on(opened: Archive, shard: str, user: User) -> Room:
    while True:
        room = await opened.stores.new_room(user)
        if opened.recent.lane(room.id) == shard:
            return room


def files_in(directory: Path) -> set[str]:
    return {str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file()}


# --- killed ---


@pytest.mark.parametrize(("step", "times"), MOMENTS)
async def test_an_archiver_killed_at_any_step_leaves_one_history(
    opened: Archive, dsns: dict[str, str], tmp_path: Path, step: str, times: int
) -> None:
    histories = await fill_rooms(opened, 200, 120, 3)

    async def judge() -> None:
        node = opened.another_node()
        for room, history in histories.items():
            assert await whole_history(node, room) == history
            [again] = await node.append([NewMessage(room, history[2].user, history[2].key, {})])
            assert again.duplicate  # type: ignore[union-attr]
            assert again.seq == 3  # type: ignore[union-attr]

    assert await archive_and_die(tmp_path / "archive", step, times, dsns) == -signal.SIGKILL
    await judge()
    # Whoever cleans up may be killed as well, and then all is done by the next one.
    await archive_and_die(tmp_path / "archive", "remove", 1, dsns)
    await judge()
    assert await archive_and_die(tmp_path / "archive", "never", 1, dsns) == 0
    await judge()
    catalog = MySqlArchiveCatalog(opened.shards)
    assert [await catalog.border(room) for room in histories] == [200, 120, 3]
    assert (await opened.verify()).findings == []
    await _only_what_is_needed(opened, tmp_path / "archive")


async def _only_what_is_needed(opened: Archive, directory: Path) -> None:
    """Nothing is unfinished, and nothing was left behind."""
    needed: set[str] = set()
    for source in opened.sources:
        assert await source.unfinished() == []
        needed |= {segment.path for segment, _ in await source.segments("", 500)}
    assert files_in(directory) == needed


async def test_archivers_killed_at_any_moment_under_load_lose_and_double_nothing(
    dsns: dict[str, str], tmp_path: Path
) -> None:
    directory = tmp_path / "archive"
    with trio.fail_after(DEADLINE_SECONDS + 20 * FAULT_ROUNDS):
        async with mysql_node(dsns) as plain, trio.open_nursery() as nursery:
            node = with_archive(plain, directory)
            user = await node.new_user()
            rooms = [await node.room_on(shard, user) for shard in ("one", "two", "two")]
            crowd = AppendCrowd([node], rooms, senders=8)
            await nursery.start(crowd.run, user)
            for _ in range(FAULT_ROUNDS):
                await crowd.until_acked(ACKED_PER_ROUND)
                step = random.choice([*STEPS, "move", "move"])
                assert await archive_and_die(directory, step, random.randint(1, 2), dsns) == -signal.SIGKILL
                crowd.history.faults += 1
            assert await archive_and_die(directory, "never", 1, dsns) == 0
            await crowd.until_acked(ACKED_PER_ROUND)
            crowd.finish()
        crowd.history.check(min_acked=(FAULT_ROUNDS + 1) * ACKED_PER_ROUND, min_faults=FAULT_ROUNDS)


def with_archive(node: MySqlNode, directory: Path) -> MySqlNode:
    segments = SegmentReader(LocalObjects(directory))
    messages = ArchivedMessageStore(node.messages, MySqlArchiveCatalog(node.shards), segments)
    return dataclasses.replace(node, messages=messages)  # type: ignore[arg-type]


# --- damaged ---


async def readable(node: ArchivedMessageStore, history: list[Message]) -> int:
    """How many messages can be read one by one: each of them must be right, or unavailable."""
    count = 0
    for message in history:
        with contextlib.suppress(Unavailable):
            assert await node.read_one(message.room, message.seq) == message
            count += 1
    return count


async def test_a_flipped_bit_makes_a_page_unavailable_and_never_wrong(opened: Archive, tmp_path: Path) -> None:
    [(room, history)] = (await fill_rooms(opened, 120)).items()
    await opened.run(-1)
    [path] = (tmp_path / "archive").rglob("*.parquet")
    whole = path.read_bytes()
    chance = random.Random(1)
    for position in {0, len(whole) - 1, *chance.sample(range(len(whole)), 150)}:
        damaged = bytearray(whole)
        damaged[position] ^= 1 << chance.randrange(8)
        path.write_bytes(damaged)
        with pytest.raises(Unavailable):
            await opened.another_node().read_after(room, 0, 120)
    path.write_bytes(whole)
    assert await whole_history(opened.another_node(), room) == history


async def test_a_damaged_block_takes_no_other_block_with_it(opened: Archive, tmp_path: Path) -> None:
    [(room, history)] = (await fill_rooms(opened, 1200)).items()
    await opened.run(-1)
    [path] = (tmp_path / "archive").rglob("*.parquet")
    flip(path, 100)
    node = opened.another_node()
    assert await node.read_after(room, 500, 500) == history[500:1000]
    with pytest.raises(Unavailable):
        await node.read_after(room, 400, 200)


def flip(path: Path, position: int) -> None:
    """Changes one bit of a file."""
    with path.open("r+b") as file:
        file.seek(position)
        [byte] = file.read(1)
        file.seek(position)
        file.write(bytes([byte ^ 1]))


def damage_bit(path: Path) -> None:
    flip(path, path.stat().st_size // 3)


def damage_length(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1)


def damage_existence(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize("damage", [damage_bit, damage_length, damage_existence])
async def test_what_is_damaged_is_quarantined_until_it_is_whole_again(
    opened: Archive, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    first, second = (await fill_rooms(opened, 30)), (await fill_rooms(opened, 30))
    [(spoiled, lost)] = first.items()
    [(fine, kept)] = second.items()
    await opened.run(0.5)
    await opened.run(-1)
    parts = (await MySqlArchiveCatalog(opened.shards).archived(spoiled, 1, 30)).parts
    path = tmp_path / "archive" / parts[0].segment.path
    whole = path.read_bytes()
    damage(path)
    [finding] = (await opened.verify()).findings
    assert finding.what == parts[0].segment.path
    node = opened.another_node()
    assert await readable(node, lost) == 0
    assert await whole_history(node, fine) == kept
    path.write_bytes(whole)
    assert await readable(node, lost) == 0, "it stays in quarantine until it was verified"
    assert (await opened.verify()).findings == []
    assert await whole_history(opened.another_node(), spoiled) == lost


async def test_a_part_that_is_missing_in_the_catalog_is_found(opened: Archive) -> None:
    [(room, history)] = (await fill_rooms(opened, 30)).items()
    await opened.run(-1)
    shard = opened.stores.messages.lane(room)
    shared_server(MARIADB).sql(f"DELETE FROM archive_parts WHERE room = '{room}'", shard)
    assert await readable(opened.another_node(), history) == 0
    assert [finding.what for finding in (await opened.verify()).findings] == [f"room {room}"]


# --- full ---


class FullObjects(LocalObjects):
    """A disk that is full after so many bytes."""

    space = 1_000

    def write(self, name: str, data: bytes) -> None:
        super().write(name, data[: self.space])
        if len(data) > self.space:
            os.truncate(self._root / name, self.space)
            raise OSError(28, "No space left on device")


async def test_a_full_archive_moves_nothing_and_goes_on_when_there_is_space(opened: Archive, tmp_path: Path) -> None:
    histories = await fill_rooms(opened, 1000)
    full = dataclasses.replace(opened, objects=FullObjects(tmp_path / "archive"))
    for _ in range(2):
        with pytest.raises(Unavailable, match="No space left"):
            await full.run(-1)
    for room, history in histories.items():
        assert await whole_history(opened.another_node(), room) == history
    assert (await opened.run(-1)).messages == 1000
    for room, history in histories.items():
        assert await whole_history(opened.another_node(), room) == history
    await _only_what_is_needed(opened, tmp_path / "archive")


async def test_a_disk_that_cannot_sync_moves_nothing(
    opened: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    [(room, history)] = (await fill_rooms(opened, 10)).items()

    def fail(descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr("chat.adapters.archive.local_objects.os.fsync", fail)
        with pytest.raises(Unavailable, match="Input/output error"):
            await opened.run(-1)
    assert await MySqlArchiveCatalog(opened.shards).border(room) == 0
    assert (await opened.run(-1)).messages == 10
    assert await whole_history(opened.another_node(), room) == history
    await _only_what_is_needed(opened, tmp_path / "archive")


# --- the database ---


async def test_a_database_killed_while_its_messages_are_moved_loses_none(tmp_path: Path) -> None:
    with mysql_server() as server, trio.fail_after(DEADLINE_SECONDS + 20 * FAULT_ROUNDS):
        server.sql("CREATE DATABASE one")
        dsns = {"one": server.dsn("one")}
        async with (
            archive(dsns, tmp_path, LocalObjects(tmp_path / "archive")) as opened,
            trio.open_nursery() as nursery,
        ):
            histories = await fill_rooms(opened, 400, 400)
            done = trio.Event()

            async def run() -> None:
                while True:
                    try:
                        await opened.run(-1, segment_rows=200)
                    except Unavailable:
                        await trio.sleep(0.05)
                    else:
                        done.set()
                        return

            nursery.start_soon(run)
            for _ in range(FAULT_ROUNDS):
                await trio.sleep(random.uniform(0, 0.3))  # any moment may be the wrong one
                server.kill()
                server.launch()
                await trio.to_thread.run_sync(server.until_ready)
            await done.wait()
            node = opened.another_node()
            for room, history in histories.items():
                assert await whole_history(node, room) == history
            assert (await opened.verify()).findings == []
            await _only_what_is_needed(opened, tmp_path / "archive")
