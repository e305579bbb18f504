"""`ArchiveSource` on MySQL: one shard, as the archiver sees it.

Every statement is short and finds its rows by a primary key or by `by_segment`, however large the tables are.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from ..archive.catalog import ArchivedRow, Part, Segment
from ..archive.source import Candidate, Listed, Run, State
from .archive_moves import move
from .archive_ranges import within
from .mysql_pool import Change, Rows, Session
from .mysql_server import MySqlServer
from .mysql_sql import chunks, flat, table
from .shard_map import Kind, number_of

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

    async def rows(self, candidates: Sequence[Candidate], *, old: int, limit: int) -> list[ArchivedRow]:
        return await self._server.run(functools.partial(_rows, candidates=candidates, old=old, limit=limit))

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
        return await self._server.run(functools.partial(move, segment=segment, runs=runs), transaction=True)

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
    """Of so many rooms, to whose messages it is two look-ups each; those being moved would only have to stay."""
    rows = await session.rows(
        "SELECT some.id, some.archived, first.ts < %s AND (first.ts < %s OR last.ts < %s) FROM"
        f" (SELECT id, archived FROM {session.home('rooms')} WHERE id > %s AND home.stage <> 'copying'"
        " ORDER BY id LIMIT %s) AS some"
        " LEFT JOIN messages AS first ON first.room = some.id AND first.seq = some.archived + 1"
        " LEFT JOIN messages AS last ON last.room = some.id AND last.seq = some.archived + %s ORDER BY some.id",
        (old, very_old, old, after, _ROOMS, min_rows),
    )
    found = [Candidate(room.decode(), border) for room, border, is_old in rows if is_old]
    return found, _next(rows)


async def _rows(session: Session, candidates: Sequence[Candidate], old: int, limit: int) -> list[ArchivedRow]:
    """Of no room it looks at more than `limit` rows, so there is nothing behind those that are left out."""
    where, parameters = within((room, border + 1, border + limit) for room, border in candidates)
    rows = await session.rows(
        "SELECT room, seq, ts, user, `key`, body, revision, deleted FROM messages FORCE INDEX (PRIMARY)"
        f" WHERE ({where}) AND ts < %s ORDER BY room, seq LIMIT %s",
        (*parameters, old, limit),
    )
    return [
        ArchivedRow(room.decode(), seq, ts, user.decode(), key.decode(), body, revision, bool(deleted))
        for room, seq, ts, user, key, body, revision, deleted in rows
    ]


async def _unfinished(session: Session) -> list[tuple[Segment, State]]:
    rows = await session.rows(f"SELECT {_SEGMENT}, state FROM archive_work ORDER BY at")
    return [(_segment(columns), State(state.decode())) for *columns, state in rows]


async def _quarantine(session: Session, segment: Segment, quarantined: bool) -> None:
    """A part on its way to another shard, and not marked there, is found by the next look at it."""
    query = "SELECT room, first_seq FROM archive_parts WHERE segment = %s AND quarantined <> %s"
    parts = [(room.decode(), first) for room, first in await session.rows(query, (segment.name, quarantined))]
    held = await session.hold(Kind.ROOMS, {room for room, _ in parts})
    here = [part for part in parts if number_of(part[0]) in held]
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
