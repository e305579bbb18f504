"""`UserStore` on MySQL or MariaDB: accounts sharded by id, their names by folded name."""

from __future__ import annotations

import functools
from collections.abc import Collection, Sequence

from asyncmy.errors import IntegrityError

from ...domain.errors import Conflict, NotFound, Unavailable
from ...domain.users import Account, User, UserId, fold_name
from ..ids import new_id
from .mysql_errors import DUPLICATE_KEY, code_of
from .mysql_pool import Change, Session
from .mysql_shards import MySqlShards
from .mysql_sql import LAST_CHARACTER, bounded_limit, chunks, marks
from .shard_map import Kind


class MySqlUserStore:
    """Accounts; their names are unique by folded form.

    An account is written first and its name second, so the name's row decides: until it is there, nobody can
    find the account, and a crash between the two leaves nothing but a row that nobody knows of.
    """

    def __init__(self, shards: MySqlShards) -> None:
        self._shards = shards

    async def create(self, name: str, password_hash: str) -> User:
        folded_name = fold_name(name)
        if await ids_of(self._shards, [folded_name]):
            raise Conflict("this name is taken")
        user = User(UserId(new_id()), name)
        insert = functools.partial(_insert, user=user, password_hash=password_hash)
        account = [Change("users", user.id)]
        await self._shards.on(Kind.USERS, user.id, insert, transaction=True, changes=account)
        take = functools.partial(_take_name, folded_name=folded_name, user=user.id)
        try:
            changes = [Change("names", folded_name)]
            await self._shards.on(Kind.USERS, folded_name, take, transaction=True, changes=changes)
        except Conflict:
            remove = functools.partial(_remove, user=user.id)
            await self._shards.on(Kind.USERS, user.id, remove, transaction=True, changes=account)
            raise
        return user

    async def user(self, user: UserId) -> User:
        return await self._shards.on(Kind.USERS, user, functools.partial(_user, user=user))

    async def by_name(self, name: str) -> tuple[User, str, bool] | None:
        folded_name = fold_name(name)
        users = await ids_of(self._shards, [folded_name])
        if not users:
            return None
        user = users[folded_name]
        return await self._shards.on(Kind.USERS, user, functools.partial(_account, user=user))

    async def names(self, users: Sequence[UserId]) -> dict[UserId, str]:
        return await names_of(self._shards, users)

    async def set_password_hash(self, user: UserId, password_hash: str) -> None:
        await self._set(user, "password_hash", password_hash)

    async def set_banned(self, user: UserId, banned: bool) -> None:
        await self._set(user, "banned", banned)

    async def set_admin(self, user: UserId, admin: bool) -> None:
        await self._set(user, "admin", admin)

    async def search(self, prefix: str, after: UserId | None, limit: int) -> list[Account]:
        behind = "" if after is None else fold_name((await self.user(after)).name)
        limit = bounded_limit(limit)
        work = functools.partial(_named, prefix=fold_name(prefix), behind=behind, limit=limit)
        named = sorted(row for page in await self._shards.on_all(work) for row in page)[:limit]
        users = [user for _, user in named]
        accounts: dict[UserId, Account] = {}
        for part in await self._shards.on_each(Kind.USERS, users, _accounts, instead=_none_of):
            accounts |= part
        return [accounts[user] for user in users if user in accounts]

    async def _set(self, user: UserId, column: str, value: str | bool) -> None:
        work = functools.partial(_set, user=user, column=column, value=value)
        await self._shards.on(Kind.USERS, user, work, transaction=True, changes=[Change("users", user)])


async def names_of(shards: MySqlShards, users: Collection[UserId]) -> dict[UserId, str]:
    """The names of those users that exist."""
    found: dict[UserId, str] = {}
    for part in await shards.on_each(Kind.USERS, users, _names):
        found |= part
    return found


async def ids_of(shards: MySqlShards, folded_names: Collection[str]) -> dict[str, UserId]:
    """The users of those folded names that are taken."""
    found: dict[str, UserId] = {}
    for part in await shards.on_each(Kind.USERS, folded_names, _ids):
        found |= part
    return found


