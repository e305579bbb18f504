"""The use cases: who may do what, in which order, and what the fleet is told."""

from __future__ import annotations

import dataclasses

from ..ports.broker import Broker
from ..ports.message_store import MessageStore
from ..ports.presence_store import PresenceStore
from ..ports.rate_limiter import RateLimiter
from ..ports.room_store import RoomStore
from ..ports.session_store import SessionStore
from ..ports.user_store import UserStore
from .announcer import Announcer
from .auth import Auth, SignedIn
from .limits import Limits, Throttle
from .messaging import Messaging
from .names import Names
from .operators import Operators
from .passwords import Passwords
from .posting import Post, Posting, Submission
from .presence import Presence
from .rooms import Rooms, RoomSummary
from .tokens import SigningKey, Tokens

__all__ = [
    "Auth",
    "Limits",
    "Messaging",
    "Names",
    "Operators",
    "Passwords",
    "Post",
    "Posting",
    "Presence",
    "RoomSummary",
    "Rooms",
    "Services",
    "SignedIn",
    "SigningKey",
    "Submission",
    "Tokens",
    "assemble",
]


@dataclasses.dataclass(frozen=True, slots=True)
class Services:
    """All use cases of one node. `presence.run` and `announcer.run` must run for as long as they are used."""

    auth: Auth
    rooms: Rooms
    posting: Posting
    messaging: Messaging
    presence: Presence
    names: Names
    limits: Limits
    operators: Operators
    announcer: Announcer


def assemble(
    *,
    messages: MessageStore,
    rooms: RoomStore,
    users: UserStore,
    sessions: SessionStore,
    presence: PresenceStore,
    limiter: RateLimiter,
    broker: Broker,
    tokens: Tokens,
    passwords: Passwords | None = None,
    limits: Limits | None = None,
    presence_grace_seconds: float = 5.0,
) -> Services:
    """The services over one set of ports."""
    limits = limits or Limits()
    throttle = Throttle(limiter)
    announcer = Announcer(broker)
    names = Names(users)
    room_service = Rooms(rooms, users, throttle=throttle, limits=limits, announcer=announcer)
    presence_service = Presence(
        presence, rooms=room_service, names=names, announcer=announcer, grace_seconds=presence_grace_seconds
    )
    posting = Posting(messages, rooms=room_service, throttle=throttle, limits=limits, announcer=announcer)
    auth = Auth(
        users,
        sessions,
        tokens=tokens,
        passwords=passwords or Passwords(),
        throttle=throttle,
        limits=limits,
        announcer=announcer,
    )
    return Services(
        auth=auth,
        rooms=room_service,
        posting=posting,
        messaging=Messaging(
            messages,
            rooms,
            rooms=room_service,
            presence=presence_service,
            posting=posting,
            throttle=throttle,
            limits=limits,
            announcer=announcer,
        ),
        presence=presence_service,
        names=names,
        limits=limits,
        operators=Operators(users, rooms, messages, presence, auth=auth, room_service=room_service),
        announcer=announcer,
    )
