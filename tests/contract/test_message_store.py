"""What every `MessageStore` promises."""

from __future__ import annotations

import random
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chat.domain.errors import Invalid, NotFound
from chat.domain.messages import Appended, Message, NewMessage, Position
from chat.domain.rooms import Role, Room, RoomId, RoomKind
from chat.domain.users import User, UserId
from tests.support.stores import SHARDED_STORES, Stores, StoresFactory, accepted


@pytest.fixture(params=SHARDED_STORES)
async def stores(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Stores]:
    async with request.param(tmp_path) as stores:
        yield stores


@pytest.fixture
async def user(stores: Stores) -> User:
    return await stores.new_user()


@pytest.fixture
async def room(stores: Stores, user: User) -> Room:
    return await stores.new_room(user)


def new(room: Room, user: User, key: str, **body: Any) -> NewMessage:
    return NewMessage(room.id, user.id, key, body)


async def history(stores: Stores, room: Room) -> list[Message]:
    """All messages of a room, page by page."""
    messages: list[Message] = []
    while page := await stores.messages.read_after(room.id, len(messages), 500):
        messages += page
    return messages


# --- append ---


async def test_positions_count_from_one_in_each_room(stores: Stores, room: Room, user: User) -> None:
    other = await stores.new_room()
    answers = await stores.messages.append([new(room, user, "a"), new(other, user, "b"), new(room, user, "c")])
    assert [accepted(answer).seq for answer in answers] == [1, 1, 2]
    assert [accepted(answer).epoch for answer in answers] == [room.epoch, other.epoch, room.epoch]
    assert not any(accepted(answer).duplicate for answer in answers)


async def test_nothing_appended_answers_nothing(stores: Stores) -> None:
    assert await stores.messages.append([]) == []


async def test_a_message_is_read_as_it_was_appended(stores: Stores, room: Room, user: User) -> None:
    body = {"text": "grüße 👋\0", "n": -(2**63), "big": 2**64 - 1, "f": 1.5, "b": b"\0\xff", "l": [None, True, {}]}
    await stores.messages.append([NewMessage(room.id, user.id, "k", body)])
    ts = round(stores.clock.now * 1000)
    assert await stores.messages.read_one(room.id, 1) == Message(room.id, 1, ts, user.id, "k", body, 0, False)


async def test_a_retry_gets_the_first_answer(stores: Stores, room: Room, user: User) -> None:
    first = await stores.append(room, user, "k", "first")
    stores.clock.advance(3600)
    await stores.append(room, user, "other")
    again = await stores.append(room, user, "k", "second")
    assert again == Appended(first.epoch, first.seq, first.ts, duplicate=True)
    assert [message.body["text"] for message in await history(stores, room)] == ["first", ""]


async def test_a_key_that_comes_twice_in_one_call_is_stored_once(stores: Stores, room: Room, user: User) -> None:
    answers = await stores.messages.append([new(room, user, "k"), new(room, user, "x"), new(room, user, "k")])
    assert [(accepted(answer).seq, accepted(answer).duplicate) for answer in answers] == [
        (1, False),
        (2, False),
        (1, True),
    ]
    assert len(await history(stores, room)) == 2


async def test_a_key_belongs_to_its_sender_and_room(stores: Stores, room: Room, user: User) -> None:
    other_user, other_room = await stores.new_user(), await stores.new_room()
    answers = [await stores.append(*where, "k") for where in ((room, user), (room, other_user), (other_room, user))]
    assert [(answer.seq, answer.duplicate) for answer in answers] == [(1, False), (2, False), (1, False)]


async def test_an_unknown_room_is_answered_and_spoils_nothing(stores: Stores, room: Room, user: User) -> None:
    messages = [new(room, user, "a"), NewMessage(RoomId("nowhere"), user.id, "b", {}), new(room, user, "c")]
    first, unknown, last = await stores.messages.append(messages)
    assert isinstance(unknown, NotFound)
    assert (accepted(first).seq, accepted(last).seq) == (1, 2)