async def _names(session: Session, users: Sequence[UserId]) -> dict[UserId, str]:
    async def ask(users: Sequence[UserId]) -> dict[UserId, str]:
        found: dict[UserId, str] = {}
        for chunk in chunks(users):
            query = f"SELECT id, name FROM {session.home('users')} WHERE id IN ({marks(len(chunk))})"
            found |= {UserId(user.decode()): name for user, name in await session.rows(query, chunk)}
        return found

    return await session.each_of(Kind.USERS, users, ask)


async def _ids(session: Session, folded_names: Sequence[str]) -> dict[str, UserId]:
    async def ask(folded_names: Sequence[str]) -> dict[str, UserId]:
        found: dict[str, UserId] = {}
        for chunk in chunks(folded_names):
            query = f"SELECT folded_name, user FROM {session.home('names')} WHERE folded_name IN ({marks(len(chunk))})"
            found |= {name.decode(): UserId(user.decode()) for name, user in await session.rows(query, chunk)}
        return found

    return await session.each_of(Kind.USERS, folded_names, ask)


async def _named(session: Session, prefix: str, behind: str, limit: int) -> list[tuple[bytes, UserId]]:
    """Folded names with a prefix, and whose they are. Those that this shard owns: while buckets move, two have them."""
    query = (
        f"SELECT folded_name, user FROM {session.home('names')}"
        " WHERE folded_name >= %s AND folded_name < %s AND folded_name > %s ORDER BY folded_name LIMIT %s"
    )
    rows = await session.rows(query, (prefix, prefix + LAST_CHARACTER, behind, limit))
    return [(name, UserId(user.decode())) for name, user in rows]


async def _accounts(session: Session, users: Sequence[UserId]) -> dict[UserId, Account]:
    async def ask(users: Sequence[UserId]) -> dict[UserId, Account]:
        found: dict[UserId, Account] = {}
        for chunk in chunks(users):
            query = f"SELECT id, name, admin, banned FROM {session.home('users')} WHERE id IN ({marks(len(chunk))})"
            for row, name, admin, banned in await session.rows(query, chunk):
                user = UserId(row.decode())
                found[user] = Account(User(user, name, bool(admin)), bool(banned))
        return found

    return await session.each_of(Kind.USERS, users, ask)


def _none_of(users: Sequence[UserId], error: Unavailable) -> dict[UserId, Account]:
    return {}


async def _insert(session: Session, user: User, password_hash: str) -> None:
    """Twice is once."""
    if not await session.rows("SELECT 1 FROM users WHERE id = %s", (user.id,)):
        await session.execute(
            "INSERT INTO users (id, name, password_hash) VALUES (%s, %s, %s)", (user.id, user.name, password_hash)
        )


async def _take_name(session: Session, folded_name: str, user: UserId) -> None:
    """Twice is once. Raises: Conflict if it is another's."""
    try:
        await session.execute("INSERT INTO names (folded_name, user) VALUES (%s, %s)", (folded_name, user))
    except IntegrityError as error:
        if code_of(error) != DUPLICATE_KEY:
            raise
        if not await session.rows("SELECT 1 FROM names WHERE folded_name = %s AND user = %s", (folded_name, user)):
            raise Conflict("this name is taken") from None


async def _remove(session: Session, user: UserId) -> None:
    """An account that nobody has heard of."""
    await session.execute("DELETE FROM users WHERE id = %s", (user,))


async def _user(session: Session, user: UserId) -> User:
    accounts = await _accounts(session, [user])
    if user not in accounts:
        raise NotFound("no such user")
    return accounts[user].user


async def _account(session: Session, user: UserId) -> tuple[User, str, bool] | None:
    query = f"SELECT name, admin, password_hash, banned FROM {session.home('users')} WHERE id = %s"
    rows = await session.rows_of(Kind.USERS, user, query, [user])
    if not rows:
        return None
    [(name, admin, password_hash, banned)] = rows
    return User(user, name, bool(admin)), password_hash.decode(), bool(banned)


async def _set(session: Session, user: UserId, column: str, value: str | bool) -> None:
    if not await session.execute(f"UPDATE users SET {column} = %s WHERE id = %s", (value, user)):
        raise NotFound("no such user")
