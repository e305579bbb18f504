"""Messages of many rooms in one statement: a few of each, found by the primary key."""

from __future__ import annotations

from collections.abc import Iterable

from .mysql_sql import flat


def within(ranges: Iterable[tuple[str, int, int]]) -> tuple[str, list[object]]:
    """A condition on `room` and `seq`, and its parameters, for ranges given as room, first and last seq."""
    listed = list(ranges)
    return " OR ".join(["(room = %s AND seq BETWEEN %s AND %s)"] * len(listed)), flat(listed)
