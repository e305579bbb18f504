"""What every `RoomStore` promises."""

from __future__ import annotations

import itertools
import re
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chat.domain.errors import NotFound
from chat.domain.messages import NewMessage, Position
from chat.domain.rooms import Member, Role, Room, RoomId, RoomKind
from chat.domain.users import User, UserId
from tests.support.stores import SHARDED_STORES, Stores, StoresFactory

NOWHERE = RoomId("nowhere")
NOBODY = UserId("nobody")


@pytest.fixture(params=SHARDED_STORES)
async def stores(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Stores]:
    async with request.param(tmp_path) as stores:
        yield stores


@pytest.fixture
async def owner(stores: Stores) -> User:
    return await stores.new_user()


@pytest.fixture
async def room(stores: Stores, owner: User) -> Room:
    return await stores.new_room(owner)


# --- rooms ---


@pytest.mark.parametrize("kind", [RoomKind.PUBLIC, RoomKind.PRIVATE])
async def test_a_room_is_found_as_it_was_created(stores: Stores, owner: User, kind: RoomKind) -> None:
    room = await stores.rooms.create("Grüße", kind, owner.id)
    assert (room.name, room.kind) == ("Grüße", kind)
    assert await stores.rooms.room(room.id) == room
    assert await stores.rooms.role(room.id, owner.id) == (room, Role.OWNER)


async def test_rooms_have_ids_and_epochs_of_their_own(stores: Stores, owner: User) -> None:
    rooms = [await stores.new_room(owner) for _ in range(20)]
    assert len({room.id for room in rooms}) == len({room.epoch for room in rooms}) == 20
    for room in rooms:
        assert re.fullmatch("[a-z0-9_-]{1,32}", room.id)
        assert 1 <= len(room.epoch) <= 16


async def test_an_unknown_owner_creates_no_room(stores: Stores) -> None:
    with pytest.raises(NotFound):
        await stores.rooms.create("room", RoomKind.PUBLIC, NOBODY)
    assert await stores.rooms.public_rooms(None, 10) == []


async def test_a_room_that_does_not_exist_is_not_found(stores: Stores, owner: User) -> None:
    for refused in (
        stores.rooms.room(NOWHERE),
        stores.rooms.role(NOWHERE, owner.id),
        stores.rooms.set_role(NOWHERE, owner.id, Role.MEMBER),
    ):
        with pytest.raises(NotFound):
            await refused


async def test_public_rooms_are_listed_in_pages(stores: Stores, owner: User) -> None:
    rooms = [await stores.new_room(owner) for _ in range(7)]
    await stores.new_room(owner, RoomKind.PRIVATE)
    await stores.rooms.direct(owner.id, (await stores.new_user()).id)
    first = await stores.rooms.public_rooms(None, 4)
    rest = await stores.rooms.public_rooms(first[-1].id, 4)
    assert first + rest == sorted(rooms, key=lambda room: room.id)


async def test_rooms_are_found_by_the_beginning_of_their_name_in_any_case(stores: Stores, owner: User) -> None:
    names = ("Übung", "übrig", "Uhr", "u%", "u_", "uhu")
    rooms = {name: await stores.new_room(owner, name=name) for name in names}
    private = await stores.new_room(owner, RoomKind.PRIVATE, "Uhrwerk")
    await stores.rooms.direct(owner.id, (await stores.new_user()).id)
    assert await stores.rooms.search("ÜB", None, 10) == [rooms["übrig"], rooms["Übung"]]
    assert await stores.rooms.search("uhr", None, 10) == [rooms["Uhr"], private]
    assert await stores.rooms.search("U%", None, 10) == [rooms["u%"]]
    assert await stores.rooms.search("none", None, 10) == []
    found = [room.name for room in await stores.rooms.search("", None, 10)]
    assert found == ["u%", "u_", "Uhr", "Uhrwerk", "uhu", "übrig", "Übung"]


async def test_found_rooms_are_read_page_by_page(stores: Stores, owner: User) -> None:
    for number in range(24):
        await stores.new_room(owner, name="Tea" if number % 2 else "tea room")
    seen: list[Room] = []
    while page := await stores.rooms.search("tea", seen[-1].id if seen else None, 5):
        assert len(page) <= 5
        seen += page
    assert len(seen) == 24
    assert seen == sorted(seen, key=lambda room: (room.name.lower(), room.id))
    with pytest.raises(NotFound):
        await stores.rooms.search("tea", NOWHERE, 5)


# --- direct rooms ---


async def test_a_direct_room_is_the_same_whoever_asks(stores: Stores, owner: User) -> None:
    other = await stores.new_user()
    room = await stores.rooms.direct(owner.id, other.id)
    assert (room.kind, room.name) == (RoomKind.DIRECT, "")
    assert await stores.rooms.direct(other.id, owner.id) == room
    assert {member.user for member in await stores.rooms.members(room.id, None, 10)} == {owner.id, other.id}
    assert {member.role for member in await stores.rooms.members(room.id, None, 10)} == {Role.MEMBER}


