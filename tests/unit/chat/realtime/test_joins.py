"""Join and resume without a race, leave, removal, and catching up after a slow moment."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio.testing import MockClock

from chat.domain.rooms import Role, Room, RoomKind
from chat.domain.users import Identity
from tests.support.chat_nodes import Cluster, Node, open_cluster
from tests.support.fake_gateway import FakePeer


async def post(cluster: Cluster, who: Identity, room: Room, *keys: str) -> None:
    """Messages of `who`, posted on another connection; returns when everybody had time to get them."""
    peer = await cluster.nodes[0].connect(who)
    for key in keys:
        assert "seq" in await peer.ask("publish", room=room.id, key=key, body={"text": key})
    peer.hang_up()
    await trio.sleep(1)


def position(peer: FakePeer, room: Room) -> dict[str, Any]:
    return {"epoch": "e1", "seq": peer.seqs(room.id)[-1]}


# Join


async def test_a_join_tells_where_the_room_stands(autojump_clock: MockClock) -> None:
    async with open_cluster() as cluster:
        alice = await cluster.user("alice")
        room = await cluster.room(alice)
        await post(cluster, alice, room, "a", "b")
        peer = await cluster.nodes[0].connect(alice)
        assert await peer.ask("join", room=room.id) == {
            "epoch": "e1",
            "seq": 2,
            "top": 2,
            "recovered": False,
            "members_online": 0,
            "role": "owner",
        }
        await post(cluster, alice, room, "c")
        await peer.pushed("message")
        assert peer.seqs(room.id) == [3]


async def test_a_join_tells_how_many_are_online(autojump_clock: MockClock) -> None:
    async with open_cluster() as cluster:
        alice, bob = await cluster.user("alice"), await cluster.user("bob")
        room = await cluster.room(alice)
        first = await cluster.nodes[0].enter(alice, room)
        [push] = await first.pushed("presence")
        assert push == {
            "push": "presence",
            "room": room.id,
            "joins": [{"id": alice.user.id, "name": "alice"}],
            "leaves": [],
            "online": 1,
        }
        second = await cluster.nodes[0].connect(bob)
        assert (await second.ask("join", room=room.id))["members_online"] == 1
        await first.pushed("presence", 2)
        assert (await second.ask("presence", room=room.id))["online"] == 2


async def test_joining_a_public_room_makes_a_member(autojump_clock: MockClock) -> None:
    async with open_cluster() as cluster:
        alice, bob = await cluster.user("alice"), await cluster.user("bob")
        room = await cluster.room(alice)
        first = await cluster.nodes[0].enter(alice, room)
        await cluster.nodes[0].enter(bob, room)
        assert cluster.rooms.roles[room.id][bob.user.id] is Role.MEMBER
        [push] = await first.pushed("member")
        assert push == {"push": "member", "room": room.id, "user": bob.user.id, "role": "member"}


async def test_b36_the_banned_and_the_uninvited_find_no_room(autojump_clock: MockClock) -> None:
    async with open_cluster() as cluster:
        alice, bob = await cluster.user("alice"), await cluster.user("bob")
        public, private = await cluster.room(alice), await cluster.room(alice, kind=RoomKind.PRIVATE)
        await cluster.ports.rooms.set_role(public.id, bob.user.id, Role.BANNED)
        peer = await cluster.nodes[0].connect(bob)
        for room in (public, private):
            assert (await peer.ask("join", room=room.id))["code"] == "not_found"
        assert cluster.nodes[0].realtime.rooms == 0


async def test_a_connection_joins_a_bounded_number_of_rooms(autojump_clock: MockClock) -> None:
    async with open_cluster(max_rooms_per_connection=2) as cluster:
        alice = await cluster.user("alice")
        rooms = [await cluster.room(alice) for _ in range(3)]
        peer = await cluster.nodes[0].connect(alice)
        answers = [await peer.ask("join", room=room.id) for room in rooms]
        assert answers[2]["code"] == "forbidden"
        assert "epoch" in await peer.ask("join", room=rooms[0].id)
        await peer.ask("leave", room=rooms[0].id)
        assert "epoch" in await peer.ask("join", room=rooms[2].id)


# Resume


@pytest.mark.parametrize("codec", ["chat.v1.json", "chat.v1.cbor"])
async def test_a_resume_sends_what_was_missed_before_anything_live(autojump_clock: MockClock, codec: str) -> None:
    async with open_cluster() as cluster:
        alice = await cluster.user("alice")
        room = await cluster.room(alice)
        await post(cluster, alice, room, *"abcde")
        peer = await cluster.nodes[0].connect(alice, codec)
        answer = await peer.ask("join", room=room.id, since={"epoch": "e1", "seq": 2})
        assert (answer["recovered"], answer["seq"], answer["top"]) == (True, 2, 5)
        await post(cluster, alice, room, "f")
        await peer.pushed("message", 4)
        assert peer.seqs(room.id) == [3, 4, 5, 6]
        answers = [index for index, item in enumerate(peer.maps) if "re" in item]
        assert answers == [0]


async def test_a_resume_with_nothing_missed_reads_nothing(autojump_clock: MockClock) -> None:
    async with open_cluster() as cluster:
        alice = await cluster.user("alice")
        room = await cluster.room(alice)
        await post(cluster, alice, room, "a")
        await cluster.nodes[0].enter(alice, room)
        cluster.messages.reads.clear()
        peer = await cluster.nodes[0].connect(alice)
        answer = await peer.ask("join", room=room.id, since={"epoch": "e1", "seq": 1})
        assert (answer["recovered"], answer["seq"], answer["top"]) == (True, 1, 1)
        assert cluster.messages.reads == []


@pytest.mark.parametrize(
    "since", [{"epoch": "e0", "seq": 1}, {"epoch": "e1", "seq": 3}, {"epoch": "e1", "seq": 2**53 - 1}]
)
async def test_b34_a_position_of_another_life_is_not_recovered(
    autojump_clock: MockClock, since: dict[str, Any]
) -> None:
    async with open_cluster() as cluster:
        alice = await cluster.user("alice")
        room = await cluster.room(alice)
        await post(cluster, alice, room, "a", "b")
        peer = await cluster.nodes[0].connect(alice)
        answer = await peer.ask("join", room=room.id, since=since)
        assert (answer["recovered"], answer["epoch"], answer["seq"], answer["top"]) == (False, "e1", 2, 2)
        assert peer.seqs(room.id) == []


async def test_recovery_is_all_or_nothing(autojump_clock: MockClock) -> None:
    async with open_cluster(max_recovery_messages=10) as cluster:
        alice = await cluster.user("alice")
        room = await cluster.room(alice)
        for number in range(50):
            cluster.messages.commit(room.id, alice.user.id, {"text": str(number)})
        for seq, recovered in ((40, True), (39, False)):
            peer = await cluster.nodes[0].connect(alice)
            answer = await peer.ask("join", room=room.id, since={"epoch": "e1", "seq": seq})
            assert answer["recovered"] is recovered
            await trio.sleep(1)
            assert peer.seqs(room.id) == (list(range(41, 51)) if recovered else [])


async def test_what_is_recovered_over_many_rooms_never_fills_an_outbox(autojump_clock: MockClock) -> None:
    async with open_cluster(max_recovery_bytes=100_000, recovery_bytes_per_second=10_000) as cluster:
        alice = await cluster.user("alice")
        peer = await cluster.nodes[0].connect(alice)
        recovered = []
        for _ in range(10):
            room = await cluster.room(alice)
            for number in range(30):
                cluster.messages.commit(room.id, alice.user.id, {"text": "x" * 1000}, f"k{number}")
            answer = await peer.ask("join", room=room.id, since={"epoch": "e1", "seq": 0})
            recovered.append(answer["recovered"])
        assert recovered == [True, True] + [False] * 8
        assert sum(len(frame) for frame in peer.frames) < 120_000
        assert max(len(frame) for frame in peer.frames) < 70_000
        await trio.sleep(10)
        answer = await peer.ask("join", room=room.id, since={"epoch": "e1", "seq": 0})
        assert answer["recovered"] is True


async def test_messages_posted_while_history_is_read_are_neither_lost_nor_doubled(autojump_clock: MockClock) -> None:
    async with open_cluster() as cluster:
        alice, bob = await cluster.user("alice"), await cluster.user("bob")
        room = await cluster.room(alice, bob)
        for number in range(600):
            cluster.messages.commit(room.id, alice.user.id, {"text": str(number)})
        writer = await cluster.nodes[0].enter(alice, room)
        peer = await cluster.nodes[0].connect(bob)
        cluster.messages.latency = 0.5
        peer.say({"id": 99, "op": "join", "room": room.id, "since": {"epoch": "e1", "seq": 0}})
        for key in "abcdefgh":
            writer.say(writer.command("publish", room=room.id, key=key, body={"text": key}))
            await trio.sleep(0.3)
        answer = (await peer.answer_to(99))["ok"]
        assert answer["recovered"] is True
        assert 600 < answer["top"] < 608
        await peer.pushed("message", 608)
        assert peer.seqs(room.id) == list(range(1, 609))


async def test_a_thousand_who_resume_at_once_share_the_reads(autojump_clock: MockClock) -> None:
    async with open_cluster(max_connections_per_user=1000) as cluster:
        alice = await cluster.user("alice")
        room = await cluster.room(alice)
        for number in range(500):
            cluster.messages.commit(room.id, alice.user.id, {"text": str(number)})
        peers = [await cluster.nodes[0].connect(alice) for _ in range(300)]
        cluster.messages.reads.clear()
        cluster.messages.latency = 0.1
        for number, peer in enumerate(peers):
            peer.say({"id": 99, "op": "join", "room": room.id, "since": {"epoch": "e1", "seq": number}})
        for number, peer in enumerate(peers):
            assert (await peer.answer_to(99))["ok"]["recovered"] is True
            assert peer.seqs(room.id) == list(range(number + 1, 501))
        assert len(cluster.messages.reads) <= 4
        assert cluster.nodes[0].broker.subscribed.count(f"room:{room.id}") == 1


async def test_joining_again_starts_over_from_the_given_position(autojump_clock: MockClock) -> None:
    async with open_cluster() as cluster:
        alice = await cluster.user("alice")
        room = await cluster.room(alice)
        peer = await cluster.nodes[0].enter(alice, room)
        await post(cluster, alice, room, "a", "b")
        await peer.pushed("message", 2)
        answer = await peer.ask("join", room=room.id, since={"epoch": "e1", "seq": 1})
        assert (answer["recovered"], answer["seq"]) == (True, 1)
        assert peer.seqs(room.id) == [1, 2, 2]
        await post(cluster, alice, room, "c")
        assert peer.seqs(room.id) == [1, 2, 2, 3]
        await peer.ask("leave", room=room.id)
        await post(cluster, alice, room, "d")
        assert peer.seqs(room.id) == [1, 2, 2, 3]


async def test_a_join_that_fails_leaves_nothing_behind(autojump_clock: MockClock) -> None:
    async with open_cluster() as cluster:
        node, alice = cluster.nodes[0], await cluster.user("alice")
        room = await cluster.room(alice)
        peer = await node.connect(alice)
        node.broker.is_away = True
        assert (await peer.ask("join", room=room.id))["code"] == "unavailable"
        node.broker.is_away = False
        cluster.messages.is_away = True
        assert (await peer.ask("join", room=room.id))["code"] == "unavailable"
        cluster.messages.is_away = False
        assert node.realtime.rooms == 0
        assert node.gateway.topics == {}
        assert "epoch" in await peer.ask("join", room=room.id)


# Leave and removal


async def test_leaving_ends_the_feed_and_not_the_membership(autojump_clock: MockClock) -> None:
    async with open_cluster() as cluster:
        alice, bob = await cluster.user("alice"), await cluster.user("bob")
        room = await cluster.room(alice, bob)
        peer = await cluster.nodes[0].enter(bob, room)
        assert await peer.ask("leave", room=room.id) == {}
        assert await peer.ask("leave", room=room.id) == {}
        await post(cluster, alice, room, "a")
        assert peer.seqs(room.id) == []
        assert (await peer.ask("publish", room=room.id, key="k", body={"text": "t"}))["seq"] == 2


async def test_a_user_hears_at_once_of_their_rooms_on_all_connections_and_nobody_else_does(
    autojump_clock: MockClock,
) -> None:
    async with open_cluster(2) as cluster:
        alice, bob, carol = [await cluster.user(name) for name in ("alice", "bob", "carol")]
        bobs = [await node.connect(bob) for node in cluster.nodes for _ in range(2)]
        other = await cluster.nodes[1].connect(carol)
        rooms = cluster.nodes[0].services.rooms
        room = await rooms.create(alice, "Board", RoomKind.PRIVATE)
        steps: list[Role | None] = [Role.MEMBER, Role.MODERATOR, None, Role.BANNED]
        for role in steps:
            if role is None:
                await rooms.remove(alice, room.id, bob.user.id)
            else:
                await rooms.set_role(alice, room.id, bob.user.id, role)
        direct = await rooms.direct(alice, bob.user.id)
        about = {"push": "room", "room": room.id, "kind": "private", "name": "Board", "title": "Board"}
        for peer in bobs:
            *told, last = await peer.pushed("room", 5)
            assert told == [{**about, "role": role} for role in ("member", "moderator", None, None)]
            assert (last["room"], last["kind"], last["title"], last["role"]) == (direct.id, "direct", "alice", "member")
        assert other.pushes("room") == []


@pytest.mark.parametrize(("ban", "reason"), [(True, "banned"), (False, "removed")])
async def test_b39_a_removed_member_gets_nothing_more_on_any_node(
    autojump_clock: MockClock, ban: bool, reason: str
) -> None:
    async with open_cluster(2) as cluster:
        alice, bob = await cluster.user("alice"), await cluster.user("bob")
        room = await cluster.room(alice, bob, kind=RoomKind.PRIVATE)
        peers = [await node.enter(bob, room) for node in cluster.nodes]
        watcher = await cluster.nodes[1].enter(alice, room)
        rooms = cluster.nodes[0].services.rooms
        if ban:
            await rooms.set_role(alice, room.id, bob.user.id, Role.BANNED)
        else:
            await rooms.remove(alice, room.id, bob.user.id)
        for peer in peers:
            assert await peer.pushed("removed") == [{"push": "removed", "room": room.id, "reason": reason}]
        await post(cluster, alice, room, "a", "b")
        await watcher.pushed("message", 2)
        for peer in peers:
            assert peer.seqs(room.id) == []
            assert peer.pushes("member") == []
            answer = await peer.ask("publish", room=room.id, key="k", body={"text": "t"})
            assert answer["code"] == "not_found"
            answer = await peer.ask("join", room=room.id, since={"epoch": "e1", "seq": 0})
            assert answer["code"] == "not_found"
        [told] = watcher.pushes("member")
        assert told == {"push": "member", "room": room.id, "user": bob.user.id, "role": None}


@pytest.mark.parametrize("known", [True, False], ids=["room-open", "room-new"])
async def test_b39_a_ban_during_a_join_is_not_missed(autojump_clock: MockClock, known: bool) -> None:
    for delay in (0.05, 0.15, 0.25, 0.35):
        async with open_cluster() as cluster:
            alice, bob = await cluster.user("alice"), await cluster.user("bob")
            room = await cluster.room(alice, bob)
            for number in range(500):
                cluster.messages.commit(room.id, alice.user.id, {"text": str(number)})
            node = cluster.nodes[0]
            if known:
                await node.enter(alice, room)
            peer = await node.connect(bob)
            cluster.messages.latency = cluster.rooms.latency = 0.1
            peer.say({"id": 99, "op": "join", "room": room.id, "since": {"epoch": "e1", "seq": 0}})
            await trio.sleep(delay)
            cluster.rooms.latency = 0.0
            await node.services.rooms.set_role(alice, room.id, bob.user.id, Role.BANNED)
            assert (await peer.answer_to(99))["err"]["code"] in ("not_found", "forbidden")
            await post(cluster, alice, room, "after")
            assert peer.seqs(room.id) == []
            peer.hang_up()
            await trio.sleep(120)
            assert node.gateway.topics.keys() <= {room.id}


async def test_a_role_that_changes_is_known_at_once(autojump_clock: MockClock) -> None:
    async with open_cluster() as cluster:
        alice, bob = await cluster.user("alice"), await cluster.user("bob")
        room = await cluster.room(alice, bob)
        peer = await cluster.nodes[0].enter(bob, room)
        await cluster.nodes[0].services.rooms.set_role(alice, room.id, bob.user.id, Role.MODERATOR)
        [push] = await peer.pushed("member")
        assert push["role"] == "moderator"
        await post(cluster, alice, room, "a")
        assert (await peer.ask("delete", room=room.id, seq=1))["revision"] == 1


# Slow connections


async def slow_room(cluster: Cluster) -> tuple[Node, Identity, Room, FakePeer]:
    node, alice = cluster.nodes[0], await cluster.user("alice")
    room = await cluster.room(alice)
    return node, alice, room, await node.enter(alice, room)


async def test_a_slow_connection_is_told_what_it_missed_and_goes_on(autojump_clock: MockClock) -> None:
    async with open_cluster() as cluster:
        _, alice, room, peer = await slow_room(cluster)
        await post(cluster, alice, room, "a")
        peer.slow = True
        await post(cluster, alice, room, "b", "c", "d")
        assert peer.seqs(room.id) == [1]
        peer.catch_up()
        [gap] = await peer.pushed("gap")
        assert gap == {"push": "gap", "room": room.id, "epoch": "e1", "from": 2, "to": 4}
        await post(cluster, alice, room, "e")
        assert peer.seqs(room.id) == [1, 5]


async def test_a_room_that_was_left_while_slow_stays_left(autojump_clock: MockClock) -> None:
    async with open_cluster() as cluster:
        _, alice, room, peer = await slow_room(cluster)
        peer.slow = True
        await post(cluster, alice, room, "a")
        await peer.ask("leave", room=room.id)
        peer.catch_up()
        await trio.sleep(1)
        await post(cluster, alice, room, "b")
        assert peer.pushes("gap") == []
        assert peer.seqs(room.id) == []


async def test_an_edit_that_a_slow_connection_missed_is_part_of_its_gap(autojump_clock: MockClock) -> None:
    async with open_cluster() as cluster:
        node, alice, room, peer = await slow_room(cluster)
        await post(cluster, alice, room, *"abc")
        peer.slow = True
        editor = await node.connect(alice)
        await editor.ask("edit", room=room.id, seq=2, body={"text": "new"})
        await trio.sleep(1)
        peer.catch_up()
        [gap] = await peer.pushed("gap")
        assert (gap["from"], gap["to"]) == (2, 3)
