from __future__ import annotations

import contextlib
import dataclasses
from pathlib import Path
from typing import Any

import pytest
import trio

from chat.domain.errors import ChatError, Conflict, Forbidden, Invalid, NotFound, RateLimited, Unavailable
from chat.domain.rooms import Role, RoomId, RoomKind
from chat.domain.users import UserId
from chat.ports.rate_limiter import Rate
from chat.services import Post, events
from tests.support.services import UNLIMITED, World, open_world


async def role_of(world: World, room: RoomId, user: UserId) -> Role | None:
    _, role = await world.rooms.role(room, user)
    return role


async def test_who_makes_a_room_owns_it(world: World) -> None:
    who = await world.user("who")
    room = await world.services.rooms.create(who, "  Tea  ", RoomKind.PRIVATE)
    assert (room.name, room.kind) == ("Tea", RoomKind.PRIVATE)
    [summary] = await world.services.rooms.mine(who)
    assert (summary.room, summary.role, summary.title, summary.unread) == (room, Role.OWNER, "Tea", 0)


@pytest.mark.parametrize("name", ["", " ", "a" * 81, "a\u202eb", "a\nb", "\ud800"])
async def test_a_room_needs_a_name_that_can_be_read(world: World, name: str) -> None:
    with pytest.raises(Invalid, match="room name"):
        await world.services.rooms.create(await world.user("who"), name, RoomKind.PUBLIC)


async def test_nobody_makes_a_direct_room_by_that_name(world: World) -> None:
    with pytest.raises(Invalid):
        await world.services.rooms.create(await world.user("who"), "both", RoomKind.DIRECT)


async def test_a_direct_room_is_one_whoever_asks_and_is_called_after_the_other(world: World) -> None:
    alice, bob, rooms = await world.user("alice"), await world.user("bob"), world.services.rooms
    room = await rooms.direct(alice, bob.user.id)
    assert await rooms.direct(bob, alice.user.id) == room
    assert [summary.title for summary in await rooms.mine(alice)] == ["bob"]
    assert [summary.title for summary in await rooms.mine(bob)] == ["alice"]


async def test_a_direct_room_needs_another_user_who_exists(world: World) -> None:
    alice = await world.user("alice")
    with pytest.raises(Invalid):
        await world.services.rooms.direct(alice, alice.user.id)
    for other in ("nobody", "", "\ud800", "a" * 1000):
        with pytest.raises(NotFound):
            await world.services.rooms.direct(alice, UserId(other))
    assert await world.services.rooms.mine(alice) == []


async def test_a_direct_room_keeps_its_two_and_takes_no_third(world: World) -> None:
    alice, bob, carol = [await world.user(name) for name in ("alice", "bob", "carol")]
    rooms = world.services.rooms
    room = await rooms.direct(alice, bob.user.id)
    for attempt in (
        rooms.set_role(alice, room.id, carol.user.id, Role.MEMBER),
        rooms.set_role(alice, room.id, bob.user.id, Role.BANNED),
        rooms.remove(alice, room.id, bob.user.id),
        rooms.leave(alice, room.id),
    ):
        with pytest.raises(Forbidden):
            await attempt
    with pytest.raises(NotFound):
        await rooms.enter(carol, room.id)
    with pytest.raises(NotFound):
        await rooms.leave(carol, room.id)
    assert {member.user for member in await rooms.members(alice, room.id, None, 200)} == {alice.user.id, bob.user.id}


async def test_entering_a_public_room_makes_a_member_and_tells_it_once(world: World) -> None:
    owner, who = await world.user("owner"), await world.user("who")
    room = await world.room(RoomKind.PUBLIC, {owner: Role.OWNER})
    for _ in range(2):
        assert await world.services.rooms.enter(who, room.id) == (room, Role.MEMBER)
    assert await world.services.rooms.enter(owner, room.id) == (room, Role.OWNER)
    assert world.broker.of(events.MemberChanged) == [events.MemberChanged(room.id, who.user.id, "member")]


