"""What happens in a room, as the application sees it, and what the server answers."""

from __future__ import annotations

import datetime
from typing import Any, TypeVar

import msgspec

from .errors import ProtocolViolation

T = TypeVar("T")


class Message(msgspec.Struct, frozen=True):
    """A message of a room. `seq` counts from 1 in its room without a gap; `ts` is milliseconds UTC."""

    room: str
    seq: int
    ts: int
    user: str
    name: str
    """The sender's, as it is now."""
    key: str
    body: dict[str, Any]
    revision: int = 0
    """How often it was edited."""
    deleted: bool = False

    @property
    def text(self) -> str:
        """Of the body; empty if it has none."""
        text = self.body.get("text")
        return text if isinstance(text, str) else ""

    @property
    def time(self) -> datetime.datetime:
        """When it was stored, in UTC."""
        return datetime.datetime.fromtimestamp(self.ts / 1000, datetime.UTC)


class Edited(msgspec.Struct, frozen=True):
    """The message at `seq` has another body. May be told twice; the higher `revision` counts."""

    room: str
    seq: int
    revision: int
    body: dict[str, Any]


class Deleted(msgspec.Struct, frozen=True):
    """The message at `seq` was emptied. May be told twice."""

    room: str
    seq: int
    revision: int


class User(msgspec.Struct, frozen=True):
    """An account: `id` for ever, `name` as people read it."""

    id: str
    name: str


class PresenceChanged(msgspec.Struct, frozen=True):
    """Users came online or went offline. `joins` lacks names in large rooms; `online` counts all."""

    room: str
    joins: list[User] = []
    leaves: list[str] = []
    """User ids."""
    online: int = 0


class Typing(msgspec.Struct, frozen=True):
    """Somebody is writing; forget it after six seconds."""

    room: str
    user: str
    name: str = ""


class ReadMark(msgspec.Struct, frozen=True):
    """`user` has read up to `seq`."""

    room: str
    user: str
    seq: int


class MemberChanged(msgspec.Struct, frozen=True):
    """`user` has another role in the room; None: is no member any more."""

    room: str
    user: str
    role: str | None


class RoomChanged(msgspec.Struct, frozen=True):
    """A room is in the user's list now, with this role, or with None is not in it any more."""

    room: str
    kind: str
    name: str
    title: str
    """What to call it: its name, or the other user's in a direct room."""
    role: str | None


class Position(msgspec.Struct, frozen=True):
    """A place in a room's history: `seq` in the life of it that `epoch` names."""

    epoch: str
    seq: int


class Unrecovered(msgspec.Struct, frozen=True):
    """The server could not resume at `since`; it stands at `position` now.

    In the same epoch nothing is lost: what was missed comes next, from history. In another epoch the room's
    history was restored from a backup, and what was told before may not be there any more.
    """

    room: str
    since: Position
    position: Position

    @property
    def history_changed(self) -> bool:
        """Whether earlier messages may differ from what was told."""
        return self.since.epoch != self.position.epoch


class Missed(msgspec.Struct, frozen=True):
    """The messages `first` to `last` are not in the history any more; the next one comes after them."""

    room: str
    first: int
    last: int


Event = Message | Edited | Deleted | PresenceChanged | Typing | ReadMark | MemberChanged | Unrecovered | Missed


class Published(msgspec.Struct, frozen=True):
    """The server has stored a message. `duplicate`: an earlier try had arrived."""

    seq: int
    ts: int
    duplicate: bool = False


class Page(msgspec.Struct, frozen=True):
    """A piece of history, oldest first. `more`: there are others in the direction that was asked for.

    Seqs of pages with different epochs cannot be compared.
    """

    messages: list[Message]
    more: bool = False
    epoch: str | None = None


class Online(msgspec.Struct, frozen=True):
    """Who is online in a room: all are counted, and named in rooms that are not large."""

    online: int
    users: list[User] = []


class RoomInfo(msgspec.Struct, frozen=True):
    """A room as lists show it; `kind` is public, private or direct. The rest is known of one's own rooms."""

    id: str
    name: str
    kind: str
    title: str | None = None
    """What to call it: its name, or the other user's in a direct room."""
    role: str | None = None
    top_seq: int | None = None
    read_seq: int | None = None
    unread: int | None = None
    mentions: list[int] | None = None
    """The seqs of unread messages that mention the user."""


class Member(msgspec.Struct, frozen=True):
    """A row of a room's list of members; banned users are in it, too."""

    id: str
    name: str
    role: str
    read_seq: int


def parse(value: Any, kind: type[T]) -> T:
    """`value` as a `kind`; fields that it does not know are ignored. Raises: ProtocolViolation."""
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        name = getattr(kind, "__name__", str(kind))
        raise ProtocolViolation(f"the server sent a malformed {name}: {error}") from None
