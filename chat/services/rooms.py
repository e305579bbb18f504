"""Rooms and their members: who is in, who may come in, who decides."""

from __future__ import annotations

import dataclasses

from ..domain.rooms import Member, Operation, Role, Room, RoomId, RoomKind
from ..domain.users import Identity, UserId
from ..ports.room_store import RoomStore
from ..ports.user_store import UserStore
from .announcer import Announcer
from .limits import Limits, Throttle
from .names import Names


@dataclasses.dataclass(frozen=True, slots=True)
class RoomSummary:
    """A line in a user's list of rooms; `title` is the room's name, or the other's in a direct room."""

    room: Room
    role: Role
    top_seq: int
    read_seq: int
    unread: int
    title: str


class Rooms:
    """Membership. A room that the user may not see is `NotFound`; every method may raise `Unavailable`.

    Ranks: owner > moderator > member. One kicks, bans and changes only those below oneself. A room may
    have several owners; the last one cannot leave while others are in.
    """

    def __init__(
        self,
        rooms: RoomStore,
        users: UserStore,
        *,
        names: Names,
        throttle: Throttle,
        limits: Limits,
        announcer: Announcer,
    ) -> None:
        self._rooms = rooms
        self._users = users
        self._names = names
        self._throttle = throttle
        self._limits = limits
        self._announcer = announcer

    async def create(self, who: Identity, name: str, kind: RoomKind) -> Room:
        """A new public or private room that `who` owns. Raises: Invalid, RateLimited."""
        raise NotImplementedError

    async def direct(self, who: Identity, other: UserId) -> Room:
        """The room of the two, made if there is none. Raises: NotFound (no such user), Invalid, RateLimited."""
        raise NotImplementedError

    async def public(self, who: Identity, after: RoomId | None, limit: int) -> list[Room]:
        """Public rooms by id, at most `limit` (1 to 200) with id > `after`. Raises: Invalid."""
        raise NotImplementedError

    async def mine(self, who: Identity) -> list[RoomSummary]:
        """The rooms that `who` is a member of, with what is unread in each."""
        raise NotImplementedError

    async def authorize(self, user: UserId, room: RoomId, operation: Operation) -> tuple[Room, Role | None]:
        """The room and the user's role in it, if `operation` is allowed. Raises: NotFound, Forbidden."""
        raise NotImplementedError

    async def enter(self, who: Identity, room: RoomId) -> tuple[Room, Role]:
        """Makes `who` a member of a public room, if that is not so yet. Raises: NotFound, RateLimited."""
        raise NotImplementedError

    async def leave(self, who: Identity, room: RoomId) -> None:
        """Ends the membership; not being a member is no error.

        Raises: NotFound; Forbidden in a direct room; Conflict for the last owner while others are in.
        """
        raise NotImplementedError

    async def members(self, who: Identity, room: RoomId, after: UserId | None, limit: int) -> list[Member]:
        """By user id, at most `limit` (1 to 200) with id > `after`. Only moderators see who is banned."""
        raise NotImplementedError

    async def set_role(self, who: Identity, room: RoomId, target: UserId, role: Role) -> None:
        """Invites (MEMBER), promotes, demotes, or bans (BANNED, also those who are no members).

        Moderators invite and ban; owners do everything. Nobody changes their own role.
        Raises: NotFound (room or user), Forbidden, Conflict (banned: unban first), RateLimited.
        """
        raise NotImplementedError

    async def remove(self, who: Identity, room: RoomId, target: UserId) -> None:
        """Kicks a member, or lifts a ban; someone who is neither is no error. Raises: NotFound, Forbidden."""
        raise NotImplementedError
