"""`ArchiveCatalog` on MySQL: each room's archived parts are listed on the shard that has the room."""

from __future__ import annotations

import functools
from typing import Any

import msgspec

from ...domain.errors import NotFound
from ...domain.messages import Message
from ...domain.rooms import RoomId
from ..archive.catalog import Archived, Change, Part, Segment
from .message_store import encoded_body
from .mysql_pool import Change as RowChange
from .mysql_pool import Session
from .mysql_shards import MySqlShards
from .shard_map import Kind

_decode = msgspec.msgpack.Decoder(dict[str, Any]).decode


class MySqlArchiveCatalog:
    """Asks primaries only: a replica may lack what was archived a moment ago."""

    def __init__(self, shards: MySqlShards) -> None:
        self._shards = shards

    async def border(self, room: RoomId) -> int:
        return await self._shards.on(Kind.ROOMS, room, functools.partial(_border, room=room))

    async def archived(self, room: RoomId, first: int, last: int) -> Archived:
        work = functools.partial(_archived, room=room, first=first, last=last)
        return await self._shards.on(Kind.ROOMS, room, work)

    async def revise(self, message: Message, body: dict[str, Any] | None) -> Message:
        stored = encoded_body(body or {})
        work = functools.partial(_revise, message=message, body=stored, deleted=body is None)
        change = await self._shards.on(
            Kind.ROOMS,
            message.room,
            work,
            transaction=True,
            idempotent=body is None,
            # What mentions whom goes with the message, which need not be there any more.
            changes=[RowChange(name, message.room, str(message.seq)) for name in ("archive_changes", "messages")],
        )
        return Message(
            *(message.room, message.seq, message.ts, message.user, message.key),
            *(change.body, change.revision, change.deleted),
        )


async def _border(session: Session, room: RoomId) -> int:
    query = f"SELECT archived FROM {session.home('rooms')} WHERE id = %s"
    rows = await session.rows_of(Kind.ROOMS, room, query, [room])
    return int(rows[0][0]) if rows else 0


async def _archived(session: Session, room: RoomId, first: int, last: int) -> Archived:
    """The border is read last: if the room is here then, it was here all the time, with all its rows."""
    parts = await session.rows(
        "SELECT first_seq, last_seq, first_row, quarantined, segment, segment_bytes, footer_bytes, footer_sha256"
        " FROM archive_parts WHERE room = %s AND first_seq <= %s AND last_seq >= %s ORDER BY first_seq",
        (room, last, first),
    )
    changes = await session.rows(
        "SELECT seq, body, revision, deleted FROM archive_changes WHERE room = %s AND seq BETWEEN %s AND %s",
        (room, first, last),
    )
    return Archived(
        await _border(session, room),
        [
            Part(first_seq, last_seq, row, Segment(name.decode(), size, footer_size, sha256), bool(quarantined))
            for first_seq, last_seq, row, quarantined, name, size, footer_size, sha256 in parts
        ],
        {seq: Change(_decode(body), revision, bool(deleted)) for seq, body, revision, deleted in changes},
    )


async def _revise(session: Session, message: Message, body: bytes, deleted: bool) -> Change:
    if not await session.rows("SELECT 1 FROM rooms WHERE id = %s FOR UPDATE", [message.room]):
        raise NotFound("no such message")
    where = (message.room, message.seq)
    found = await session.rows("SELECT revision, deleted FROM archive_changes WHERE room = %s AND seq = %s", where)
    revision, was_deleted = found[0] if found else (message.revision, message.deleted)
    if was_deleted:
        if deleted:
            return Change({}, revision, True)
        raise NotFound("the message was deleted")
    if deleted:
        await session.execute("DELETE FROM mentions WHERE room = %s AND seq = %s", where)
    await session.execute(
        "REPLACE INTO archive_changes (room, seq, body, revision, deleted) VALUES (%s, %s, %s, %s, %s)",
        (*where, body, revision + 1, deleted),
    )
    return Change(_decode(body), revision + 1, deleted)
