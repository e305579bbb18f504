"""A room's order and gaps on this node: whatever the broker does, each socket sees seq rise by exactly 1.

    Posted(seq) is last + 1          delivered at once
                is last or below     dropped: a repetition
                is above             held; after a moment the store is asked once for what is missing
                has another epoch    held; the store says which epoch holds

What came from the broker and what came from the store meet in `_deliver`, the only place where a position rises.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import msgspec
import structlog
import trio

from gateway_core.gateway import Gateway

from ..domain.errors import ChatError
from ..domain.messages import Message, Position
from ..domain.rooms import RoomId
from ..domain.users import UserId
from ..ports.message_store import MessageStore
from ..services import events
from . import pushes
from .codecs import Codec
from .config import RealtimeConfig
from .pushes import WireMap
from .recent import Delivered, Recent

READ_MESSAGES = 200
"""Asked of the store at a time."""
_PATIENCE = 10
"""Answers without the missing message until the store is believed rather than the event that named it."""
_ENVELOPE_BYTES = 200
"""Of a message push around its body, about."""

_log = structlog.get_logger(__name__)

Spawn = Callable[[Callable[[], Awaitable[None]]], None]
NamesOf = Callable[[Sequence[UserId]], Awaitable[dict[UserId, str]]]


class RoomFeed:
    """Orders the events of one room and publishes them to its local subscribers.

    Opened with the room's position, after the broker's channel is subscribed; what arrives before is held.
    All methods but `reach` are synchronous: a caller that sees `seq` and subscribes in the same step
    misses nothing and gets nothing twice.
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
    ) -> None:
        """`spawn` runs a task that outlives the caller; `names` looks up display names."""
        self.room = room
        self.epoch = ""
        self.seq = 0
        """The last position delivered."""
        self.online = 0
        """Users online, as last heard."""
        self._gateway = gateway
        self._messages = messages
        self._names = names
        self._config = config
        self._spawn = spawn
        self._subscribers: dict[Codec, int] = {}
        self._open = False
        self._healing = False
        self._top = 0
        """The highest position that is known to exist."""
        self._early: dict[int, tuple[events.Posted, int]] = {}
        self._changes: dict[int, events.Edited | events.Deleted] = {}
        """The last change of each message that is not delivered yet."""
        self._strangers: list[tuple[events.Posted, int]] = []
        """Messages of another epoch than ours."""
        self._recent = Recent(config.max_recovery_messages, config.max_recovery_bytes, config.recent_seconds)
        self._reading = trio.Lock()

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
        self.epoch = position.epoch
        self.seq = position.seq
        self.online = online
        self._open = True
        self._changes = {seq: change for seq, change in self._changes.items() if seq > self.seq}
        held, self._early = self._early, {}
        for event, size in held.values():
            self.posted(event, size)

    def close(self) -> None:
        """Ends all work for the room; the feed is not used again."""
        self._open = False

    # Events

    def posted(self, event: events.Posted, size: int) -> None:
        """A message was committed; `size` is the event's in bytes."""
        if not self._open:
            self._hold(event, size)
        elif event.epoch != self.epoch:
            if len(self._strangers) < self._config.max_early_events:
                self._strangers.append((event, size))
            self._heal_soon()
        elif event.seq == self.seq + 1:
            self._deliver(event.seq, pushes.posted(event), size)
            if self._early:
                self._deliver_early()
        elif event.seq > self.seq:
            self._hold(event, size)
            self._heal_soon()

    def changed(self, event: events.Edited | events.Deleted) -> None:
        """A message was edited or deleted; a change of one that is not delivered yet waits for it."""
        if self._open and event.epoch != self.epoch:
            return
        if self._open and event.seq <= self.seq:
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
        """What the store says: a feed that is behind it fetches what it lacks."""
        if not self._open:
            return
        if position.epoch != self.epoch:
            self._reset(position)
        elif position.seq > self.seq:
            self._top = max(self._top, position.seq)
            self._heal_soon()

    # What a client has missed

    def missed(self, since: Position) -> list[Delivered] | None:
        """Every message above `since`, oldest first; None if that is not certain or not at hand."""
        if since.epoch != self.epoch or since.seq > self.seq:
            return None
        return [] if since.seq == self.seq else self._recent.after(since.seq)

    async def reach(self, since: Position) -> None:
        """Reads what is needed to answer `missed(since)`, once for all who ask, unless it is too much.

        Raises: Unavailable.
        """
        if self.missed(since) is not None:
            return
        async with self._reading:
            while self._reachable(since) and await self._read_older(self._oldest):
                pass

    @property
    def _oldest(self) -> int:
        oldest = self._recent.oldest
        return self.seq + 1 if oldest is None else oldest

    def _reachable(self, since: Position) -> bool:
        """Whether reading older messages leads to `since`."""
        if not self._open or since.epoch != self.epoch or self.seq - since.seq > self._config.max_recovery_messages:
            return False
        return since.seq + 1 < self._oldest and not self._recent.full

    async def _read_older(self, oldest: int) -> bool:
        """Adds the messages just below `oldest` to those at hand; False if the store has not got them all."""
        epoch = self.epoch
        after = max(0, oldest - 1 - READ_MESSAGES)
        stored = await self._messages.read_after(self.room, after, oldest - 1 - after)
        if [message.seq for message in stored] != list(range(after + 1, oldest)):
            return False
        delivered = await self._delivered(stored)
        if self._oldest == oldest and self.epoch == epoch:
            self._recent.prepend(reversed(delivered))
        return True

    def shrink(self, now: float) -> None:
        """Forgets messages that are too old to be asked for."""
        self._recent.shrink(now)

    # Delivery

    def _deliver(self, seq: int, push: WireMap, size: int) -> None:
        self._remember_and_publish(Delivered(seq, push, size, trio.current_time()))

    def _remember_and_publish(self, delivered: Delivered) -> None:
        seq = delivered.seq
        self.seq = seq
        self._recent.append(delivered)
        if self._subscribers:
            variants = {codec.name: delivered.frame(codec) for codec in self._subscribers}
            self._gateway.publish(self.room, variants, position=seq)
        if self._changes and (change := self._changes.pop(seq, None)) is not None:
            self._change(change)

    def _deliver_early(self) -> None:
        """Delivers held messages for as long as they follow."""
        while (held := self._early.pop(self.seq + 1, None)) is not None:
            event, size = held
            self._deliver(event.seq, pushes.posted(event), size)

    def _change(self, event: events.Edited | events.Deleted) -> None:
        self._recent.change(event)
        push = pushes.edited(event) if isinstance(event, events.Edited) else pushes.deleted(event)
        self.publish(push, position=event.seq)

    def _hold(self, event: events.Posted, size: int) -> None:
        self._top = max(self._top, event.seq)
        if len(self._early) < self._config.max_early_events:
            self._early[event.seq] = (event, size)

    def _reset(self, position: Position) -> None:
        """The history begins a new life: everything known of the old one is void."""
        self.epoch = position.epoch
        self.seq = self._top = position.seq
        self._early.clear()
        self._changes.clear()
        self._recent.clear()
        _log.warning("room_epoch_changed", room=self.room, epoch=self.epoch, seq=self.seq)
        self.publish(pushes.gap(self.room, self.epoch, 1, self.seq), position=self.seq)

    # Healing

    def _heal_soon(self) -> None:
        if not self._healing:
            self._healing = True
            self._spawn(self._heal)

    @property
    def _behind(self) -> bool:
        return self._open and (self._top > self.seq or bool(self._strangers))

    async def _heal(self) -> None:
        """Fetches what is missing until nothing is; alone in this for its room."""
        pause = self._config.hold_seconds
        patience = _PATIENCE
        try:
            await trio.sleep(pause)
            while self._behind and patience:
                before = self.seq
                try:
                    await self._catch_up()
                    patience -= 1
                except ChatError as error:
                    _log.warning("room_gap_open", room=self.room, seq=self.seq, error=error.code)
                if self.seq > before:
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
        if self._strangers:
            position = await self._messages.top(self.room)
            strangers, self._strangers = self._strangers, []
            if position.epoch != self.epoch:
                self._reset(position)
            for event, size in strangers:
                if event.epoch == self.epoch:
                    self.posted(event, size)
        while self._behind and not self._strangers:
            epoch = self.epoch
            stored = await self._messages.read_after(self.room, self.seq, READ_MESSAGES)
            delivered = await self._delivered(stored)
            if epoch != self.epoch or not self._take(delivered):
                break

    def _take(self, fetched: list[Delivered]) -> bool:
        """Delivers what follows of `fetched`, then what was held behind it; False if nothing followed."""
        before = self.seq
        for delivered in fetched:
            if delivered.seq == self.seq + 1:
                self._remember_and_publish(delivered)
        self._deliver_early()
        self._early = {seq: held for seq, held in self._early.items() if seq > self.seq}
        return self.seq > before

    def _give_up(self) -> None:
        """The store answers and does not have it: then it does not exist; the audit has the last word."""
        _log.error("room_event_without_message", room=self.room, seq=self.seq, top=self._top)
        self._top = self.seq
        self._early.clear()

    async def _delivered(self, stored: Sequence[Message]) -> list[Delivered]:
        """The pushes of stored messages. A name that cannot be looked up is left empty: order matters more."""
        try:
            names = await self._names(list({message.user for message in stored})) if stored else {}
        except ChatError:
            names = {}
        now = trio.current_time()
        return [
            Delivered(
                message.seq,
                pushes.message_push(self.room, self.epoch, pushes.message(message, names.get(message.user, ""))),
                _ENVELOPE_BYTES + len(msgspec.msgpack.encode(message.body)),
                now,
            )
            for message in stored
        ]
