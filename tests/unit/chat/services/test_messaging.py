from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import structlog
import trio

from chat.domain.errors import ChatError, Forbidden, Invalid, NotFound, RateLimited, Unavailable
from chat.domain.messages import Appended, NewMessage
from chat.domain.rooms import Role, Room, RoomId, RoomKind
from chat.domain.users import Identity
from chat.ports.presence_store import PresenceEntry
from chat.ports.rate_limiter import Rate
from chat.services import Limits, Post, events
from tests.support.services import UNLIMITED, World, open_world


async def a_room(world: World) -> tuple[Room, Identity, Identity]:
    """A private room with its owner and a member."""
    owner, member = await world.user("owner"), await world.user("member")
    return await world.room(RoomKind.PRIVATE, {owner: Role.OWNER, member: Role.MEMBER}), owner, member


def post(room: Room | str, key: str = "key", **more: Any) -> Post:
    return Post(room.id if isinstance(room, Room) else RoomId(room), key, {"text": "hello", **more})


def kinds(answers: Sequence[Appended | ChatError]) -> list[type]:
    return [type(answer) for answer in answers]


async def test_a_post_is_stored_numbered_and_told(world: World) -> None:
    room, owner, _ = await a_room(world)
    [at] = await world.services.messaging.post(owner, [post(room, mood="glad")])
    assert isinstance(at, Appended)
    assert (at.epoch, at.seq, at.duplicate) == (room.epoch, 1, False)
    told = events.Posted(room.id, at.epoch, 1, at.ts, owner.user.id, "owner", "key", {"text": "hello", "mood": "glad"})
    assert world.broker.calls == [[told]]
    [message], more, epoch = await world.services.messaging.history(owner, room.id, limit=10)
    assert epoch == room.epoch
    assert (message.seq, message.ts, message.user, message.body, more) == (1, at.ts, owner.user.id, told.body, False)


async def test_a_batch_may_hold_several_rooms_and_every_post_gets_its_own_answer(world: World) -> None:
    room, owner, member = await a_room(world)
    public = await world.room(RoomKind.PUBLIC, {owner: Role.OWNER})
    foreign = await world.room(RoomKind.PRIVATE, {owner: Role.OWNER})
    answers = await world.services.messaging.post(
        member,
        [
            post(room, "one"),
            post(public, "visitors only read"),
            post(room, "no key"),
            Post(room.id, "key2", {}),
            post(foreign),
            post("nowhere"),
            post(room, "two"),
        ],
    )
    assert kinds(answers) == [Appended, Invalid, Invalid, Invalid, NotFound, NotFound, Appended]
    [call] = world.broker.calls
    assert [event.seq for event in call if isinstance(event, events.Posted)] == [1, 2]
    [answer] = await world.services.messaging.post(member, [post(public)])
    assert type(answer) is Forbidden


async def test_an_empty_batch_is_answered_by_nothing(world: World) -> None:
    assert await world.services.messaging.post(await world.user("who"), []) == []
    assert world.broker.calls == []


async def test_a_retry_gets_the_first_answer_and_only_its_position_is_told_again(world: World) -> None:
    room, owner, member = await a_room(world)
    [first] = await world.services.messaging.post(owner, [post(room)])
    again, others = [await world.services.messaging.post(who, [post(room, more=1)]) for who in (owner, member)]
    assert isinstance(first, Appended)
    assert again == [first._replace(duplicate=True)]
    assert [getattr(answer, "seq", None) for answer in others] == [2]  # the key is the sender's own
    assert [event.seq for event in world.broker.of(events.Posted)] == [1, 2]
    assert world.broker.of(events.Reached) == [events.Reached(room.id, room.epoch, 1)]


async def test_roles_that_the_session_knows_are_not_looked_up(world: World) -> None:
    room, owner, member = await a_room(world)
    stranger = await world.user("stranger")
    answers = [
        (await world.services.messaging.post(who, [post(room)], roles))[0]
        for who, roles in [
            (stranger, {room.id: Role.MEMBER}),  # what it says is believed: the session hears of each change
            (member, {room.id: Role.BANNED}),
            (stranger, {RoomId("another"): Role.MEMBER}),
            (stranger, {}),
        ]
    ]
    assert kinds(answers) == [Appended, NotFound, NotFound, NotFound]
    [answer] = await world.services.messaging.post(owner, [post("nowhere")], {RoomId("nowhere"): Role.MEMBER})
    assert isinstance(answer, NotFound)


