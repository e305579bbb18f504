"""The map of the buckets as the shards keep it: each has a copy, of which its own buckets are what counts.

A shard whose row of a bucket names itself has the bucket, and no other shard has it then: a move first makes the
old place name the new one, and only then the new one itself. So whoever finds that a shard lacks something that
another shard knows may write it there, at any time and as often as they like.
"""

from __future__ import annotations

from .mysql_pool import Session
from .mysql_sql import chunks, flat, table, values
from .shard_map import Bucket, Kind, Place, ShardMap


async def read_map(session: Session, *, with_terms: bool = True) -> ShardMap | None:
    """The map that a shard holds, as of one moment; None before the first. Older schemas have no terms."""
    rows = await session.rows(f"SELECT kind, bucket, shard, {'term' if with_terms else '1'} FROM bucket_map")
    if not rows:
        return None
    places = {(kind.decode(), bucket): Place(shard.decode(), term) for kind, bucket, shard, term in rows}
    rooms, users = (tuple(places[kind, bucket] for bucket in range(len(places) // 2)) for kind in Kind)
    return ShardMap(rooms, users)


async def read_version(session: Session) -> int:
    """Another number whenever the map of this shard has changed."""
    rows = await session.rows("SELECT version FROM map_version")
    return int(rows[0][0]) if rows else 0


async def write_map(session: Session, name: str, shard_map: ShardMap) -> None:
    """Gives a shard its name and what it does not know of a map. To be run in a transaction."""
    if not await session.rows("SELECT 1 FROM map_version FOR UPDATE"):
        await session.execute("INSERT INTO map_version (only, version, shard) VALUES (1, 0, %s)", [name])
    known = await read_map(session)
    if known is None:
        for chunk in chunks(shard_map.items()):
            await session.execute(
                f"INSERT INTO bucket_map (kind, bucket, shard, term) VALUES {values(4, len(chunk))}", _rows(chunk)
            )
        await bump_version(session)
    elif newer := shard_map.newer_than(known):
        await write_places(session, newer)


async def bump_version(session: Session) -> None:
    """Tells the nodes that the map of this shard has changed."""
    await session.execute("UPDATE map_version SET version = version + 1")


async def write_places(session: Session, places: list[tuple[Bucket, Place]]) -> None:
    """Tells a shard where buckets are. To be run in a transaction.

    What arrives has arrived; what is being cleaned up stays so, wherever the bucket goes.
    """
    written = 0
    for chunk in chunks(places):
        written += await session.execute(
            f"UPDATE {table(('kind', 'bucket', 'shard', 'term'), len(chunk))} AS new"
            " STRAIGHT_JOIN bucket_map USING (kind, bucket) SET bucket_map.shard = new.shard,"
            " bucket_map.term = new.term, stage = IF(stage = 'cleaning', stage, '')"
            " WHERE bucket_map.term < new.term",
            _rows(chunk),
        )
    if written:
        await bump_version(session)


def _rows(places: list[tuple[Bucket, Place]]) -> list[object]:
    return flat((bucket.kind, bucket.number, *place) for bucket, place in places)
