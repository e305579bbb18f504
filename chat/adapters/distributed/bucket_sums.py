"""Checksums of what belongs to a bucket, to tell whether two shards have the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .bucket_tables import Table, Tree
from .mysql_pool import Rows, Session, Work
from .mysql_sql import chunks, flat, marks, table
from .shard_map import Bucket

Row = tuple[Any, ...]


def sums_of(of: Table, columns: Sequence[str], roots: Sequence[tuple[bytes, int]]) -> Work[dict[bytes, Row]]:
    """How many rows each root has in a table, and a checksum of them."""

    async def work(session: Session) -> dict[bytes, Row]:
        bound = f" AND {of.name}.`{of.item}` <= wanted.top" if of.appended else ""
        query = (
            f"SELECT wanted.root, COUNT(*), BIT_XOR({_checksum(of, columns)})"
            f" FROM {table(('root', 'top'), len(roots))} AS wanted"
            f" STRAIGHT_JOIN {of.name} FORCE INDEX ({of.index}) ON {of.name}.`{of.root}` = wanted.root{bound}"
            " GROUP BY wanted.root"
        )
        return {row[0]: row[1:] for row in await session.rows(query, flat(roots))}

    return work


def sum_of_roots(of: Table, columns: Sequence[str], bucket: Bucket) -> Work[Rows]:
    """How many roots of a table a bucket has, and a checksum of them."""
    return query_of(
        f"SELECT COUNT(*), BIT_XOR({_checksum(of, columns)}) FROM {of.name} WHERE bucket = %s", [bucket.number]
    )


def without_newest(tree: Tree, leaf: Table, roots: set[bytes]) -> Work[list[bytes]]:
    """Those of some roots whose newest row is missing; one without rows, or with old ones only, is not."""

    async def work(session: Session) -> list[bytes]:
        found: list[bytes] = []
        for chunk in chunks(roots):
            query = (
                f"SELECT id FROM {tree.root.name} LEFT JOIN {leaf.name}"
                f" ON {leaf.name}.{leaf.root} = id AND {leaf.name}.{leaf.item} = {tree.root.name}.{tree.top}"
                f" WHERE id IN ({marks(len(chunk))}) AND {tree.root.name}.{tree.top} > archived"
                f" AND {leaf.name}.{leaf.item} IS NULL"
            )
            found += [root for (root,) in await session.rows(query, chunk)]
        return found

    return work


def _checksum(of: Table, columns: Sequence[str]) -> str:
    return f"CRC32(CONCAT_WS('|', {', '.join(f'{of.name}.`{column}`' for column in columns)}))"


def query_of(sql: str, parameters: Sequence[Any]) -> Work[Rows]:
    """A query as work."""

    async def work(session: Session) -> Rows:
        return await session.rows(sql, parameters)

    return work
