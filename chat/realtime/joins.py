"""Rooms on a connection: join and resume, leave, removal, and catching up after a slow moment.

Every step that decides what a connection gets runs without an await: what the gateway is told is carried
out in order, so between the missed messages and the live ones there is neither a gap nor a repetition.
"""

from __future__ import annotations

from collections.abc import Iterable

import trio

from gateway_core.gateway import Gateway

from ..domain.errors import Forbidden, NotFound
from ..domain.messages import Position
from ..domain.rooms import Operation, Role, RoomId
from ..domain.users import Identity
from ..metrics.meters import RealtimeMeter
from ..services import Services
from . import fields, pushes
from .answers import Answers
from .codecs import Command
from .config import RealtimeConfig
from .feeds import Feeds
from .pushes import WireMap
from .recent import Delivered
from .room_feed import RoomFeed
from .session import Session


class Joins:
    """What connections have to do with rooms."""

    def __init__(
        self, gateway: Gateway, services: Services, feeds: Feeds, config: RealtimeConfig, meter: RealtimeMeter
    ) -> None:
        self._gateway = gateway
        self._services = services
        self._feeds = feeds
        self._config = config
        self._meter = meter

    async def join(self, session: Session, who: Identity, command: Command, answers: Answers) -> None:
        """Opens a room on the connection: answer, missed messages, live ones. Joining again starts over.

        Raises: Invalid, NotFound, Forbidden, RateLimited, Unavailable; then an earlier join still holds.
        """
        number = fields.command_id(command)
        room = fields.room(command)
        since = fields.since(command)
        if room not in session.rooms and len(session.rooms) >= self._config.max_rooms_per_connection:
            raise Forbidden(f"a connection joins at most {self._config.max_rooms_per_connection} rooms")
        session.joining = (room,)
        try:
            feed, role = await self._admit(session, who, room)
            surplus = True
            try:
                if since is not None:
                    await feed.backlog.reach(since)
                if room not in session.joining or session.closed:
                    raise NotFound("no such room")
                surplus = room in session.rooms
                self._enter(session, who, feed, role)
                self._go_live(session, feed, number, since, role, answers)
            finally:
                if surplus:
                    self._feeds.release(feed, session.codec)
        finally:
            session.joining = ()

    def feed_for(self, session: Session, room: RoomId, since: Position | None) -> RoomFeed | None:
        """The feed of a room that can be joined by `join_at_once`, as things are now."""
        feed = self._feeds.of(room) if self._feeds.is_open(room) else None
        if feed is None or (since is not None and feed.backlog.missed(since) is None):
            return None
        return None if room in session.rooms else feed

    def join_at_once(
        self, session: Session, who: Identity, feed: RoomFeed, number: int, since: Position | None, role: Role
    ) -> bool:
        """`join` for a member, where nothing has to be waited for; if something has, nothing happens."""
        room = feed.room
        if room not in session.joining or len(session.rooms) >= self._config.max_rooms_per_connection:
            return False
        if self.feed_for(session, room, since) is not feed:
            return False
        feed.retain(session.codec)
        self._enter(session, who, feed, role)
        self._go_live(session, feed, number, since, role, Answers(self._gateway, session))
        return True

    def _enter(self, session: Session, who: Identity, feed: RoomFeed, role: Role) -> None:
        if feed.room not in session.rooms:
            self._services.presence.track(feed.room, who.user.id, self._name_of(session))
        session.rooms[feed.room] = role  # the feed's string, which all its sessions share

    async def _admit(self, session: Session, who: Identity, room: RoomId) -> tuple[RoomFeed, Role]:
        """The open feed, with one more subscriber, and the role.

        A removal that is committed after the role was read must not be missed. An open feed hears of it;
        if the feed is just being opened, the role is read once more behind it.
        """
        was_open = self._feeds.is_open(room)
        _, role = await self._services.rooms.enter(who, room)
        feed = await self._feeds.acquire(room, session.codec)
        if was_open:
            return feed, role
        try:
            _, role_now = await self._services.rooms.authorize(who.user.id, room, Operation.PUBLISH)
        except BaseException:
            self._feeds.release(feed, session.codec)
            raise
        return feed, role_now or role

    def _go_live(
        self, session: Session, feed: RoomFeed, number: int, since: Position | None, role: Role, answers: Answers
    ) -> None:
        """Answer, missed messages and subscription, in one step."""
        backlog = feed.backlog
        missed = backlog.missed(since) if since is not None else None
        if missed and not session.may_recover(sum(item.size for item in missed), trio.current_time(), self._config):
            missed = None
        recovered = missed is not None
        answers.add(
            pushes.answer(
                number,
                {
                    "epoch": backlog.epoch,
                    "seq": since.seq if since is not None and recovered else backlog.seq,
                    "top": backlog.seq,
                    "recovered": recovered,
                    "members_online": feed.online,
                    "role": str(role),
                },
            )
        )
        answers.flush()
        _send_all(missed or [], session, answers)
        self._gateway.subscribe(session.connection, feed.room)

    def leave(self, session: Session, command: Command) -> WireMap:
        """Closes a room on the connection; one that is not open is no error. Membership stays."""
        room = fields.room(command)
        if room in session.rooms:
            self._drop(session, room)
        return {}

    def role_changed(self, sessions: Iterable[Session], room: RoomId, role: Role | None, reason: str) -> None:
        """A user is something else in the room, on all of `sessions`; None: is out, for `reason`."""
        for session in sessions:
            if role is None:
                self._remove(session, room, reason)
            elif room in session.rooms:
                session.rooms[room] = role

    def _remove(self, session: Session, room: RoomId, reason: str) -> None:
        """Ends the live feed, and a join that is under way."""
        session.joining = tuple(other for other in session.joining if other != room)
        if room in session.rooms and not session.closed:
            self._drop(session, room)
            self._gateway.send(session.connection, session.codec.encode(pushes.removed(room, reason)))

    def catch_up(self, session: Session, missed: dict[str, int]) -> None:
        """A slow connection has caught up: tells it what it has to page, and goes on from here."""
        for topic, position in missed.items():
            room = RoomId(topic)
            feed = self._feeds.of(room)
            if feed is not None and room in session.rooms:
                last = feed.backlog.seq
                gap = pushes.gap(room, feed.backlog.epoch, min(position, last), last)
                self._gateway.send(session.connection, session.codec.encode(gap))
                self._meter.gaps_told += 1
                self._gateway.subscribe(session.connection, topic)

    def forget(self, session: Session) -> None:
        """The connection has gone: nothing of it stays behind."""
        session.joining = ()
        for room in session.rooms:
            self._let_go(session, room)
        session.rooms = {}

    def _drop(self, session: Session, room: RoomId) -> None:
        self._gateway.unsubscribe(session.connection, room)
        self._let_go(session, room)
        del session.rooms[room]

    def _let_go(self, session: Session, room: RoomId) -> None:
        if session.identity is not None:
            self._services.presence.untrack(room, session.identity.user.id, self._name_of(session))
        if (feed := self._feeds.of(room)) is not None:
            self._feeds.release(feed, session.codec)

    def _name_of(self, session: Session) -> str:
        """The connection's name in presence: unique in the fleet."""
        return f"{self._config.node}:{session.connection}"


def _send_all(missed: list[Delivered], session: Session, answers: Answers) -> None:
    """Sends messages in frames of bounded size."""
    for delivered in missed:
        answers.add_frame(delivered.frame(session.codec))
    answers.flush()
