"""Unread mentions, as both families of stores count them."""

from __future__ import annotations

from collections.abc import Iterable

from ..domain.rooms import RoomId

MENTIONS = 500
"""The newest mentions of a user that are looked at: a list of rooms must not read through years of them."""


def by_room(rows: Iterable[tuple[str, int]]) -> dict[RoomId, list[int]]:
    """The seqs of (room, seq) rows by their room, in the order of the rows."""
    found: dict[RoomId, list[int]] = {}
    for room, seq in rows:
        found.setdefault(RoomId(room), []).append(seq)
    return found
