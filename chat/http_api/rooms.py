"""Rooms and their members."""

from __future__ import annotations

from ..domain.rooms import Role, RoomId, RoomKind
from ..domain.users import UserId
from .routing import Call, Endpoint
from .views import (
    MembersAnswer,
    MembersQuery,
    MemberView,
    NewDirect,
    NewRole,
    NewRoom,
    RoomAnswer,
    RoomsAnswer,
    RoomsQuery,
    RoomView,
)


async def list_rooms(call: Call, query: RoomsQuery) -> RoomsAnswer:
    """Lists one's own rooms, or with `public=true` those that everybody may join."""
    rooms = call.services.rooms
    if query.public:
        after = None if query.after is None else RoomId(query.after)
        return RoomsAnswer([RoomView.of(room) for room in await rooms.public(call.identity, after, query.limit)])
    return RoomsAnswer([RoomView.of_mine(mine) for mine in await rooms.mine(call.identity)])


async def create(call: Call, body: NewRoom) -> RoomAnswer:
    """Makes a room; one owns it."""
    return RoomAnswer(RoomView.of(await call.services.rooms.create(call.identity, body.name, RoomKind(body.kind))))


async def direct(call: Call, body: NewDirect) -> RoomAnswer:
    """Answers the room of two: always the same one, made if there is none."""
    return RoomAnswer(RoomView.of(await call.services.rooms.direct(call.identity, UserId(body.user))))


async def join(call: Call) -> RoomAnswer:
    """Makes one a member of a public room."""
    room, _ = await call.services.rooms.enter(call.identity, call.room)
    return RoomAnswer(RoomView.of(room))


async def leave(call: Call) -> None:
    """Ends one's membership."""
    await call.services.rooms.leave(call.identity, call.room)


async def members(call: Call, query: MembersQuery) -> MembersAnswer:
    """Lists members by id."""
    after = None if query.after is None else UserId(query.after)
    found = await call.services.rooms.members(call.identity, call.room, after, query.limit)
    return MembersAnswer([MemberView.of(member) for member in found])


async def set_role(call: Call, body: NewRole) -> None:
    """Invites, promotes, demotes or bans a user."""
    await call.services.rooms.set_role(call.identity, call.room, call.user, Role(body.role))


async def remove(call: Call) -> None:
    """Removes a member, or lifts a ban."""
    await call.services.rooms.remove(call.identity, call.room, call.user)


ENDPOINTS = [
    Endpoint("GET", "/api/rooms", list_rooms),
    Endpoint("POST", "/api/rooms", create, status=201),
    Endpoint("POST", "/api/direct", direct),
    Endpoint("POST", "/api/rooms/{room}/join", join),
    Endpoint("POST", "/api/rooms/{room}/leave", leave),
    Endpoint("GET", "/api/rooms/{room}/members", members),
    Endpoint("PUT", "/api/rooms/{room}/members/{user}", set_role),
    Endpoint("DELETE", "/api/rooms/{room}/members/{user}", remove),
]
