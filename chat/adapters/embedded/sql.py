"""Pieces of SQL that the stores share."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

T = TypeVar("T")

MAX_LIMIT = 500
LAST_CHARACTER = "\U0010ffff"
"""What begins with a prefix lies between the prefix and the prefix with this behind it."""
_MAX_INTEGER = 2**63 - 1
_ROWS_PER_STATEMENT = 100
"""Far below SQLite's limit of 32,766 parameters; keeps the number of different statements small."""


def chunks(rows: Iterable[T]) -> Iterator[list[T]]:
    """`rows` in portions for one statement each."""
    remaining = iter(rows)
    while chunk := list(itertools.islice(remaining, _ROWS_PER_STATEMENT)):
        yield chunk


def flat(rows: Iterable[Iterable[Any]]) -> list[Any]:
    """The parameters of a statement for many rows."""
    return list(itertools.chain.from_iterable(rows))


def marks(count: int) -> str:
    """Place holders of one row: `?,?,?`."""
    return ",".join("?" * count)


def values(columns: int, rows: int) -> str:
    """Place holders of many rows: `(?,?),(?,?)`."""
    return ",".join([f"({marks(columns)})"] * rows)


def bounded_limit(limit: int) -> int:
    """`limit` within 0 and 500: a negative one would mean "all" to SQLite."""
    return max(0, min(limit, MAX_LIMIT))


def bounded_seq(seq: int | None) -> int:
    """A position as SQLite can hold it; None: behind the newest. Clients may send any integer."""
    return _MAX_INTEGER if seq is None else max(-1, min(seq, _MAX_INTEGER))
