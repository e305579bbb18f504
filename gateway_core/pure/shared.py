"""What the connections of one gateway share: events, topics, counters."""

from __future__ import annotations

import dataclasses
from collections import Counter
from typing import TYPE_CHECKING

import trio

from ..config import GatewayConfig
from ..gateway import ConnectionId
from .events import Events

if TYPE_CHECKING:
    from .connection import Connection


@dataclasses.dataclass(slots=True)
class Counters:
    """See `GatewayStats`."""

    accepted: int = 0
    refused: int = 0
    messages_in: int = 0
    messages_out: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    dropped: int = 0
    slow_consumers: int = 0


class Topics:
    """Topic to subscribers and back; both directions change together."""

    def __init__(self) -> None:
        self._subscribers: dict[str, dict[Connection, None]] = {}

    def __len__(self) -> int:
        return len(self._subscribers)

    def subscribe(self, connection: Connection, topic: str) -> None:
        self._subscribers.setdefault(topic, {})[connection] = None
        connection.topics.add(topic)

    def unsubscribe(self, connection: Connection, topic: str) -> None:
        if topic not in connection.topics:
            return
        connection.topics.remove(topic)
        connection.outbox.missed.pop(topic, None)
        subscribers = self._subscribers[topic]
        del subscribers[connection]
        if not subscribers:
            del self._subscribers[topic]

    def unsubscribe_all(self, connection: Connection) -> None:
        for topic in tuple(connection.topics):
            self.unsubscribe(connection, topic)

    def subscribers(self, topic: str) -> list[Connection]:
        """A copy: a publish may end subscriptions on its way. Those that are behind are among them."""
        return list(self._subscribers.get(topic, ()))


class Shared:
    """The part of a gateway that its connections see."""

    def __init__(self, config: GatewayConfig) -> None:
        self.config = config
        self.events = Events(config.max_events)
        self.topics = Topics()
        self.counters = Counters()
        self.connections: dict[ConnectionId, Connection] = {}
        self.per_address: Counter[str] = Counter()
        self.handshakes = 0
        """Sockets whose opening handshake has not ended."""
        self._emptied = trio.lowlevel.ParkingLot()

    async def until_empty(self) -> None:
        """Waits until no connection is left."""
        while self.connections:
            await self._emptied.park()

    def add(self, connection: Connection) -> None:
        self.connections[connection.identity] = connection
        self.per_address[connection.peer] += 1

    def remove(self, connection: Connection) -> None:
        self.topics.unsubscribe_all(connection)
        del self.connections[connection.identity]
        if not self.connections:
            self._emptied.unpark_all()
        self.per_address[connection.peer] -= 1
        if not self.per_address[connection.peer]:
            del self.per_address[connection.peer]