async def test_a_direct_room_is_made_once_however_many_ask(stores: Stores, owner: User) -> None:
    other = await stores.new_user()
    found: list[Room] = []

    async def ask(first: User, second: User) -> None:
        found.append(await stores.rooms.direct(first.id, second.id))

    async with trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(ask, owner, other)
            nursery.start_soon(ask, other, owner)
    assert len({room.id for room in found}) == 1


async def test_every_pair_has_a_direct_room_of_its_own(stores: Stores) -> None:
    users = [await stores.new_user() for _ in range(4)]
    rooms = [await stores.rooms.direct(one.id, two.id) for one, two in itertools.combinations(users, 2)]
    assert len({room.id for room in rooms}) == 6


async def test_one_can_write_to_oneself(stores: Stores, owner: User) -> None:
    room = await stores.rooms.direct(owner.id, owner.id)
    assert [member.user for member in await stores.rooms.members(room.id, None, 10)] == [owner.id]


async def test_a_direct_room_with_nobody_is_not_made(stores: Stores, owner: User) -> None:
    with pytest.raises(NotFound):
        await stores.rooms.direct(owner.id, NOBODY)
    assert await stores.rooms.rooms_of(owner.id) == []


# --- members ---


async def test_a_role_is_written_changed_and_removed(stores: Stores, room: Room) -> None:
    user = (await stores.new_user()).id
    assert await stores.rooms.role(room.id, user) == (room, None)
    for role in (Role.MEMBER, Role.MODERATOR, Role.BANNED, None):
        assert await stores.rooms.set_role(room.id, user, role) is True
        assert await stores.rooms.role(room.id, user) == (room, role)
        assert await stores.rooms.set_role(room.id, user, role) is False


async def test_many_roles_are_told_in_one_answer_each(stores: Stores, room: Room, owner: User) -> None:
    other = await stores.new_room(owner)
    users = [await stores.new_user() for _ in range(3)]
    await stores.rooms.set_role(room.id, users[0].id, Role.MEMBER)
    await stores.rooms.set_role(other.id, users[1].id, Role.BANNED)
    asked = [(place.id, user.id) for place in (room, other) for user in (owner, *users)]
    roles = [Role.OWNER, Role.MEMBER, None, None, Role.OWNER, None, Role.BANNED, None]
    answers = await stores.rooms.role_each([*asked, (NOWHERE, owner.id), asked[1]])
    assert answers[:8] == [*zip([room] * 4 + [other] * 4, roles, strict=True)]
    assert isinstance(answers[8], NotFound)
    assert answers[9] == (room, Role.MEMBER)
    assert await stores.rooms.role_each([]) == []


async def test_an_unknown_user_gets_no_role(stores: Stores, room: Room) -> None:
    with pytest.raises(NotFound):
        await stores.rooms.set_role(room.id, NOBODY, Role.MEMBER)


async def test_a_role_that_is_not_as_expected_stays(stores: Stores, room: Room) -> None:
    user = (await stores.new_user()).id
    assert await stores.rooms.set_role(room.id, user, Role.BANNED)
    assert not await stores.rooms.set_role(room.id, user, Role.MEMBER, was=None)
    assert not await stores.rooms.set_role(room.id, user, None, was=Role.MEMBER)
    assert await stores.rooms.role(room.id, user) == (room, Role.BANNED)
    assert await stores.rooms.set_role(room.id, user, None, was=Role.BANNED)
    assert await stores.rooms.set_role(room.id, user, Role.MEMBER, was=None)


async def test_of_many_changes_that_expect_the_same_role_one_is_made(stores: Stores, room: Room) -> None:
    user = (await stores.new_user()).id
    changed: list[bool] = []

    async def change(role: Role) -> None:
        changed.append(await stores.rooms.set_role(room.id, user, role, was=None))

    async with trio.open_nursery() as nursery:
        for _ in range(10):
            nursery.start_soon(change, Role.MEMBER)
            nursery.start_soon(change, Role.BANNED)
    assert sorted(changed) == [False] * 19 + [True]


async def test_members_are_listed_in_pages_banned_ones_included(stores: Stores, room: Room, owner: User) -> None:
    expected = [Member(owner.id, owner.name, Role.OWNER, 0)]
    for role in (Role.MEMBER, Role.MODERATOR, Role.BANNED, Role.MEMBER):
        user = await stores.new_user()
        await stores.rooms.set_role(room.id, user.id, role)
        expected.append(Member(user.id, user.name, role, 0))
    first = await stores.rooms.members(room.id, None, 3)
    rest = await stores.rooms.members(room.id, first[-1].user, 3)
    assert first + rest == sorted(expected, key=lambda member: member.user)
    assert await stores.rooms.members(NOWHERE, None, 3) == []


async def test_rooms_of_a_user_are_listed_by_name_without_bans(stores: Stores, owner: User) -> None:
    user = await stores.new_user()
    rooms = {name: await stores.new_room(owner, name=name) for name in ("c", "a", "d", "b")}
    for name, role in (("a", Role.MEMBER), ("b", Role.MODERATOR), ("c", Role.OWNER), ("d", Role.BANNED)):
        await stores.rooms.set_role(rooms[name].id, user.id, role)
    await stores.append(rooms["b"], owner)
    await stores.append(rooms["b"], owner)
    await stores.rooms.mark_read([(rooms["b"].id, user.id, 1)])
    assert await stores.rooms.rooms_of(user.id) == [
        (rooms["a"], Role.MEMBER, Position(rooms["a"].epoch, 0), 0),
        (rooms["b"], Role.MODERATOR, Position(rooms["b"].epoch, 2), 1),
        (rooms["c"], Role.OWNER, Position(rooms["c"].epoch, 0), 0),
    ]


