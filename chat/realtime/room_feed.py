"""A room's order and gaps on this node: whatever the broker does, each socket sees seq rise by exactly 1.

    Posted(seq) is last + 1          delivered at once
                is last or below     dropped: a repetition
                is above             held; after a moment the store is asked once for what is missing
                has another epoch    held; the store says which epoch holds

What came from the broker and what came from the store meet in `_deliver`, the only place where a position
rises; and only `_heal`, alone for its room, ever changes the epoch.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import structlog
import trio

from gateway_core.gateway import Gateway

from ..domain.errors import ChatError
from ..domain.messages import Position
from ..domain.rooms import RoomId
from ..metrics.meters import RealtimeMeter
from ..ports.message_store import MessageStore
from ..services import events
from . import pushes
from .backlog import READ_MESSAGES, Backlog, NamesOf
from .codecs import Codec
from .config import RealtimeConfig
from .pushes import WireMap
from .recent import Delivered

_PATIENCE = 10
"""Answers without the missing message until the store is believed rather than the event that named it."""

_log = structlog.get_logger(__name__)

Spawn = Callable[[Callable[[], Awaitable[None]]], None]


class RoomFeed:
    """Orders the events of one room and publishes them to its local subscribers.

    Opened with the room's position, after the broker's channel is subscribed; what arrives before is held.
    """

    def __init__(
        self,
        room: RoomId,
        *,
        gateway: Gateway,
        messages: MessageStore,
        names: NamesOf,
        config: RealtimeConfig,
        spawn: Spawn,
        meter: RealtimeMeter,
    ) -> None:
        """`spawn` runs a task that outlives the caller; `names` looks up display names."""
        self.room = room
        self.backlog = Backlog(room, messages, names, config)
        """What was delivered last, and the position."""
        self.online = 0
        """Users online, as last heard."""
        self._gateway = gateway
        self._messages = messages
        self._config = config
        self._spawn = spawn
        self._meter = meter
        self._subscribers: dict[Codec, int] = {}
        self._open = False
        self._healing = False
        self._top = 0
        """The highest position that is known to exist."""
        self._early: dict[int, tuple[events.Posted, int]] = {}
        self._changes: dict[int, events.Edited | events.Deleted] = {}
        """The last change of each message that is not delivered yet."""
        self._epoch_in_doubt = False
        self._strangers: list[tuple[events.Posted, int]] = []
        """Messages of another epoch than ours."""

    # Subscribers

    @property
    def idle(self) -> bool:
        """Whether nobody on this node listens."""
        return not self._subscribers

    def retain(self, codec: Codec) -> None:
        """One more subscriber, who reads `codec`."""
        self._subscribers[codec] = self._subscribers.get(codec, 0) + 1

    def release(self, codec: Codec) -> None:
        """One fewer."""
        left = self._subscribers[codec] - 1
        if left:
            self._subscribers[codec] = left
        else:
            del self._subscribers[codec]

    # Opening and closing

    def open(self, position: Position, online: int) -> None:
        """Starts behind `position`, which was read after the channel was subscribed."""
        self.backlog.start(position)
        self.online = online
        self._open = True
        self._changes = {seq: change for seq, change in self._changes.items() if seq > position.seq}
        held, self._early = self._early, {}
        for event, size in held.values():
            self.posted(event, size)
        if self._behind:
            self._heal_soon()

    def close(self) -> None:
        """Ends all work for the room; the feed is not used again."""
        self._open = False

    # Events

    def posted(self, event: events.Posted, size: int) -> None:
        """A message was committed; `size` is the event's in bytes."""
        if not self._open:
            self._hold(event, size)
        elif event.epoch != self.backlog.epoch:
            self._doubt_epoch()
            if len(self._strangers) < self._config.max_early_events:
                self._strangers.append((event, size))
        elif event.seq == self.backlog.seq + 1:
            self._deliver(Delivered(event.seq, pushes.posted(event), size, trio.current_time()))
            if self._early:
                self._deliver_early()
        elif event.seq > self.backlog.seq:
            self._hold(event, size)
            self._heal_soon()

    def changed(self, event: events.Edited | events.Deleted) -> None:
        """A message was edited or deleted; a change of one that is not delivered yet waits for it."""
        if self._open and event.epoch != self.backlog.epoch:
            return
        if self._open and event.seq <= self.backlog.seq:
            self._change(event)
        elif len(self._changes) < self._config.max_early_events:
            known = self._changes.setdefault(event.seq, event)
            if known.revision < event.revision:
                self._changes[event.seq] = event

    def presence(self, event: events.PresenceChanged) -> None:
        """Users came online or went offline."""
        self.online = event.online
        self.publish(pushes.presence(event))

    def publish(self, push: WireMap, position: int | None = None) -> None:
        """Sends `push` to every local subscriber; without `position` to those that are not slow."""
        if self._subscribers:
            variants = {codec.name: codec.encode(push) for codec in self._subscribers}
            self._gateway.publish(self.room, variants, position=position)

    def compare(self, position: Position) -> None:
        """What the store said a moment ago: a feed that is behind it fetches what it lacks."""
        if not self._open:
            self._top = max(self._top, position.seq)
        elif position.epoch != self.backlog.epoch:
            self._doubt_epoch()
        elif position.seq > self.backlog.seq:
            self._top = max(self._top, position.seq)
            self._heal_soon()

    # Delivery

    def _deliver(self, delivered: Delivered) -> None:
        seq = delivered.seq
        self.backlog.append(delivered)
        if self._subscribers:
            variants = {codec.name: delivered.frame(codec) for codec in self._subscribers}
            self._gateway.publish(self.room, variants, position=seq)
        if (key := delivered.push["key"]) in self._meter.arrivals:
            self._meter.delivered(key, delivered.added)
        if self._changes and (change := self._changes.pop(seq, None)) is not None:
            self._change(change)

    def _deliver_early(self) -> None:
        """Delivers held messages for as long as they follow."""
        while (held := self._early.pop(self.backlog.seq + 1, None)) is not None:
            event, size = held
            self._deliver(Delivered(event.seq, pushes.posted(event), size, trio.current_time()))

    def _change(self, event: events.Edited | events.Deleted) -> None:
        self.backlog.change(event)
        push = pushes.edited(event) if isinstance(event, events.Edited) else pushes.deleted(event)
        self.publish(push, position=event.seq)

    def _hold(self, event: events.Posted, size: int) -> None:
        self._top = max(self._top, event.seq)
        if len(self._early) < self._config.max_early_events:
            self._early[event.seq] = (event, size)

    # Healing

    def _doubt_epoch(self) -> None:
        self._epoch_in_doubt = True
        self._heal_soon()

    def _heal_soon(self) -> None:
        if not self._healing:
            self._healing = True
            self._spawn(self._heal)

    @property
    def _behind(self) -> bool:
        return self._open and (self._top > self.backlog.seq or self._epoch_in_doubt)

    async def _heal(self) -> None:
        """Fetches what is missing until nothing is; alone in this for its room."""
        pause = self._config.hold_seconds
        patience = _PATIENCE
        try:
            await trio.sleep(pause)
            while self._behind and patience:
                before = self.backlog.seq
                try:
                    await self._catch_up()
                    patience -= 1
                except ChatError as error:
                    _log.warning("room_gap_open", room=self.room, seq=before, error=error.code)
                if self.backlog.seq > before:
                    pause, patience = self._config.hold_seconds, _PATIENCE
                if self._behind:
                    await trio.sleep(pause)
                    pause = min(2 * pause, self._config.retry_seconds)
            if self._behind:
                self._give_up()
        finally:
            self._healing = False

    async def _catch_up(self) -> None:
        """One try: settles the epoch if it is in doubt, then reads on from the last position."""
        if self._epoch_in_doubt:
            position = await self._messages.top(self.room)
            self._epoch_in_doubt = False
            self._settle_epoch(position)
        while self._behind and not self._epoch_in_doubt:
            if not self._take(await self.backlog.read(self.backlog.seq, READ_MESSAGES)):
                break

    def _settle_epoch(self, position: Position) -> None:
        """A new epoch makes everything known of the old one void; then strangers may be none."""
        if position.epoch != self.backlog.epoch:
            self.backlog.start(position)
            self._top = position.seq
            self._early.clear()
            self._changes.clear()
            _log.warning("room_epoch_changed", room=self.room, epoch=position.epoch, seq=position.seq)
            self.publish(pushes.gap(self.room, position.epoch, 1, position.seq), position=position.seq)
        strangers, self._strangers = self._strangers, []
        for event, size in strangers:
            if event.epoch == position.epoch:
                self.posted(event, size)

    def _take(self, fetched: list[Delivered]) -> bool:
        """Delivers what follows of `fetched`, then what was held behind it; False if nothing followed."""
        before = self.backlog.seq
        for delivered in fetched:
            if delivered.seq == self.backlog.seq + 1:
                self._deliver(delivered)
                self._meter.repaired += 1
        self._deliver_early()
        self._early = {seq: held for seq, held in self._early.items() if seq > self.backlog.seq}
        return self.backlog.seq > before

    def _give_up(self) -> None:
        """The store answers and does not have it: then it does not exist; the audit has the last word."""
        _log.error("room_event_without_message", room=self.room, seq=self.backlog.seq, top=self._top)
        self._top = self.backlog.seq
        self._early.clear()
