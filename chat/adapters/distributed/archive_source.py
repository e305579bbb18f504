"""`ArchiveSource` on MySQL: one shard, as the archiver sees it.

Every statement is short and finds its rows by a primary key or by `by_segment`, however large the tables are.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from typing import Any

from ..archive.catalog import ArchivedRow, Part, Segment
from ..archive.source import Candidate, Listed, Run, State
from .archive_keys import DIGEST
from .mysql_pool import Change, Rows, Session
from .mysql_server import MySqlServer
from .mysql_sql import chunks, flat, marks, table
from .shard_map import Kind, bucket_of

_ROOMS = 1000
"""Looked at in one statement."""
_SEGMENT = "segment, segment_bytes, footer_bytes, footer_sha256"


class MySqlArchiveSource:
    """The primary of a shard."""

    def __init__(self, server: MySqlServer) -> None:
        self._server = server

    @property
    def name(self) -> str:
        return self._server.shard

    async def candidates(
        self, after: str, *, old: int, very_old: int, min_rows: int
    ) -> tuple[list[Candidate], str | None]:
        return await self._server.run(
            functools.partial(_candidates, after=after, old=old, very_old=very_old, min_rows=min_rows)
        )

    async def rows(self, candidate: Candidate, *, old: int, limit: int) -> list[ArchivedRow]:
        found = await self._server.run(functools.partial(_rows, candidate=candidate, limit=limit))
        return list(itertools.takewhile(lambda row: row.ts < old, found))

    async def unfinished(self) -> list[tuple[Segment, State]]:
        return await self._server.run(_unfinished)

    async def begin(self, segment: Segment) -> None:
        await self._execute(
            f"INSERT INTO archive_work ({_SEGMENT}, state) VALUES (%s, %s, %s, %s, %s)"
            " ON DUPLICATE KEY UPDATE state = state",
            (segment.name, segment.size, segment.footer_size, segment.footer_sha256, State.WRITING),
        )

    async def verified(self, segment: Segment) -> bool:
        return await self._mark(segment, State.VERIFIED, unless=State.ABANDONED)

    async def abandon(self, segment: Segment) -> bool:
        return await self._mark(segment, State.ABANDONED, unless=State.VERIFIED)

    async def move(self, segment: Segment, runs: Sequence[Run]) -> list[int]:
        return await self._server.run(functools.partial(_move, segment=segment, runs=runs), transaction=True)

    async def finish(self, segment: Segment) -> None:
        await self._execute("DELETE FROM archive_work WHERE segment = %s", [segment.name])

    async def segments(self, after: str, limit: int) -> list[tuple[Segment, bool]]:
        return await self._server.run(functools.partial(_segments, after=after, limit=limit))

    async def parts(self, segment: Segment, after: tuple[str, int], limit: int) -> list[Listed]:
        return await self._server.run(functools.partial(_parts, segment=segment, after=after, limit=limit))

    async def broken(self, after: str) -> tuple[list[str], str | None]:
        return await self._server.run(functools.partial(_broken, after=after))

    async def quarantine(self, segment: Segment, quarantined: bool) -> None:
        work = functools.partial(_quarantine, segment=segment, quarantined=quarantined)
        await self._server.run(work, transaction=True)

    async def _mark(self, segment: Segment, state: State, *, unless: State) -> bool:
        statement = "UPDATE archive_work SET state = %s WHERE segment = %s AND state <> %s"
        return await self._execute(statement, (state, segment.name, unless)) == 1

    async def _execute(self, statement: str, parameters: Sequence[Any]) -> int:
        async def execute(session: Session) -> int:
            return await session.execute(statement, parameters)

        return await self._server.run(execute)


async def _candidates(
    session: Session, after: str, old: int, very_old: int, min_rows: int
) -> tuple[list[Candidate], str | None]:
    """Of so many rooms, to whose messages it is two look-ups each."""
    rows = await session.rows(
        "SELECT some.id, some.archived, first.ts < %s AND (first.ts < %s OR last.ts < %s) FROM"
        f" (SELECT id, archived FROM {session.home('rooms')} WHERE id > %s ORDER BY id LIMIT %s) AS some"
        " LEFT JOIN messages AS first ON first.room = some.id AND first.seq = some.archived + 1"
        " LEFT JOIN messages AS last ON last.room = some.id AND last.seq = some.archived + %s ORDER BY some.id",
        (old, very_old, old, after, _ROOMS, min_rows),
    )
    found = [Candidate(room.decode(), border) for room, border, is_old in rows if is_old]
    return found, _next(rows)


async def _rows(session: Session, candidate: Candidate, limit: int) -> list[ArchivedRow]:
    rows = await session.rows(
        "SELECT room, seq, ts, user, `key`, body, revision, deleted FROM messages"
        " WHERE room = %s AND seq > %s ORDER BY seq LIMIT %s",
        (*candidate, limit),
    )
    return [
        ArchivedRow(room.decode(), seq, ts, user.decode(), key.decode(), body, revision, bool(deleted))
        for room, seq, ts, user, key, body, revision, deleted in rows
    ]


async def _unfinished(session: Session) -> list[tuple[Segment, State]]:
    rows = await session.rows(f"SELECT {_SEGMENT}, state FROM archive_work ORDER BY at")
    return [(_segment(columns), State(state.decode())) for *columns, state in rows]


async def _move(session: Session, segment: Segment, runs: Sequence[Run]) -> list[int]:
    rooms = [run.rows[0].room for run in runs]
    borders = await _borders(session, rooms)
    return [await _move_run(session, segment, run, borders.get(room)) for room, run in zip(rooms, runs, strict=True)]


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


async def _move_run(session: Session, segment: Segment, run: Run, border: int | None) -> int:
    """The room is locked, so its rows stay as they are; `border` is None if it is not here."""
    if border is None:
        return 0
    done = max(0, border - run.rows[0].seq + 1)
    rows = run.rows[done:]
    if not rows:
        return len(run.rows)
    place = (rows[0].room, rows[0].seq, rows[-1].seq)
    within = "room = %s AND seq BETWEEN %s AND %s"
    there: dict[int, int] = dict(
        await session.rows(f"SELECT seq, revision FROM messages WHERE {within} ORDER BY seq", place)
    )
    if rows[0].seq != border + 1 or list(there) != [row.seq for row in rows]:
        return done
    if edited := [row.seq for row in rows if there[row.seq] != row.revision]:
        await session.execute(
            "INSERT INTO archive_changes (room, seq, body, revision, deleted)"
            " SELECT room, seq, body, revision, deleted FROM messages"
            f" WHERE room = %s AND seq IN ({marks(len(edited))})",
            (rows[0].room, *edited),
        )
    await session.execute(
        f"INSERT INTO archive_keys (room, digest, seq, ts) SELECT room, {DIGEST}, seq, ts FROM messages WHERE {within}",
        place,
    )
    await session.execute(f"DELETE FROM messages WHERE {within}", place)
    await _add_part(session, segment, run.row + done, place)
    await session.execute("UPDATE rooms SET archived = %s WHERE id = %s", (rows[-1].seq, rows[0].room))
    return len(run.rows)


async def _add_part(session: Session, segment: Segment, row: int, place: tuple[str, int, int]) -> None:
    """The rows of a room in a segment are one part, though they move in several transactions."""
    room, first, last = place
    longer = "UPDATE archive_parts SET last_seq = %s WHERE room = %s AND last_seq = %s AND segment = %s"
    if await session.execute(longer, (last, room, first - 1, segment.name)):
        return
    await session.execute(
        f"INSERT INTO archive_parts (room, first_seq, last_seq, first_row, {_SEGMENT}) VALUES ({marks(8)})",
        (room, first, last, row, segment.name, segment.size, segment.footer_size, segment.footer_sha256),
    )


async def _quarantine(session: Session, segment: Segment, quarantined: bool) -> None:
    """A part on its way to another shard, and not marked there, is found by the next look at it."""
    query = "SELECT room, first_seq FROM archive_parts WHERE segment = %s AND quarantined <> %s"
    parts = [(room.decode(), first) for room, first in await session.rows(query, (segment.name, quarantined))]
    held = await session.hold(Kind.ROOMS, {room for room, _ in parts})
    here = [part for part in parts if bucket_of(Kind.ROOMS, part[0]).number in held]
    for chunk in chunks(here):
        await session.execute(
            f"UPDATE {table(('room', 'first_seq'), len(chunk))} AS some"
            " STRAIGHT_JOIN archive_parts USING (room, first_seq) SET quarantined = %s",
            [*flat(chunk), quarantined],
        )
    await session.record(Kind.ROOMS, (Change("archive_parts", room, str(first)) for room, first in here))


async def _segments(session: Session, after: str, limit: int) -> list[tuple[Segment, bool]]:
    rows = await session.rows(
        f"SELECT {_SEGMENT}, MAX(quarantined) FROM archive_parts WHERE segment > %s"
        f" GROUP BY {_SEGMENT} ORDER BY segment LIMIT %s",
        (after, limit),
    )
    return [(_segment(columns), bool(quarantined)) for *columns, quarantined in rows]


async def _parts(session: Session, segment: Segment, after: tuple[str, int], limit: int) -> list[Listed]:
    rows = await session.rows(
        "SELECT room, first_seq, last_seq, first_row, quarantined FROM archive_parts FORCE INDEX (by_segment)"
        " WHERE segment = %s AND (room > %s OR (room = %s AND first_seq > %s)) ORDER BY room, first_seq LIMIT %s",
        (segment.name, after[0], *after, limit),
    )
    return [
        Listed(room.decode(), Part(first, last, row, segment, bool(quarantined)))
        for room, first, last, row, quarantined in rows
    ]


async def _broken(session: Session, after: str) -> tuple[list[str], str | None]:
    """Parts cannot start twice at one message, so it is enough to count."""
    rows = await session.rows(
        "SELECT some.id, COALESCE(SUM(last_seq - first_seq + 1), 0) <> some.archived"
        " OR COALESCE(MAX(last_seq), 0) <> some.archived FROM"
        f" (SELECT id, archived FROM {session.home('rooms')} WHERE id > %s ORDER BY id LIMIT %s) AS some"
        " LEFT JOIN archive_parts ON room = some.id GROUP BY some.id, some.archived ORDER BY some.id",
        (after, _ROOMS),
    )
    return [room.decode() for room, is_broken in rows if is_broken], _next(rows)


def _next(rooms: Rows) -> str | None:
    """Where to go on behind a full page of rooms."""
    return rooms[-1][0].decode() if len(rooms) == _ROOMS else None


def _segment(columns: Sequence[Any]) -> Segment:
    name, size, footer_size, footer_sha256 = columns
    return Segment(name.decode(), size, footer_size, footer_sha256)
