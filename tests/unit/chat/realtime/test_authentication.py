"""Hello, refresh, expiry and revocation."""

from __future__ import annotations

import dataclasses

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from gateway_core import CloseCode
from tests.support.chat_nodes import Cluster, open_cluster
from tests.support.fake_gateway import FakePeer


async def strange(cluster: Cluster) -> FakePeer:
    """A connection that has said nothing yet."""
    peer: FakePeer = cluster.nodes[0].gateway.connect()
    await peer.accepted()
    return peer


async def test_hello_answers_with_everything_a_client_needs(autojump_clock: MockClock) -> None:
    async with open_cluster() as cluster:
        alice = await cluster.user("alice")
        peer = await strange(cluster)
        answer = await peer.ask("hello", token=cluster.token(alice))
        assert answer["user"] == {"id": alice.user.id, "name": "alice"}
        assert answer["node"] == cluster.nodes[0].name
        assert answer["session"].startswith(answer["node"])
        assert answer["heartbeat_seconds"] == 25
        assert 800 < answer["expires_in"] <= 900
        assert answer["limits"]["max_body_bytes"] == 16_384
        assert answer["limits"]["frames_per_second"] == 200


async def test_b35_hello_does_not_tell_the_sign_in(autojump_clock: MockClock) -> None:
    async with open_cluster() as cluster:
        alice = await cluster.user("alice")
        peer = await strange(cluster)
        await peer.ask("hello", token=cluster.token(alice))
        assert alice.session not in str(peer.frames)


async def test_a_resume_token_is_as_good_on_a_socket_until_its_sign_in_is_over(autojump_clock: MockClock) -> None:
    async with open_cluster(2) as cluster:
        alice, node = await cluster.user("alice"), cluster.nodes[1]
        resume = cluster.tokens.issue_resume(alice, "another node")
        by_hello = await strange(cluster)
        assert (await by_hello.ask("hello", token=resume))["user"]["id"] == alice.user.id
        by_header = node.gateway.connect(headers=[("authorization", f"Bearer {resume}")])
        await by_header.accepted()
        assert (await by_header.ask("hello"))["node"] == node.name
        await node.services.auth.sign_out(alice.session)
        assert [await peer.close_code() for peer in (by_hello, by_header)] == [CloseCode.SESSION_REVOKED] * 2
        assert await node.gateway.connect(headers=[("authorization", f"Bearer {resume}")]).refused() == 401
        late = await strange(cluster)
        assert (await late.ask("hello", token=resume))["code"] == "unauthenticated"


async def test_without_hello_in_time_the_connection_closes(autojump_clock: MockClock) -> None:
    async with open_cluster() as cluster:
        peer = await strange(cluster)
        start = trio.current_time()
        assert await peer.close_code() == CloseCode.UNAUTHENTICATED
        assert 10 <= trio.current_time() - start <= 12


async def test_commands_before_hello_are_unauthenticated(autojump_clock: MockClock) -> None:
    async with open_cluster() as cluster:
        room = await cluster.room(await cluster.user("alice"))
        peer = await strange(cluster)
        for op in ("join", "publish", "history", "edit", "delete", "read", "typing", "presence", "refresh"):
            answer = await peer.ask(op, room=room.id, seq=1, key="k", body={"text": "t"}, token="t")
            assert answer["code"] == "unauthenticated", op
        assert await peer.ask("ping") == {}
        assert await peer.ask("leave", room=room.id) == {}


@pytest.mark.parametrize("token", [None, 1, "", [], "x" * 5000])
async def test_hello_without_a_readable_token_is_invalid(autojump_clock: MockClock, token: object) -> None:
    async with open_cluster() as cluster:
        peer = await strange(cluster)
        answer = await peer.ask("hello", token=token)
        assert answer["code"] == "invalid"
        assert "token" in answer["message"]


async def test_hello_with_a_wrong_token_may_be_repeated_until_the_deadline(autojump_clock: MockClock) -> None:
    async with open_cluster() as cluster:
        alice = await cluster.user("alice")
        peer = await strange(cluster)
        assert (await peer.ask("hello", token="x.y.z"))["code"] == "unauthenticated"
        assert "user" in await peer.ask("hello", token=cluster.token(alice))
        await trio.sleep(60)
        assert peer.closed is None


async def test_hello_again_is_a_welcome_again_but_not_for_another_user(autojump_clock: MockClock) -> None:
    async with open_cluster() as cluster:
        alice, bob = await cluster.user("alice"), await cluster.user("bob")
        peer = await cluster.nodes[0].connect(alice)
        assert (await peer.ask("hello", token=cluster.token(alice)))["user"]["name"] == "alice"
        assert (await peer.ask("hello", token=cluster.token(bob)))["code"] == "forbidden"
        assert (await peer.ask("hello"))["user"]["name"] == "alice"


async def test_a_connection_ends_after_its_token_and_a_grace(autojump_clock: MockClock) -> None:
    async with open_cluster(token_seconds=100) as cluster:
        peer = await cluster.nodes[0].connect(await cluster.user("alice"))
        start = trio.current_time()
        assert await peer.close_code() == CloseCode.UNAUTHENTICATED
        assert 122 <= trio.current_time() - start <= 128


