"""Copies one bucket from shard to shard while it is written to.

What is there when the copy begins is read in the order of its keys. What is written meanwhile is recorded on the
source by whoever writes it, in the same transaction (`Session.record`), and read again until nothing is left. The
copy is not seen by anybody until the map of the target says that the bucket is there.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from .bucket_sums import query_of, sum_of_roots, sums_of, without_newest
from .bucket_tables import FOLLOWERS, TREES, Table, Tree
from .errors import MoveFailed
from .mysql_pool import MySqlPool, Rows, Session, Work
from .mysql_sql import chunks, flat, marks, table, values
from .shard_map import Bucket

T = TypeVar("T")
Row = tuple[Any, ...]
Run = Callable[[Work[Any]], Awaitable[Any]]

_ROOTS = 200
"""Rooms, users or names in one go, if they are small."""
_WEIGHT = 20_000
"""Rows in one go, unless a single room has more: what is copied twice if the copy is interrupted."""
_PAGE = 500
"""Rows in one statement, or entries of the record."""
_STATEMENT_BYTES = 1 << 20


class BucketCopy:
    """One bucket on its way, used in the loop's thread. `mover` is the run that both shards must name."""

    def __init__(self, bucket: Bucket, source: MySqlPool, target: MySqlPool, mover: str) -> None:
        self.bucket = bucket
        self.rows = 0
        """Written to the target so far."""
        self._source = source
        self._target = target
        self._mover = mover
        self._columns: dict[str, list[str]] = {}

    async def prepare(self) -> None:
        """Looks at the tables. Raises: MoveFailed if they differ."""
        self._columns = await self._source.run(_columns)
        if await self._target.run(_columns) != self._columns:
            raise MoveFailed("the schemas of the shards differ: run `chat-gateway db migrate`")

    async def copy(self, told: Callable[[], None]) -> None:
        """Copies what is there, from where an earlier run has come to; `told` is called now and then."""
        done, after = await self._position()
        for tree in self._trees:
            if done and tree.root.name != done:
                continue
            done = ""
            async for roots in self._roots(tree, after):
                await self._copy_roots(tree, roots)
                await self._set_position(tree, roots[-1])
                told()
            after = b""

    async def catch_up(self, *, run: Run | None = None) -> set[bytes]:
        """Copies again what was written since; returns the roots that this was about.

        `run` does work on the source, if it must be on a certain connection; then nothing is left over.
        """
        caught: set[bytes] = set()
        while entries := await (run or self._source.run)(self._entries):
            await self._apply(entries)
            await (run or self._guarded_source)(_forget(self.bucket, entries))
            caught |= {root for _, root, _, _ in entries}
            if run is None and len(entries) < _PAGE:
                break
        return caught

    async def different(self, roots: Iterable[bytes] | None = None) -> set[bytes]:
        """Those of some roots, or of all, of which the two shards do not have the same rows at the moment."""
        found: set[bytes] = set()
        for tree in self._trees:
            async for some in self._roots(tree, b"") if roots is None else _portions(roots):
                found |= await self._different(tree, some)
        return found

    async def check_heads(self, roots: set[bytes]) -> None:
        """To be asked when nobody writes: all roots are there, and what was appended last to `roots`.

        Raises: MoveFailed.
        """
        for tree in self._trees:
            sums = sum_of_roots(tree.root, self._columns[tree.root.name], self.bucket)
            here, there = await asyncio.gather(self._source.run(sums), self._target.run(sums))
            if here != there:
                raise MoveFailed(f"{self}: the copies of {tree.root.name} differ")
            for leaf in tree.leaves:
                if leaf.name == "messages":
                    missing = await self._target.run(without_newest(tree, leaf, roots))
                    if missing:
                        raise MoveFailed(f"{self}: the newest messages are missing in {len(missing)} rooms")

    def __str__(self) -> str:
        return f"{self.bucket.kind} {self.bucket.number}"

    @property
    def _trees(self) -> tuple[Tree, ...]:
        return TREES[self.bucket.kind]

    # What is there

    async def _position(self) -> tuple[str, bytes]:
        rows = await self._target.run(
            query_of("SELECT copied FROM bucket_map WHERE kind = %s AND bucket = %s", _key(self.bucket))
        )
        name, _, key = (rows[0][0] or b"").partition(b" ")
        return name.decode(), key

    async def _set_position(self, tree: Tree, root: bytes) -> None:
        copied = tree.root.name.encode() + b" " + root
        statement = "UPDATE bucket_map SET copied = %s WHERE kind = %s AND bucket = %s"
        await self._guarded_target(_statement(statement, (copied, *_key(self.bucket))))

    async def _roots(self, tree: Tree, after: bytes) -> AsyncIterator[list[bytes]]:
        """The roots of the bucket behind `after`, in portions of bounded weight."""
        root = tree.root
        query = (
            f"SELECT {root.root}, {tree.weight} FROM {root.name} FORCE INDEX (by_bucket)"
            f" WHERE bucket = %s AND {root.root} > %s ORDER BY {root.root} LIMIT {_ROOTS}"
        )
        while rows := await self._source.run(query_of(query, (self.bucket.number, after))):
            weights = itertools.accumulate(weight for _, weight in rows)
            fitting = sum(1 for _ in itertools.takewhile(lambda weight: weight <= _WEIGHT, weights))
            portion = [key for key, _ in rows[: max(1, fitting)]]
            yield portion
            after = portion[-1]

    async def _copy_roots(self, tree: Tree, roots: Sequence[bytes]) -> None:
        await self._replace(tree.root, await self._rows(tree.root, roots))
        for leaf in tree.leaves:
            async for page in self._pages(leaf, dict.fromkeys(roots)):
                await self._replace(leaf, page)

    async def _rows(self, of: Table, roots: Sequence[bytes]) -> list[Row]:
        found: list[Row] = []
        for chunk in chunks(roots):
            query = f"SELECT {self._list(of)} FROM {of.name} WHERE {of.root} IN ({marks(len(chunk))})"
            found += await self._source.run(query_of(query, chunk))
        return found

    async def _pages(self, leaf: Table, after: Mapping[bytes, Any]) -> AsyncIterator[Rows]:
        """The rows of some roots, in order; of each only those behind an item, unless that is None."""
        waiting = dict(sorted(after.items()))
        root, item = self._columns[leaf.name].index(leaf.root), self._columns[leaf.name].index(leaf.item)
        while waiting:
            ranges = [
                f"(`{leaf.root}` = %s" + ("" if it is None else f" AND `{leaf.item}` > %s") + ")"
                for it in waiting.values()
            ]
            rows = await self._source.run(
                query_of(
                    f"SELECT {self._list(leaf)} FROM {leaf.name} FORCE INDEX ({leaf.index})"
                    f" WHERE {' OR '.join(ranges)} ORDER BY `{leaf.root}`, `{leaf.item}` LIMIT {_PAGE}",
                    [part for pair in waiting.items() for part in pair if part is not None],
                )
            )
            if len(rows) < _PAGE:
                yield rows
                return
            last = rows[-1][root], rows[-1][item]
            # Of those that share a key, some may be on the next page.
            yield tuple(row for row in rows if (row[root], row[item]) != last)
            reached = [row[item] for row in rows if row[root] == last[0] and row[item] != last[1]]
            waiting = {key: it for key, it in waiting.items() if key >= last[0]}
            if reached:
                waiting[last[0]] = reached[-1]

    # What is written meanwhile

    async def _entries(self, session: Session) -> Rows:
        query = f"SELECT `table`, root, item, times FROM bucket_changes WHERE kind = %s AND bucket = %s LIMIT {_PAGE}"
        return await session.rows(query, _key(self.bucket))

    async def _apply(self, entries: Rows) -> None:
        items: dict[str, list[tuple[bytes, bytes]]] = {}
        for name, root, item, _ in entries:
            for each in (name.decode(), *FOLLOWERS.get(name.decode(), ())):
                items.setdefault(each, []).append((root, item))
        for tree in self._trees:
            if tree.root.name in items:
                await self._apply_roots(tree, [root for root, _ in items[tree.root.name]])
            for leaf in tree.leaves:
                if leaf.name in items:
                    await self._apply_items(leaf, items[leaf.name])

    async def _apply_roots(self, tree: Tree, roots: Sequence[bytes]) -> None:
        """The root's row comes last: its top says how far the rows that are appended have been copied."""
        rows = await self._rows(tree.root, roots)
        if tree.top:
            tops = await self._tops(tree, rows)
            for leaf in tree.leaves:
                if leaf.appended:
                    async for page in self._pages(leaf, tops):
                        await self._replace(leaf, page)
        await self._replace(tree.root, rows, instead_of=[(root,) for root in roots])

    async def _tops(self, tree: Tree, rows: Sequence[Row]) -> dict[bytes, int]:
        """How far the target has each root; one that is new there is made known first, so that it can be cleared."""
        columns = self._columns[tree.root.name]
        root, top = columns.index(tree.root.root), columns.index(tree.top)
        found = await self._target_tops(tree, [row[root] for row in rows])
        new = [(*row[:top], 0, *row[top + 1 :]) for row in rows if row[root] not in found]
        await self._replace(tree.root, new)
        return {**{row[root]: 0 for row in new}, **found}

    async def _target_tops(self, tree: Tree, roots: Sequence[bytes]) -> dict[bytes, int]:
        found: dict[bytes, int] = {}
        for chunk in chunks(roots):
            query = (
                f"SELECT {tree.root.root}, {tree.top} FROM {tree.root.name}"
                f" WHERE {tree.root.root} IN ({marks(len(chunk))})"
            )
            found |= dict(await self._target.run(query_of(query, chunk)))
        return found

    async def _apply_items(self, leaf: Table, items: Sequence[tuple[bytes, bytes]]) -> None:
        keys = [(root, int(item) if leaf.number else item) for root, item in dict.fromkeys(items)]
        for chunk in chunks(keys):
            wanted = table((leaf.root, leaf.item), len(chunk))
            query = (
                f"SELECT {self._list(leaf)} FROM {wanted} AS wanted"
                f" STRAIGHT_JOIN {leaf.name} USING (`{leaf.root}`, `{leaf.item}`)"
            )
            await self._replace(leaf, await self._source.run(query_of(query, flat(chunk))), instead_of=chunk)

    # On the target

    async def _replace(self, of: Table, rows: Sequence[Row], *, instead_of: Sequence[Row] = ()) -> None:
        """Writes rows, in one transaction with the removal of those with the keys `instead_of`."""
        if not rows and not instead_of:
            return

        async def write(session: Session) -> None:
            for chunk in chunks(instead_of):
                keys = [of.root, of.item][: len(chunk[0])]
                await session.execute(
                    f"DELETE {of.name} FROM {table(keys, len(chunk))} AS wanted"
                    f" STRAIGHT_JOIN {of.name} USING ({', '.join(f'`{key}`' for key in keys)})",
                    flat(chunk),
                )
            columns = self._columns[of.name]
            for part in _by_size(rows):
                statement = f"REPLACE INTO {of.name} ({self._list(of)}) VALUES {values(len(columns), len(part))}"
                await session.execute(statement, flat(part))

        await self._guarded_target(write)
        self.rows += len(rows)

    async def _guarded_target(self, work: Work[T]) -> T:
        return await guarded(self._target, self.bucket, self._mover, work)

    async def _guarded_source(self, work: Work[T]) -> T:
        return await guarded(self._source, self.bucket, self._mover, work, owner=True)

    # Whether it is the same

    async def _different(self, tree: Tree, roots: Sequence[bytes]) -> set[bytes]:
        """Of rows that are appended, only those below the target's top are compared: the rest is yet to come."""
        tops = await self._target_tops(tree, roots) if tree.top else {}
        found: set[bytes] = set()
        for each in tree.tables:
            work = sums_of(each, self._columns[each.name], [(root, tops.get(root, 0)) for root in roots])
            here, there = await asyncio.gather(self._source.run(work), self._target.run(work))
            found |= {root for root in roots if here.get(root) != there.get(root)}
        return found

    def _list(self, of: Table) -> str:
        return ", ".join(f"{of.name}.`{column}`" for column in self._columns[of.name])


