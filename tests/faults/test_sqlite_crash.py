"""Kills a process that is writing: what it acknowledged is there once, at its position, without a gap."""

from __future__ import annotations

import functools
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import trio

from chat.domain.messages import Message, NewMessage
from chat.domain.rooms import Room, RoomId
from chat.domain.users import User
from tests.support.stores import Stores, accepted, sqlite_stores

REPOSITORY = Path(__file__).parents[2]
ROUNDS = 8
DEADLINE_SECONDS = 120

Acknowledged = dict[tuple[RoomId, str], int]


async def history(stores: Stores, room: RoomId) -> list[Message]:
    messages: list[Message] = []
    while page := await stores.messages.read_after(room, len(messages), 500):
        messages += page
    return messages


async def append_until_killed(directory: Path, rooms: list[Room], user: User, prefix: str, lines: int) -> Acknowledged:
    """Kills the child as soon as it has acknowledged `lines` messages; returns all that it acknowledged."""
    ids = ",".join(room.id for room in rooms)
    command = [sys.executable, "-m", "tests.support.append_forever", str(directory), ids, user.id, prefix]
    async with trio.open_nursery() as nursery:
        run = functools.partial(trio.run_process, command, cwd=REPOSITORY, stdout=subprocess.PIPE, check=False)
        process: trio.Process = await nursery.start(run)
        assert process.stdout is not None
        output = b""
        async for chunk in process.stdout:
            output += chunk
            if output.count(b"\n") >= lines:
                process.kill()
    assert process.returncode == -9
    fields = [line.split() for line in output.decode().splitlines()]
    assert len(fields) >= lines
    return {(RoomId(room), key): int(seq) for room, key, seq in fields}


async def check(stores: Stores, rooms: list[Room], acknowledged: Acknowledged) -> set[tuple[RoomId, str]]:
    """Checks every room against what was acknowledged, and returns all keys that are stored."""
    stored: Acknowledged = {}
    for room in rooms:
        messages = await history(stores, room.id)
        assert [message.seq for message in messages] == list(range(1, len(messages) + 1))
        assert await stores.messages.top(room.id) == (await stores.messages.tops([room.id]))[room.id]
        assert (await stores.messages.top(room.id)).seq == len(messages)
        keys = {(room.id, message.key): message.seq for message in messages}
        assert len(keys) == len(messages)
        stored |= keys
    assert acknowledged.items() <= stored.items()
    return set(stored)


async def test_a_killed_writer_loses_nothing_that_it_acknowledged(tmp_path: Path) -> None:
    chance = random.Random()
    acknowledged: Acknowledged = {}
    async with sqlite_stores(tmp_path) as stores:
        user = await stores.new_user()
        rooms = [await stores.new_room(user) for _ in range(3)]
    with trio.fail_after(DEADLINE_SECONDS):
        for round_number in range(ROUNDS):
            acknowledged |= await append_until_killed(
                tmp_path, rooms, user, str(round_number), chance.randrange(1, 2_000)
            )
            async with sqlite_stores(tmp_path) as stores:
                stored = await check(stores, rooms, acknowledged)
                # The client of an append in doubt retries it: it gets the place that it has, or a new one.
                for room_id, key in sorted(stored - acknowledged.keys()):
                    (answer,) = await stores.messages.append([NewMessage(room_id, user.id, key, {})])
                    assert accepted(answer).duplicate
                    acknowledged[room_id, key] = accepted(answer).seq
                await check(stores, rooms, acknowledged)


@pytest.mark.parametrize("seed", range(4))
async def test_a_log_torn_by_a_power_failure_loses_only_its_end(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    async with sqlite_stores(tmp_path / "live") as stores:
        user = await stores.new_user()
        room = await stores.new_room(user)
        before = (tmp_path / "live" / "chat.db-wal").stat().st_size
        for number in range(50):
            await stores.append(room, user, str(number), "x" * 500)
        complete = await history(stores, room.id)
        shutil.copytree(tmp_path / "live", tmp_path / "torn")
    log = tmp_path / "torn" / "chat.db-wal"
    content = bytearray(log.read_bytes())
    cut = chance.randrange(before, len(content))
    # Half of the time the end is missing, else it is there and holds what the disk never got to write.
    content[cut:] = bytes(len(content) - cut) if seed % 2 else b""
    log.write_bytes(content)
    async with sqlite_stores(tmp_path / "torn") as stores:
        survived = await history(stores, room.id)
        assert survived == complete[: len(survived)]
        assert len(survived) < len(complete)
        assert (await stores.append(room, user, "next")).seq == len(survived) + 1
