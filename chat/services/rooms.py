"""Rooms and their members: who is in, who may come in, who decides."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import TypeVar

import trio

from ..domain.errors import ChatError, Conflict, Forbidden, Invalid, NotFound, Unavailable
from ..domain.ids import is_id
from ..domain.rooms import MAX_ROOM_NAME_CHARACTERS, Member, Operation, Role, Room, RoomId, RoomKind, check, outranks
from ..domain.users import Identity, User, UserId, check_name
from ..ports.room_store import RoomStore
from ..ports.user_store import UserStore
from . import events
from .announcer import Announcer
from .limits import Limits, Throttle
from .lru import Lru
from .validation import check_page

_ATTEMPTS = 5
"""A change of role starts over if another came between; that many in a row do not happen by chance."""
_SCAN_PAGE = 500
_REMEMBERED_DIRECT_ROOMS = 10_000

Cursor = TypeVar("Cursor", RoomId | None, UserId | None)
R = TypeVar("R", bound=Role | None)


@dataclasses.dataclass(frozen=True, slots=True)
class RoomSummary:
    """A line in a user's list of rooms; `title` is the room's name, or the other's in a direct room.

    `mentions` are the seqs of unread messages that mention the user, of the newest few hundred in all rooms.
    """

    room: Room
    role: Role
    top_seq: int
    read_seq: int
    unread: int
    title: str
    mentions: Sequence[int]


class Rooms:
    """Membership. A room that the user may not see is `NotFound`; every method may raise `Unavailable`.

    Ranks: owner > moderator > member. One kicks, bans and changes only those below oneself. A room may
    have several owners; the last one cannot leave while others are in. A direct room always has its two.
    """

    def __init__(
        self, rooms: RoomStore, users: UserStore, *, throttle: Throttle, limits: Limits, announcer: Announcer
    ) -> None:
        self._rooms = rooms
        self._users = users
        self._throttle = throttle
        self._limits = limits
        self._announcer = announcer
        self._direct: Lru[frozenset[UserId], Room] = Lru(_REMEMBERED_DIRECT_ROOMS)
        self._pairs: Lru[RoomId, list[Member]] = Lru(_REMEMBERED_DIRECT_ROOMS)

    async def create(self, who: Identity, name: str, kind: RoomKind) -> Room:
        """A new public or private room that `who` owns. Raises: Invalid, RateLimited."""
        if kind is RoomKind.DIRECT:
            raise Invalid("kind must be public or private")
        name = check_name(name, what="room name", limit=MAX_ROOM_NAME_CHARACTERS)
        await self._throttle.take(f"create:user:{who.user.id}", self._limits.create_room_per_user)
        room = await self._rooms.create(name, kind, who.user.id)
        await self._announcer.announce(_rooms_changed(who.user.id, room, Role.OWNER))
        return room

    async def direct(self, who: Identity, other: UserId) -> Room:
        """The room of the two, made if there is none. Raises: NotFound (no such user), Invalid, RateLimited."""
        pair = frozenset((who.user.id, other))
        if len(pair) != 2:
            raise Invalid("a direct room is for two")
        room = self._direct.recall(pair)
        if room is None:
            await self._take_write(who)
            partner = await self._user(other)
            await self._throttle.take(f"create:user:{who.user.id}", self._limits.create_room_per_user)
            room = await self._rooms.direct(who.user.id, other)
            self._direct.remember(pair, room)
            await self._announcer.announce(
                _rooms_changed(who.user.id, room, Role.MEMBER, title=partner.name),
                _rooms_changed(other, room, Role.MEMBER, title=who.user.name),
            )
        return room

    async def find_user(self, who: Identity, name: str) -> User:
        """The user of that name, to be written to or invited. Raises: Invalid, NotFound, RateLimited."""
        name = check_name(name)
        await self._throttle.take(f"find:user:{who.user.id}", self._limits.find_per_user)
        found = await self._users.by_name(name)
        if found is None or found[2]:  # a banned account answers nobody
            raise NotFound("there is nobody of that name")
        return found[0]

    async def public(self, who: Identity, after: RoomId | None, limit: int) -> list[Room]:
        """Public rooms by id, at most `limit` (1 to 200) with id > `after`. Raises: Invalid."""
        return await self._rooms.public_rooms(_check_cursor(after), check_page(limit))

    async def mine(self, who: Identity) -> list[RoomSummary]:
        """The rooms that `who` is a member of, with what is unread in each."""
        listed = await self._rooms.rooms_of(who.user.id)
        mentions = await self._rooms.unread_mentions(who.user.id)  # the newer answer: what it lacks has been read
        return [
            RoomSummary(
                room,
                role,
                top.seq,
                read,
                max(top.seq - read, 0),
                await self._title(room, who.user.id),
                mentions.get(room.id, ()),
            )
            for room, role, top, read in listed
        ]

    async def authorize(self, user: UserId, room: RoomId, operation: Operation) -> tuple[Room, Role | None]:
        """The room and the user's role in it, if `operation` is allowed. Raises: NotFound, Forbidden."""
        found, role = await self._role(room, user)
        check(operation, found.kind, role)
        return found, role

    async def authorize_each(
        self, asked: Sequence[tuple[UserId, RoomId]], operation: Operation
    ) -> list[tuple[Room, Role | None] | ChatError]:
        """The same for many rooms that are known to have been there, with an answer for each. Raises: Unavailable."""
        answers = await self._rooms.role_each([(room, user) for user, room in asked])
        return [_allowed(operation, answer) for answer in answers]

    async def enter(self, who: Identity, room: RoomId) -> tuple[Room, Role]:
        """Makes `who` a member of a public room, if that is not so yet. Raises: NotFound, RateLimited."""
        found, role = await self.authorize(who.user.id, room, Operation.ENTER)
        if role is not None:
            return found, role
        await self._take_write(who)

        def entered(was: Role | None) -> Role:
            check(Operation.ENTER, found.kind, was)
            return was or Role.MEMBER

        return found, await self._change(room, who.user.id, entered)

    async def leave(self, who: Identity, room: RoomId) -> None:
        """Ends the membership; not being a member is no error.

        Raises: NotFound; Forbidden in a direct room; Conflict for the last owner while others are in.
        """
        found, role = await self.authorize(who.user.id, room, Operation.SEE)
        if found.kind is RoomKind.DIRECT:
            raise Forbidden("a direct room cannot be left")
        if role is None:
            return
        await self._take_write(who)
        if role is Role.OWNER:
            await self._check_succession(room, who.user.id)
        # A ban that came between stays.
        await self._change(room, who.user.id, lambda was: was if was is Role.BANNED else None)

    async def members(self, who: Identity, room: RoomId, after: UserId | None, limit: int) -> list[Member]:
        """By user id, at most `limit` (1 to 200) with id > `after`. Only moderators see who is banned."""
        _, role = await self.authorize(who.user.id, room, Operation.SEE)
        after, limit = _check_cursor(after), check_page(limit)
        sees_banned = role in (Role.OWNER, Role.MODERATOR)
        found: list[Member] = []
        while len(found) < limit and (page := await self._rooms.members(room, after, limit - len(found))):
            found += [member for member in page if sees_banned or member.role is not Role.BANNED]
            after = page[-1].user
        return found

    async def set_role(self, who: Identity, room: RoomId, target: UserId, role: Role) -> None:
        """Invites (MEMBER), promotes, demotes, or bans (BANNED, also those who are no members).

        Moderators invite and ban; owners do everything. Nobody can change their own role.
        Raises: NotFound (room or user), Forbidden, Conflict (banned: unban first), RateLimited.
        """
        needed = Operation.ADMINISTER if role in (Role.OWNER, Role.MODERATOR) else Operation.MODERATE
        _, actor = await self.authorize(who.user.id, room, needed)
        await self._take_write(who)
        await self._user(target)
        _, was = await self._role(room, target)
        if was is None and role is not Role.BANNED:
            await self._throttle.take(f"invite:target:{target}", self._limits.invite_per_target)

        def changed(was: Role | None) -> Role:
            if was is Role.BANNED and role is not Role.BANNED:
                raise Conflict("this user is banned from the room; lift the ban first")
            if was is not role:
                _check_outranks(actor, was)
            return role

        await self._change(room, target, changed)

    async def remove(self, who: Identity, room: RoomId, target: UserId) -> None:
        """Kicks a member, or lifts a ban; someone who is neither is no error. Raises: NotFound, Forbidden."""
        _, actor = await self.authorize(who.user.id, room, Operation.MODERATE)
        await self._take_write(who)
        await self._user(target)

        def removed(was: Role | None) -> None:
            _check_outranks(actor, was)

        await self._change(room, target, removed)

    async def impose(self, room: RoomId, target: UserId, role: Role | None) -> None:
        """Gives `target` a role whatever it was; None removes, or lifts a ban. No rank is asked: for operators.

        Raises: NotFound (room or user); Forbidden in a direct room.
        """
        found, _ = await self._role(room, target)
        if found.kind is RoomKind.DIRECT:
            raise Forbidden("a direct room always has its two")
        await self._user(target)
        await self._change(room, target, lambda was: role)

    async def _change(self, room: RoomId, target: UserId, decide: Callable[[Role | None], R]) -> R:
        """Gives `target` the role that `decide` makes of the present one, in one atomic step; tells the fleet."""
        for _ in range(_ATTEMPTS):
            found, was = await self._role(room, target)
            role = decide(was)
            if role is was:
                if role in (None, Role.BANNED):  # The first try may have been committed without being told.
                    await self._announcer.announce(events.MemberChanged(room, target, role))
                return role
            # Told even if the caller is cancelled: a banned user's connections must not stay subscribed.
            with trio.CancelScope(shield=True):
                if await self._rooms.set_role(room, target, role, was=was):
                    await self._announcer.announce(
                        events.MemberChanged(room, target, role), _rooms_changed(target, found, role)
                    )
                    return role
        raise Unavailable("the members of this room are changing; try again")

    async def _role(self, room: RoomId, user: UserId) -> tuple[Room, Role | None]:
        """As the store says, with one refusal for a room that is not there and one not to be seen."""
        if not is_id(room):
            raise NotFound("no such room")
        try:
            return await self._rooms.role(room, user)
        except NotFound:
            raise NotFound("no such room") from None

    async def _user(self, user: UserId) -> User:
        if not is_id(user):
            raise NotFound("no such user")
        return await self._users.user(user)

    async def _check_succession(self, room: RoomId, owner: UserId) -> None:
        """Reads the room's members page by page, until there is another owner."""
        others = False
        after: UserId | None = None
        while page := await self._rooms.members(room, after, _SCAN_PAGE):
            roles = {member.role for member in page if member.user != owner}
            if Role.OWNER in roles:
                return
            others = others or bool(roles - {Role.BANNED})
            after = page[-1].user
        if others:
            raise Conflict("you are the last owner; make somebody else an owner first")

    async def _title(self, room: Room, user: UserId) -> str:
        if room.kind is not RoomKind.DIRECT:
            return room.name
        pair = self._pairs.recall(room.id)
        if pair is None:
            pair = await self._rooms.members(room.id, None, 2)
            self._pairs.remember(room.id, pair)
        return next((member.name for member in pair if member.user != user), "")

    async def _take_write(self, who: Identity) -> None:
        await self._throttle.take(f"write:user:{who.user.id}", self._limits.write_per_user)


def _allowed(
    operation: Operation, answer: tuple[Room, Role | None] | ChatError
) -> tuple[Room, Role | None] | ChatError:
    """`answer`, unless it does not allow `operation`."""
    if isinstance(answer, ChatError):
        return answer
    room, role = answer
    try:
        check(operation, room.kind, role)
    except ChatError as refusal:
        return refusal
    return answer


def _rooms_changed(user: UserId, room: Room, role: Role | None, *, title: str | None = None) -> events.RoomsChanged:
    return events.RoomsChanged(user, room.id, room.kind, room.name, room.name if title is None else title, role)


def _check_outranks(actor: Role | None, target: Role | None) -> None:
    if actor is None or not outranks(actor, target):
        raise Forbidden("the role of this user is not below yours")


def _check_cursor(after: Cursor) -> Cursor:
    if after is not None and not is_id(after):
        raise Invalid("after must be an id")
    return after
