"""The two loops: what reaches whom, and what must not end them."""

from __future__ import annotations

import socket

import pytest
import trio
from trio.testing import MockClock

from chat.domain.rooms import RoomKind
from chat.services import events
from gateway_core.gateway import HttpConnection
from tests.support.chat_nodes import open_cluster


async def test_everybody_gets_a_message_on_every_node_the_sender_included(autojump_clock: MockClock) -> None:
    async with open_cluster(2) as cluster:
        alice, bob = await cluster.user("alice"), await cluster.user("bob")
        room = await cluster.room(alice, bob)
        peers = [
            await cluster.nodes[0].enter(alice, room),
            await cluster.nodes[1].enter(alice, room, "chat.v1.cbor"),
            await cluster.nodes[1].enter(bob, room),
        ]
        await peers[0].ask("publish", room=room.id, key="k", body={"text": "hello", "n": [1, 2.5, None]})
        pushes = [(await peer.pushed("message"))[0] for peer in peers]
        assert pushes[0] == pushes[1] == pushes[2]
        assert pushes[0]["body"] == {"text": "hello", "n": [1, 2.5, None]}


async def test_hints_and_changes_reach_the_room_in_their_shapes(autojump_clock: MockClock) -> None:
    async with open_cluster() as cluster:
        alice, bob = await cluster.user("alice"), await cluster.user("bob")
        room = await cluster.room(alice, bob)
        node = cluster.nodes[0]
        peer, watcher = await node.enter(alice, room), await node.enter(bob, room, "chat.v1.cbor")
        await peer.ask("publish", room=room.id, key="k", body={"text": "one"})
        await peer.ask("typing", room=room.id)
        assert await peer.ask("read", room=room.id, seq=1) == {"seq": 1}
        assert await peer.ask("edit", room=room.id, seq=1, body={"text": "two"}) == {"seq": 1, "revision": 1}
        assert await peer.ask("delete", room=room.id, seq=1) == {"seq": 1, "revision": 2}
        await watcher.pushed("deleted")
        who = {"room": room.id, "user": alice.user.id}
        assert watcher.pushes("typing") == [{"push": "typing", **who, "name": "alice"}]
        assert watcher.pushes("read") == [{"push": "read", **who, "seq": 1}]
        change = {"room": room.id, "epoch": "e1", "seq": 1, "user": alice.user.id}
        assert watcher.pushes("edited") == [{"push": "edited", **change, "revision": 1, "body": {"text": "two"}}]
        assert watcher.pushes("deleted") == [{"push": "deleted", **change, "revision": 2}]
        [message] = (await watcher.ask("history", room=room.id))["messages"]
        assert (message["deleted"], message["revision"], message["body"]) == (True, 2, {})


async def test_hints_are_droppable_and_messages_are_not(autojump_clock: MockClock) -> None:
    async with open_cluster() as cluster:
        alice = await cluster.user("alice")
        room = await cluster.room(alice)
        peer = await cluster.nodes[0].enter(alice, room)
        await peer.ask("publish", room=room.id, key="k", body={"text": "t"})
        await peer.ask("typing", room=room.id)
        await peer.ask("read", room=room.id, seq=1)
        await peer.pushed("presence")
        positions = [position for _, _, position in cluster.nodes[0].gateway.published]
        assert positions.count(1) == 1
        assert set(positions) == {1, None}


async def test_a_user_who_comes_back_within_the_grace_was_never_gone(autojump_clock: MockClock) -> None:
    async with open_cluster() as cluster:
        alice, bob = await cluster.user("alice"), await cluster.user("bob")
        room = await cluster.room(alice, bob)
        node = cluster.nodes[0]
        watcher, peer = await node.enter(alice, room), await node.enter(bob, room)
        await trio.sleep(10)
        watcher.maps.clear()
        peer.hang_up()
        await trio.sleep(2)
        peer = await node.enter(bob, room)
        await trio.sleep(20)
        assert watcher.pushes("presence") == []
        peer.hang_up()
        [push] = await watcher.pushed("presence")
        assert (push["joins"], push["leaves"], push["online"]) == ([], [bob.user.id], 1)


async def test_goodbye_spreads_the_clients_over_the_window(autojump_clock: MockClock) -> None:
    async with open_cluster(max_connections_per_user=1000) as cluster:
        alice = await cluster.user("alice")
        node = cluster.nodes[0]
        peers = [await node.connect(alice) for _ in range(200)]
        await node.realtime.say_goodbye(20)
        waits = []
        for peer in peers:
            [push] = await peer.pushed("bye")
            assert push == {"push": "bye", "reason": "going_away", "reconnect_after_ms": push["reconnect_after_ms"]}
            waits.append(push["reconnect_after_ms"])
        assert all(0 <= wait <= 20_000 for wait in waits)
        assert min(waits) < 4_000 < 16_000 < max(waits)


async def test_plain_http_is_handed_on(autojump_clock: MockClock) -> None:
    async with open_cluster() as cluster:
        ours, theirs = socket.socketpair()
        with theirs:
            cluster.nodes[0].gateway.put(HttpConnection(ours, b"GET / HTTP/1.1\r\n\r\n"))
            await trio.sleep(1)
            assert ours.fileno() == -1


@pytest.mark.parametrize("frame", [b"", b"\x01", b"\x02\x90", b"\x01\xff\xff", b"\x80\x04cposix\nsystem\n.", b"{}"])
async def test_b47_a_poisoned_event_is_dropped(autojump_clock: MockClock, frame: bytes) -> None:
    async with open_cluster() as cluster:
        alice = await cluster.user("alice")
        room = await cluster.room(alice)
        node = cluster.nodes[0]
        peer = await node.enter(alice, room)
        for channel in (events.room_channel(room.id), events.CONTROL, "else", "room:"):
            await node.broker.subscribe([channel])
            await node.broker.publish([(channel, frame)])
        await peer.ask("publish", room=room.id, key="k", body={"text": "t"})
        assert len(await peer.pushed("message")) == 1


async def test_b47_an_event_counts_only_on_its_own_channel(autojump_clock: MockClock) -> None:
    async with open_cluster() as cluster:
        alice = await cluster.user("alice")
        mine, other = await cluster.room(alice), await cluster.room(alice, kind=RoomKind.PRIVATE)
        node = cluster.nodes[0]
        peer = await node.enter(alice, mine)
        await peer.ask("join", room=other.id)
        forged = events.encode(events.Typing(other.id, "u9", "mallory"))
        for channel in (events.room_channel(mine.id), events.CONTROL):
            await node.broker.publish([(channel, forged)])
        await trio.sleep(1)
        assert peer.pushes("typing") == []
        assert peer.closed is None


async def test_names_of_roles_from_a_newer_version_are_nobody(autojump_clock: MockClock) -> None:
    async with open_cluster() as cluster:
        alice, bob = await cluster.user("alice"), await cluster.user("bob")
        room = await cluster.room(alice, bob)
        node = cluster.nodes[0]
        peer = await node.enter(bob, room)
        event = events.encode(events.MemberChanged(room.id, bob.user.id, "archbishop"))
        await node.broker.publish([(events.room_channel(room.id), event)])
        assert (await peer.pushed("removed"))[0]["reason"] == "removed"