async def test_b40_sender_seq_and_time_cannot_be_forged(world: World) -> None:
    room, owner, member = await a_room(world)
    forged: dict[str, Any] = {
        "seq": 99,
        "ts": 0,
        "user": owner.user.id,
        "name": "owner",
        "epoch": "x",
        "deleted": True,
        "revision": 5,
    }
    [at] = await world.services.messaging.post(member, [post(room, **forged)])
    assert isinstance(at, Appended)
    [message], *_ = await world.services.messaging.history(owner, room.id, limit=1)
    assert (message.seq, message.ts, message.user) == (1, at.ts, member.user.id)
    assert (message.revision, message.deleted) == (0, False)
    assert message.body == {"text": "hello"} | forged
    [event] = world.broker.of(events.Posted)
    assert (event.user, event.name, event.seq) == (member.user.id, "member", 1)


async def test_b43_no_message_mentions_a_town(world: World) -> None:
    room, owner, member = await a_room(world)
    crowd = [await world.user(f"name{number}") for number in range(55)]
    for who in crowd:
        await world.rooms.set_role(room.id, who.user.id, Role.MEMBER)
    text = "@member hello @Member, mail@member.org " + " ".join(f"@{who.user.name}" for who in crowd)
    await world.services.messaging.post(owner, [Post(room.id, "key", {"text": text})])
    assert [seq for _, seq, _ in await world.messages.mentions_of(member.user.id, 0, 10)] == [1]
    mentioned = [who for who in crowd if await world.messages.mentions_of(who.user.id, 0, 10)]
    assert 40 <= len(mentioned) < 50


def limited(**rates: Rate) -> Limits:
    return dataclasses.replace(UNLIMITED, **rates)  # type: ignore[arg-type]


async def test_b41_a_batch_costs_its_posts_and_the_first_ones_pass(tmp_path: Path) -> None:
    async with open_world(tmp_path, limits=limited(publish_per_user=Rate(0.001, 5))) as world:
        room, owner, member = await a_room(world)
        answers = await world.services.messaging.post(owner, [post(room, f"k{n}") for n in range(20)])
        assert kinds(answers) == [Appended] * 5 + [RateLimited] * 15
        refusal = answers[-1]
        assert isinstance(refusal, RateLimited)
        assert 0 < (refusal.retry_after or 0) <= 1000
        assert kinds(await world.services.messaging.post(member, [post(room)])) == [Appended]


async def test_b41_another_session_of_the_same_user_has_no_bucket_of_its_own(tmp_path: Path) -> None:
    async with open_world(tmp_path, limits=limited(publish_per_user=Rate(0.001, 2))) as world:
        room, owner, _ = await a_room(world)
        elsewhere = dataclasses.replace(owner, session=(await world.sessions.create(owner.user.id)).id)
        await world.services.messaging.post(owner, [post(room, "k1"), post(room, "k2")])
        assert kinds(await world.services.messaging.post(elsewhere, [post(room, "k3")])) == [RateLimited]
        with pytest.raises(RateLimited):
            await world.services.messaging.edit(elsewhere, room.id, 1, {"text": "more"})


async def test_b41_a_room_takes_so_much_from_all_together_and_a_full_one_harms_no_other(tmp_path: Path) -> None:
    async with open_world(tmp_path, limits=limited(publish_per_room=Rate(0.001, 3))) as world:
        room, owner, member = await a_room(world)
        other = await world.room(RoomKind.PRIVATE, {owner: Role.OWNER})
        await world.services.messaging.post(member, [post(room, "k1"), post(room, "k2")])
        answers = await world.services.messaging.post(
            owner, [post(room, "k3"), post(room, "k4"), post(other, "k5"), post(room, "k6")]
        )
        assert kinds(answers) == [Appended, RateLimited, Appended, RateLimited]


async def test_b41_strangers_do_not_empty_the_bucket_of_a_room(tmp_path: Path) -> None:
    async with open_world(tmp_path, limits=limited(publish_per_room=Rate(0.001, 3))) as world:
        room, owner, _ = await a_room(world)
        stranger = await world.user("stranger")
        await world.services.messaging.post(stranger, [post(room, f"k{n}") for n in range(10)])
        assert kinds(await world.services.messaging.post(owner, [post(room)])) == [Appended]