async def guarded(pool: MySqlPool, bucket: Bucket, mover: str, work: Work[T], *, owner: bool = False) -> T:
    """Does `work` in a transaction, if `mover` is still the run that the shard knows for the bucket.

    And if the shard has the bucket, or has it not, as `owner` says. So a run that was stopped for an hour does no
    harm when it goes on. Raises: MoveFailed.
    """

    async def checked(session: Session) -> T:
        query = "SELECT shard = %s FROM bucket_map WHERE kind = %s AND bucket = %s AND mover = %s LOCK IN SHARE MODE"
        rows = await session.rows(query, (session.shard, *_key(bucket), mover))
        if [bool(row[0]) for row in rows] != [owner]:
            raise MoveFailed("another run has taken over")
        return await work(session)

    return await pool.run(checked, transaction=True)


async def clear(pool: MySqlPool, bucket: Bucket, mover: str, told: Callable[[], None]) -> None:
    """Removes the rows of a bucket from a shard that does not have it, a thousand at a time."""
    for tree in TREES[bucket.kind]:
        query = f"SELECT {tree.root.root} FROM {tree.root.name} WHERE bucket = %s LIMIT {_ROOTS}"
        while rows := await pool.run(query_of(query, [bucket.number])):
            roots = flat(rows)
            for each in (*tree.leaves, tree.root):
                statement = f"DELETE FROM {each.name} WHERE `{each.root}` IN ({marks(len(roots))}) LIMIT 1000"
                while await guarded(pool, bucket, mover, _statement(statement, roots)):
                    told()


