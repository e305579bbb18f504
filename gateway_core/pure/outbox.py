"""Messages waiting for one peer: what is queued, and what a slow one missed."""

from __future__ import annotations

import dataclasses
from collections import deque

import trio

from ..gateway import Payload


@dataclasses.dataclass(frozen=True, slots=True)
class Message:
    """One payload, shared by all the outboxes that it waits in."""

    payload: Payload
    size: int

    @classmethod
    def of(cls, payload: Payload) -> Message:
        return cls(payload, len(payload.encode()) if isinstance(payload, str) else len(payload))


class Outbox:
    """The queue between the commands, which never wait, and the task that writes.

    A message counts until the socket has taken it. The caller looks after the hard limit.
    """

    __slots__ = ("_arrival", "_closed", "_messages", "_slow", "_soft_bytes", "bytes", "missed", "over_since")

    def __init__(self, soft_bytes: int) -> None:
        self._soft_bytes = soft_bytes
        self._messages: deque[Message] = deque()
        self._arrival = trio.lowlevel.ParkingLot()
        self._closed = False
        self._slow = False
        self.bytes = 0
        self.over_since: float | None = None
        """Since when it is above the soft limit; None if it is not."""
        self.missed: dict[str, int] = {}
        """The topics that do not reach it until it has caught up, with the lowest position missed."""

    def push(self, message: Message) -> None:
        self._messages.append(message)
        self.bytes += message.size
        if self.bytes > self._soft_bytes and self.over_since is None:
            self.over_since = trio.current_time()
            self._slow = True
        self._arrival.unpark()

    def miss(self, topic: str, position: int) -> None:
        self.missed[topic] = min(position, self.missed.get(topic, position))

    def close(self) -> None:
        """Lets `next` end after what is queued."""
        self._closed = True
        self._arrival.unpark()

    async def next(self) -> Message | None:
        """Waits for the oldest message; None after `close` when nothing is left."""
        while not self._messages:
            if self._closed:
                return None
            await self._arrival.park()
        return self._messages.popleft()

    def sent(self, message: Message) -> dict[str, int] | None:
        """Notes that the socket took `message`; what a slow peer missed if it has now caught up."""
        self.bytes -= message.size
        if self.bytes <= self._soft_bytes:
            self.over_since = None
        if self._messages or not self._slow:
            return None
        self._slow = False
        return self.missed.copy()
