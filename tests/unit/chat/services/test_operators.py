"""What administrators may do, and that nobody else may."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from chat.domain.errors import Conflict, Forbidden, Invalid, NotFound
from chat.domain.messages import NewMessage
from chat.domain.rooms import Role, RoomId, RoomKind
from chat.domain.users import Identity, UserId
from chat.ports.presence_store import PresenceEntry
from chat.services import Operators, events
from tests.support.services import World

NOBODY = UserId("nobody")
NOWHERE = RoomId("nowhere")
BAD_LIMITS = (0, -1, 201)


@pytest.fixture
def operators(world: World) -> Operators:
    return world.services.operators


@pytest.fixture
async def admin(world: World) -> Identity:
    identity = await world.user("admin")
    await world.users.set_admin(identity.user.id, True)
    return identity


EVERY: list[Callable[[Operators, Identity], Awaitable[object]]] = [
    lambda operators, who: operators.admit(who),
    lambda operators, who: operators.users(who, "", None, 10),
    lambda operators, who: operators.ban(who, who.user.id),
    lambda operators, who: operators.unban(who, who.user.id),
    lambda operators, who: operators.sign_out(who, who.user.id),
    lambda operators, who: operators.rooms(who, "", None, 10),
    lambda operators, who: operators.members(who, NOWHERE, None, 10),
    lambda operators, who: operators.set_role(who, NOWHERE, who.user.id, Role.OWNER),
]


@pytest.mark.parametrize("operation", EVERY)
async def test_everything_is_for_administrators_only(
    world: World, operators: Operators, admin: Identity, operation: Callable[[Operators, Identity], Awaitable[object]]
) -> None:
    anna = await world.user("anna")
    with pytest.raises(Forbidden):
        await operation(operators, anna)
    assert not world.broker.calls
    await world.users.set_admin(admin.user.id, False)
    with pytest.raises(Forbidden):
        await operation(operators, admin)


async def test_whoever_does_not_exist_is_no_administrator(operators: Operators, admin: Identity) -> None:
    ghost = Identity(admin.user.__class__(NOBODY, "ghost", admin=True), admin.session, admin.expires)
    with pytest.raises(Forbidden):
        await operators.admit(ghost)


async def test_accounts_are_found_page_by_page(world: World, operators: Operators, admin: Identity) -> None:
    users = [(await world.user(f"user {number}")).user for number in range(5)]
    await world.users.set_banned(users[3].id, True)
    first = await operators.users(admin, "USER", None, 3)
    assert ([account.user for account in first.items], first.more) == (users[:3], True)
    rest = await operators.users(admin, "user", first.items[-1].user.id, 3)
    assert ([account.user for account in rest.items], rest.more) == (users[3:], False)
    assert [account.banned for account in rest.items] == [True, False]


@pytest.mark.parametrize("limit", BAD_LIMITS)
async def test_a_page_has_its_limits(operators: Operators, admin: Identity, limit: int) -> None:
    for refused in (
        operators.users(admin, "", None, limit),
        operators.rooms(admin, "", None, limit),
        operators.members(admin, NOWHERE, None, limit),
    ):
        with pytest.raises(Invalid):
            await refused


async def test_a_ban_ends_all_sessions_and_can_be_lifted(world: World, operators: Operators, admin: Identity) -> None:
    anna = await world.user("anna")
    await operators.ban(admin, anna.user.id)
    assert await world.sessions.touch(anna.session) is None
    assert world.broker.of(events.UserBanned) == [events.UserBanned(anna.user.id)]
    await operators.unban(admin, anna.user.id)
    assert await world.users.by_name("anna") == (anna.user, "none", False)


async def test_administrators_can_ban_neither_themselves_nor_each_other(
    world: World, operators: Operators, admin: Identity
) -> None:
    other = await world.user("other")
    await world.users.set_admin(other.user.id, True)
    for target in (admin, other):
        with pytest.raises(Conflict):
            await operators.ban(admin, target.user.id)
        assert await world.sessions.touch(target.session) is not None
    assert not world.broker.calls


async def test_signing_out_ends_every_session_of_the_user_and_of_nobody_else(
    world: World, operators: Operators, admin: Identity
) -> None:
    anna = await world.user("anna")
    second = await world.sessions.create(anna.user.id)
    await operators.sign_out(admin, anna.user.id)
    for session in (anna.session, second.id):
        assert await world.sessions.touch(session) is None
    assert await world.sessions.touch(admin.session) is not None
    assert world.broker.of(events.UserSignedOut) == [events.UserSignedOut(anna.user.id)]


@pytest.mark.parametrize("user", [NOBODY, UserId("no id!")])
async def test_nothing_is_done_to_a_user_who_does_not_exist(
    world: World, operators: Operators, admin: Identity, user: UserId
) -> None:
    room = await world.room(RoomKind.PUBLIC, {admin: Role.OWNER})
    for refused in (
        operators.ban(admin, user),
        operators.unban(admin, user),
        operators.sign_out(admin, user),
        operators.set_role(admin, room.id, user, Role.MEMBER),
        operators.set_role(admin, room.id, user, None),
    ):
        with pytest.raises(NotFound):
            await refused
    assert not world.broker.calls


async def test_rooms_are_found_with_their_state_private_ones_included(
    world: World, operators: Operators, admin: Identity
) -> None:
    anna, bob = await world.user("anna"), await world.user("bob")
    tea = await world.rooms.create("Tea room", RoomKind.PRIVATE, anna.user.id)
    other = await world.rooms.create("tea garden", RoomKind.PUBLIC, anna.user.id)
    await world.room(RoomKind.DIRECT, {anna: Role.MEMBER, bob: Role.MEMBER})
    await world.messages.append([NewMessage(tea.id, anna.user.id, "k", {"text": "x"})])
    await world.presence.put([PresenceEntry(tea.id, anna.user.id, "1"), PresenceEntry(tea.id, bob.user.id, "2")])
    found = await operators.rooms(admin, "tea", None, 10)
    assert [(state.room, state.online, state.seq) for state in found.items] == [(other, 0, 0), (tea, 2, 1)]
    first = await operators.rooms(admin, "", None, 1)
    assert ([state.room for state in first.items], first.more) == ([other], True)
    rest = await operators.rooms(admin, "", other.id, 1)
    assert ([state.room for state in rest.items], rest.more) == ([tea], False)


async def test_members_of_any_room_are_listed_with_bans_and_presence(
    world: World, operators: Operators, admin: Identity
) -> None:
    anna, bob, carl = [await world.user(name) for name in ("anna", "bob", "carl")]
    room = await world.room(RoomKind.PRIVATE, {anna: Role.OWNER, bob: Role.MEMBER, carl: Role.BANNED})
    await world.presence.put([PresenceEntry(room.id, bob.user.id, "1")])
    found = await operators.members(admin, room.id, None, 10)
    expected = {anna.user.id: ("owner", False), bob.user.id: ("member", True), carl.user.id: ("banned", False)}
    assert {state.member.user: (state.member.role, state.online) for state in found.items} == expected
    first = await operators.members(admin, room.id, None, 2)
    assert first.more
    rest = await operators.members(admin, room.id, first.items[-1].member.user, 2)
    assert (first.items + rest.items, rest.more) == (found.items, False)
    with pytest.raises(NotFound):
        await operators.members(admin, NOWHERE, None, 10)


@pytest.mark.parametrize("was", [Role.OWNER, Role.MODERATOR, Role.MEMBER, Role.BANNED, None])
@pytest.mark.parametrize("role", [Role.OWNER, Role.MODERATOR, Role.MEMBER, Role.BANNED, None])
async def test_anybody_becomes_anything_in_any_room_and_the_fleet_is_told(
    world: World, operators: Operators, admin: Identity, was: Role | None, role: Role | None
) -> None:
    anna, bob = await world.user("anna"), await world.user("bob")
    room = await world.room(RoomKind.PRIVATE, {anna: Role.OWNER})
    await world.rooms.set_role(room.id, bob.user.id, was)
    await operators.set_role(admin, room.id, bob.user.id, role)
    assert await world.rooms.role(room.id, bob.user.id) == (room, role)
    # Who is out is told in any case: it may be the second try of a change that nobody was told of.
    told = [events.MemberChanged(room.id, bob.user.id, role)] if role is not was or role in (None, Role.BANNED) else []
    assert world.broker.of(events.MemberChanged) == told


async def test_a_direct_room_keeps_its_two(world: World, operators: Operators, admin: Identity) -> None:
    anna, bob = await world.user("anna"), await world.user("bob")
    room = await world.room(RoomKind.DIRECT, {anna: Role.MEMBER, bob: Role.MEMBER})
    for role in (None, Role.BANNED, Role.OWNER):
        with pytest.raises(Forbidden):
            await operators.set_role(admin, room.id, bob.user.id, role)
    with pytest.raises(NotFound):
        await operators.set_role(admin, NOWHERE, bob.user.id, Role.MEMBER)
