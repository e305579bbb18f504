from __future__ import annotations

from chat.ports.broker import Delivery
from chat.services import events
from chat.services.announcer import Announcer
from tests.support.services import RecordingBroker

TYPING = events.Typing("tea", "alice-id", "Alice")


async def test_events_travel_on_the_channel_of_their_room_or_on_control() -> None:
    broker = RecordingBroker()
    await broker.subscribe(["room:tea", "room:coffee", events.CONTROL])
    everything: list[events.RoomEvent | events.ControlEvent] = [
        TYPING,
        events.UserBanned("bob"),
        events.MarkRaised("coffee", "bob", 7),
        events.SessionRevoked("s"),
    ]
    await Announcer(broker).announce(*everything)
    received = [event for event in await broker.receive() if isinstance(event, Delivery)]
    assert [event.channel for event in received] == ["room:tea", "control", "room:coffee", "control"]
    assert [events.decode(event.payload) for event in received] == everything
    assert len(broker.calls) == 1


async def test_nothing_to_tell_is_no_call() -> None:
    broker = RecordingBroker()
    await Announcer(broker).announce()
    assert broker.calls == []


async def test_what_could_not_be_told_is_counted() -> None:
    broker = RecordingBroker()
    broker.is_away = True
    announcer = Announcer(broker)
    await announcer.announce(TYPING, TYPING)
    broker.is_away = False
    await announcer.announce(TYPING)
    assert announcer.failed == 2
    assert broker.calls == [[TYPING]]