def _statement(sql: str, parameters: Sequence[Any]) -> Work[int]:
    async def work(session: Session) -> int:
        return await session.execute(sql, parameters)

    return work


def _forget(bucket: Bucket, entries: Rows) -> Work[None]:
    """Removes entries of the record that nobody has written again since they were read."""

    async def work(session: Session) -> None:
        done = table(("table", "root", "item", "times"), len(entries))
        await session.execute(
            f"DELETE bucket_changes FROM {done} AS done STRAIGHT_JOIN bucket_changes USING (`table`, root, item, times)"
            " WHERE kind = %s AND bucket = %s",
            (*flat(entries), *_key(bucket)),
        )

    return work


async def _columns(session: Session) -> dict[str, list[str]]:
    """The columns of all tables that are not made of others, in their order."""
    rows = await session.rows(
        "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = DATABASE()"
        " AND COALESCE(generation_expression, '') = '' ORDER BY table_name, ordinal_position"
    )
    found: dict[str, list[str]] = {}
    for name, column in rows:
        found.setdefault(_text(name), []).append(_text(column))
    return found


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode()


def _by_size(rows: Sequence[Row]) -> Iterator[list[Row]]:
    """Rows for one statement each."""
    part: list[Row] = []
    size = 0
    for row in rows:
        row_size = sum(len(value) if isinstance(value, bytes | str) else 8 for value in row)
        if part and (size + row_size > _STATEMENT_BYTES or len(part) == _PAGE):
            yield part
            part, size = [], 0
        part.append(row)
        size += row_size
    if part:
        yield part


async def _portions(roots: Iterable[bytes]) -> AsyncIterator[list[bytes]]:
    for chunk in chunks(sorted(roots), _ROOTS):
        yield chunk


def _key(bucket: Bucket) -> tuple[str, int]:
    return bucket.kind.value, bucket.number
