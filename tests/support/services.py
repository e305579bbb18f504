"""The services over the embedded adapters, with a broker that remembers what it was told."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import AsyncIterator, Sequence
from typing import Any, TypeVar

from argon2 import PasswordHasher

from chat.adapters.embedded.broker import MemoryBroker
from chat.adapters.embedded.database import SqliteDatabase
from chat.adapters.embedded.message_store import SqliteMessageStore
from chat.adapters.embedded.presence_store import MemoryPresenceStore
from chat.adapters.embedded.rate_limiter import MemoryRateLimiter
from chat.adapters.embedded.room_store import SqliteRoomStore
from chat.adapters.embedded.session_store import SqliteSessionStore
from chat.adapters.embedded.user_store import SqliteUserStore
from chat.domain.errors import Unavailable
from chat.domain.rooms import Role, Room, RoomKind
from chat.domain.users import Identity
from chat.ports.rate_limiter import Rate
from chat.services import Limits, Passwords, Services, SigningKey, Tokens, assemble, events

SECRET = b"a secret of tests, 32 bytes long"
CHEAP_HASHER = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
_NO_RATES: dict[str, Any] = {
    field.name: Rate(0, 0) for field in dataclasses.fields(Limits) if isinstance(field.default, Rate)
}
UNLIMITED = Limits(**_NO_RATES)

E = TypeVar("E")


class RecordingBroker(MemoryBroker):
    """Keeps every event that was published, by call; `is_away` makes it refuse."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[list[events.RoomEvent | events.ControlEvent]] = []
        self.is_away = False

    async def publish(self, events_: Sequence[tuple[str, bytes]]) -> None:
        if self.is_away:
            raise Unavailable("the broker is away")
        self.calls.append([events.decode(payload) for _, payload in events_])
        await super().publish(events_)

    def of(self, kind: type[E]) -> list[E]:
        """Everything of one kind that was published so far."""
        return [event for call in self.calls for event in call if isinstance(event, kind)]


@dataclasses.dataclass(frozen=True)
class World:
    """One node's services and what is under them."""

    services: Services
    database: SqliteDatabase
    messages: SqliteMessageStore
    rooms: SqliteRoomStore
    users: SqliteUserStore
    sessions: SqliteSessionStore
    presence: MemoryPresenceStore
    broker: RecordingBroker
    tokens: Tokens

    async def user(self, name: str) -> Identity:
        """A new account without a password, signed in."""
        user = await self.users.create(name, "none")
        session = await self.sessions.create(user.id)
        return Identity(user, session.id, session.expires)

    async def room(self, kind: RoomKind, roles: dict[Identity, Role]) -> Room:
        """A room with these members, whatever rules they would have had to pass."""
        first, *others = roles
        if kind is RoomKind.DIRECT:
            return await self.rooms.direct(first.user.id, others[0].user.id)
        room = await self.rooms.create("a room", kind, first.user.id)
        for who, role in roles.items():
            await self.rooms.set_role(room.id, who.user.id, role)
        return room


@contextlib.asynccontextmanager
async def open_world(
    directory: str | os.PathLike[str], *, limits: Limits = UNLIMITED, passwords: Passwords | None = None
) -> AsyncIterator[World]:
    """A world whose data is in `directory`."""
    async with SqliteDatabase(directory) as database:
        messages, rooms = SqliteMessageStore(database), SqliteRoomStore(database)
        users, sessions = SqliteUserStore(database), SqliteSessionStore(database)
        presence, broker, tokens = MemoryPresenceStore(), RecordingBroker(), Tokens([SigningKey.of(SECRET)])
        services = assemble(
            messages=messages,
            rooms=rooms,
            users=users,
            sessions=sessions,
            presence=presence,
            limiter=MemoryRateLimiter(),
            broker=broker,
            tokens=tokens,
            passwords=passwords or Passwords(CHEAP_HASHER),
            limits=limits,
        )
        yield World(services, database, messages, rooms, users, sessions, presence, broker, tokens)
