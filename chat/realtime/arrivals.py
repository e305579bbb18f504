"""Members who join rooms that are open: those of one turn of the loop are looked up in one call.

When everybody comes back at once, a task and a look-up for each would be most of what a join costs, and
each look-up a query of the database.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import NamedTuple

import structlog

from ..domain.errors import ChatError, Invalid
from ..domain.messages import Position
from ..domain.rooms import Operation, Role, RoomId
from ..domain.users import Identity, UserId
from ..services import Rooms
from . import fields
from .codecs import Command
from .joins import Joins
from .room_feed import RoomFeed
from .session import Session

MAX_BATCH = 256
"""Joins looked up in one call: some 5 ms of work between which others get their turn."""
_log = structlog.get_logger(__name__)


class _Join(NamedTuple):
    number: int
    feed: RoomFeed
    since: Position | None


class _Arrival(NamedTuple):
    """What one session asked for: `commands` are the `joins` as they came."""

    session: Session
    who: Identity
    commands: Sequence[Command]
    joins: list[_Join]


class Arrivals:
    """Collects with `take`, looks up and joins with `flush`."""

    def __init__(
        self,
        rooms: Rooms,
        joins: Joins,
        spawn: Callable[[Callable[[], Awaitable[None]]], None],
        proceed: Callable[[Session, Sequence[Command]], None],
    ) -> None:
        """`proceed` is called for a session that is done, with the commands that have to be carried out singly.

        `spawn` runs a task and ends a turn behind it.
        """
        self._rooms = rooms
        self._joins = joins
        self._spawn = spawn
        self._proceed = proceed
        self._collected: list[_Arrival] = []
        self._size = 0

    def take(self, session: Session, commands: Sequence[Command]) -> bool:
        """Takes over `commands`, if they do nothing but join rooms that are open; else nothing happens.

        The session must stay busy until `proceed` is called for it.
        """
        if commands[0].get("op") != "join" or session.identity is None:
            return False
        joins = [self._join(session, command) for command in commands]
        ready = [join for join in joins if join is not None]
        if len(ready) < len(joins):
            return False
        session.joining = tuple(join.feed.room for join in ready)
        self._collected.append(_Arrival(session, session.identity, commands, ready))
        self._size += len(ready)
        if self._size >= MAX_BATCH:
            self.flush()
        return True

    def flush(self) -> None:
        """Begins to look up what was collected."""
        if self._collected:
            collected, self._collected, self._size = self._collected, [], 0
            self._spawn(partial(self._admit, collected))

    def _join(self, session: Session, command: Command) -> _Join | None:
        """The join that `command` is; None if it has to be looked at more closely."""
        try:
            number, room, since = fields.command_id(command), fields.room(command), fields.since(command)
        except Invalid:
            return None
        feed = self._joins.feed_for(session, room, since)
        return None if feed is None or command.get("op") != "join" else _Join(number, feed, since)

    async def _admit(self, arrivals: Sequence[_Arrival]) -> None:
        asked = [(arrival.who.user.id, join.feed.room) for arrival in arrivals for join in arrival.joins]
        roles = iter(await self._roles(asked))
        for arrival in arrivals:
            left = self._enter(arrival, [next(roles) for _ in arrival.joins])
            arrival.session.joining = ()
            self._proceed(arrival.session, left)

    async def _roles(self, asked: Sequence[tuple[UserId, RoomId]]) -> Sequence[Role | None]:
        """What each user is in the room; None for who is nothing there yet, or may not enter, or is unknown."""
        try:
            answers = await self._rooms.authorize_each(asked, Operation.ENTER)
        except ChatError:
            return [None] * len(asked)
        except Exception:
            _log.exception("joins_failed", joins=len(asked))
            return [None] * len(asked)
        return [None if isinstance(answer, ChatError) else answer[1] for answer in answers]

    def _enter(self, arrival: _Arrival, roles: Sequence[Role | None]) -> Sequence[Command]:
        """Joins in order, up to the first that is not so simple; returns the commands from there on."""
        for position, (join, role) in enumerate(zip(arrival.joins, roles, strict=True)):
            session = arrival.session
            if session.closed or role is None:
                return arrival.commands[position:]
            if not self._joins.join_at_once(session, arrival.who, join.feed, join.number, join.since, role):
                return arrival.commands[position:]
        return ()
