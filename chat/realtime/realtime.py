"""Joins the gateway's events, the sessions, and what the fleet tells: the realtime side of one node."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import structlog
import trio

from gateway_core.gateway import (
    CloseCode,
    Closed,
    ConnectionId,
    Drained,
    Event,
    Gateway,
    HttpConnection,
    Opened,
    Received,
)

from ..domain.messages import Position
from ..domain.rooms import Role
from ..domain.users import SessionId, UserId
from ..metrics.meters import RealtimeMeter
from ..ports.broker import Broker, Delivery, Resumed
from ..ports.message_store import MessageStore
from ..services import Services, events
from . import pushes
from .admission import Admission
from .authentication import Authentication
from .codecs import Malformed
from .config import RealtimeConfig
from .dispatch import Dispatcher
from .feeds import Feeds
from .fence import Fence
from .joins import Joins
from .recheck import Recheck
from .room_feed import RoomFeed
from .session import Sessions

_SWEEP_SECONDS = 1.0
"""How exactly deadlines of sessions are kept; one pass over 10,000 takes about a millisecond."""
_SLICE = 500
"""Items between which other tasks get their turn."""
_log = structlog.get_logger(__name__)


class Realtime:
    """All chat sessions of one node. `run` must run for as long as the gateway is open.

    Nothing that a client or another node sends ends `run`.
    """

    def __init__(
        self,
        gateway: Gateway,
        services: Services,
        broker: Broker,
        messages: MessageStore,
        config: RealtimeConfig,
        http: Callable[[HttpConnection], None],
        meter: RealtimeMeter | None = None,
    ) -> None:
        """`http` is handed every connection that asked for something other than a WebSocket."""
        self._gateway = gateway
        self._broker = broker
        self._config = config
        self._http = http
        self._meter = meter = meter or RealtimeMeter()
        self._sessions = Sessions()
        self._feeds = Feeds(
            gateway=gateway,
            broker=broker,
            messages=messages,
            presence=services.presence,
            names=services.names,
            config=config,
            meter=meter,
        )
        self._joins = Joins(gateway, services, self._feeds, config, meter)
        self._authentication = Authentication(gateway, services, self._sessions, config)
        self._admission = Admission(gateway, self._authentication, self._sessions, config, self._feeds.spawn, meter)
        self._recheck = Recheck(services, self._sessions, self._joins, self._authentication, config)
        self._fence = Fence(self._wake_up, lease_seconds=config.lease_seconds, spawn=self._feeds.spawn)
        self._dispatcher = Dispatcher(
            gateway, services, self._authentication, self._joins, config, self._feeds.spawn, meter
        )
        self._nursery: trio.Nursery

    @property
    def sessions(self) -> int:
        """Connections at this moment, also those that have not said hello."""
        return len(self._sessions)

    @property
    def rooms(self) -> int:
        """Rooms that this node listens to."""
        return len(self._feeds)

    def connections_of(self, user: UserId) -> int:
        """How many connections `user` has to this node."""
        return len(self._sessions.of_user(user))

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serves the gateway's connections, for ever; started once revocations are heard of."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            await nursery.start(self._feeds.run)
            nursery.start_soon(self._recheck.run)
            nursery.start_soon(self._fence.run)
            nursery.start_soon(self._receive_deliveries)
            await self._feeds.subscribe_control()
            nursery.start_soon(self._receive_events)
            nursery.start_soon(self._sweep)
            task_status.started()

    def lost_touch(self) -> None:
        """The fleet has taken this node for dead: whatever it knows may be old."""
        self._resumed([events.CONTROL, *self._channels()])

    async def say_goodbye(self, seconds: float) -> None:
        """Tells every client that the node goes away, and to reconnect at a random moment within `seconds`."""
        for number, session in enumerate(list(self._sessions)):
            wait = round(random.uniform(0, seconds) * 1000)  # noqa: S311
            self._gateway.send(session.connection, session.codec.encode(pushes.bye("going_away", wait)))
            if number % _SLICE == _SLICE - 1:
                await trio.lowlevel.checkpoint()

    # What the gateway reports

    async def _receive_events(self) -> None:
        while True:
            batch = await self._gateway.receive_events()
            if self._fence.is_up():
                await self._fence.lowered()
            for event in batch:
                self._handle(event)
            self._admission.flush()
            self._dispatcher.flush()

    def _handle(self, event: Event) -> None:
        match event:
            case Received():
                self._received(event)
            case Opened(connection=connection, request=request):
                self._admission.opened(connection, request)
            case Closed(connection=connection, code=code):
                self._closed(connection, code)
            case Drained(connection=connection, missed=missed):
                if (session := self._sessions.of_connection(connection)) is not None and not session.closed:
                    self._joins.catch_up(session, missed)
            case HttpConnection():
                self._http(event)

    def _received(self, event: Received) -> None:
        session = self._sessions.of_connection(event.connection)
        if session is None or session.closed:
            return
        try:
            if event.is_text is not session.codec.is_text:
                raise Malformed("the wrong kind of frame for this subprotocol", CloseCode.UNSUPPORTED_DATA)
            commands = session.codec.decode(event.payload)
        except Malformed as error:
            session.closed = True
            self._gateway.close(event.connection, error.code, error.reason)
            return
        refused = session.offer(commands, len(event.payload), self._config)
        if refused:
            self._dispatcher.refuse(session, refused)
        self._dispatcher.begin(session)

    def _closed(self, connection: ConnectionId, code: int) -> None:
        session = self._sessions.discard(connection)
        if session is not None:
            self._meter.closed(code)
            session.closed = True
            self._joins.forget(session)

    # What the fleet tells

    async def _receive_deliveries(self) -> None:
        while True:
            batch = await self._broker.receive()
            if self._fence.is_up():
                await self._fence.lowered()
            for number, item in enumerate(batch, 1):
                if isinstance(item, Resumed):
                    self._resumed(item.channels)
                else:
                    self._delivered(item)
                if number % _SLICE == 0:
                    await trio.lowlevel.checkpoint()

    def _resumed(self, channels: Sequence[str]) -> None:
        self._feeds.resumed(channels)
        self._recheck.resumed(channels)

    async def _wake_up(self) -> None:
        """Looks up what may have changed while this node was frozen; returns when what must be known first is known."""
        rooms = self._channels()
        self._feeds.resumed(rooms)
        await self._recheck.check_sign_ins()
        self._recheck.resumed(rooms)

    def _channels(self) -> list[str]:
        return [events.room_channel(feed.room) for feed in self._feeds]

    def _delivered(self, delivery: Delivery) -> None:
        """One event: of the whole fleet, or of a room that somebody here listens to."""
        feed = None
        if delivery.channel != events.CONTROL:
            feed = self._feeds.of_channel(delivery.channel)
            if feed is None:
                return
        try:
            event = events.decode(delivery.payload)
        except events.MalformedEvent as error:
            _log.warning("event_malformed", channel=delivery.channel, error=str(error))
            return
        if isinstance(event, events.SessionRevoked):
            self._authentication.revoke(SessionId(event.session))
        elif isinstance(event, events.UserSignedOut):
            self._authentication.sign_out(UserId(event.user))
        elif isinstance(event, events.UserBanned):
            self._authentication.ban(UserId(event.user))
        elif isinstance(event, events.NodeLost):
            self._feeds.compare_all()
        elif isinstance(event, events.RoomsChanged):
            self._rooms_changed(event)
        elif feed is None or event.room != feed.room:
            _log.warning("event_on_wrong_channel", channel=delivery.channel)
        else:
            self._happened(feed, event, len(delivery.payload))

    def _happened(self, feed: RoomFeed, event: events.RoomEvent, size: int) -> None:
        match event:
            case events.Posted():
                feed.posted(event, size)
            case events.Reached():
                feed.compare(Position(event.epoch, event.seq))
            case events.Edited() | events.Deleted():
                feed.changed(event)
            case events.PresenceChanged():
                feed.presence(event)
            case events.Typing():
                feed.publish(pushes.typing(event))
            case events.MarkRaised():
                feed.publish(pushes.read(event))
            case events.MemberChanged():
                self._member_changed(feed, event)

    def _member_changed(self, feed: RoomFeed, event: events.MemberChanged) -> None:
        """Ends the feeds of a user who is out before anybody else is told; others learn of a ban as of a kick."""
        role = _role(event.role)
        reason = "banned" if event.role == Role.BANNED else "removed"
        self._joins.role_changed(self._sessions.of_user(UserId(event.user)), feed.room, role, reason)
        feed.publish(pushes.member(feed.room, event.user, role))

    def _rooms_changed(self, event: events.RoomsChanged) -> None:
        """Tells a user's connections, whether they have the room open or not: a list of rooms is of all devices."""
        push = pushes.room(event, _role(event.role))
        for session in self._sessions.of_user(UserId(event.user)):
            if not session.closed:
                self._gateway.send(session.connection, session.codec.encode(push))

    # Time

    async def _sweep(self) -> None:
        while True:
            await trio.sleep(_SWEEP_SECONDS)
            now = trio.current_time()
            self._authentication.expire(now)
            self._feeds.sweep(now)


def _role(name: str | None) -> Role | None:
    """The role of a member; None for nobody, for the banned, and for a role that only newer nodes know."""
    try:
        role = Role(name) if name is not None else None
    except ValueError:
        return None
    return None if role is Role.BANNED else role
