"""What many sessions publish in one turn of the loop is posted together, and answered to each."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from chat.ports.rate_limiter import Rate
from chat.realtime.publishing import MAX_BATCH
from chat.services import Limits
from gateway_core import CloseCode
from tests.support.chat_nodes import Cluster, open_cluster
from tests.support.fake_gateway import FakePeer


def appends(cluster: Cluster) -> list[int]:
    return [size for what, size in cluster.messages.reads if what == "append"]


def say(peer: FakePeer, room: str, key: str = "k") -> int:
    command = peer.command("publish", room=room, key=key, body={"text": f"hello from {key}"})
    peer.say(command)
    number: int = command["id"]
    return number


async def test_what_comes_in_one_turn_is_one_append_with_an_answer_for_each(autojump_clock: MockClock) -> None:
    async with open_cluster() as cluster:
        users = [await cluster.user(f"user{n}") for n in range(10)]
        rooms = [await cluster.room(*users) for _ in range(2)]
        peers = [await cluster.nodes[0].enter(user, rooms[n % 2]) for n, user in enumerate(users)]
        numbers = [say(peer, rooms[n % 2].id) for n, peer in enumerate(peers)]
        answers = [await peer.answer_to(number) for peer, number in zip(peers, numbers, strict=True)]
        assert sorted(answer["ok"]["seq"] for answer in answers) == sorted([1, 2, 3, 4, 5] * 2)
        assert appends(cluster) == [10]
        for number, peer in enumerate(peers):
            pushes = await peer.pushed("message", 5)
            assert [push["seq"] for push in pushes] == [1, 2, 3, 4, 5]
            assert {push["room"] for push in pushes} == {rooms[number % 2].id}


async def test_what_comes_while_messages_are_posted_is_posted_next_in_its_order(autojump_clock: MockClock) -> None:
    async with open_cluster() as cluster:
        alice = await cluster.user("alice")
        room = await cluster.room(alice)
        peer = await cluster.nodes[0].enter(alice, room)
        cluster.messages.latency = 1.0
        numbers = []
        for key in ("a", "b", "c"):
            numbers.append(say(peer, room.id, key))
            await trio.sleep(0.1)
        assert [(await peer.answer_to(number))["ok"]["seq"] for number in numbers] == [1, 2, 3]
        assert [message.key for message in cluster.messages.rooms[room.id]] == ["a", "b", "c"]
        assert appends(cluster) == [1, 2]


async def test_a_slow_lane_of_the_store_delays_no_other(autojump_clock: MockClock) -> None:
    async with open_cluster() as cluster:
        alice, bob = await cluster.user("alice"), await cluster.user("bob")
        slow, quick = await cluster.room(alice), await cluster.room(bob)
        cluster.messages.slow[slow.id] = 20.0
        waiting = await cluster.nodes[0].enter(alice, slow)
        peer = await cluster.nodes[0].enter(bob, quick)
        late = say(waiting, slow.id)
        prompt = say(peer, quick.id)
        with trio.fail_after(10):
            assert (await peer.answer_to(prompt))["ok"]["seq"] == 1
        assert (await waiting.answer_to(late))["ok"]["seq"] == 1


async def test_a_crowd_is_posted_in_portions(autojump_clock: MockClock) -> None:
    async with open_cluster() as cluster:
        users = [await cluster.user(f"user{n}") for n in range(MAX_BATCH + 50)]
        room = await cluster.room(*users)
        peers = [await cluster.nodes[0].enter(user, room) for user in users]
        numbers = [say(peer, room.id) for peer in peers]
        seqs = [(await peer.answer_to(n))["ok"]["seq"] for peer, n in zip(peers, numbers, strict=True)]
        assert sorted(seqs) == list(range(1, len(users) + 1))
        assert sorted(appends(cluster)) == [50, MAX_BATCH]


async def test_one_who_has_used_up_a_rate_costs_the_others_nothing(autojump_clock: MockClock) -> None:
    async with open_cluster(limits=Limits(publish_per_user=Rate(1, 1))) as cluster:
        alice, bob = await cluster.user("alice"), await cluster.user("bob")
        room = await cluster.room(alice, bob)
        peers = [await cluster.nodes[0].enter(user, room) for user in (alice, alice, bob)]
        numbers = [say(peer, room.id, f"k{n}") for n, peer in enumerate(peers)]
        first, second, third = [await peer.answer_to(n) for peer, n in zip(peers, numbers, strict=True)]
        assert (first["ok"]["seq"], third["ok"]["seq"]) == (1, 2)
        assert second["err"]["code"] == "rate_limited"


@pytest.mark.parametrize("away", [True, False], ids=["away", "broken"])
async def test_everybody_is_told_when_nothing_could_be_posted(
    autojump_clock: MockClock, away: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_cluster() as cluster:
        users = [await cluster.user(f"user{n}") for n in range(3)]
        room = await cluster.room(*users)
        peers = [await cluster.nodes[0].enter(user, room) for user in users]
        if away:
            cluster.messages.is_away = True
        else:
            monkeypatch.setattr(cluster.messages, "append", None)
        numbers = [say(peer, room.id) for peer in peers]
        answers = [await peer.answer_to(n) for peer, n in zip(peers, numbers, strict=True)]
        assert {answer["err"]["code"] for answer in answers} == {"unavailable" if away else "internal"}
        cluster.messages.is_away = False
        assert await peers[0].ask("ping") == {}


async def test_a_session_that_is_ended_meanwhile_is_not_gone_on_with(autojump_clock: MockClock) -> None:
    async with open_cluster() as cluster:
        alice = await cluster.user("alice")
        room = await cluster.room(alice)
        peer = await cluster.nodes[0].enter(alice, room)
        cluster.messages.latency = 1.0
        say(peer, room.id, "first")
        await trio.sleep(0.1)
        say(peer, room.id, "second")
        await cluster.nodes[0].services.auth.sign_out(alice.session)
        assert await peer.close_code() == CloseCode.SESSION_REVOKED
        await trio.sleep(10)
        assert [message.key for message in cluster.messages.rooms[room.id]] == ["first"]
