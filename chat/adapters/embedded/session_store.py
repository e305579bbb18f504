"""`SessionStore` on SQLite, so that people stay signed in across a restart."""

from __future__ import annotations

import functools
import sqlite3
import time
from collections.abc import Callable, Collection, Iterable, Sequence

import trio

from ...domain.errors import Unavailable
from ...domain.users import Session, SessionId, UserId
from ..ids import new_secret
from .database import SqliteDatabase
from .sql import chunks, marks

LIFETIME_SECONDS = 24 * 3600.0
_EXTEND_AFTER_SECONDS = 60.0
"""A session in constant use is written once a minute; nobody notices that it ends a minute early."""
_PURGE_ROWS = 100
"""Expired rows removed with each new session: more than one, so that they never pile up."""


class SqliteSessionStore:
    """Sessions that end 24 hours after their last use; `clock` gives seconds since the epoch."""

    def __init__(
        self,
        database: SqliteDatabase,
        *,
        lifetime_seconds: float = LIFETIME_SECONDS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._lifetime_seconds = lifetime_seconds
        self._clock = clock

    async def create(self, user: UserId) -> Session:
        now = self._clock()
        session = Session(SessionId(new_secret()), user, now, now + self._lifetime_seconds)
        await self._database.write(functools.partial(_insert, session=session, now=now))
        return session

    async def touch(self, session: SessionId) -> Session | None:
        [found] = await self.touch_each([session])
        if isinstance(found, Unavailable):
            raise found
        return found

    async def touch_each(self, sessions: Sequence[SessionId]) -> list[Session | Unavailable | None]:
        now = self._clock()
        found = await self._database.read(functools.partial(_live, sessions=sessions, now=now))
        extended = now + self._lifetime_seconds
        due = {session for session, at in found.items() if extended - at.expires >= _EXTEND_AFTER_SECONDS}
        if due:
            try:
                kept = await self._database.write(functools.partial(_extend, sessions=due, now=now, expires=extended))
            except Unavailable:
                kept = {}  # a full disk signs nobody out
            else:
                found = {session: at for session, at in found.items() if session not in due}  # or revoked meanwhile
            found |= kept
        return [found.get(session) for session in sessions]

    async def restore(self, session: SessionId, user: UserId) -> Session | None:
        await trio.lowlevel.checkpoint()
        return None  # what is not there was ended

    async def revoke(self, session: SessionId) -> bool:
        return await self._database.write(functools.partial(_delete, session=session, now=self._clock()))

    async def revoke_user(self, user: UserId) -> list[SessionId]:
        return await self._database.write(functools.partial(_delete_of, user=user, now=self._clock()))


def _insert(connection: sqlite3.Connection, session: Session, now: float) -> None:
    connection.execute(
        "DELETE FROM sessions WHERE id IN (SELECT id FROM sessions WHERE expires <= ? LIMIT ?)", (now, _PURGE_ROWS)
    )
    connection.execute(
        "INSERT INTO sessions (id, user, created, expires) VALUES (?, ?, ?, ?)",
        (session.id, session.user, session.created, session.expires),
    )


def _live(connection: sqlite3.Connection, sessions: Iterable[SessionId], now: float) -> dict[SessionId, Session]:
    found: dict[SessionId, Session] = {}
    for chunk in chunks(sessions):
        query = f"SELECT id, user, created, expires FROM sessions WHERE id IN ({marks(len(chunk))}) AND expires > ?"
        found |= {row[0]: Session(*row) for row in connection.execute(query, (*chunk, now))}
    return found


def _extend(
    connection: sqlite3.Connection, sessions: Collection[SessionId], now: float, expires: float
) -> dict[SessionId, Session]:
    """Those of `sessions` that are still alive, as they are now."""
    for chunk in chunks(sessions):
        connection.execute(
            f"UPDATE sessions SET expires = max(expires, ?) WHERE id IN ({marks(len(chunk))}) AND expires > ?",
            (expires, *chunk, now),
        )
    return _live(connection, sessions, now)


def _delete(connection: sqlite3.Connection, session: SessionId, now: float) -> bool:
    return connection.execute("DELETE FROM sessions WHERE id = ? AND expires > ?", (session, now)).rowcount > 0


def _delete_of(connection: sqlite3.Connection, user: UserId, now: float) -> list[SessionId]:
    rows = connection.execute("SELECT id FROM sessions WHERE user = ? AND expires > ?", (user, now)).fetchall()
    connection.execute("DELETE FROM sessions WHERE user = ?", (user,))
    return [session for (session,) in rows]
