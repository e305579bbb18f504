"""What administrators see of everybody's accounts and rooms, and do about them."""

from __future__ import annotations

import dataclasses
from typing import Generic, TypeVar

import structlog

from ..domain.errors import Conflict, NotFound
from ..domain.ids import is_id
from ..domain.messages import Position
from ..domain.rooms import Member, Role, Room, RoomId
from ..domain.users import Account, Identity, UserId, check_operator
from ..ports.message_store import MessageStore
from ..ports.presence_store import PresenceStore
from ..ports.room_store import RoomStore
from ..ports.user_store import UserStore
from .auth import Auth
from .rooms import Rooms
from .validation import check_page

T = TypeVar("T")
_log = structlog.get_logger()


@dataclasses.dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """A part of a list; `more` if it goes on behind the last item."""

    items: list[T]
    more: bool


@dataclasses.dataclass(frozen=True, slots=True)
class RoomState:
    """A room, how many are online in it, and how far it has come."""

    room: Room
    online: int
    seq: int


@dataclasses.dataclass(frozen=True, slots=True)
class MemberState:
    """A row of a room's list of members, bans included."""

    member: Member
    online: bool


class Operators:
    """Every method asks the store whether `who` is an administrator at this moment.

    Raises: Forbidden if not; NotFound for a user or room that does not exist; Unavailable. What is done is logged.
    """

    def __init__(
        self,
        users: UserStore,
        rooms: RoomStore,
        messages: MessageStore,
        presence: PresenceStore,
        *,
        auth: Auth,
        room_service: Rooms,
    ) -> None:
        self._users = users
        self._rooms = rooms
        self._messages = messages
        self._presence = presence
        self._auth = auth
        self._room_service = room_service

    async def admit(self, who: Identity) -> None:
        """Returns if `who` is an administrator."""
        try:
            user = await self._users.user(who.user.id)
        except NotFound:
            user = dataclasses.replace(who.user, admin=False)
        check_operator(user)

    async def users(self, who: Identity, prefix: str, after: UserId | None, limit: int) -> Page[Account]:
        """Accounts by name, at most `limit` (1 to 200), behind the user `after`. Raises: Invalid."""
        await self.admit(who)
        limit = check_page(limit)
        return _page(await self._users.search(prefix, after, limit + 1), limit)

    async def ban(self, who: Identity, user: UserId) -> None:
        """Ends all sessions of `user` and refuses new ones.

        Raises: Conflict for an administrator, `who` included: so nobody with a stolen session can lock all out.
        """
        await self.admit(who)
        if is_id(user) and (await self._users.user(user)).admin:
            raise Conflict("administrators cannot be banned; the role must be taken away first")
        await self._auth.ban(user)
        _log.info("operator_banned", operator=who.user.id, user=user)

    async def unban(self, who: Identity, user: UserId) -> None:
        """Lets `user` sign in again."""
        await self.admit(who)
        await self._auth.unban(user)
        _log.info("operator_unbanned", operator=who.user.id, user=user)

    async def sign_out(self, who: Identity, user: UserId) -> None:
        """Ends all sessions of `user` and closes their connections on every node."""
        await self.admit(who)
        await self._auth.sign_out_user(user)
        _log.info("operator_signed_out", operator=who.user.id, user=user)

    async def rooms(self, who: Identity, prefix: str, after: RoomId | None, limit: int) -> Page[RoomState]:
        """Public and private rooms by name, at most `limit` (1 to 200), behind the room `after`. Raises: Invalid."""
        await self.admit(who)
        limit = check_page(limit)
        page = _page(await self._rooms.search(prefix, after, limit + 1), limit)
        ids = [room.id for room in page.items]
        tops = await self._messages.tops(ids) if ids else {}
        states = []
        for room in page.items:
            online, _ = await self._presence.online(room.id, 0)
            top = tops.get(room.id)
            states.append(RoomState(room, online, top.seq if isinstance(top, Position) else 0))
        return Page(states, page.more)

    async def members(self, who: Identity, room: RoomId, after: UserId | None, limit: int) -> Page[MemberState]:
        """By user id, at most `limit` (1 to 200) with id > `after`. Raises: Invalid."""
        await self.admit(who)
        limit = check_page(limit)
        await self._rooms.room(room)
        page = _page(await self._rooms.members(room, after, limit + 1), limit)
        online = await self._presence.online_of(room, [member.user for member in page.items])
        return Page([MemberState(member, member.user in online) for member in page.items], page.more)

    async def set_role(self, who: Identity, room: RoomId, user: UserId, role: Role | None) -> None:
        """Gives `user` any role in the room, whatever it was; None kicks, or lifts a ban.

        Raises: Forbidden in a direct room, which always has its two.
        """
        await self.admit(who)
        await self._room_service.impose(room, user, role)
        _log.info("operator_set_role", operator=who.user.id, user=user, room=room, role=role)


def _page(found: list[T], limit: int) -> Page[T]:
    """Of one item more than was asked for."""
    return Page(found[:limit], len(found) > limit)
