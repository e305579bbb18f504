"""The rooms that a node listens to: opened once, kept warm, compared with the store."""

from __future__ import annotations

import random

import pytest
import trio
from trio.testing import MockClock

from chat.domain.rooms import Role, Room
from chat.domain.users import Identity
from gateway_core import CloseCode
from tests.support.chat_nodes import Cluster, open_cluster
from tests.support.fake_gateway import FakePeer


async def say(peer: FakePeer, room: Room, *keys: str) -> None:
    for key in keys:
        assert "seq" in await peer.ask("publish", room=room.id, key=key, body={"text": key})


async def pair(cluster: Cluster) -> tuple[Identity, Room]:
    alice = await cluster.user("alice")
    return alice, await cluster.room(alice)


async def test_a_room_stays_warm_for_a_while_and_is_left_then(autojump_clock: MockClock) -> None:
    async with open_cluster() as cluster:
        node = cluster.nodes[0]
        alice, room = await pair(cluster)
        first = await node.enter(alice, room)
        first.hang_up()
        await trio.sleep(20)
        assert node.realtime.rooms == 1
        second = await node.enter(alice, room)
        await trio.sleep(100)
        assert node.realtime.rooms == 1
        await second.ask("leave", room=room.id)
        await trio.sleep(40)
        assert node.realtime.rooms == 0
        channel = f"room:{room.id}"
        assert (node.broker.subscribed.count(channel), node.broker.unsubscribed.count(channel)) == (1, 1)
        third = await node.enter(alice, room)
        await say(third, room, "a")
        assert len(await third.pushed("message")) == 1


async def test_what_is_posted_while_a_room_is_opened_needs_no_healing(autojump_clock: MockClock) -> None:
    async with open_cluster(2) as cluster:
        alice, room = await pair(cluster)
        writer = await cluster.nodes[0].enter(alice, room)
        reader = await cluster.nodes[1].connect(alice)
        for number in range(200):
            writer.say(writer.command("publish", room=room.id, key=f"{number}", body={"text": "t"}))
            await trio.sleep(0.002)
            if number == 100:
                reader.say(reader.command("join", room=room.id))
        joined = (await reader.answer_to(1))["ok"]["seq"]
        await trio.sleep(1)
        assert 90 < joined < 150
        assert reader.seqs(room.id) == list(range(joined + 1, 201))
        assert [what for what, _ in cluster.messages.reads if what == "read_after"] == []


async def test_after_all_connections_are_cut_those_who_resume_read_nothing(autojump_clock: MockClock) -> None:
    async with open_cluster() as cluster:
        node = cluster.nodes[0]
        alice, room = await pair(cluster)
        peers = [await node.enter(alice, room) for _ in range(10)]
        await say(peers[0], room, "a", "b")
        for peer in peers:
            peer.hang_up()
        await trio.sleep(5)
        cluster.messages.reads.clear()
        for _ in range(10):
            peer = await node.connect(alice)
            assert (await peer.ask("join", room=room.id, since={"epoch": "e1", "seq": 1}))["recovered"] is True
            assert peer.seqs(room.id) == [2]
        assert cluster.messages.reads == []


async def test_a_thousand_sessions_leave_nothing_behind(autojump_clock: MockClock) -> None:
    async with open_cluster(max_connections_per_user=2000) as cluster:
        node = cluster.nodes[0]
        alice = await cluster.user("alice")
        rooms = [await cluster.room(alice) for _ in range(10)]
        peers = []
        for number in range(1000):
            codec = ("chat.v1.json", "chat.v1.cbor")[number % 2]
            peers.append(await node.enter(alice, rooms[number % 10], codec))
        assert node.realtime.sessions == 1000
        for number, peer in enumerate(peers):
            if number % 3:
                peer.hang_up()
            else:
                peer.send(b"\xff" if peer.encoding == "chat.v1.cbor" else "{")
        await trio.sleep(120)
        assert (node.realtime.sessions, node.realtime.rooms) == (0, 0)
        assert vars(node.realtime._sessions) == {"_by_connection": {}, "_of_user": {}, "_of_sign_in": {}}
        assert len(node.realtime._feeds) == 0
        assert (node.gateway.peers, node.gateway.topics) == ({}, {})
        assert await node.services.presence.count(rooms[0].id) == 0


# What a broker loses


async def test_a_loss_that_the_broker_reports_is_healed_at_once(autojump_clock: MockClock) -> None:
    async with open_cluster(2) as cluster:
        alice, room = await pair(cluster)
        first, second = [await node.enter(alice, room) for node in cluster.nodes]
        cluster.nodes[1].broker.drop, cluster.nodes[1].broker.chaos = 1.0, random.Random(1)
        await say(first, room, "a", "b", "c")
        await trio.sleep(1)
        assert second.seqs(room.id) == []
        cluster.nodes[1].broker.drop, cluster.nodes[1].broker.chaos = 0.0, None
        cluster.messages.is_away = True
        cluster.nodes[1].broker.interrupt()
        await trio.sleep(7)
        cluster.messages.is_away = False
        await second.pushed("message", 3)
        assert second.seqs(room.id) == [1, 2, 3]