async def test_leaving_is_told_once_and_closes_a_private_room(world: World) -> None:
    owner, who = await world.user("owner"), await world.user("who")
    for kind in (RoomKind.PUBLIC, RoomKind.PRIVATE):
        room = await world.room(kind, {owner: Role.OWNER, who: Role.MEMBER})
        await world.services.rooms.leave(who, room.id)
        with contextlib.nullcontext() if kind is RoomKind.PUBLIC else pytest.raises(NotFound):
            await world.services.rooms.leave(who, room.id)
        assert world.broker.of(events.MemberChanged)[-1:] == [events.MemberChanged(room.id, who.user.id, None)]
    assert len(world.broker.calls) == 2


async def test_the_last_owner_cannot_leave_others_behind(world: World) -> None:
    owner, heir, banned = [await world.user(name) for name in ("owner", "heir", "banned")]
    rooms = world.services.rooms
    room = await world.room(RoomKind.PRIVATE, {owner: Role.OWNER, heir: Role.MEMBER, banned: Role.BANNED})
    with pytest.raises(Conflict):
        await rooms.leave(owner, room.id)
    await rooms.set_role(owner, room.id, heir.user.id, Role.OWNER)
    await rooms.leave(owner, room.id)
    await rooms.leave(heir, room.id)  # those who are banned are no company
    assert await role_of(world, room.id, heir.user.id) is None


async def test_one_changes_only_those_below_oneself(world: World) -> None:
    names = ("owner", "owner2", "moderator", "moderator2", "member")
    owner, owner2, moderator, moderator2, member = [await world.user(name) for name in names]
    rooms = world.services.rooms
    room = await world.room(
        RoomKind.PRIVATE,
        {
            owner: Role.OWNER,
            owner2: Role.OWNER,
            moderator: Role.MODERATOR,
            moderator2: Role.MODERATOR,
            member: Role.MEMBER,
        },
    )
    for who, above in [(owner, owner2), (moderator, owner), (moderator, moderator2), (moderator, moderator)]:
        for attempt in (
            rooms.remove(who, room.id, above.user.id),
            rooms.set_role(who, room.id, above.user.id, Role.BANNED),
            rooms.set_role(who, room.id, above.user.id, Role.MEMBER),
        ):
            with pytest.raises(Forbidden):
                await attempt
    assert world.broker.calls == []

    await rooms.set_role(owner, room.id, moderator2.user.id, Role.MEMBER)
    await rooms.remove(moderator, room.id, moderator2.user.id)
    assert await role_of(world, room.id, moderator2.user.id) is None


async def test_a_role_that_is_so_already_is_no_change(world: World) -> None:
    owner, moderator, member = [await world.user(name) for name in ("owner", "moderator", "member")]
    room = await world.room(RoomKind.PRIVATE, {owner: Role.OWNER, moderator: Role.MODERATOR, member: Role.MEMBER})
    await world.services.rooms.set_role(owner, room.id, owner.user.id, Role.OWNER)
    await world.services.rooms.set_role(moderator, room.id, member.user.id, Role.MEMBER)
    assert world.broker.calls == []


@pytest.mark.parametrize("role", [None, Role.BANNED])
async def test_a_removal_that_may_have_been_done_is_told_when_it_is_tried_again(
    world: World, monkeypatch: pytest.MonkeyPatch, role: Role | None
) -> None:
    owner, member, rooms = await world.user("owner"), await world.user("member"), world.services.rooms
    room = await world.room(RoomKind.PRIVATE, {owner: Role.OWNER, member: Role.MEMBER})

    async def remove() -> None:
        if role is None:
            await rooms.remove(owner, room.id, member.user.id)
        else:
            await rooms.set_role(owner, room.id, member.user.id, role)

    async def without_answer(*change: Any, **was: Any) -> bool:
        await set_role(*change, **was)
        raise Unavailable("no answer")

    set_role = world.rooms.set_role
    with monkeypatch.context() as patched:
        patched.setattr(world.rooms, "set_role", without_answer)
        with pytest.raises(Unavailable):
            await remove()
    assert await role_of(world, room.id, member.user.id) is role
    assert world.broker.of(events.MemberChanged) == []
    await remove()
    assert world.broker.of(events.MemberChanged) == [events.MemberChanged(room.id, member.user.id, role)]


