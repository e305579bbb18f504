"""`PresenceStore` on Redis: rooms in a fixed number of partitions, each with its leases in one sorted set.

By partition rather than by room, so that a batch of entries is a few scripts however many rooms it touches, and
what has lapsed is found without asking about each room.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Sequence

from ...domain.errors import Unavailable
from ...domain.rooms import RoomId
from ...domain.users import UserId
from ...ports.presence_store import PresenceEntry
from .keys import safe
from .redis_client import RedisClient
from .redis_command import ScriptCommand, Word
from .redis_scripts import Script, load_script

LEASE_SECONDS = 30.0
PARTITIONS = 64
"""The same on every node, for ever: spreads over any number of primaries, and is few to ask all of."""
_PUT = load_script("presence_put", "clock", "presence")
_REMOVE = load_script("presence_remove", "clock", "presence")
_REAP = load_script("presence_reap", "clock", "presence")
_ONLINE = load_script("presence_online", "clock", "presence")
_ONLINE_OF = load_script("presence_online_of", "clock", "presence")


class RedisPresenceStore:
    """Who is online in the whole fleet. Time is the server's, so nodes need not agree on it."""

    def __init__(
        self,
        redis: RedisClient,
        *,
        lease_seconds: float = LEASE_SECONDS,
        clock: Callable[[], float] | None = None,
    ) -> None:
        """`clock` gives seconds in place of the server's, for tests."""
        self._redis = redis
        self._lease_ms = round(lease_seconds * 1000)
        self._clock = clock

    async def put(self, entries: Sequence[PresenceEntry]) -> list[tuple[RoomId, UserId]]:
        return await self._change(_PUT, entries, self._lease_ms)

    async def remove(self, entries: Sequence[PresenceEntry]) -> list[tuple[RoomId, UserId]]:
        return await self._change(_REMOVE, entries)

    async def reap(self) -> list[tuple[RoomId, UserId]]:
        commands = [self._command(_REAP, partition, again=False) for partition in range(PARTITIONS)]
        replies = await self._redis.execute(commands)
        lapsed = [member.decode().split(" ") for reply in replies if type(reply) is list for member in reply]
        if not lapsed:
            _check(replies)  # who was taken out by the others must be told all the same
        return [(RoomId(room), UserId(user)) for room, user in lapsed]

    async def online(self, room: RoomId, limit: int) -> tuple[int, list[UserId]]:
        command = self._command(_ONLINE, _partition(room), safe(room), max(0, limit))
        count, users = await self._redis.ask(command)
        return count, [UserId(user.decode()) for user in users]

    async def online_of(self, room: RoomId, users: Sequence[UserId]) -> set[UserId]:
        found = await self._redis.ask(self._command(_ONLINE_OF, _partition(room), safe(room), *map(safe, users)))
        return {users[number] for number in found}

    async def _change(
        self, script: Script, entries: Sequence[PresenceEntry], *arguments: Word
    ) -> list[tuple[RoomId, UserId]]:
        """Calls `script` for each partition; it answers with the numbers of those that made a difference."""
        places: dict[int, list[PresenceEntry]] = {}
        for entry in entries:
            places.setdefault(_partition(entry.room), []).append(entry)
        replies = await self._redis.execute(
            [
                self._command(script, partition, *arguments, *_words(there), again=True)
                for partition, there in places.items()
            ]
        )
        _check(replies)
        changed = {
            (there[number].room, there[number].user): None
            for there, numbers in zip(places.values(), replies, strict=True)
            for number in numbers
        }
        return [place for place in dict.fromkeys((entry.room, entry.user) for entry in entries) if place in changed]

    def _command(self, script: Script, partition: int, *arguments: Word, again: bool = True) -> ScriptCommand:
        place = f"presence:{{p{partition}}}"
        now = "" if self._clock is None else round(self._clock() * 1000)
        return ScriptCommand(
            script, [f"{place}:leases", f"{place}:lapsed"], now, f"{place}:room:", *arguments, again=again
        )


def _partition(room: RoomId) -> int:
    return zlib.crc32(room.encode()) % PARTITIONS


def _words(entries: Iterable[PresenceEntry]) -> list[Word]:
    return [word for entry in entries for word in (safe(entry.room), safe(entry.user), entry.connection)]


def _check(replies: Iterable[object]) -> None:
    for reply in replies:
        if isinstance(reply, Unavailable):
            raise reply