@pytest.mark.parametrize("body", [{"n": 2**64}, {"o": object()}, {"s": "\ud800"}], ids=["integer", "object", "text"])
async def test_a_body_that_cannot_be_stored_is_refused_alone(
    stores: Stores, room: Room, user: User, body: dict[str, Any]
) -> None:
    refused, fine = await stores.messages.append([NewMessage(room.id, user.id, "a", body), new(room, user, "b")])
    assert isinstance(refused, Invalid)
    assert accepted(fine).seq == 1


async def test_a_key_that_is_no_text_is_refused_alone(stores: Stores, room: Room, user: User) -> None:
    refused, fine = await stores.messages.append([new(room, user, "\udfff"), new(room, user, "b")])
    assert isinstance(refused, Invalid)
    assert accepted(fine).seq == 1


async def test_time_never_runs_back_within_a_room(stores: Stores, room: Room, user: User) -> None:
    first = await stores.append(room, user)
    stores.clock.advance(-3600)
    second = await stores.append(room, user)
    stores.clock.advance(7200)
    third = await stores.append(room, user)
    assert first.ts == second.ts
    assert third.ts == first.ts + 3_600_000


async def test_concurrent_appends_are_numbered_without_a_gap(stores: Stores, user: User) -> None:
    rooms = [await stores.new_room() for _ in range(3)]
    answers: dict[tuple[RoomId, str], int] = {}

    async def post(sender: int) -> None:
        for number in range(10):
            batch = [new(rooms[(sender + i) % 3], user, f"{sender} {number} {i}") for i in range(4)]
            for message, answer in zip(batch, await stores.messages.append(batch), strict=True):
                answers[message.room, message.key] = accepted(answer).seq

    async with trio.open_nursery() as nursery:
        for sender in range(25):
            nursery.start_soon(post, sender)
    for room in rooms:
        stored = await history(stores, room)
        assert [message.seq for message in stored] == list(range(1, len(stored) + 1))
        assert {(room.id, message.key): message.seq for message in stored}.items() <= answers.items()
    assert len(answers) == 1000


async def test_each_sender_finds_its_messages_in_the_order_of_its_calls(stores: Stores, room: Room, user: User) -> None:
    async def post(sender: int) -> None:
        for number in range(10):
            await stores.append(room, user, f"{sender} {number}")

    async with trio.open_nursery() as nursery:
        for sender in range(20):
            nursery.start_soon(post, sender)
    stored = await history(stores, room)
    for sender in range(20):
        own = [message.key for message in stored if message.key.startswith(f"{sender} ")]
        assert own == [f"{sender} {number}" for number in range(10)]


async def test_of_concurrent_retries_one_is_first_and_all_get_its_answer(
    stores: Stores, room: Room, user: User
) -> None:
    answers: list[Appended] = []

    async def post() -> None:
        answers.append(await stores.append(room, user, "k"))

    async with trio.open_nursery() as nursery:
        for _ in range(50):
            nursery.start_soon(post)
    assert sorted(answer.duplicate for answer in answers) == [False] + [True] * 49
    assert {(answer.seq, answer.ts) for answer in answers} == {(1, answers[0].ts)}


@pytest.mark.parametrize("seed", range(5))
async def test_a_cancelled_append_is_done_or_not_done(stores: Stores, room: Room, user: User, seed: int) -> None:
    chance = random.Random(seed)
    answered: dict[str, int] = {}

    async def post(key: str, patience: float) -> None:
        for part in range(5):
            with trio.move_on_after(patience):
                batch = [new(room, user, f"{key} {part} {half}") for half in ("left", "right")]
                answers = await stores.messages.append(batch)
                answered.update({m.key: accepted(a).seq for m, a in zip(batch, answers, strict=True)})

    async with trio.open_nursery() as nursery:
        for number in range(100):
            nursery.start_soon(post, str(number), chance.choice((0, 0.0005, 0.002, 0.005, 1)))
    # A write of our own is behind all that were under way.
    await stores.append(room, user, "last")
    stored = await history(stores, room)
    assert [message.seq for message in stored] == list(range(1, len(stored) + 1))
    seqs = {message.key: message.seq for message in stored}
    assert len(seqs) == len(stored)
    assert answered.items() <= seqs.items()
    for key, seq in seqs.items():
        if key.endswith("left"):
            assert seqs[key.replace("left", "right")] == seq + 1