async def test_a_room_whose_position_is_unknown_keeps_no_other_from_healing(autojump_clock: MockClock) -> None:
    async with open_cluster() as cluster:
        alice, room = await pair(cluster)
        other = await cluster.room(alice)
        [node] = cluster.nodes
        peer = await node.enter(alice, room)
        await peer.ask("join", room=other.id)
        node.broker.drop, node.broker.chaos = 1.0, random.Random(1)
        for where in (room, other):
            await say(peer, where, "a")
        node.broker.drop, node.broker.chaos = 0.0, None
        cluster.messages.unknown.add(room.id)
        node.broker.interrupt()
        await peer.pushed("message", 1)
        assert (peer.seqs(room.id), peer.seqs(other.id)) == ([], [1])
        cluster.messages.unknown.clear()
        await peer.pushed("message", 2)
        assert peer.seqs(room.id) == [1]


async def test_a_removal_that_was_lost_is_found_when_the_broker_is_back(autojump_clock: MockClock) -> None:
    async with open_cluster(2) as cluster:
        alice, bob = await cluster.user("alice"), await cluster.user("bob")
        room = await cluster.room(alice, bob)
        node = cluster.nodes[1]
        kept, removed = [await node.enter(who, room) for who in (alice, bob)]
        node.broker.drop, node.broker.chaos = 1.0, random.Random(1)
        await cluster.nodes[0].services.rooms.set_role(alice, room.id, bob.user.id, Role.BANNED)
        await trio.sleep(1)
        assert removed.pushes("removed") == []
        node.broker.drop, node.broker.chaos = 0.0, None
        node.broker.interrupt()
        assert await removed.pushed("removed") == [{"push": "removed", "room": room.id, "reason": "removed"}]
        await say(kept, room, "a")
        await kept.pushed("message")
        assert removed.seqs(room.id) == []


async def test_a_revocation_that_was_lost_is_found_when_the_broker_is_back(autojump_clock: MockClock) -> None:
    async with open_cluster(2) as cluster:
        alice, bob, carol = [await cluster.user(name) for name in ("alice", "bob", "carol")]
        node = cluster.nodes[1]
        signed_out, banned, kept = [await node.connect(who) for who in (alice, bob, carol)]
        node.broker.drop, node.broker.chaos = 1.0, random.Random(1)
        await cluster.nodes[0].services.auth.sign_out(alice.session)
        await cluster.nodes[0].services.auth.ban(bob.user.id)
        await trio.sleep(1)
        assert (signed_out.closed, banned.closed) == (None, None)
        node.broker.drop, node.broker.chaos = 0.0, None
        node.broker.interrupt()
        assert await signed_out.close_code() == CloseCode.SESSION_REVOKED
        assert await banned.close_code() == CloseCode.SESSION_REVOKED
        assert await kept.ask("ping") == {}


async def test_a_loss_that_nobody_reports_is_found_by_the_audit(autojump_clock: MockClock) -> None:
    async with open_cluster(2) as cluster:
        alice, room = await pair(cluster)
        first, second = [await node.enter(alice, room) for node in cluster.nodes]
        broker = cluster.nodes[1].broker
        broker.drop, broker.chaos = 1.0, random.Random(1)
        await say(first, room, "a", "b", "c")
        start = trio.current_time()
        await second.pushed("message", 3)
        assert trio.current_time() - start < 40
        assert second.seqs(room.id) == [1, 2, 3]


async def test_the_audit_asks_for_many_rooms_at_a_time_and_outlives_a_store_that_is_away(
    autojump_clock: MockClock,
) -> None:
    async with open_cluster() as cluster:
        alice = await cluster.user("alice")
        for _ in range(3):
            peer = await cluster.nodes[0].connect(alice)
            for _ in range(200):
                await peer.ask("join", room=(await cluster.room(alice)).id)
        cluster.messages.reads.clear()
        cluster.messages.is_away = True
        await trio.sleep(60)
        cluster.messages.is_away = False
        cluster.messages.reads.clear()
        await trio.sleep(36)
        assert cluster.messages.reads in ([("tops", 500), ("tops", 100)], [("tops", 500), ("tops", 100)] * 2)


@pytest.mark.parametrize("seed", range(5))
async def test_three_nodes_over_a_broker_that_drops_repeats_and_reorders(autojump_clock: MockClock, seed: int) -> None:
    chaos = random.Random(seed)
    async with open_cluster(3, chaos=chaos, drop=0.3) as cluster:
        users = [await cluster.user(f"user{number}") for number in range(3)]
        room = await cluster.room(*users)
        codecs = ["chat.v1.json", "chat.v1.cbor"]
        peers = [
            await node.enter(who, room, chaos.choice(codecs)) for node, who in zip(cluster.nodes, users, strict=True)
        ]
        for number in range(100):
            peer = chaos.choice(peers)
            peer.say(peer.command("publish", room=room.id, key=f"{number}", body={"text": "t"}))
            if chaos.random() < 0.3:
                await trio.sleep(chaos.random())
        for peer in peers:
            await peer.pushed("message", 100)
            assert peer.seqs(room.id) == list(range(1, 101))
