"""Fills stores with users, sessions and rooms, as a node would find them after a busy day.

Through the node's own adapters, but without its HTTP API: hashing 10,000 passwords would take minutes, so nobody
here has a password, and tokens are signed for sessions that were opened directly. The sessions were last used an
hour ago: a node that is connected to extends them, which is a write.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import json
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TypeVar

import trio

from chat import token_key
from chat.adapters.embedded.database import SqliteDatabase
from chat.adapters.embedded.room_store import SqliteRoomStore
from chat.adapters.embedded.session_store import SqliteSessionStore
from chat.adapters.embedded.user_store import SqliteUserStore
from chat.domain.rooms import Role, RoomId, RoomKind
from chat.domain.users import User
from chat.ports.room_store import RoomStore
from chat.ports.session_store import SessionStore
from chat.ports.user_store import UserStore
from chat.services import SigningKey, Tokens

USERS_FILE = "users.jsonl"
_AT_ONCE = 500
"""Writes that share a commit."""
_TOKEN_SECONDS = 86_400.0
_UNUSED_SECONDS = 3_600.0

Line = dict[str, object]
"""A user's token and rooms."""
A = TypeVar("A")
T = TypeVar("T")


@dataclasses.dataclass(frozen=True, slots=True)
class Population:
    """How many users, and how they spread over rooms."""

    users: int
    rooms: int
    rooms_per_user: int = 1
    zipf: bool = False
    """Room k has a share of 1/k of the largest one's members; else all rooms are alike."""

    def memberships(self, seed: int = 1) -> list[list[int]]:
        """The rooms of each user, by number: different ones, and the same at every call."""
        if not self.zipf:
            return [
                sorted({(user + step) % self.rooms for step in range(self.rooms_per_user)})
                for user in range(self.users)
            ]
        random_numbers = random.Random(seed)
        weights = list(itertools.accumulate(1 / rank for rank in range(1, self.rooms + 1)))
        chosen = []
        for _ in range(self.users):
            rooms: set[int] = set()
            while len(rooms) < min(self.rooms_per_user, self.rooms):
                rooms |= set(random_numbers.choices(range(self.rooms), cum_weights=weights))
            chosen.append(sorted(rooms))
        return chosen


def seed(directory: Path, population: Population) -> Path:
    """Fills `directory`, which must be new, and returns the file of users that the load generator reads."""
    users = directory / USERS_FILE
    write_users(users, trio.run(_seed, directory, population))
    return users


def write_users(file: Path, lines: Sequence[Line]) -> None:
    """The file of users that the load generator reads."""
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))


async def _seed(directory: Path, population: Population) -> list[Line]:
    async with SqliteDatabase(directory) as database:
        return await populate(
            population,
            users=SqliteUserStore(database),
            rooms=SqliteRoomStore(database),
            sessions=SqliteSessionStore(database, clock=lambda: time.time() - _UNUSED_SECONDS),
            token_directory=directory,
        )


async def populate(
    population: Population, *, users: UserStore, rooms: RoomStore, sessions: SessionStore, token_directory: Path
) -> list[Line]:
    """Fills empty stores; returns a line for each user. `token_directory` has the nodes' token key."""
    tokens = Tokens([SigningKey.of(token_key.load_or_make(token_directory))], lifetime_seconds=_TOKEN_SECONDS)
    memberships = population.memberships()
    people = await _in_batches(functools.partial(_user, users), range(population.users))
    places = await _in_batches(functools.partial(_room, rooms, people[0]), range(population.rooms))
    members = [(people[user], places[room]) for user, chosen in enumerate(memberships) for room in chosen]
    await _in_batches(functools.partial(_member, rooms), members)
    signed = await _in_batches(functools.partial(_token, tokens, sessions), people)
    return [
        {"token": token, "rooms": [places[room] for room in chosen]}
        for token, chosen in zip(signed, memberships, strict=True)
    ]


async def _user(store: UserStore, number: int) -> User:
    return await store.create(f"User {number}", "no password")


async def _room(store: RoomStore, owner: User, number: int) -> RoomId:
    return (await store.create(f"Room {number}", RoomKind.PUBLIC, owner.id)).id


async def _member(store: RoomStore, member: tuple[User, RoomId]) -> None:
    user, room = member
    await store.set_role(room, user.id, Role.MEMBER)


async def _token(tokens: Tokens, sessions: SessionStore, user: User) -> str:
    token, _ = tokens.issue(user, (await sessions.create(user.id)).id)
    return token


async def _in_batches(work: Callable[[A], Awaitable[T]], arguments: Sequence[A]) -> list[T]:
    """The results of `work` in the order of `arguments`, many at a time."""
    results: dict[int, T] = {}

    async def run(index: int) -> None:
        results[index] = await work(arguments[index])

    for start in range(0, len(arguments), _AT_ONCE):
        async with trio.open_nursery() as nursery:
            for index in range(start, min(start + _AT_ONCE, len(arguments))):
                nursery.start_soon(run, index)
    return [results[index] for index in range(len(arguments))]
