"""What gateways without sockets have in common: topics, and events that wait to be received."""

from __future__ import annotations

import itertools
from collections import deque
from types import TracebackType
from typing import Self

import trio

from gateway_core.gateway import Capability, ConnectionId, Event, GatewayStats


class MemoryGateway:
    """Everything is in memory and in one thread; commands take effect at once, in their order."""

    address = ("127.0.0.1", 0)
    capabilities: frozenset[Capability] = frozenset()

    def __init__(self) -> None:
        self.topics: dict[str, dict[ConnectionId, None]] = {}
        self._numbers = itertools.count(1)
        self._events: deque[Event] = deque()
        self._arrived = trio.Event()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def put(self, event: Event) -> None:
        self._events.append(event)
        self._arrived.set()

    async def receive_events(self) -> list[Event]:
        await self._arrived.wait()
        await trio.lowlevel.checkpoint()
        self._arrived = trio.Event()
        events = [*self._events]
        self._events.clear()
        return events

    def _new_connection(self) -> ConnectionId:
        return ConnectionId(next(self._numbers))

    def _unsubscribe(self, connection: ConnectionId, topic: str) -> None:
        subscribers = self.topics.get(topic, {})
        subscribers.pop(connection, None)
        if not subscribers:
            self.topics.pop(topic, None)

    def _leave_all_topics(self, connection: ConnectionId) -> None:
        for topic in list(self.topics):
            self._unsubscribe(connection, topic)

    def _stats(self, connections: int, outbox_bytes: int = 0) -> GatewayStats:
        return GatewayStats(
            connections=connections,
            topics=len(self.topics),
            outbox_bytes=outbox_bytes,
            accepted=0,
            refused=0,
            messages_in=0,
            messages_out=0,
            bytes_in=0,
            bytes_out=0,
            dropped=0,
            slow_consumers=0,
            compressions=0,
        )
