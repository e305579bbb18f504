"""Tells the fleet what has happened: never before it is committed, never at the cost of the request."""

from __future__ import annotations

import structlog

from ..domain.errors import ChatError
from ..domain.rooms import RoomId
from ..ports.broker import Broker
from . import events

_log = structlog.get_logger()


class Announcer:
    """Publishes events; one that cannot be published is logged and counted, since receivers heal by position."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self.failed = 0
        """Events that may not have reached the fleet."""

    async def announce(self, *happened: events.RoomEvent | events.ControlEvent) -> None:
        """Publishes all in one call, on the channels of their rooms or on `CONTROL`. Never raises a ChatError."""
        if not happened:
            return
        try:
            await self._broker.publish([(_channel(event), events.encode(event)) for event in happened])
        except ChatError as error:
            self.failed += len(happened)
            _log.warning("events_not_published", count=len(happened), failed_in_all=self.failed, error=error.message)


def _channel(event: events.RoomEvent | events.ControlEvent) -> str:
    if isinstance(event, events.ControlEvent):
        return events.CONTROL
    return events.room_channel(RoomId(event.room))