# --- read marks ---


async def test_a_read_mark_only_rises_and_ends_at_the_top(stores: Stores, room: Room, owner: User) -> None:
    for _ in range(5):
        await stores.append(room, owner)
    asked = [3, 2, 4, -7, 2**80, 1]
    assert [(await stores.rooms.mark_read([(room.id, owner.id, seq)]))[0] for seq in asked] == [3, 3, 4, 4, 5, 5]
    (member,) = await stores.rooms.members(room.id, None, 10)
    assert member.read_seq == 5


async def test_marks_are_answered_in_their_order(stores: Stores, room: Room, owner: User) -> None:
    other = await stores.new_room(owner)
    for each in (room, room, other):
        await stores.append(each, owner)
    asked = [(other.id, owner.id, 9), (room.id, owner.id, 1), (NOWHERE, owner.id, 1), (room.id, owner.id, 2)]
    assert await stores.rooms.mark_read(asked) == [1, 1, 0, 2]
    assert await stores.rooms.mark_read([]) == []


async def test_whoever_is_no_member_has_no_mark_to_raise(stores: Stores, room: Room, owner: User) -> None:
    await stores.append(room, owner)
    stranger, banned = await stores.new_user(), await stores.new_user()
    await stores.rooms.set_role(room.id, banned.id, Role.BANNED)
    assert await stores.rooms.mark_read([(room.id, stranger.id, 1), (room.id, banned.id, 1)]) == [0, 0]


async def test_a_read_mark_outlives_the_membership(stores: Stores, room: Room, owner: User) -> None:
    user = await stores.new_user()
    await stores.append(room, owner)
    await stores.rooms.set_role(room.id, user.id, Role.MEMBER)
    await stores.rooms.mark_read([(room.id, user.id, 1)])
    await stores.rooms.set_role(room.id, user.id, None)
    assert await stores.rooms.mark_read([(room.id, user.id, 0)]) == [1]
    await stores.rooms.set_role(room.id, user.id, Role.MODERATOR)
    assert [read for *_, read in await stores.rooms.rooms_of(user.id)] == [1]


async def test_unread_mentions_are_those_beyond_the_mark(stores: Stores, room: Room, owner: User) -> None:
    reader, other = await stores.new_user("reader"), await stores.new_room(owner)
    for each in (room, other):
        await stores.rooms.set_role(each.id, reader.id, Role.MEMBER)
        for number in range(4):
            names = ("Reader",) if number % 2 else ("nobody",)
            await stores.messages.append([NewMessage(each.id, owner.id, str(number), {}, mentions=names)])
    assert await stores.rooms.unread_mentions(owner.id) == {}
    assert await stores.rooms.unread_mentions(reader.id) == {room.id: [2, 4], other.id: [2, 4]}
    await stores.rooms.mark_read([(room.id, reader.id, 2), (other.id, reader.id, 4)])
    assert await stores.rooms.unread_mentions(reader.id) == {room.id: [4]}
    await stores.messages.delete(room.id, 4)
    assert await stores.rooms.unread_mentions(reader.id) == {}


# --- against a model ---

_roles = st.sampled_from([*Role, None])
_changes = st.tuples(st.integers(0, 1), st.integers(0, 2), _roles, st.just(...) | _roles)


@pytest.mark.parametrize("open_stores", SHARDED_STORES)
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(changes=st.lists(_changes, max_size=20))
def test_memberships_behave_like_a_dictionary(open_stores: StoresFactory, changes: list[Any]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        trio.run(_compare, open_stores, Path(directory), changes)


async def _compare(open_stores: StoresFactory, directory: Path, changes: list[Any]) -> None:
    async with open_stores(directory) as stores:
        users = [await stores.new_user() for _ in range(3)]
        rooms = [await stores.new_room(users[0]) for _ in range(2)]
        model: dict[tuple[RoomId, UserId], Role | None] = {(room.id, users[0].id): Role.OWNER for room in rooms}
        for room_number, user_number, role, was in changes:
            place = rooms[room_number].id, users[user_number].id
            current = model.get(place)
            changes_it = role is not current and was in (..., current)
            assert await stores.rooms.set_role(*place, role, was=was) is changes_it
            if changes_it:
                model[place] = role
        for room, user in itertools.product(rooms, users):
            assert await stores.rooms.role(room.id, user.id) == (room, model.get((room.id, user.id)))
        for user in users:
            listed = {room.id: role for room, role, _, _ in await stores.rooms.rooms_of(user.id)}
            expected = {room.id: model.get((room.id, user.id)) for room in rooms}
            assert listed == {room: role for room, role in expected.items() if role not in (None, Role.BANNED)}