async def test_a_refreshed_token_keeps_the_connection_and_its_rooms(autojump_clock: MockClock) -> None:
    async with open_cluster(token_seconds=100) as cluster:
        alice = await cluster.user("alice")
        room = await cluster.room(alice)
        peer = await cluster.nodes[0].enter(alice, room)
        for _ in range(5):
            await trio.sleep(110)
            assert 95 < (await peer.ask("refresh", token=cluster.token(alice)))["expires_in"] <= 100
        await peer.ask("publish", room=room.id, key="k", body={"text": "still here"})
        assert len(await peer.pushed("message")) == 1


async def test_a_refresh_never_changes_the_user(autojump_clock: MockClock) -> None:
    async with open_cluster() as cluster:
        alice, bob = await cluster.user("alice"), await cluster.user("bob")
        peer = await cluster.nodes[0].connect(alice)
        assert (await peer.ask("refresh", token=cluster.token(bob)))["code"] == "forbidden"
        assert (await peer.ask("refresh", token="x.y.z"))["code"] == "unauthenticated"
        assert (await peer.ask("hello"))["user"]["id"] == alice.user.id


async def test_a_user_has_a_bounded_number_of_connections(autojump_clock: MockClock) -> None:
    async with open_cluster(max_connections_per_user=3) as cluster:
        alice = await cluster.user("alice")
        node = cluster.nodes[0]
        peers = [await node.connect(alice) for _ in range(3)]
        fourth = node.gateway.connect(query=f"access_token={cluster.token(alice)}")
        assert await fourth.refused() == 429
        assert fourth.rejected[1]["retry-after"] == "60"
        late = await strange(cluster)
        assert (await late.ask("hello", token=cluster.token(alice)))["code"] == "rate_limited"
        peers[0].hang_up()
        assert "user" in await late.ask("hello", token=cluster.token(alice))


# Revocation


async def test_a_revoked_session_closes_its_connections_on_every_node(autojump_clock: MockClock) -> None:
    async with open_cluster(2) as cluster:
        alice = await cluster.user("alice")
        bob = await cluster.user("bob")
        first, second = [await node.connect(alice) for node in cluster.nodes]
        other = await cluster.nodes[1].connect(bob)
        start = trio.current_time()
        await cluster.nodes[0].services.auth.sign_out(alice.session)
        assert await first.close_code() == CloseCode.SESSION_REVOKED
        assert await second.close_code() == CloseCode.SESSION_REVOKED
        assert trio.current_time() - start < 1
        assert await other.ask("ping") == {}


async def test_a_banned_user_is_closed_everywhere(autojump_clock: MockClock) -> None:
    async with open_cluster(2) as cluster:
        alice = await cluster.user("alice")
        peers = [await node.connect(alice) for node in cluster.nodes for _ in range(3)]
        await cluster.nodes[1].services.auth.ban(alice.user.id)
        for peer in peers:
            assert await peer.close_code() == CloseCode.BANNED


async def test_a_user_who_is_signed_out_is_closed_everywhere_and_may_come_back(autojump_clock: MockClock) -> None:
    async with open_cluster(2) as cluster:
        alice, bob = await cluster.user("alice"), await cluster.user("bob")
        peers = [await node.connect(alice) for node in cluster.nodes for _ in range(3)]
        spared = await cluster.nodes[0].connect(bob)
        assert [node.realtime.connections_of(alice.user.id) for node in cluster.nodes] == [3, 3]
        await cluster.nodes[1].services.auth.sign_out_user(alice.user.id)
        for peer in peers:
            assert await peer.close_code() == CloseCode.SESSION_REVOKED
        await wait_all_tasks_blocked()
        assert [node.realtime.connections_of(alice.user.id) for node in cluster.nodes] == [0, 0]
        assert await spared.ask("ping") == {}
        session = await cluster.sessions.create(alice.user.id)
        again = await cluster.nodes[0].connect(dataclasses.replace(alice, session=session.id))
        assert await again.ask("ping") == {}


@pytest.mark.parametrize("way", ["handshake", "hello", "refresh"])
async def test_b39_a_revocation_during_the_check_of_a_token_is_not_missed(autojump_clock: MockClock, way: str) -> None:
    async with open_cluster() as cluster:
        alice = await cluster.user("alice")
        node = cluster.nodes[0]
        token = cluster.token(alice)
        cluster.sessions.latency = 0.0
        peer = await node.connect(alice) if way == "refresh" else await strange(cluster)
        cluster.sessions.latency = 1.0  # the store has answered before the revocation, the answer comes after it
        if way == "handshake":
            peer = node.gateway.connect(query=f"access_token={token}")
        else:
            peer.say(peer.command(way, token=token))
        await trio.sleep(0.5)
        await node.services.auth.sign_out(alice.session)
        if way == "handshake":
            assert await peer.refused() == 401
        elif way == "hello":
            assert (await peer.answer_to(1))["err"]["code"] == "unauthenticated"
        else:
            assert await peer.close_code() == CloseCode.SESSION_REVOKED
