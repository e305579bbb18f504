"""Events that wait for the node to take them: bounded, and what is lost is told."""

from __future__ import annotations

import collections
from collections.abc import Collection, Iterable

import trio

from ...ports.broker import Delivery, Resumed

MAX_WAITING_BYTES = 32 * 1024 * 1024
"""Some 10,000 messages: a node that is so far behind does better to read the history."""
_EVENT_OVERHEAD_BYTES = 200


class DeliveryInbox:
    """What has arrived, in order, and before it the channels whose events were interrupted."""

    def __init__(self, channels: Collection[str], *, max_waiting_bytes: int = MAX_WAITING_BYTES) -> None:
        """`channels`: those that are subscribed at the moment; nothing is told of others."""
        self._channels = channels
        self._max_waiting_bytes = max_waiting_bytes
        self._waiting: collections.deque[Delivery] = collections.deque()
        self._waiting_bytes = 0
        self._resumed: dict[str, None] = {}
        self._receiver: trio.Event | None = None

    def put(self, deliveries: Iterable[Delivery]) -> None:
        """Keeps events until they are taken; if too much waits, all of it is lost, and told with `Resumed`."""
        for delivery in deliveries:
            self._waiting.append(delivery)
            self._waiting_bytes += len(delivery.payload) + _EVENT_OVERHEAD_BYTES
        if self._waiting_bytes > self._max_waiting_bytes:
            self._resumed.update((delivery.channel, None) for delivery in self._waiting)
            self._clear()
        self._wake()

    def resume(self, channels: Iterable[str]) -> None:
        """The subscription of `channels` was interrupted and holds again."""
        self._resumed.update(dict.fromkeys(channels))
        self._wake()

    async def take(self) -> list[Delivery | Resumed]:
        """Waits until there is something, and takes everything. One waiter. Cancelling loses nothing."""
        if self._receiver is not None:
            raise trio.BusyResourceError("another task is receiving already")
        self._receiver = trio.Event()
        try:
            if self._waiting or self._resumed:
                await trio.lowlevel.checkpoint()
            while not (events := self._take()):
                self._receiver = trio.Event()
                await self._receiver.wait()
        finally:
            self._receiver = None
        return events

    def _take(self) -> list[Delivery | Resumed]:
        """A `Resumed` comes first: what is compared with the store later has seen more of it."""
        resumed = tuple(channel for channel in self._resumed if channel in self._channels)
        events: list[Delivery | Resumed] = [Resumed(resumed)] if resumed else []
        events += (delivery for delivery in self._waiting if delivery.channel in self._channels)
        self._resumed.clear()
        self._clear()
        return events

    def _clear(self) -> None:
        self._waiting.clear()
        self._waiting_bytes = 0

    def _wake(self) -> None:
        if self._receiver is not None:
            self._receiver.set()
