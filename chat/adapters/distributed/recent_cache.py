"""The last messages of each room in Redis: a run of positions that never has a hole, and may end too early.

What is in it was committed. It may lack the newest messages, when a node could not reach Redis after a commit;
so whoever reads up to its end compares that with the store.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from ...domain.errors import Unavailable
from ...domain.messages import Message
from ...domain.rooms import RoomId
from ...domain.users import UserId
from .keys import safe
from .redis_client import RedisClient
from .redis_command import ScriptCommand
from .redis_scripts import Script, load_script

MAX_MESSAGES = 200
LIFETIME_SECONDS = 3600.0
"""After the last message or page: a room that nobody reads costs nothing."""
QUIET_SECONDS = 5.0
"""After a change of a message its room is not cached: longer than any read that may have seen the message as it was."""
_APPEND = load_script("recent_append", "recent")
_FILL = load_script("recent_fill", "recent")
_READ = load_script("recent_read", "recent")
_DROP = load_script("recent_drop", "recent")


class Taken(enum.Enum):
    """What the cache did with new messages."""

    OK = b"ok"
    DUP = b"dup"
    HOLE = b"hole"


@dataclasses.dataclass(frozen=True, slots=True)
class Run:
    """Messages of one epoch, seq rising by 1."""

    epoch: str
    messages: Sequence[Message]


@dataclasses.dataclass(frozen=True, slots=True)
class Page:
    """What was asked for, as far as the cache reaches: up to `top`."""

    epoch: str
    top: int
    messages: list[Message]


class _Record(msgspec.Struct, array_like=True, frozen=True, gc=False):
    ts: int
    user: str
    key: str
    body: dict[str, Any]
    revision: int
    deleted: bool


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Record).decode


class RecentCache:
    """Every method raises `Unavailable`."""

    def __init__(self, redis: RedisClient, *, quiet_seconds: float = QUIET_SECONDS) -> None:
        self._redis = redis
        self._quiet_ms = round(quiet_seconds * 1000)

    async def append(self, runs: Mapping[RoomId, Run]) -> dict[RoomId, tuple[Taken, int] | Unavailable]:
        """Adds new messages of many rooms in one round trip; for each what became of them, and the newest seq there."""
        commands = [self._adding(_APPEND, room, run) for room, run in runs.items()]
        replies = await self._redis.execute(commands)
        return {
            room: reply if isinstance(reply, Unavailable) else (Taken(reply[0]), reply[1])
            for room, reply in zip(runs, replies, strict=True)
        }

    async def fill(self, room: RoomId, run: Run, *, is_newest: bool) -> None:
        """Joins messages from the store to what is there; `is_newest`: there were none behind them."""
        await self._redis.ask(self._adding(_FILL, room, run, int(is_newest)))

    async def read_after(self, room: RoomId, after: int, limit: int) -> Page | None:
        """Messages with seq > `after`, oldest first; None if the cache does not reach back so far."""
        return await self._read(room, "after", after, limit)

    async def read_before(self, room: RoomId, before: int | None, limit: int) -> Page | None:
        """The newest `limit` messages with seq < `before` (None: of all); None if not all of them are here."""
        return await self._read(room, "before", _HIGHEST if before is None else before, limit)

    async def drop(self, rooms: Sequence[RoomId]) -> list[RoomId]:
        """Forgets rooms in which a message has changed. Returns those that it could not reach."""
        if not rooms:
            return []
        replies = await self._redis.execute([_command(_DROP, room, self._quiet_ms) for room in rooms])
        return [room for room, reply in zip(rooms, replies, strict=True) if isinstance(reply, Unavailable)]

    async def _read(self, room: RoomId, way: str, seq: int, limit: int) -> Page | None:
        found = await self._redis.ask(_command(_READ, room, way, max(0, min(seq, _HIGHEST)), limit))
        if found is None:
            return None
        top, epoch, *records = found
        return Page(epoch.decode(), top, [_unpack(room, record) for record in records])

    def _adding(self, script: Script, room: RoomId, run: Run, *options: int) -> ScriptCommand:
        epoch = run.epoch.encode()
        records = [_pack(epoch, message) for message in run.messages]
        return _command(script, room, MAX_MESSAGES, round(LIFETIME_SECONDS * 1000), *options, *records)


_HIGHEST = 2**53
"""Lua counts exactly up to here."""


def _command(script: Script, room: RoomId, *arguments: str | int | bytes) -> ScriptCommand:
    key = f"recent:{{{safe(room)}}}"
    return ScriptCommand(script, [f"{key}:messages", f"{key}:quiet"], *arguments)


def _pack(epoch: bytes, message: Message) -> bytes:
    record = _Record(message.ts, message.user, message.key, message.body, message.revision, message.deleted)
    return message.seq.to_bytes(8, "big") + bytes([len(epoch)]) + epoch + _encode(record)


def _unpack(room: RoomId, record: bytes) -> Message:
    seq = int.from_bytes(record[:8], "big")
    rest = _decode(memoryview(record)[9 + record[8] :])
    return Message(room, seq, rest.ts, UserId(rest.user), rest.key, rest.body, rest.revision, rest.deleted)
