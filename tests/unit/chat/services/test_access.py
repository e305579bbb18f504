"""B36: one generated test for every operation, role and kind of room; B37: positions of foreign rooms."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from chat.domain.errors import ChatError, Forbidden, NotFound
from chat.domain.rooms import Role, Room, RoomId, RoomKind
from chat.domain.users import Identity
from chat.services import Post
from tests.support.services import World

Operation = Callable[[World, Identity, Room, Identity], Awaitable[Any]]
"""What `who` does in `room`, where there are also a message (seq 1) of the owner and a plain member."""


async def post(world: World, who: Identity, room: Room, other: Identity) -> None:
    [answer] = await world.services.messaging.post(who, [Post(room.id, "key", {"text": "hello"})])
    if isinstance(answer, ChatError):
        raise answer


async def edit_own(world: World, who: Identity, room: Room, other: Identity) -> None:
    await post(world, who, room, other)
    await world.services.messaging.edit(who, room.id, 2, {"text": "better"})


SEE: dict[str, Operation] = {
    "history": lambda w, who, room, _: w.services.messaging.history(who, room.id, limit=10),
    "history after": lambda w, who, room, _: w.services.messaging.history(who, room.id, after=0, limit=10),
    "members": lambda w, who, room, _: w.services.rooms.members(who, room.id, None, 10),
    "online": lambda w, who, room, _: w.services.presence.online(who, room.id),
    "enter": lambda w, who, room, _: w.services.rooms.enter(who, room.id),
}
PUBLISH: dict[str, Operation] = {
    "post": post,
    "edit own": edit_own,
    "mark read": lambda w, who, room, _: w.services.messaging.mark_read(who, room.id, 1),
    "typing": lambda w, who, room, _: w.services.messaging.typing(who, room.id),
}
MODERATE: dict[str, Operation] = {
    "delete another's": lambda w, who, room, _: w.services.messaging.delete(who, room.id, 1),
    "invite": lambda w, who, room, other: w.services.rooms.set_role(who, room.id, other.user.id, Role.MEMBER),
    "ban": lambda w, who, room, other: w.services.rooms.set_role(who, room.id, other.user.id, Role.BANNED),
    "kick": lambda w, who, room, other: w.services.rooms.remove(who, room.id, other.user.id),
}
ADMINISTER: dict[str, Operation] = {
    "promote": lambda w, who, room, other: w.services.rooms.set_role(who, room.id, other.user.id, Role.MODERATOR),
    "make owner": lambda w, who, room, other: w.services.rooms.set_role(who, room.id, other.user.id, Role.OWNER),
}
OPERATIONS = SEE | PUBLISH | MODERATE | ADMINISTER
ROLES = [None, *Role]


def expected(name: str, role: Role | None, kind: RoomKind) -> type[ChatError] | None:
    """The rules as a user would say them, apart from the code that decides."""
    if role is Role.BANNED or (role is None and kind is not RoomKind.PUBLIC):
        return NotFound
    if name in SEE:
        return None
    if role is None:
        return Forbidden
    if name in PUBLISH:
        return None
    if kind is RoomKind.DIRECT or role is Role.MEMBER or (role is Role.MODERATOR and name in ADMINISTER):
        return Forbidden
    return None


async def outcome(operation: Operation, world: World, who: Identity, room: Room, other: Identity) -> ChatError | None:
    try:
        await operation(world, who, room, other)
    except ChatError as error:
        return error
    return None


CASES = [
    (name, role, kind)
    for kind in RoomKind
    for role in (ROLES if kind is not RoomKind.DIRECT else [None, Role.MEMBER])
    for name in OPERATIONS
]


@pytest.mark.parametrize(("name", "role", "kind"), CASES)
async def test_b36_each_operation_is_allowed_to_the_roles_that_may_and_to_no_other(
    world: World, name: str, role: Role | None, kind: RoomKind
) -> None:
    owner, other, who = await world.user("owner"), await world.user("other"), await world.user("who")
    # A direct room has two members only: then the second is the actor, or a stranger is.
    roles = {owner: Role.OWNER, other: Role.MEMBER}
    if kind is RoomKind.DIRECT and role is not None:
        roles = {owner: Role.MEMBER, who: Role.MEMBER}
    elif role is not None:
        roles[who] = role
    room = await world.room(kind, roles)
    await post(world, owner, room, other)

    error = await outcome(OPERATIONS[name], world, who, room, other)

    assert type(error) is (expected(name, role, kind) or type(None)), error


@pytest.mark.parametrize("name", OPERATIONS)
async def test_b36_a_foreign_room_and_one_that_is_not_there_give_the_same_answer(world: World, name: str) -> None:
    owner, other, who = await world.user("owner"), await world.user("other"), await world.user("who")
    room = await world.room(RoomKind.PRIVATE, {owner: Role.OWNER, other: Role.MEMBER})
    await post(world, owner, room, other)
    strange = [room.id.upper(), f" {room.id}", f"{room.id}\0", "nothing", "", "a" * 1000, "../x", "ｒoom", "\ud800"]

    errors = [await outcome(OPERATIONS[name], world, who, room, other)]
    for room_id in strange:
        elsewhere = Room(RoomId(room_id), room.kind, room.name, room.epoch)
        errors.append(await outcome(OPERATIONS[name], world, who, elsewhere, other))

    assert {(type(error), str(error)) for error in errors} == {(NotFound, "no such room")}


async def test_b37_a_position_of_a_foreign_room_leads_nowhere_from_ones_own(world: World) -> None:
    victim, who = await world.user("victim"), await world.user("who")
    foreign = await world.room(RoomKind.PRIVATE, {victim: Role.OWNER})
    own = await world.room(RoomKind.PRIVATE, {who: Role.OWNER})
    for text in ("one", "two", "three"):
        await world.services.messaging.post(victim, [Post(foreign.id, text, {"text": text})])
    await post(world, who, own, who)
    messaging = world.services.messaging

    with pytest.raises(NotFound):
        await messaging.edit(who, own.id, 3, {"text": "mine now"})
    with pytest.raises(NotFound):
        await messaging.delete(who, own.id, 3)
    page, *_ = await messaging.history(who, own.id, after=0, limit=200)
    assert [message.room for message in page] == [own.id]
    assert await messaging.mark_read(who, own.id, 3) == 1  # the top of one's own room


async def test_b38_who_was_removed_reads_nothing_more(world: World) -> None:
    owner, other, who = await world.user("owner"), await world.user("other"), await world.user("who")
    room = await world.room(RoomKind.PRIVATE, {owner: Role.OWNER, who: Role.MEMBER, other: Role.MEMBER})
    await world.services.rooms.remove(owner, room.id, who.user.id)
    await post(world, owner, room, other)

    for name in SEE:
        assert isinstance(await outcome(SEE[name], world, who, room, other), NotFound), name
    assert await world.services.rooms.mine(who) == []