# --- positions ---


async def test_the_top_is_the_newest_position(stores: Stores, room: Room, user: User) -> None:
    assert await stores.messages.top(room.id) == Position(room.epoch, 0)
    await stores.append(room, user)
    await stores.append(room, user)
    assert await stores.messages.top(room.id) == Position(room.epoch, 2)


async def test_an_unknown_room_has_no_top(stores: Stores) -> None:
    with pytest.raises(NotFound):
        await stores.messages.top(RoomId("nowhere"))


async def test_tops_leave_out_rooms_that_do_not_exist(stores: Stores, room: Room, user: User) -> None:
    many = [await stores.new_room(user) for _ in range(250)]
    await stores.append(room, user)
    found = await stores.messages.tops([room.id, RoomId("nowhere"), *(each.id for each in many)])
    assert found == {room.id: Position(room.epoch, 1), **{each.id: Position(each.epoch, 0) for each in many}}


# --- history ---


async def test_history_is_paged_both_ways_oldest_first(stores: Stores, room: Room, user: User) -> None:
    await stores.messages.append([new(room, user, str(number)) for number in range(1, 11)])

    async def after(seq: int, limit: int) -> list[int]:
        return [message.seq for message in await stores.messages.read_after(room.id, seq, limit)]

    async def before(seq: int | None, limit: int) -> list[int]:
        return [message.seq for message in await stores.messages.read_before(room.id, seq, limit)]

    assert await after(0, 3) == [1, 2, 3]
    assert await after(8, 3) == [9, 10]
    assert await after(10, 3) == []
    assert await before(None, 3) == [8, 9, 10]
    assert await before(4, 2) == [2, 3]
    assert await before(1, 3) == []


@pytest.mark.parametrize("seq", [-(2**80), -1, 2**63, 2**80])
async def test_a_position_beyond_all_bounds_is_only_far_away(stores: Stores, room: Room, user: User, seq: int) -> None:
    await stores.append(room, user)
    assert len(await stores.messages.read_after(room.id, seq, 10)) == (1 if seq < 0 else 0)
    assert len(await stores.messages.read_before(room.id, seq, 10)) == (0 if seq < 0 else 1)
    for refused in (
        stores.messages.read_one(room.id, seq),
        stores.messages.edit(room.id, seq, {}),
        stores.messages.delete(room.id, seq),
    ):
        with pytest.raises(NotFound):
            await refused


async def test_history_ends_at_five_hundred_messages(stores: Stores, room: Room, user: User) -> None:
    await stores.messages.append([new(room, user, str(number)) for number in range(510)])
    assert len(await stores.messages.read_after(room.id, 0, 10_000)) == 500
    assert len(await stores.messages.read_before(room.id, None, 10_000)) == 500


async def test_a_message_is_read_by_whoever_saw_it_acknowledged(stores: Stores, room: Room, user: User) -> None:
    async def post_and_read(number: int) -> None:
        answer = await stores.append(room, user, str(number))
        assert (await stores.messages.read_one(room.id, answer.seq)).key == str(number)
        assert (await stores.messages.top(room.id)).seq >= answer.seq

    async with trio.open_nursery() as nursery:
        for number in range(100):
            nursery.start_soon(post_and_read, number)


# --- edit and delete ---


async def test_an_edit_replaces_the_body_and_counts_the_revision(stores: Stores, room: Room, user: User) -> None:
    await stores.append(room, user, "k", "one")
    before = await stores.messages.read_one(room.id, 1)
    edited = await stores.messages.edit(room.id, 1, {"text": "two"})
    assert edited == Message(room.id, 1, before.ts, user.id, "k", {"text": "two"}, 1, False)
    assert (await stores.messages.edit(room.id, 1, {"text": "three"})).revision == 2
    assert (await stores.messages.read_one(room.id, 1)).body == {"text": "three"}


