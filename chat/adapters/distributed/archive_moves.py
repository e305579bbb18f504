"""The transaction that moves messages to the archive: a handful of statements, however many rooms they are of."""

from __future__ import annotations

from collections.abc import Sequence

from ..archive.catalog import ArchivedRow, Segment
from ..archive.source import Run
from .archive_keys import DIGEST
from .archive_ranges import within
from .mysql_pool import Session
from .mysql_sql import flat, marks, table, values
from .shard_map import Kind, bucket_of

Revisions = dict[tuple[str, int], int]
"""Of messages that are still in their table, by room and seq."""


async def move(session: Session, segment: Segment, runs: Sequence[Run]) -> list[int]:
    """What `ArchiveSource.move` says. The rooms are locked, so that their rows stay as they are."""
    borders = await _borders(session, [run.room for run in runs])
    done = [_done(run, borders) for run in runs]
    rests = {n: Run(run.row + done[n], run.rows[done[n] :]) for n, run in enumerate(runs) if done[n] < len(run.rows)}
    rests = {n: rest for n, rest in rests.items() if borders.get(rest.room) == rest.rows[0].seq - 1}
    there = await _revisions(session, list(rests.values()))
    ready = {n: rest for n, rest in rests.items() if all((row.room, row.seq) in there for row in rest.rows)}
    if ready:
        await _take(session, segment, list(ready.values()), there)
    return [len(run.rows) if n in ready else done[n] for n, run in enumerate(runs)]


async def _borders(session: Session, rooms: Sequence[str]) -> dict[str, int]:
    """Of those rooms that are here to stay for a while, which are locked: not of one that is being moved."""
    held = await session.hold(Kind.ROOMS, rooms)
    settled = [room for room in rooms if held.get(bucket_of(Kind.ROOMS, room).number) is False]
    if not settled:
        return {}
    query = (
        "SELECT id, archived FROM rooms FORCE INDEX (PRIMARY)"
        f" WHERE id IN ({marks(len(settled))}) ORDER BY id FOR UPDATE"
    )
    return {room.decode(): border for room, border in await session.rows(query, settled)}


def _done(run: Run, borders: dict[str, int]) -> int:
    """How many rows of a run have been moved before."""
    return min(max(0, borders.get(run.room, 0) - run.rows[0].seq + 1), len(run.rows))


async def _revisions(session: Session, runs: Sequence[Run]) -> Revisions:
    if not runs:
        return {}
    where, parameters = within((run.room, run.rows[0].seq, run.rows[-1].seq) for run in runs)
    rows = await session.rows(
        f"SELECT room, seq, revision FROM messages FORCE INDEX (PRIMARY) WHERE {where}", parameters
    )
    return {(room.decode(), seq): revision for room, seq, revision in rows}


async def _take(session: Session, segment: Segment, runs: Sequence[Run], there: Revisions) -> None:
    where, parameters = within((run.room, run.rows[0].seq, run.rows[-1].seq) for run in runs)
    await _keep_edited(session, [row for run in runs for row in run.rows if there[row.room, row.seq] != row.revision])
    await session.execute(
        f"INSERT INTO archive_keys (room, digest, seq, ts) SELECT room, {DIGEST}, seq, ts"
        f" FROM messages FORCE INDEX (PRIMARY) WHERE {where}",
        parameters,
    )
    await session.execute(f"DELETE FROM messages WHERE {where}", parameters)
    await _add_parts(session, segment, runs)
    borders = table(("id", "archived"), len(runs))
    await session.execute(
        f"UPDATE {borders} AS new STRAIGHT_JOIN rooms USING (id) SET rooms.archived = new.archived",
        flat((run.room, run.rows[-1].seq) for run in runs),
    )


async def _keep_edited(session: Session, rows: Sequence[ArchivedRow]) -> None:
    """What was edited after the segment was written is newer than the segment."""
    if rows:
        await session.execute(
            "INSERT INTO archive_changes (room, seq, body, revision, deleted)"
            " SELECT room, seq, body, revision, deleted"
            f" FROM {table(('room', 'seq'), len(rows))} AS edited STRAIGHT_JOIN messages USING (room, seq)",
            flat((row.room, row.seq) for row in rows),
        )


async def _add_parts(session: Session, segment: Segment, runs: Sequence[Run]) -> None:
    """The rows of a room in a segment are one part, though they may be moved in several transactions."""
    begun = await session.rows(
        "SELECT room, first_seq, last_seq FROM"
        f" {table(('room', 'last_seq'), len(runs))} AS ends STRAIGHT_JOIN archive_parts USING (room, last_seq)"
        " WHERE segment = %s",
        [*flat((run.room, run.rows[0].seq - 1) for run in runs), segment.name],
    )
    longer = {room.decode(): first for room, first, _ in begun}
    for run in runs:
        if run.room in longer:
            await session.execute(
                "UPDATE archive_parts SET last_seq = %s WHERE room = %s AND first_seq = %s",
                (run.rows[-1].seq, run.room, longer[run.room]),
            )
    if new := [run for run in runs if run.room not in longer]:
        place = (segment.name, segment.size, segment.footer_size, segment.footer_sha256)
        await session.execute(
            "INSERT INTO archive_parts (room, first_seq, last_seq, first_row,"
            f" segment, segment_bytes, footer_bytes, footer_sha256) VALUES {values(8, len(new))}",
            flat((run.room, run.rows[0].seq, run.rows[-1].seq, run.row, *place) for run in new),
        )
