"""How the keys of archived messages are remembered: a retry is recognised for ever, at 16 bytes a key."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from .mysql_pool import Session
from .mysql_sql import chunks, flat, table

DIGEST = "UNHEX(LEFT(SHA2(CONCAT(user, 0x00, `key`), 256), 32))"
"""The digest of a row of `messages`, as the servers compute it. Ids have no zero byte, so it is of nothing else."""

Key = tuple[str, str, str]
"""Room, user and key of a message."""


def digest_of(user: str, key: str) -> bytes:
    """The same."""
    return hashlib.sha256(user.encode() + b"\0" + key.encode()).digest()[:16]


async def find_archived(session: Session, keys: Iterable[Key]) -> dict[Key, tuple[int, int]]:
    """The seq and ts of those of some messages that are archived."""
    wanted = {(room, digest_of(user, key)): (room, user, key) for room, user, key in keys}
    found: dict[Key, tuple[int, int]] = {}
    for chunk in chunks(wanted):
        query = (
            "SELECT room, digest, seq, ts"
            f" FROM {table(('room', 'digest'), len(chunk))} AS wanted STRAIGHT_JOIN archive_keys USING (room, digest)"
        )
        for room, digest, seq, ts in await session.rows(query, flat(chunk)):
            found[wanted[room.decode(), digest]] = seq, ts
    return found