async def test_a_body_that_cannot_be_stored_edits_nothing(stores: Stores, room: Room, user: User) -> None:
    await stores.append(room, user, text="one")
    with pytest.raises(Invalid):
        await stores.messages.edit(room.id, 1, {"n": 2**64})
    assert (await stores.messages.read_one(room.id, 1)).body == {"text": "one"}


async def test_a_deleted_message_keeps_its_place_and_nothing_else(stores: Stores, room: Room, user: User) -> None:
    await stores.append(room, user, "k", "secret")
    deleted = await stores.messages.delete(room.id, 1)
    assert (deleted.seq, deleted.body, deleted.revision, deleted.deleted) == (1, {}, 1, True)
    assert await stores.messages.delete(room.id, 1) == deleted
    assert await history(stores, room) == [deleted]
    with pytest.raises(NotFound):
        await stores.messages.edit(room.id, 1, {"text": "back"})


async def test_a_deleted_message_is_still_known_by_its_key(stores: Stores, room: Room, user: User) -> None:
    first = await stores.append(room, user, "k", "secret")
    await stores.messages.delete(room.id, 1)
    assert await stores.append(room, user, "k", "secret") == Appended(first.epoch, 1, first.ts, duplicate=True)


@pytest.mark.parametrize("seq", [0, 1, 99])
async def test_a_message_that_does_not_exist_is_not_found(stores: Stores, room: Room, seq: int) -> None:
    with pytest.raises(NotFound):
        await stores.messages.read_one(room.id, seq)


# --- mentions ---


async def mentioned(stores: Stores, user: User, after: float = 0.0) -> list[tuple[RoomId, int, float]]:
    return await stores.messages.mentions_of(user.id, after, 100)


async def test_a_mention_reaches_members_whatever_the_spelling(stores: Stores, room: Room, user: User) -> None:
    anna = await stores.new_user("Änna")
    await stores.rooms.set_role(room.id, anna.id, Role.MEMBER)
    await stores.messages.append([NewMessage(room.id, user.id, "k", {}, mentions=("ÄNNA", "änna", "nobody"))])
    assert await mentioned(stores, anna) == [(room.id, 1, stores.clock.now)]


async def test_nobody_but_present_members_is_mentioned(stores: Stores, room: Room, user: User) -> None:
    stranger, banned = await stores.new_user("stranger"), await stores.new_user("banned")
    await stores.rooms.set_role(room.id, banned.id, Role.BANNED)
    names = (stranger.name, banned.name, user.name)
    await stores.messages.append([NewMessage(room.id, user.id, "k", {}, mentions=names)])
    assert [await mentioned(stores, each) for each in (stranger, banned, user)] == [[], [], []]


async def test_a_retry_mentions_nobody_again(stores: Stores, room: Room, user: User) -> None:
    reader = await stores.new_user("reader")
    await stores.rooms.set_role(room.id, reader.id, Role.MEMBER)
    for _ in range(2):
        await stores.messages.append([NewMessage(room.id, user.id, "k", {}, mentions=("reader",))])
    assert len(await mentioned(stores, reader)) == 1


