from __future__ import annotations

import pytest
import trio
import trio.testing

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


OUT = events.MemberChanged("tea", "bob", None)
BACK = events.MemberChanged("tea", "bob", "member")
MUST_ARRIVE: list[events.RoomEvent | events.ControlEvent] = [
    OUT,
    events.SessionRevoked("s"),
    events.UserSignedOut("ada"),
    events.UserBanned("eve"),
]


async def test_who_is_out_is_told_as_soon_as_the_broker_is_back(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    broker = RecordingBroker()
    announcer = Announcer(broker)
    nursery.start_soon(announcer.run)
    broker.is_away = True
    await announcer.announce(TYPING, *MUST_ARRIVE)
    await trio.sleep(60)
    broker.is_away = False
    await trio.sleep(1.1)
    assert broker.calls == [MUST_ARRIVE]
    await trio.sleep(60)
    assert len(broker.calls) == 1, "once"


async def test_newer_news_of_the_same_member_takes_the_place_of_what_is_owed(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    broker = RecordingBroker()
    announcer = Announcer(broker)
    nursery.start_soon(announcer.run)
    broker.is_away = True
    await announcer.announce(OUT)
    broker.is_away = False
    await announcer.announce(BACK)
    await trio.sleep(60)
    broker.is_away = True
    await announcer.announce(OUT)
    await announcer.announce(BACK)
    broker.is_away = False
    await trio.sleep(60)
    assert broker.calls == [[BACK], [BACK]]


async def test_what_is_owed_is_bounded(
    monkeypatch: pytest.MonkeyPatch, nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    monkeypatch.setattr("chat.services.announcer.MAX_OWED", 2)
    broker = RecordingBroker()
    announcer = Announcer(broker)
    broker.is_away = True
    await announcer.announce(*MUST_ARRIVE)
    broker.is_away = False
    nursery.start_soon(announcer.run)
    await trio.sleep(60)
    assert broker.calls == [MUST_ARRIVE[-2:]]
