"""A session's queue and allowances, and the index of sessions."""

from __future__ import annotations

import sys

from chat.domain.rooms import Role, RoomId
from chat.domain.users import Identity, SessionId, User, UserId
from chat.realtime.codecs import DEFAULT
from chat.realtime.config import RealtimeConfig
from chat.realtime.session import Session, Sessions
from gateway_core import ConnectionId

CONFIG = RealtimeConfig(
    max_queued_commands=4, max_queued_bytes=100, max_recovery_bytes=1000, recovery_bytes_per_second=100
)


def session(number: int = 1) -> Session:
    return Session(ConnectionId(number), DEFAULT, 0.0)


def identity(user: str, sign_in: str) -> Identity:
    return Identity(User(UserId(user), user), SessionId(sign_in), 0.0)


def test_the_queue_takes_what_there_is_room_for() -> None:
    one = session()
    assert one.offer([{"id": 1}, {"id": 2}, {"id": 3}], 10, CONFIG) == []
    assert one.offer([{"id": 4}, {"id": 5}], 10, CONFIG) == [{"id": 5}]
    assert one.offer([{"id": 6}], 10, CONFIG) == [{"id": 6}]
    assert one.refused == 2
    assert one.take() == [{"id": 1}, {"id": 2}, {"id": 3}, {"id": 4}]
    assert one.take() == []
    assert one.offer([{"id": 7}], 10, CONFIG) == []
    assert one.refused == 0


def test_the_queue_is_bounded_in_bytes_but_takes_one_frame_of_any_size() -> None:
    one = session()
    assert one.offer([{"id": 1}], 500, CONFIG) == []
    assert one.offer([{"id": 2}], 1, CONFIG) == [{"id": 2}]
    one.take()
    assert one.offer([{"id": 3}], 60, CONFIG) == []
    assert one.offer([{"id": 4}], 40, CONFIG) == []
    assert one.offer([{"id": 5}], 1, CONFIG) == [{"id": 5}]


def test_the_allowance_for_missed_messages_is_over_all_rooms_and_comes_back() -> None:
    one = session()
    assert one.may_recover(600, 0.0, CONFIG)
    assert not one.may_recover(600, 0.0, CONFIG)
    assert one.may_recover(400, 0.0, CONFIG)
    assert not one.may_recover(100, 0.5, CONFIG)
    assert one.may_recover(100, 1.0, CONFIG)
    assert not one.may_recover(1001, 1000.0, CONFIG)
    assert one.may_recover(1000, 1000.0, CONFIG)


def test_sessions_are_found_by_connection_user_and_sign_in() -> None:
    sessions = Sessions()
    phone, laptop, other = session(1), session(2), session(3)
    for one, who in [(phone, identity("u1", "s1")), (laptop, identity("u1", "s2")), (other, identity("u2", "s3"))]:
        sessions.add(one)
        sessions.identify(one, who)
    assert sessions.of_user(UserId("u1")) == (phone, laptop)
    assert sessions.of_sign_in(SessionId("s2")) == (laptop,)
    assert sessions.of_connection(ConnectionId(3)) is other
    sessions.identify(laptop, identity("u1", "s1"))
    assert sessions.of_sign_in(SessionId("s1")) == (phone, laptop)
    assert sessions.of_sign_in(SessionId("s2")) == ()
    for number in (1, 2, 3):
        assert sessions.discard(ConnectionId(number)) is not None
    assert sessions.discard(ConnectionId(1)) is None
    assert vars(sessions) == {"_by_connection": {}, "_of_user": {}, "_of_sign_in": {}}


def test_a_session_in_a_room_is_small() -> None:
    one = session()
    one.rooms[RoomId("r1")] = Role.MEMBER
    one.identity = identity("u1", "s1")
    parts = [one, one.rooms, one.identity, one.identity.user, one.deadline, one.connection]
    assert not hasattr(one, "__dict__")
    assert sum(sys.getsizeof(part) for part in parts) < 800
