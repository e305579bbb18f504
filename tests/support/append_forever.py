"""A child process that appends as fast as it can and prints each acknowledgement, until it is killed.

Arguments: data directory, room ids (comma separated), user id, a prefix for the keys.
Prints: room, key, seq, separated by spaces; a line is printed only after the append returned.
"""

from __future__ import annotations

import itertools
import os
import sys
from pathlib import Path

import trio

from chat.adapters.embedded.database import SqliteDatabase
from chat.adapters.embedded.message_store import SqliteMessageStore
from chat.domain.messages import Appended, NewMessage
from chat.domain.rooms import RoomId
from chat.domain.users import UserId

SENDERS = 30


async def main(arguments: list[str]) -> None:
    directory, rooms, user, prefix = arguments
    async with SqliteDatabase(Path(directory)) as database, trio.open_nursery() as nursery:
        store = SqliteMessageStore(database)
        for sender in range(SENDERS):
            nursery.start_soon(_append_forever, store, rooms.split(","), UserId(user), f"{prefix}-{sender}")


async def _append_forever(store: SqliteMessageStore, rooms: list[str], user: UserId, prefix: str) -> None:
    for number in itertools.count():
        room = RoomId(rooms[number % len(rooms)])
        batch = [NewMessage(room, user, f"{prefix}-{number}-{part}", {"text": "x" * 500}) for part in range(2)]
        for message, answer in zip(batch, await store.append(batch), strict=True):
            assert isinstance(answer, Appended), answer
            # One system call: a kill leaves no half of a line that could be mistaken for a whole one.
            os.write(1, f"{room} {message.key} {answer.seq}\n".encode())


if __name__ == "__main__":
    trio.run(main, sys.argv[1:])