async def test_a_broker_that_is_away_fails_no_post_and_is_counted(world: World) -> None:
    room, owner, _ = await a_room(world)
    world.broker.is_away = True
    with structlog.testing.capture_logs() as logs:
        answers = await world.services.messaging.post(owner, [post(room, "k1"), post(room, "k2")])
    assert kinds(answers) == [Appended, Appended]
    [log] = logs
    assert (log["event"], log["count"], log["failed_in_all"]) == ("events_not_published", 2, 2)
    assert "hello" not in repr(log)


async def test_a_store_that_is_away_is_an_answer_to_every_post(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def append(messages: Sequence[NewMessage]) -> list[Appended | ChatError]:
        raise Unavailable("the store is away")

    room, owner, _ = await a_room(world)
    monkeypatch.setattr(world.messages, "append", append)
    answers = await world.services.messaging.post(owner, [post(room, "k1"), Post(room.id, "", {}), post(room, "k2")])
    assert kinds(answers) == [Unavailable, Invalid, Unavailable]
    assert world.broker.calls == []


async def test_f1_a_cancelled_post_that_is_committed_is_told_all_the_same(world: World) -> None:
    room, owner, _ = await a_room(world)
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(world.services.messaging.post, owner, [post(room)], {room.id: Role.OWNER})
            await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()
    committed = (await world.messages.top(room.id)).seq
    assert len(world.broker.of(events.Posted)) == committed == 1


async def test_history_is_paged_both_ways(world: World) -> None:
    room, owner, _ = await a_room(world)
    await world.services.messaging.post(owner, [post(room, f"k{n}") for n in range(7)])

    async def page(**where: Any) -> tuple[list[int], bool]:
        messages, more, _ = await world.services.messaging.history(owner, room.id, **where)
        return [message.seq for message in messages], more

    assert await page(limit=3) == ([5, 6, 7], True)
    assert await page(before=5, limit=3) == ([2, 3, 4], True)
    assert await page(before=2, limit=3) == ([1], False)
    assert await page(before=1, limit=3) == ([], False)
    assert await page(after=0, limit=3) == ([1, 2, 3], True)
    assert await page(after=4, limit=3) == ([5, 6, 7], False)
    assert await page(after=7, limit=3) == ([], False)
    assert await page(after=2**53 - 1, limit=200) == ([], False)


@pytest.mark.parametrize(
    "where",
    [
        {"limit": 0},
        {"limit": 201},
        {"limit": 1, "before": -1},
        {"limit": 1, "after": 2**53},
        {"limit": 1, "before": 2**64},
        {"limit": 1, "before": 1, "after": 1},
    ],
)
async def test_a_page_that_cannot_be_is_refused(world: World, where: dict[str, int]) -> None:
    room, owner, _ = await a_room(world)
    with pytest.raises(Invalid):
        await world.services.messaging.history(owner, room.id, **where)


async def test_one_edits_ones_own_messages_only(world: World) -> None:
    room, owner, member = await a_room(world)
    messaging = world.services.messaging
    await messaging.post(member, [post(room)])
    edited = await messaging.edit(member, room.id, 1, {"text": "better"})
    assert (edited.body, edited.revision, edited.user) == ({"text": "better"}, 1, member.user.id)
    assert world.broker.of(events.Edited) == [
        events.Edited(room.id, room.epoch, 1, 1, member.user.id, {"text": "better"})
    ]
    with pytest.raises(Forbidden):
        await messaging.edit(owner, room.id, 1, {"text": "words in your mouth"})
    with pytest.raises(Invalid):
        await messaging.edit(member, room.id, 1, {"text": ""})
    for seq in (0, 2, 2**53 - 1):
        with pytest.raises(NotFound):
            await messaging.edit(member, room.id, seq, {"text": "nothing"})
    for seq in (-1, 2**63, 2**64):
        with pytest.raises(Invalid):
            await messaging.edit(member, room.id, seq, {"text": "nothing"})


async def test_a_moderator_deletes_and_a_deletion_is_told_once(world: World) -> None:
    room, owner, member = await a_room(world)
    messaging = world.services.messaging
    await messaging.post(member, [post(room, "k1"), post(room, "k2")])
    await messaging.post(owner, [post(room, "k3")])
    for who, seq in [(member, 1), (owner, 2), (owner, 2)]:
        deleted = await messaging.delete(who, room.id, seq)
        assert (deleted.deleted, deleted.body, deleted.seq) == (True, {}, seq)
    assert [(event.seq, event.user) for event in world.broker.of(events.Deleted)] == [
        (1, member.user.id),
        (2, owner.user.id),
    ]
    with pytest.raises(Forbidden):
        await messaging.delete(member, room.id, 3)
    with pytest.raises(NotFound):
        await messaging.edit(member, room.id, 1, {"text": "back"})
    page, *_ = await messaging.history(owner, room.id, limit=10)
    assert [(message.seq, message.deleted) for message in page] == [(1, True), (2, True), (3, False)]


async def test_a_mark_only_rises_and_never_beyond_the_top(world: World) -> None:
    room, owner, member = await a_room(world)
    mark_read = world.services.messaging.mark_read
    await world.services.messaging.post(owner, [post(room, f"k{n}") for n in range(3)])
    assert [await mark_read(member, room.id, seq) for seq in (2, 1, 0, 99)] == [2, 2, 2, 3]
    assert [event.seq for event in world.broker.of(events.MarkRaised)] == [2, 3]
    with pytest.raises(Invalid):
        await mark_read(member, room.id, -1)


async def test_typing_is_told_at_most_once_in_three_seconds_and_the_rest_is_swallowed(tmp_path: Path) -> None:
    limits = limited(typing_per_room=Limits().typing_per_room)
    async with open_world(tmp_path, limits=limits) as world:
        room, owner, member = await a_room(world)
        for who in (owner, owner, member, owner):
            await world.services.messaging.typing(who, room.id)
        assert [event.name for event in world.broker.of(events.Typing)] == ["owner", "member"]


@pytest.mark.parametrize(("online", "told"), [(3, True), (4, False)])
async def test_in_a_large_room_nobody_is_told_trifles(tmp_path: Path, online: int, told: bool) -> None:
    limits = dataclasses.replace(UNLIMITED, typing_max_online=3, marks_max_online=3)
    async with open_world(tmp_path, limits=limits) as world:
        room, owner, _ = await a_room(world)
        await world.presence.put([PresenceEntry(room.id, owner.user.id, "c")])
        others = [(await world.user(f"name{number}")).user.id for number in range(online - 1)]
        await world.presence.put([PresenceEntry(room.id, user, f"c{user}") for user in others])
        await world.services.messaging.post(owner, [post(room)])
        await world.services.messaging.typing(owner, room.id)
        assert await world.services.messaging.mark_read(owner, room.id, 1) == 1
        assert bool(world.broker.of(events.Typing)) is told
        assert bool(world.broker.of(events.MarkRaised)) is told


WRITES: dict[str, Callable[[World, Identity, Room], Awaitable[Any]]] = {
    "delete": lambda w, who, room: w.services.messaging.delete(who, room.id, 1),
    "mark read": lambda w, who, room: w.services.messaging.mark_read(who, room.id, 1),
    "set role": lambda w, who, room: w.services.rooms.set_role(who, room.id, who.user.id, Role.OWNER),
    "leave": lambda w, who, room: w.services.rooms.leave(who, room.id),
}


@pytest.mark.parametrize("name", WRITES)
async def test_writes_are_limited_together(tmp_path: Path, name: str) -> None:
    async with open_world(tmp_path, limits=limited(write_per_user=Rate(0.001, 2))) as world:
        room, owner, _ = await a_room(world)
        await world.services.messaging.post(owner, [post(room)])
        for _ in range(2):
            await world.services.messaging.mark_read(owner, room.id, 1)
        with pytest.raises(RateLimited):
            await WRITES[name](world, owner, room)


async def test_pages_of_history_are_limited(tmp_path: Path) -> None:
    async with open_world(tmp_path, limits=limited(history_per_user=Rate(0.001, 2))) as world:
        room, owner, _ = await a_room(world)
        for _ in range(2):
            await world.services.messaging.history(owner, room.id, limit=200)
        with pytest.raises(RateLimited):
            await world.services.messaging.history(owner, room.id, limit=1)
