"""The broker between nodes: late, twice, in another order, not at all; away, and back with `Resumed`."""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import partial

import trio

from chat.domain.errors import Unavailable
from chat.ports.broker import Delivery, Resumed

from .clock import call_at
from .life import DEADLINE_SECONDS, TICK, Life

REPEATED = 0.05
"""The share of events that arrive twice; with the delays, that is all that happens on a good day."""
_SURE = (b"member", b"revoked", b"signed_out", b"banned")
_DELAYS = (TICK, TICK, TICK, 2 * TICK, 4 * TICK, 10 * TICK)


class Bus:
    """Joins the brokers of all nodes."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.lossy = 0.0
        """The share of events that vanish on their way to a node, though every connection is up."""
        self.ends: list[SimBroker] = []

    def connect(self, life: Life) -> SimBroker:
        end = SimBroker(self, life)
        self.ends.append(end)
        return end

    def disconnect(self, end: SimBroker) -> None:
        self.ends.remove(end)

    def publish(self, event: Delivery) -> None:
        for end in self.ends:
            if event.channel in end.channels and not end.is_away:
                if not self._is_lost(event):
                    self._deliver(end, event)
                if self.chance.random() < REPEATED:
                    self._deliver(end, event)

    def _is_lost(self, event: Delivery) -> bool:
        """Never what only the event itself can tell: see docs/testing.md."""
        tag = event.payload[3 : 3 + (event.payload[2] & 0x1F)]
        return self.lossy > 0 and tag not in _SURE and self.chance.random() < self.lossy

    def _deliver(self, end: SimBroker, item: Delivery | Resumed) -> None:
        call_at(trio.current_time() + self.chance.choice(_DELAYS), partial(end.put, item, end.connection))

    def interrupt(self, end: SimBroker) -> None:
        """The subscriptions of a node hold again: it is told."""
        self._deliver(end, Resumed(tuple(end.channels)))


class SimBroker:
    """One node's end. While it `is_away` nothing gets through in either direction."""

    def __init__(self, bus: Bus, life: Life) -> None:
        self.channels: dict[str, None] = {}
        self.life = life
        self.is_away = False
        self.connection = 0
        """The how-manieth; what was sent to an earlier one does not arrive."""
        self._bus = bus
        self._inbox: list[Delivery | Resumed] = []
        self._news = trio.Event()

    def cut(self) -> None:
        """The connection breaks: what was under way is lost."""
        self.is_away = True
        self.connection += 1
        self._inbox.clear()

    def mend(self) -> None:
        self.is_away = False
        self._bus.interrupt(self)

    def put(self, item: Delivery | Resumed, connection: int) -> None:
        """For the bus: something arrives."""
        if connection == self.connection:
            self._inbox.append(item)
            self._news.set()

    # The port

    async def publish(self, events: Sequence[tuple[str, bytes]]) -> None:
        await self._reach()
        for channel, payload in events:
            self._bus.publish(Delivery(channel, payload))
        await self.life.sleep(TICK)
        if self.is_away:
            raise Unavailable("no answer")

    async def subscribe(self, channels: Sequence[str]) -> None:
        await self._reach()
        self.channels.update(dict.fromkeys(channels))

    async def unsubscribe(self, channels: Sequence[str]) -> None:
        await self._reach()
        for channel in channels:
            self.channels.pop(channel, None)

    async def receive(self) -> list[Delivery | Resumed]:
        await self._news.wait()
        await self.life.go_on()
        await trio.lowlevel.checkpoint()
        self._news = trio.Event()
        arrived, self._inbox = self._inbox, []
        return arrived

    async def _reach(self) -> None:
        """Raises: Unavailable, if the broker is away when the question arrives there."""
        await self.life.sleep(TICK)
        if self.is_away:
            await self.life.sleep(DEADLINE_SECONDS)
            raise Unavailable("the broker is away")
