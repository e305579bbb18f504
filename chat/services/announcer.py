"""Tells the fleet what has happened: never before it is committed, never at the cost of the request."""

from __future__ import annotations

from collections.abc import Sequence

from ..ports.broker import Broker
from . import events


class Announcer:
    """Publishes events; one that cannot be published is logged and counted, since receivers heal by position."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self.failed = 0
        """Events that may not have reached the fleet."""

    async def announce(self, *happened: events.RoomEvent | events.ControlEvent) -> None:
        """Publishes all in one call, on the channels of their rooms or on `CONTROL`. Never raises a ChatError."""
        raise NotImplementedError
