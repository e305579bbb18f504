"""Pieces of SQL that the stores share, for MariaDB and MySQL alike.

Statements go as text with the values escaped by the driver, not as prepared statements: their shapes are
as many as there are batch sizes, and a fleet of 100 nodes would exceed the servers' `max_prepared_stmt_count`.
What makes that safe: every connection speaks utf8mb4, in which no byte of one character is another, all text
goes as bytes, `sql_mode` is set by us, and what is put together here are only place holders and names.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeVar

T = TypeVar("T")

LAST_CHARACTER = "\U0010ffff"
"""What begins with a prefix lies between the prefix and the prefix with this behind it."""
MAX_LIMIT = 500
_MAX_INTEGER = 2**63 - 1
_ROWS_PER_STATEMENT = 500
"""Below the 1,000 from which MariaDB turns a list into a subquery, whose rows it would lock in another order."""


def chunks(rows: Iterable[T], size: int = _ROWS_PER_STATEMENT) -> Iterator[list[T]]:
    """`rows` in portions for one statement each."""
    remaining = iter(rows)
    while chunk := list(itertools.islice(remaining, size)):
        yield chunk


def flat(rows: Iterable[Iterable[Any]]) -> list[Any]:
    """The parameters of a statement for many rows."""
    return list(itertools.chain.from_iterable(rows))


def marks(count: int) -> str:
    """Place holders of one row: `%s,%s,%s`."""
    return ",".join(["%s"] * count)


def values(columns: int, rows: int) -> str:
    """Place holders of many rows: `(%s,%s),(%s,%s)`."""
    return ",".join([f"({marks(columns)})"] * rows)


def table(columns: Sequence[str], rows: int) -> str:
    """Place holders as a table to join with, which keeps the server to one look-up by key for each row."""
    first = ", ".join(f"%s AS `{column}`" for column in columns)
    return f"(SELECT {first}{f' UNION ALL SELECT {marks(len(columns))}' * (rows - 1)})"


def bounded_limit(limit: int) -> int:
    """`limit` within 0 and 500."""
    return max(0, min(limit, MAX_LIMIT))


def bounded_seq(seq: int | None) -> int:
    """A position as a server can hold it; None: behind the newest. Clients may send any integer."""
    return _MAX_INTEGER if seq is None else max(-1, min(seq, _MAX_INTEGER))
