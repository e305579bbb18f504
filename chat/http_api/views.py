"""What the HTTP API reads and writes, as types: requests first, then answers."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from ..domain.messages import HISTORY_LIMIT, Message
from ..domain.rooms import Member, Room
from ..domain.users import User
from ..services import RoomSummary

PageSize = Annotated[int, msgspec.Meta(ge=1, le=HISTORY_LIMIT)]
Seq = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class Credentials(msgspec.Struct, frozen=True):
    """For registering and signing in."""

    name: str
    password: str


class NewRoom(msgspec.Struct, frozen=True):
    """A room to be made."""

    name: str
    kind: Literal["public", "private"] = "public"


class NewDirect(msgspec.Struct, frozen=True):
    """The id of the other user."""

    user: str


class NewRole(msgspec.Struct, frozen=True):
    """`member` invites or demotes, `banned` bans."""

    role: Literal["owner", "moderator", "member", "banned"]


class RoomsQuery(msgspec.Struct, frozen=True):
    """`public=true` lists public rooms by id, from the one after `after`; else one's own rooms are listed."""

    public: bool = False
    after: str | None = None
    limit: PageSize = 100


class MembersQuery(msgspec.Struct, frozen=True):
    """From the user after `after`, by id."""

    after: str | None = None
    limit: PageSize = 100


class MessagesQuery(msgspec.Struct, frozen=True):
    """Messages with seq < `before`, or > `after`; the newest if neither is given."""

    before: Seq | None = None
    after: Seq | None = None
    limit: PageSize = 50


class UserView(msgspec.Struct, frozen=True):
    """A user."""

    id: str
    name: str

    @classmethod
    def of(cls, user: User) -> UserView:
        return cls(user.id, user.name)


class OwnView(msgspec.Struct, frozen=True, omit_defaults=True):
    """Oneself. `admin` is there for administrators only."""

    id: str
    name: str
    admin: bool = False

    @classmethod
    def of(cls, user: User) -> OwnView:
        return cls(user.id, user.name, user.admin)


class Registered(msgspec.Struct, frozen=True):
    """The account that was made; it is not signed in yet."""

    user: UserView


class UserQuery(msgspec.Struct, frozen=True):
    """The whole name; upper and lower case are the same."""

    name: str


class UserAnswer(msgspec.Struct, frozen=True):
    """One user."""

    user: UserView


class TokenAnswer(msgspec.Struct, frozen=True):
    """An access token, good for `expires_in` seconds."""

    access_token: str
    expires_in: int
    user: OwnView


class RoomView(msgspec.Struct, frozen=True, omit_defaults=True):
    """A room. What follows `name` is there for one's own rooms only.

    `title` is the other's name in a direct room. `mentions` are the seqs of unread messages that mention one.
    """

    id: str
    kind: str
    name: str
    title: str | None = None
    role: str | None = None
    top_seq: int | None = None
    read_seq: int | None = None
    unread: int | None = None
    mentions: list[int] | None = None

    @classmethod
    def of(cls, room: Room) -> RoomView:
        return cls(room.id, room.kind, room.name)

    @classmethod
    def of_mine(cls, mine: RoomSummary) -> RoomView:
        room = mine.room
        return cls(
            room.id,
            room.kind,
            room.name,
            mine.title,
            mine.role,
            mine.top_seq,
            mine.read_seq,
            mine.unread,
            list(mine.mentions),
        )


class RoomAnswer(msgspec.Struct, frozen=True):
    """One room."""

    room: RoomView


class RoomsAnswer(msgspec.Struct, frozen=True):
    """Rooms. There may be more public ones if as many came as were asked for."""

    rooms: list[RoomView]


class MemberView(msgspec.Struct, frozen=True):
    """A row of a room's list of members; banned users are in it, too."""

    id: str
    name: str
    role: str
    read_seq: int

    @classmethod
    def of(cls, member: Member) -> MemberView:
        return cls(member.user, member.name, member.role, member.read_seq)


class MembersAnswer(msgspec.Struct, frozen=True):
    """Members. There may be more if as many came as were asked for."""

    members: list[MemberView]


class MessageView(msgspec.Struct, frozen=True, omit_defaults=True):
    """A message, as it is pushed to sockets. `ts` is milliseconds UTC, `user` the sender's id."""

    seq: int
    ts: int
    user: str
    name: str
    key: str
    body: dict[str, Any]
    revision: int = 0
    deleted: bool = False

    @classmethod
    def of(cls, message: Message, name: str) -> MessageView:
        return cls(
            message.seq,
            message.ts,
            message.user,
            name,
            message.key,
            message.body,
            message.revision,
            message.deleted,
        )


class MessagesAnswer(msgspec.Struct, frozen=True):
    """Messages, oldest first, and whether there are more that way. `epoch` names this life of the history."""

    messages: list[MessageView]
    more: bool
    epoch: str


class UnreadAnswer(msgspec.Struct, frozen=True):
    """Unread messages in each room that has some, and in all; likewise those of them that mention one."""

    rooms: dict[str, int]
    total: int
    mentions: dict[str, int]
    total_mentions: int
