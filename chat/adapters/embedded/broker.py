"""`Broker` in memory: nodes of one process on one bus."""

from __future__ import annotations

import collections
from collections.abc import Sequence

import trio

from ...ports.broker import Delivery, Resumed

MAX_WAITING_BYTES = 32 * 1024 * 1024
"""Per endpoint; some 10,000 messages: a node that is so far behind does better to read the history."""
_EVENT_OVERHEAD_BYTES = 200


class MemoryBus:
    """Joins the brokers that are made with it; one node alone needs none."""

    def __init__(self) -> None:
        self._subscribers: dict[str, dict[MemoryBroker, None]] = {}

    def subscribe(self, channel: str, broker: MemoryBroker) -> None:
        self._subscribers.setdefault(channel, {})[broker] = None

    def unsubscribe(self, channel: str, broker: MemoryBroker) -> None:
        subscribers = self._subscribers.get(channel, {})
        subscribers.pop(broker, None)
        if not subscribers:
            self._subscribers.pop(channel, None)

    def publish(self, event: Delivery) -> None:
        for broker in self._subscribers.get(event.channel, ()):
            broker.put(event)


class MemoryBroker:
    """One node's end of a bus.

    A node that does not receive in time loses what it has not received, and is told with `Resumed`, as
    after a lost connection to a server; so memory stays bounded.
    """

    def __init__(self, bus: MemoryBus | None = None, *, max_waiting_bytes: int = MAX_WAITING_BYTES) -> None:
        self._bus = bus or MemoryBus()
        self._max_waiting_bytes = max_waiting_bytes
        self._channels: set[str] = set()
        self._waiting: collections.deque[Delivery] = collections.deque()
        self._waiting_bytes = 0
        self._lost: dict[str, None] = {}
        self._receiver: trio.Event | None = None

    async def publish(self, events: Sequence[tuple[str, bytes]]) -> None:
        await trio.lowlevel.checkpoint()
        for channel, payload in events:
            self._bus.publish(Delivery(channel, payload))

    async def subscribe(self, channels: Sequence[str]) -> None:
        await trio.lowlevel.checkpoint()
        self._channels.update(channels)
        for channel in channels:
            self._bus.subscribe(channel, self)

    async def unsubscribe(self, channels: Sequence[str]) -> None:
        await trio.lowlevel.checkpoint()
        self._channels.difference_update(channels)
        for channel in channels:
            self._bus.unsubscribe(channel, self)

    async def receive(self) -> list[Delivery | Resumed]:
        if self._receiver is not None:
            raise trio.BusyResourceError("another task is receiving already")
        self._receiver = trio.Event()
        try:
            if self._waiting or self._lost:
                await trio.lowlevel.checkpoint()
            while not (events := self._take()):
                self._receiver = trio.Event()
                await self._receiver.wait()
        finally:
            self._receiver = None
        return events

    def put(self, event: Delivery) -> None:
        """For the bus: keeps an event until it is received."""
        self._waiting_bytes += len(event.payload) + _EVENT_OVERHEAD_BYTES
        self._waiting.append(event)
        if self._waiting_bytes > self._max_waiting_bytes:
            self._lose_waiting()
        if self._receiver is not None:
            self._receiver.set()

    def interrupt(self) -> None:
        """Loses what is waiting, in every channel, as when a connection to a server breaks and comes back."""
        self._lose_waiting()
        self._lost.update(dict.fromkeys(sorted(self._channels)))
        if self._receiver is not None:
            self._receiver.set()

    def _lose_waiting(self) -> None:
        self._lost.update((event.channel, None) for event in self._waiting)
        self._waiting.clear()
        self._waiting_bytes = 0

    def _take(self) -> list[Delivery | Resumed]:
        """Everything that is there; a loss comes first, since what waits came after it."""
        lost = tuple(channel for channel in self._lost if channel in self._channels)
        events = [Resumed(lost)] if lost else []
        taken: list[Delivery | Resumed] = [*events, *self._waiting]
        self._lost.clear()
        self._waiting.clear()
        self._waiting_bytes = 0
        return taken
