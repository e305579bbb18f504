"""The events that wait for the application."""

from __future__ import annotations

from collections import deque

import trio

from ..errors import UsageError
from ..gateway import Event

MAX_BATCH = 4_096


class Events:
    """A queue with one reader; whoever reads from a peer waits for `room` first."""

    def __init__(self, max_events: int) -> None:
        self._max_events = max_events
        self._events: deque[Event] = deque()
        self._waiting = False
        self._ended = False
        self._arrival = trio.lowlevel.ParkingLot()
        self._room = trio.lowlevel.ParkingLot()

    @property
    def full(self) -> bool:
        return len(self._events) >= self._max_events

    def put(self, event: Event) -> None:
        """Adds an event whatever the limit: what is not a message cannot wait."""
        self._events.append(event)
        self._arrival.unpark()

    async def room(self) -> None:
        """Waits until there is room for a message."""
        while self.full:
            await self._room.park()

    def end(self) -> None:
        """There is nothing to wait for any more."""
        self._ended = True
        self._arrival.unpark_all()

    async def receive(self) -> list[Event]:
        """The next batch. Raises: UsageError if somebody waits already, or after `end`."""
        if self._waiting:
            raise UsageError("only one task may wait for events")
        self._waiting = True
        try:
            # Every checkpoint comes before the events are taken: a cancelled call loses none.
            await trio.lowlevel.checkpoint()
            while not self._events and not self._ended:
                await self._arrival.park()
        finally:
            self._waiting = False
        if self._ended:
            raise UsageError("the gateway has been left")
        batch = [self._events.popleft() for _ in range(min(len(self._events), MAX_BATCH))]
        if not self.full:
            self._room.unpark_all()
        return batch
