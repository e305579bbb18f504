"""The rooms that this node listens to: opened by the first subscriber, kept warm, compared with the store."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Iterator, Sequence

import structlog
import trio

from gateway_core.gateway import Gateway

from ..domain.errors import ChatError, Unavailable
from ..domain.rooms import RoomId
from ..metrics.meters import RealtimeMeter
from ..ports.broker import Broker
from ..ports.message_store import MessageStore
from ..services import Names, Presence, events
from .codecs import Codec
from .config import RealtimeConfig
from .room_feed import RoomFeed
from .subscriptions import Subscriptions

_TOPS = 500
"""Rooms whose position is asked for at a time."""
_SPREAD_SECONDS = 1.0
"""Within which the nodes of a fleet ask, when all have to."""
_ROOM_PREFIX = events.room_channel(RoomId(""))
_log = structlog.get_logger(__name__)


class _Place:
    """A feed, and how far its opening has come."""

    __slots__ = ("decided", "error", "feed", "idle_since", "is_open")

    def __init__(self, feed: RoomFeed) -> None:
        self.feed = feed
        self.is_open = False
        self.decided = trio.Event()
        """Set when it is open, or when `error` says why it cannot be."""
        self.error: ChatError | None = None
        self.idle_since = 0.0


class Feeds:
    """All room feeds of a node. `run` must run for as long as they are used."""

    def __init__(
        self,
        *,
        gateway: Gateway,
        broker: Broker,
        messages: MessageStore,
        presence: Presence,
        names: Names,
        config: RealtimeConfig,
        meter: RealtimeMeter,
    ) -> None:
        self._gateway = gateway
        self._messages = messages
        self._presence = presence
        self._names = names
        self._config = config
        self._meter = meter
        self._subscriptions = Subscriptions(broker)
        self._places: dict[RoomId, _Place] = {}
        self._nursery: trio.Nursery

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[RoomFeed]:
        return (place.feed for place in self._places.values())

    def of(self, room: RoomId) -> RoomFeed | None:
        """The feed of `room`, open or just opening; None if nobody here listens."""
        place = self._places.get(room)
        return place.feed if place is not None else None

    def of_channel(self, channel: str) -> RoomFeed | None:
        """The feed that listens to the broker's `channel`."""
        room = channel.removeprefix(_ROOM_PREFIX)
        return self.of(RoomId(room)) if len(room) < len(channel) else None

    def is_open(self, room: RoomId) -> bool:
        """Whether everything that is published about `room` reaches this node already."""
        place = self._places.get(room)
        return place is not None and place.is_open

    async def acquire(self, room: RoomId, codec: Codec) -> RoomFeed:
        """An open feed, with one more subscriber who reads `codec`; thousands who wait share one opening.

        Does not wait if the feed is open. Raises: NotFound, Unavailable; then nothing is held.
        """
        place = self._places.get(room)
        if place is None:
            feed = RoomFeed(
                room,
                gateway=self._gateway,
                messages=self._messages,
                names=self._names.of,
                config=self._config,
                spawn=self.spawn,
                meter=self._meter,
            )
            place = self._places[room] = _Place(feed)
            self.spawn(lambda: self._open(place))
        place.feed.retain(codec)
        if not place.is_open:
            try:
                await place.decided.wait()
                if place.error is not None:
                    raise type(place.error)(place.error.message, retry_after=place.error.retry_after)
            except BaseException:
                self.release(place.feed, codec)
                raise
        return place.feed

    def release(self, feed: RoomFeed, codec: Codec) -> None:
        """The opposite of `acquire`; a room without subscribers is left after a while."""
        feed.release(codec)
        if feed.idle and (place := self._places.get(feed.room)) is not None:
            place.idle_since = trio.current_time()

    async def subscribe_control(self) -> None:
        """Returns when the events on `CONTROL` are received, however long that takes."""
        pause = self._config.hold_seconds
        while True:
            try:
                return await self._subscriptions.add(events.CONTROL)
            except Unavailable as error:
                _log.warning("control_channel_unavailable", error=error.message)
                await trio.sleep(pause)
                pause = min(2 * pause, self._config.retry_seconds)

    def sweep(self, now: float) -> None:
        """Leaves rooms that nobody has listened to for a while, and forgets old messages."""
        for room, place in list(self._places.items()):
            place.feed.backlog.shrink(now)
            if place.is_open and place.feed.idle and now - place.idle_since >= self._config.feed_linger_seconds:
                del self._places[room]
                place.feed.close()
                self._subscriptions.remove(events.room_channel(room))

    def resumed(self, channels: Sequence[str]) -> None:
        """Events on `channels` may have been lost: finds out which, however long that takes."""
        wanted = set(channels)
        rooms = [room for room in self._places if events.room_channel(room) in wanted]
        if rooms:
            self.spawn(lambda: self._compare_surely(rooms))

    def compare_all(self) -> None:
        """Somebody has died who may have committed what was told nobody: looks after every room, soon.

        Not at once, as the whole fleet asks the store for the same reason.
        """
        self.spawn(self._compare_all)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Speaks with the broker, and audits all rooms now and then, for ever."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            nursery.start_soon(self._subscriptions.run)
            task_status.started()
            while True:
                await trio.sleep(self._config.audit_seconds * random.uniform(0.8, 1.2))  # noqa: S311
                if unknown := await self._compare(list(self._places)):
                    _log.warning("audit_postponed", rooms=len(unknown))

    def spawn(self, work: Callable[[], Awaitable[None]]) -> None:
        """Runs `work` beside everything else; a bug in it costs its room, not the node."""
        self._nursery.start_soon(_guarded, work)

    async def _open(self, place: _Place) -> None:
        """Channel first, position second: what is posted between the two arrives and is put in order."""
        room = place.feed.room
        error: ChatError | None = ChatError("the room could not be opened")
        try:
            await self._subscriptions.add(events.room_channel(room))
            position = await self._messages.top(room)
            place.feed.open(position, await self._online(room))
            place.is_open, error = True, None
        except ChatError as refused:
            error = refused
        finally:
            if error is not None:
                del self._places[room]
                self._subscriptions.remove(events.room_channel(room))
            place.error = error
            place.decided.set()

    async def _online(self, room: RoomId) -> int:
        """How many users are online; 0 if nobody can say: the next change will."""
        try:
            return await self._presence.count(room)
        except ChatError:
            return 0

    async def _compare_all(self) -> None:
        await trio.sleep(random.uniform(0, _SPREAD_SECONDS))  # noqa: S311 -- nothing secret
        await self._compare_surely(list(self._places))

    async def _compare_surely(self, rooms: Sequence[RoomId]) -> None:
        pause = self._config.hold_seconds
        while rooms := await self._compare(rooms):
            _log.warning("compare_postponed", rooms=len(rooms))
            await trio.sleep(pause)
            pause = min(2 * pause, self._config.retry_seconds)

    async def _compare(self, rooms: Sequence[RoomId]) -> list[RoomId]:
        """Tells each feed its room's position, a few hundred rooms at a time; returns those whose nobody knows."""
        unknown: list[RoomId] = []
        for start in range(0, len(rooms), _TOPS):
            some = rooms[start : start + _TOPS]
            try:
                tops = await self._messages.tops(some)
            except ChatError:
                unknown += some
                continue
            for room, position in tops.items():
                if isinstance(position, Unavailable):
                    unknown.append(room)
                elif (feed := self.of(room)) is not None:
                    feed.compare(position)
        return unknown


async def _guarded(work: Callable[[], Awaitable[None]]) -> None:
    try:
        await work()
    except Exception:
        _log.exception("background_task_failed")
