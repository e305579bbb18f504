"""A node that was frozen looks before it goes on (F2)."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from chat.domain.rooms import Role, Room
from chat.domain.users import Identity
from chat.services import events
from gateway_core import CloseCode
from tests.support.chat_nodes import Cluster, open_cluster
from tests.support.fake_gateway import FakePeer

LEASE_SECONDS = 15.0
FROZEN_SECONDS = 20.0


class Scene:
    """Alice and Bob in a room, on the first node of two; Carol on the second."""

    def __init__(self, cluster: Cluster, room: Room, people: dict[str, tuple[Identity, FakePeer]]) -> None:
        self.cluster = cluster
        self.room = room
        self.alice, self.alice_socket = people["alice"]
        self.bob, self.bob_socket = people["bob"]
        self.carol, self.carol_socket = people["carol"]

    def say(self, peer: FakePeer, key: str) -> int:
        command = peer.command("publish", room=self.room.id, key=key, body={"text": key})
        peer.say(command)
        number: int = command["id"]
        return number

    @property
    def stored(self) -> list[str]:
        return [message.key for message in self.cluster.messages.rooms[self.room.id]]


async def scene_of(cluster: Cluster) -> Scene:
    who = {name: await cluster.user(name) for name in ("alice", "bob", "carol")}
    room = await cluster.room(*who.values())
    nodes = {"alice": 0, "bob": 0, "carol": 1}
    people = {name: (one, await cluster.nodes[nodes[name]].enter(one, room)) for name, one in who.items()}
    await trio.sleep(1)
    cluster.sessions.touched.clear()
    return Scene(cluster, room, people)


async def test_who_was_signed_out_meanwhile_neither_says_nor_hears_anything(autojump_clock: MockClock) -> None:
    async with open_cluster(2) as cluster:
        scene = await scene_of(cluster)
        await cluster.sessions.revoke(scene.alice.session)  # and the event was lost
        cluster.sessions.latency = 1.0
        autojump_clock.jump(FROZEN_SECONDS)
        scene.say(scene.alice_socket, "from-alice")
        by_bob, by_carol = scene.say(scene.bob_socket, "from-bob"), scene.say(scene.carol_socket, "from-carol")
        assert "ok" in await scene.carol_socket.answer_to(by_carol)
        assert "ok" in await scene.bob_socket.answer_to(by_bob)
        assert await scene.alice_socket.close_code() == CloseCode.SESSION_REVOKED
        assert sorted(scene.stored) == ["from-bob", "from-carol"]
        await scene.bob_socket.pushed("message", 2)
        assert scene.alice_socket.pushes("message") == []


async def test_who_was_removed_meanwhile_is_found_out(autojump_clock: MockClock) -> None:
    async with open_cluster(2) as cluster:
        scene = await scene_of(cluster)
        await cluster.rooms.set_role(scene.room.id, scene.alice.user.id, Role.BANNED)
        autojump_clock.jump(FROZEN_SECONDS)
        await scene.alice_socket.pushed("removed")
        scene.say(scene.carol_socket, "from-carol")
        await scene.bob_socket.pushed("message")
        assert scene.alice_socket.pushes("message") == []


async def test_what_was_missed_is_fetched(autojump_clock: MockClock) -> None:
    async with open_cluster(2, audit_seconds=1e6) as cluster:
        scene = await scene_of(cluster)
        cluster.messages.commit(scene.room.id, scene.carol.user.id, {"text": "t"})
        autojump_clock.jump(FROZEN_SECONDS)
        await scene.bob_socket.pushed("message")


async def test_a_store_that_does_not_answer_holds_nobody_for_long(autojump_clock: MockClock) -> None:
    async with open_cluster(2) as cluster:
        scene = await scene_of(cluster)
        await cluster.sessions.revoke(scene.alice.session)
        cluster.sessions.latency = 100.0
        autojump_clock.jump(FROZEN_SECONDS)
        begun = trio.current_time()
        assert "ok" in await scene.bob_socket.answer_to(scene.say(scene.bob_socket, "from-bob"))
        assert 4 < trio.current_time() - begun < 10
        assert await scene.alice_socket.close_code() == CloseCode.SESSION_REVOKED  # once it does
        assert trio.current_time() - begun > 90


@pytest.mark.parametrize(("seconds", "asked"), [(LEASE_SECONDS / 6, []), (LEASE_SECONDS * 2 / 3, [2])])
async def test_only_a_gap_in_which_the_lease_may_have_lapsed_counts(
    autojump_clock: MockClock, seconds: float, asked: list[int]
) -> None:
    async with open_cluster(1, audit_seconds=1e6) as cluster:
        people = [await cluster.user(name) for name in ("alice", "bob")]
        room = await cluster.room(*people)
        for who in people:
            await cluster.nodes[0].enter(who, room)
        cluster.sessions.touched.clear()
        autojump_clock.jump(seconds)
        await trio.sleep(60)
        assert cluster.sessions.touched == asked


async def test_the_loss_of_a_node_makes_the_others_compare_their_rooms(autojump_clock: MockClock) -> None:
    async with open_cluster(2, audit_seconds=1e6) as cluster:
        scene = await scene_of(cluster)
        cluster.messages.commit(scene.room.id, scene.carol.user.id, {"text": "t"})
        await trio.sleep(100)
        assert scene.bob_socket.pushes("message") == []
        await cluster.nodes[1].broker.publish([(events.CONTROL, events.encode(events.NodeLost("gone")))])
        await scene.bob_socket.pushed("message")
        await scene.carol_socket.pushed("message")
