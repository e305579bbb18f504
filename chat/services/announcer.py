"""Tells the fleet what has happened: never before it is committed, never at the cost of the request."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

import structlog
import trio

from ..domain.errors import ChatError
from ..domain.rooms import RoomId
from ..ports.broker import Broker
from . import events

RETRY_SECONDS = 1.0
"""Between two tries to tell what is owed."""
MAX_OWED = 10_000
"""Events, some 2 MB; beyond it the oldest is given up."""
_BATCH = 500

_Event = events.RoomEvent | events.ControlEvent
_Subject = tuple[str, ...]
_log = structlog.get_logger()


class Announcer:
    """Publishes events; one that cannot be published is logged and counted, since receivers heal by position.

    There is no position to tell who is out: without the event, connections of the removed would stay subscribed
    on the other nodes. Such an event is owed until it is told, or until newer news of the same is. `run` must run
    for that.
    """

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._owed: dict[_Subject, _Event] = {}
        self._owing = trio.Event()
        self.failed = 0
        """Events that may not have reached the fleet, or only late."""

    async def announce(self, *happened: _Event) -> None:
        """Publishes all in one call, on the channels of their rooms or on `CONTROL`. Never raises a ChatError."""
        if not happened:
            return
        try:
            await self._publish(happened)
        except ChatError as error:
            self.failed += len(happened)
            _log.warning("events_not_published", count=len(happened), failed_in_all=self.failed, error=error.message)
            self._owe(happened)
        else:
            if self._owed:
                self._settle(happened)

    async def run(self) -> None:
        """Tells what is owed as soon as that is possible, for ever."""
        while True:
            await self._owing.wait()
            await trio.sleep(RETRY_SECONDS)
            if owed := dict(islice(self._owed.items(), _BATCH)):
                await self._tell_late(owed)

    async def _tell_late(self, owed: dict[_Subject, _Event]) -> None:
        try:
            await self._publish(owed.values())
        except ChatError:
            return
        _log.info("events_published_late", count=len(owed))
        self._settle(event for subject, event in owed.items() if self._owed.get(subject) is event)

    async def _publish(self, happened: Iterable[_Event]) -> None:
        await self._broker.publish([(_channel(event), events.encode(event)) for event in happened])

    def _owe(self, happened: Iterable[_Event]) -> None:
        for event in happened:
            if (subject := _subject(event)) is not None:
                self._owed.pop(subject, None)
                self._owed[subject] = event
                self._owing.set()
        while len(self._owed) > MAX_OWED:
            given_up = self._owed.pop(next(iter(self._owed)))
            _log.error("event_given_up", event_type=type(given_up).__name__)

    def _settle(self, told: Iterable[_Event]) -> None:
        for event in told:
            if (subject := _subject(event)) is not None:
                self._owed.pop(subject, None)
        if not self._owed:
            self._owing = trio.Event()


def _channel(event: _Event) -> str:
    if isinstance(event, events.ControlEvent):
        return events.CONTROL
    return events.room_channel(RoomId(event.room))


def _subject(event: _Event) -> _Subject | None:
    """What an event that must arrive is about; None for one that may be lost."""
    match event:
        case events.MemberChanged(room=room, user=user):
            return "member", room, user
        case events.SessionRevoked(session=session):
            return "session", session
        case events.UserSignedOut(user=user):
            return "signed out", user
        case events.UserBanned(user=user):
            return "banned", user
    return None
