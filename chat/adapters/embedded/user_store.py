"""`UserStore` on SQLite."""

from __future__ import annotations

import functools
import sqlite3
from collections.abc import Sequence

from ...domain.errors import Conflict, NotFound
from ...domain.users import Account, User, UserId, fold_name
from ..ids import new_id
from .database import SqliteDatabase
from .sql import LAST_CHARACTER, bounded_limit, chunks, marks


class SqliteUserStore:
    """Accounts; their names are unique by folded form."""

    def __init__(self, database: SqliteDatabase) -> None:
        self._database = database

    async def create(self, name: str, password_hash: str) -> User:
        return await self._database.write(functools.partial(_create, name=name, password_hash=password_hash))

    async def user(self, user: UserId) -> User:
        return await self._database.read(functools.partial(_user, user=user))

    async def by_name(self, name: str) -> tuple[User, str, bool] | None:
        return await self._database.read(functools.partial(_by_name, folded_name=fold_name(name)))

    async def names(self, users: Sequence[UserId]) -> dict[UserId, str]:
        return await self._database.read(functools.partial(_names, users=users))

    async def set_password_hash(self, user: UserId, password_hash: str) -> None:
        await self._database.write(functools.partial(_set, user=user, column="password_hash", value=password_hash))

    async def set_banned(self, user: UserId, banned: bool) -> None:
        await self._database.write(functools.partial(_set, user=user, column="banned", value=banned))

    async def set_admin(self, user: UserId, admin: bool) -> None:
        await self._database.write(functools.partial(_set, user=user, column="admin", value=admin))

    async def search(self, prefix: str, after: UserId | None, limit: int) -> list[Account]:
        found = functools.partial(_search, prefix=fold_name(prefix), after=after, limit=limit)
        return await self._database.read(found)


def _create(connection: sqlite3.Connection, name: str, password_hash: str) -> User:
    folded_name = fold_name(name)
    if _by_name(connection, folded_name) is not None:
        raise Conflict("this name is taken")
    user = User(UserId(new_id()), name)
    connection.execute(
        "INSERT INTO users (id, name, folded_name, password_hash) VALUES (?, ?, ?, ?)",
        (user.id, user.name, folded_name, password_hash),
    )
    return user


def _user(connection: sqlite3.Connection, user: UserId) -> User:
    row = connection.execute("SELECT name, admin FROM users WHERE id = ?", (user,)).fetchone()
    if row is None:
        raise NotFound("no such user")
    return User(user, row[0], bool(row[1]))


def _by_name(connection: sqlite3.Connection, folded_name: str) -> tuple[User, str, bool] | None:
    query = "SELECT id, name, admin, password_hash, banned FROM users WHERE folded_name = ?"
    row = connection.execute(query, (folded_name,)).fetchone()
    if row is None:
        return None
    user, name, admin, password_hash, banned = row
    return User(user, name, bool(admin)), password_hash, bool(banned)


def _names(connection: sqlite3.Connection, users: Sequence[UserId]) -> dict[UserId, str]:
    found: dict[UserId, str] = {}
    for chunk in chunks(users):
        found |= connection.execute(f"SELECT id, name FROM users WHERE id IN ({marks(len(chunk))})", chunk)
    return found


def _search(connection: sqlite3.Connection, prefix: str, after: UserId | None, limit: int) -> list[Account]:
    behind = "" if after is None else fold_name(_user(connection, after).name)
    rows = connection.execute(
        "SELECT id, name, admin, banned FROM users WHERE folded_name >= ? AND folded_name < ? AND folded_name > ?"
        " ORDER BY folded_name LIMIT ?",
        (prefix, prefix + LAST_CHARACTER, behind, bounded_limit(limit)),
    )
    return [Account(User(user, name, bool(admin)), bool(banned)) for user, name, admin, banned in rows]


def _set(connection: sqlite3.Connection, user: UserId, column: str, value: str | bool) -> None:
    if connection.execute(f"UPDATE users SET {column} = ? WHERE id = ?", (value, user)).rowcount == 0:
        raise NotFound("no such user")
