"""What nodes tell each other, and its wire format: one version byte, then tagged MessagePack.

Room events travel on the channel of their room, the others on `CONTROL`. A frame of another
version or of another shape is refused as a whole; nothing in it is ever executed or unpickled.
"""

from __future__ import annotations

from typing import Any

import msgspec

from ..domain.messages import Message
from ..domain.rooms import RoomId

VERSION = 1
CONTROL = "control"
_PREFIX = bytes([VERSION])


class _Event(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Arrays, not maps: the names of fields do not travel."""


class Posted(_Event, frozen=True, tag="posted"):
    """A message was committed. `name` is the sender's, as people read it; `ts` is milliseconds UTC."""

    room: str
    epoch: str
    seq: int
    ts: int
    user: str
    name: str
    key: str
    body: dict[str, Any]


class Edited(_Event, frozen=True, tag="edited"):
    """The message at `seq` has a new body."""

    room: str
    epoch: str
    seq: int
    revision: int
    user: str
    """Who edited."""
    body: dict[str, Any]


class Deleted(_Event, frozen=True, tag="deleted"):
    """The message at `seq` was emptied."""

    room: str
    epoch: str
    seq: int
    revision: int
    user: str
    """Who deleted."""


class Reached(_Event, frozen=True, tag="reached"):
    """The room has a message at `seq`, of which not everybody may have heard: who lacks it asks the store."""

    room: str
    epoch: str
    seq: int


class PresenceChanged(_Event, frozen=True, tag="presence"):
    """Users came online or went offline; `online` counts all. (id, name) pairs, left out in large rooms."""

    room: str
    joins: list[tuple[str, str]]
    leaves: list[str]
    online: int


class Typing(_Event, frozen=True, tag="typing"):
    """`user` is writing; forgotten after six seconds."""

    room: str
    user: str
    name: str


class MarkRaised(_Event, frozen=True, tag="read"):
    """`user` has read up to `seq`."""

    room: str
    user: str
    seq: int


class MemberChanged(_Event, frozen=True, tag="member"):
    """`user` has another role in the room; None: is no member any more."""

    room: str
    user: str
    role: str | None


class RoomsChanged(_Event, frozen=True, tag="rooms"):
    """A room came into `user`'s list or left it, or their role there changed; a role of None: is out.

    On `CONTROL`, since a node that serves the user may not listen to the room. A ban is told as BANNED.
    """

    user: str
    room: str
    kind: str
    name: str
    title: str
    """The room's name, or the other's in a direct room."""
    role: str | None


class SessionRevoked(_Event, frozen=True, tag="revoked"):
    """The session is over: its connections close with 4503."""

    session: str


class UserSignedOut(_Event, frozen=True, tag="signed_out"):
    """All sessions of the user are over: the user's connections close with 4503."""

    user: str


class UserBanned(_Event, frozen=True, tag="banned"):
    """The account is banned: its connections close with 4504."""

    user: str


class NodeLost(_Event, frozen=True, tag="lost"):
    """A node has died, perhaps between a commit and its event: rooms are to be compared with the store."""

    node: str


RoomEvent = Posted | Reached | Edited | Deleted | PresenceChanged | Typing | MarkRaised | MemberChanged
ControlEvent = SessionRevoked | UserSignedOut | UserBanned | NodeLost | RoomsChanged

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(RoomEvent | ControlEvent)


class MalformedEvent(ValueError):
    """A frame from another node that cannot be understood: count it, log it, drop it."""


def room_channel(room: RoomId) -> str:
    """The channel of a room; an id needs no escaping, being ours."""
    return f"room:{room}"


def encode(event: RoomEvent | ControlEvent) -> bytes:
    """The frame of `event`."""
    return _PREFIX + _encoder.encode(event)


def decode(frame: bytes) -> RoomEvent | ControlEvent:
    """The event in `frame`. Raises: MalformedEvent."""
    if frame[:1] != _PREFIX:
        raise MalformedEvent(f"version {frame[0] if frame else 'none'}, expected {VERSION}")
    try:
        event: RoomEvent | ControlEvent = _decoder.decode(memoryview(frame)[1:])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedEvent(str(error)) from None
    return event


def posted(message: Message, epoch: str, name: str) -> Posted:
    """The event of a committed message."""
    return Posted(message.room, epoch, message.seq, message.ts, message.user, name, message.key, message.body)
