"""Members who join open rooms together."""

from __future__ import annotations

import trio
from trio.testing import MockClock

from chat.domain.rooms import Role
from tests.support.chat_nodes import open_cluster


async def test_those_who_come_together_are_looked_up_together(autojump_clock: MockClock) -> None:
    async with open_cluster() as cluster:
        owner, *members = [await cluster.user(f"user {number}") for number in range(20)]
        room = await cluster.room(owner, *members)
        await cluster.nodes[0].enter(owner, room)
        peers = [await cluster.nodes[0].connect(member) for member in members]
        cluster.rooms.batches.clear()
        commands = [peer.command("join", room=room.id) for peer in peers]
        for peer, command in zip(peers, commands, strict=True):
            peer.say(command)
        answers = [await peer.answer_to(command["id"]) for peer, command in zip(peers, commands, strict=True)]
        assert [answer["ok"]["role"] for answer in answers] == ["member"] * 19
        assert cluster.rooms.batches == [19]


async def test_rooms_are_joined_in_the_order_asked_for_whatever_each_needs(autojump_clock: MockClock) -> None:
    async with open_cluster() as cluster:
        owner, member = await cluster.user("owner"), await cluster.user("member")
        known, new, banned = [await cluster.room(owner) for _ in range(3)]
        await cluster.ports.rooms.set_role(known.id, member.user.id, Role.MEMBER)
        await cluster.ports.rooms.set_role(banned.id, member.user.id, Role.BANNED)
        for room in (known, new, banned):
            await cluster.nodes[0].enter(owner, room)
        peer = await cluster.nodes[0].connect(member)
        rooms = (known, new, banned, known)
        commands = [peer.command("join", room=room.id) for room in rooms]
        ping = peer.command("ping")
        peer.say(*commands)
        peer.say(ping)
        await peer.answer_to(ping["id"])
        answers = [item for item in peer.maps if "re" in item]
        assert [answer["re"] for answer in answers] == [command["id"] for command in (*commands, ping)]
        assert [answer.get("ok", {}).get("role") for answer in answers] == ["member", "member", None, "member", None]
        assert answers[2]["err"]["code"] == "not_found"


async def test_who_is_removed_while_being_looked_up_stays_out(autojump_clock: MockClock) -> None:
    async with open_cluster() as cluster:
        owner, member = await cluster.user("owner"), await cluster.user("member")
        room = await cluster.room(owner, member)
        first = await cluster.nodes[0].enter(owner, room)
        peer = await cluster.nodes[0].connect(member)
        cluster.rooms.latency = 5.0
        command = peer.command("join", room=room.id)
        peer.say(command)
        await trio.sleep(1)
        cluster.rooms.latency = 0.0
        await cluster.nodes[0].services.rooms.set_role(owner, room.id, member.user.id, Role.BANNED)
        assert (await peer.answer_to(command["id"]))["err"]["code"] == "not_found"
        assert "seq" in await first.ask("publish", room=room.id, key="secret", body={"text": "secret"})
        await trio.sleep(5)
        assert peer.seqs(room.id) == []


async def test_a_store_that_is_away_refuses_each_join_by_itself(autojump_clock: MockClock) -> None:
    async with open_cluster() as cluster:
        owner, member = await cluster.user("owner"), await cluster.user("member")
        room = await cluster.room(owner, member)
        await cluster.nodes[0].enter(owner, room)
        peer = await cluster.nodes[0].connect(member)
        cluster.rooms.is_away = True
        assert (await peer.ask("join", room=room.id))["code"] == "unavailable"
        cluster.rooms.is_away = False
        assert "epoch" in await peer.ask("join", room=room.id)


async def test_who_comes_back_to_an_open_room_gets_what_was_missed(autojump_clock: MockClock) -> None:
    async with open_cluster() as cluster:
        owner, member = await cluster.user("owner"), await cluster.user("member")
        room = await cluster.room(owner, member)
        first = await cluster.nodes[0].enter(owner, room)
        peer = await cluster.nodes[0].enter(member, room)
        peer.hang_up()
        for key in ("a", "b"):
            await first.ask("publish", room=room.id, key=key, body={"text": key})
        cluster.rooms.batches.clear()
        again = await cluster.nodes[0].enter(member, room, since={"epoch": "e1", "seq": 0})
        await first.ask("publish", room=room.id, key="c", body={"text": "c"})
        await again.pushed("message", 3)
        assert again.seqs(room.id) == [1, 2, 3]
        assert cluster.rooms.batches == [1]


async def test_what_waits_behind_a_join_needs_nobody_else_to_go_on(autojump_clock: MockClock) -> None:
    async with open_cluster() as cluster:
        owner, member = await cluster.user("owner"), await cluster.user("member")
        room, other = await cluster.room(owner, member), await cluster.room(owner, member)
        await cluster.nodes[0].enter(owner, room)
        await cluster.nodes[0].enter(owner, other)
        peer = await cluster.nodes[0].enter(member, room)
        joins = [peer.command("join", room=room.id) for room in (room, other)]
        post = peer.command("publish", room=room.id, key="k", body={"text": "hello"})
        cluster.rooms.latency = cluster.messages.latency = 0.1
        with trio.fail_after(10):  # before anything else happens on the node
            for before, behind in [(joins[0], post), (post, joins[1])]:
                first, second = before | {"id": 100 + before["id"]}, behind | {"id": 200 + behind["id"]}
                peer.say(first)
                await trio.sleep(0.05)
                peer.say(second)
                assert "ok" in await peer.answer_to(first["id"])
                assert "ok" in await peer.answer_to(second["id"])