async def test_a_ban_keeps_out_until_it_is_lifted(world: World) -> None:
    owner, who, rooms = await world.user("owner"), await world.user("who"), world.services.rooms
    room = await world.room(RoomKind.PUBLIC, {owner: Role.OWNER})
    await rooms.set_role(owner, room.id, who.user.id, Role.BANNED)
    with pytest.raises(NotFound):
        await rooms.enter(who, room.id)
    with pytest.raises(NotFound):
        await rooms.leave(who, room.id)
    for role in (Role.MEMBER, Role.MODERATOR, Role.OWNER):
        with pytest.raises(Conflict):
            await rooms.set_role(owner, room.id, who.user.id, role)
    assert await role_of(world, room.id, who.user.id) is Role.BANNED

    await rooms.remove(owner, room.id, who.user.id)
    assert await rooms.enter(who, room.id) == (room, Role.MEMBER)
    changes = [event.role for event in world.broker.of(events.MemberChanged)]
    assert changes == ["banned", None, "member"]


async def test_only_moderators_see_who_is_banned_and_pages_have_no_holes(world: World) -> None:
    people = sorted([await world.user(f"name{number}") for number in range(6)], key=lambda who: who.user.id)
    owner, member, *banned = people[5], people[3], *people[0:3], people[4]
    room = await world.room(
        RoomKind.PRIVATE, {owner: Role.OWNER, member: Role.MEMBER} | dict.fromkeys(banned, Role.BANNED)
    )
    rooms = world.services.rooms
    assert [m.user for m in await rooms.members(owner, room.id, None, 200)] == [who.user.id for who in people]
    assert [m.user for m in await rooms.members(member, room.id, None, 1)] == [member.user.id]
    assert [m.user for m in await rooms.members(member, room.id, member.user.id, 1)] == [owner.user.id]
    assert await rooms.members(member, room.id, owner.user.id, 1) == []


@pytest.mark.parametrize("limit", [0, -1, 201, 2**70])
async def test_a_page_has_a_size(world: World, limit: int) -> None:
    owner = await world.user("owner")
    room = await world.room(RoomKind.PRIVATE, {owner: Role.OWNER})
    with pytest.raises(Invalid):
        await world.services.rooms.members(owner, room.id, None, limit)
    with pytest.raises(Invalid):
        await world.services.rooms.public(owner, None, limit)


async def test_public_rooms_are_paged_and_private_ones_are_not_among_them(world: World) -> None:
    who, rooms = await world.user("who"), world.services.rooms
    public = sorted([(await rooms.create(who, f"room {n}", RoomKind.PUBLIC)).id for n in range(3)])
    await rooms.create(who, "secret", RoomKind.PRIVATE)
    first = await rooms.public(who, None, 2)
    rest = await rooms.public(who, first[-1].id, 2)
    assert [room.id for room in (*first, *rest)] == public
    with pytest.raises(Invalid):
        await rooms.public(who, RoomId("NO ID"), 2)


async def test_unread_is_counted_from_the_mark(world: World) -> None:
    owner, who = await world.user("owner"), await world.user("who")
    room = await world.room(RoomKind.PRIVATE, {owner: Role.OWNER, who: Role.MEMBER})
    await world.services.messaging.post(owner, [Post(room.id, f"k{n}", {"text": "hello"}) for n in range(5)])
    await world.services.messaging.mark_read(who, room.id, 2)
    [summary] = await world.services.rooms.mine(who)
    assert (summary.top_seq, summary.read_seq, summary.unread) == (5, 2, 3)


async def test_b39_of_a_ban_and_a_join_that_race_the_ban_wins(world: World) -> None:
    owner, rooms = await world.user("owner"), world.services.rooms
    room = await world.room(RoomKind.PUBLIC, {owner: Role.OWNER})
    people = [await world.user(f"name{number}") for number in range(20)]

    async def join(index: int) -> None:
        with contextlib.suppress(NotFound):
            await rooms.enter(people[index], room.id)

    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            for index, who in enumerate(people):
                nursery.start_soon(join, index)
                nursery.start_soon(rooms.set_role, owner, room.id, who.user.id, Role.BANNED)

    assert {await role_of(world, room.id, who.user.id) for who in people} == {Role.BANNED}
    last = {event.user: event.role for event in world.broker.of(events.MemberChanged)}
    assert set(last.values()) == {"banned"}


