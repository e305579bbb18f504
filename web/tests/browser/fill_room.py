"""Fills a room of a node that is not running: `python fill_room.py DATA_DIRECTORY ROOM USER COUNT`."""

from __future__ import annotations

import sys
from pathlib import Path

import trio

from chat.adapters.embedded.database import SqliteDatabase
from chat.adapters.embedded.message_store import SqliteMessageStore
from chat.domain.messages import NewMessage
from chat.domain.rooms import RoomId
from chat.domain.users import UserId

_BATCH = 2000


async def _fill(directory: Path, room: RoomId, user: UserId, count: int) -> None:
    async with SqliteDatabase(directory) as database:
        store = SqliteMessageStore(database)
        for start in range(1, count + 1, _BATCH):
            numbers = range(start, min(start + _BATCH, count + 1))
            await store.append([NewMessage(room, user, f"f{n}", {"text": f"Line {n}."}, ()) for n in numbers])


if __name__ == "__main__":
    directory, room, user, count = sys.argv[1:]
    trio.run(_fill, Path(directory), RoomId(room), UserId(user), int(count))
