"""B47: frames of other nodes, well-formed and not."""

from __future__ import annotations

import pickle

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chat.domain.messages import Message
from chat.domain.rooms import Role, RoomId
from chat.domain.users import UserId
from chat.services import events

EVERY: list[events.RoomEvent | events.ControlEvent] = [
    events.Posted("r", "e", 2**53 - 1, 1, "u", "Ünï", "k", {"text": "😀", "more": [None, True, 1.5, {"": -1}]}),
    events.Edited("r", "e", 1, 2, "u", {"text": "x"}),
    events.Deleted("r", "e", 1, 2, "u"),
    events.PresenceChanged("r", [("u", "U")], ["v"], 3),
    events.Typing("r", "u", "U"),
    events.MarkRaised("r", "u", 7),
    events.MemberChanged("r", "u", None),
    events.MemberChanged("r", "u", "member"),
    events.RoomsChanged("u", "r", "direct", "", "Ünï", None),
    events.SessionRevoked("s"),
    events.UserSignedOut("u"),
    events.UserBanned("u"),
    events.Reached("r", "e", 7),
]


@pytest.mark.parametrize("event", EVERY, ids=lambda event: type(event).__name__)
def test_every_event_comes_back_as_it_was(event: events.RoomEvent | events.ControlEvent) -> None:
    assert events.decode(events.encode(event)) == event


def test_a_role_travels_as_its_name() -> None:
    event = events.decode(events.encode(events.MemberChanged("r", "u", Role.MODERATOR)))
    assert event == events.MemberChanged("r", "u", "moderator")


def test_a_message_becomes_the_event_of_its_commit() -> None:
    message = Message(RoomId("r"), 1, 2, UserId("u"), "k", {"text": "x"})
    assert events.posted(message, "e", "U") == events.Posted("r", "e", 1, 2, "u", "U", "k", {"text": "x"})


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"\x01",
        b"\x00" + events.encode(EVERY[0])[1:],
        b"\x02" + events.encode(EVERY[0])[1:],
        events.encode(EVERY[0])[:-1],
        events.encode(EVERY[1])[:-2] + b"\x91" * 100_000,
        events.encode(EVERY[1])[:-1] + b"\xff",
        events.encode(EVERY[0]) + b"\x00",
        b"\x01" + msgspec.msgpack.encode(["posted", "r"]),
        b"\x01" + msgspec.msgpack.encode(["unknown", "r"]),
        b"\x01" + msgspec.msgpack.encode({"type": "banned", "user": "u"}),
        b"\x01" + msgspec.msgpack.encode(["banned", 7]),
        b"\x01" + b"\x91" * 100_000,
        pickle.dumps(EVERY[0]),
    ],
    ids=range(14),
)
def test_b47_a_frame_of_another_version_or_shape_is_refused(frame: bytes) -> None:
    with pytest.raises(events.MalformedEvent):
        events.decode(frame)


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_b47_no_bytes_do_more_than_be_refused(data: bytes) -> None:
    try:
        events.decode(b"\x01" + data)
    except events.MalformedEvent:
        return