async def test_b39_of_a_ban_and_a_leave_that_race_the_ban_wins(world: World) -> None:
    owner, rooms = await world.user("owner"), world.services.rooms
    people = [await world.user(f"name{number}") for number in range(20)]
    room = await world.room(RoomKind.PUBLIC, {owner: Role.OWNER} | dict.fromkeys(people, Role.MEMBER))

    async def leave(index: int) -> None:
        with contextlib.suppress(NotFound):
            await rooms.leave(people[index], room.id)

    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            for index, who in enumerate(people):
                nursery.start_soon(leave, index)
                nursery.start_soon(rooms.set_role, owner, room.id, who.user.id, Role.BANNED)

    assert {await role_of(world, room.id, who.user.id) for who in people} == {Role.BANNED}


async def test_b43_one_user_is_not_put_into_any_number_of_rooms(tmp_path: Path) -> None:
    limits = dataclasses.replace(UNLIMITED, invite_per_target=Rate(0.001, 2))
    async with open_world(tmp_path, limits=limits) as world:
        victim = await world.user("victim")
        outcomes: list[type[ChatError] | None] = []
        for number in range(4):  # each time by somebody else
            owner = await world.user(f"name{number}")
            room = await world.services.rooms.create(owner, "spam", RoomKind.PRIVATE)
            try:
                await world.services.rooms.set_role(owner, room.id, victim.user.id, Role.MEMBER)
                outcomes.append(None)
            except RateLimited as error:
                outcomes.append(type(error))
        assert outcomes == [None, None, RateLimited, RateLimited]
        # A ban puts nobody into a room.
        await world.services.rooms.set_role(owner, room.id, victim.user.id, Role.BANNED)


async def test_new_rooms_are_limited_and_finding_a_direct_one_again_is_not(tmp_path: Path) -> None:
    limits = dataclasses.replace(UNLIMITED, create_room_per_user=Rate(0.001, 2))
    async with open_world(tmp_path, limits=limits) as world:
        who, other, third = [await world.user(name) for name in ("who", "other", "third")]
        await world.services.rooms.create(who, "one", RoomKind.PUBLIC)
        for _ in range(5):
            await world.services.rooms.direct(who, other.user.id)
        with pytest.raises(RateLimited):
            await world.services.rooms.create(who, "three", RoomKind.PUBLIC)
        with pytest.raises(RateLimited):
            await world.services.rooms.direct(who, third.user.id)


async def test_a_broker_that_is_away_fails_no_change_of_members(world: World) -> None:
    owner, who = await world.user("owner"), await world.user("who")
    room = await world.room(RoomKind.PUBLIC, {owner: Role.OWNER})
    world.broker.is_away = True
    await world.services.rooms.enter(who, room.id)
    assert await role_of(world, room.id, who.user.id) is Role.MEMBER


async def test_a_banned_account_is_not_found_by_name(world: World) -> None:
    alice, bob = await world.user("alice"), await world.user("bob")
    assert await world.services.rooms.find_user(alice, "BOB") == bob.user
    await world.services.auth.ban(bob.user.id)
    with pytest.raises(NotFound):
        await world.services.rooms.find_user(alice, "bob")


async def test_nobody_collects_who_is_there(tmp_path: Path) -> None:
    limits = dataclasses.replace(UNLIMITED, find_per_user=Rate(0.001, 2))
    async with open_world(tmp_path, limits=limits) as world:
        alice = await world.user("alice")
        for name in ("alice", "nobody"):
            with contextlib.suppress(NotFound):
                await world.services.rooms.find_user(alice, name)
        with pytest.raises(RateLimited):
            await world.services.rooms.find_user(alice, "alice")