async def test_mentions_come_in_order_of_time_and_can_be_continued(stores: Stores, user: User) -> None:
    reader = await stores.new_user("reader")
    rooms = [await stores.new_room(user), await stores.new_room(user)]
    for room in rooms:
        await stores.rooms.set_role(room.id, reader.id, Role.MEMBER)
    for number in range(6):
        stores.clock.advance(0.001)
        message = NewMessage(rooms[number % 2].id, user.id, str(number), {}, mentions=("reader",))
        await stores.messages.append([message])
    first = await stores.messages.mentions_of(reader.id, 0.0, 4)
    rest = await stores.messages.mentions_of(reader.id, first[-1][2], 4)
    assert [(room, seq) for room, seq, _ in first + rest] == [(rooms[n % 2].id, n // 2 + 1) for n in range(6)]


async def test_a_deleted_message_mentions_nobody(stores: Stores, room: Room, user: User) -> None:
    reader = await stores.new_user("reader")
    await stores.rooms.set_role(room.id, reader.id, Role.MEMBER)
    await stores.messages.append([NewMessage(room.id, user.id, "k", {}, mentions=("reader",))])
    await stores.messages.delete(room.id, 1)
    assert await mentioned(stores, reader) == []


# --- against a model ---

_posts = st.tuples(
    st.just("append"), st.lists(st.tuples(st.integers(0, 2), st.integers(0, 1), st.integers(0, 5)), max_size=6)
)
_edits = st.tuples(st.sampled_from(["edit", "delete"]), st.tuples(st.integers(0, 1), st.integers(0, 8)))


@pytest.mark.parametrize("open_stores", SHARDED_STORES)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps=st.lists(_posts | _edits, max_size=15))
def test_the_store_behaves_like_a_list_for_each_room(open_stores: StoresFactory, steps: list[Any]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        trio.run(_compare, open_stores, Path(directory), steps)


async def _compare(open_stores: StoresFactory, directory: Path, steps: list[Any]) -> None:
    async with open_stores(directory) as stores:
        users = [await stores.new_user() for _ in range(2)]
        rooms = [await stores.new_room(users[0], RoomKind.PRIVATE) for _ in range(2)]
        model: dict[RoomId, list[Message]] = {room.id: [] for room in rooms}
        for number, (operation, argument) in enumerate(steps):
            stores.clock.advance(number % 3 - 1)
            if operation == "append":
                await _append_both(stores, rooms, users, model, argument, number)
            else:
                await _revise_both(stores, rooms, model, operation, argument, number)
        for room in rooms:
            assert await history(stores, room) == model[room.id]
            assert await stores.messages.top(room.id) == Position(room.epoch, len(model[room.id]))


async def _append_both(
    stores: Stores,
    rooms: list[Room],
    users: list[User],
    model: dict[RoomId, list[Message]],
    posts: list[tuple[int, int, int]],
    number: int,
) -> None:
    ids = [*(room.id for room in rooms), RoomId("nowhere")]
    messages = [NewMessage(ids[room], users[user].id, f"k{key}", {"n": number}) for room, user, key in posts]
    answers = await stores.messages.append(messages)
    assert len(answers) == len(messages)
    for message, answer in zip(messages, answers, strict=True):
        stored = model.get(message.room)
        if stored is None:
            assert isinstance(answer, NotFound)
            continue
        known = [m for m in stored if (m.user, m.key) == (message.user, message.key)]
        if not known:
            ts = max(round(stores.clock.now * 1000), stored[-1].ts if stored else 0)
            stored.append(Message(message.room, len(stored) + 1, ts, message.user, message.key, message.body))
        first = known[0] if known else stored[-1]
        epoch = next(room.epoch for room in rooms if room.id == message.room)
        assert answer == Appended(epoch, first.seq, first.ts, duplicate=bool(known))


async def _revise_both(
    stores: Stores,
    rooms: list[Room],
    model: dict[RoomId, list[Message]],
    operation: str,
    where: tuple[int, int],
    number: int,
) -> None:
    room, seq = rooms[where[0]].id, where[1]
    stored = model[room]
    found = stored[seq - 1] if 1 <= seq <= len(stored) else None
    if found is None or (found.deleted and operation == "edit"):
        with pytest.raises(NotFound):
            await _revise(stores, operation, room, seq, number)
        return
    if not found.deleted:
        deleted = operation == "delete"
        body = {} if deleted else {"n": -number}
        found = Message(room, seq, found.ts, UserId(found.user), found.key, body, found.revision + 1, deleted)
        stored[seq - 1] = found
    assert await _revise(stores, operation, room, seq, number) == found


async def _revise(stores: Stores, operation: str, room: RoomId, seq: int, number: int) -> Message:
    if operation == "edit":
        return await stores.messages.edit(room, seq, {"n": -number})
    return await stores.messages.delete(room, seq)
