"""What belongs to a bucket, table by table: what is copied when it moves.

A new table whose rows belong to a room, a user or a name is listed here, or in `OF_THE_SHARD` if its rows stay.
"""

from __future__ import annotations

import dataclasses

from .shard_map import Kind


@dataclasses.dataclass(frozen=True, slots=True)
class Table:
    """A table. Its rows are found by `root`, the column with the id of the thing they belong to, then by `item`."""

    name: str
    root: str
    item: str = ""
    index: str = "PRIMARY"
    """Which begins with these two columns."""
    number: bool = False
    """Whether `item` is one."""
    appended: bool = False
    """Whether an append adds rows, all with items above the `top` of the root."""


@dataclasses.dataclass(frozen=True, slots=True)
class Tree:
    """A table whose rows are the things that have a bucket, and the tables that belong to them."""

    root: Table
    leaves: tuple[Table, ...] = ()
    top: str = ""
    """The column of the root with the newest item of the leaves that are appended to."""
    weight: str = "1"
    """About how many rows belong to a root."""

    @property
    def tables(self) -> tuple[Table, ...]:
        return (self.root, *self.leaves)


TREES: dict[Kind, tuple[Tree, ...]] = {
    Kind.ROOMS: (
        Tree(
            Table("rooms", "id"),
            (
                Table("members", "room", "user"),
                Table("read_marks", "room", "user"),
                Table("messages", "room", "seq", number=True, appended=True),
                Table("mentions", "room", "seq", "by_message", number=True, appended=True),
                Table("archive_parts", "room", "first_seq", number=True),
                Table("archive_keys", "room", "digest"),
                Table("archive_changes", "room", "seq", number=True),
            ),
            top="seq",
            weight="1 + CAST(seq AS SIGNED) - CAST(archived AS SIGNED)",
        ),
    ),
    Kind.USERS: (
        Tree(Table("users", "id"), (Table("user_rooms", "user", "room"),)),
        Tree(Table("names", "folded_name")),
    ),
}

FOLLOWERS = {"messages": ("mentions",)}
"""Tables whose rows change with those of another one."""

OF_THE_SHARD = {"archive_work", "bucket_changes", "bucket_map", "heartbeat", "map_version", "migrations"}
