"""Handshakes that come together are looked up together, and each is answered for itself."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from chat.domain.errors import Unavailable
from tests.support.chat_nodes import Cluster, open_cluster
from tests.support.fake_gateway import FakePeer


def connect(cluster: Cluster, token: str) -> FakePeer:
    peer: FakePeer = cluster.nodes[0].gateway.connect(headers=[("authorization", f"Bearer {token}")])
    return peer


async def test_tokens_of_one_turn_are_one_look_up_with_a_verdict_for_each(autojump_clock: MockClock) -> None:
    async with open_cluster() as cluster:
        users = [await cluster.user(f"user{n}") for n in range(3)]
        gone = await cluster.user("gone")
        await cluster.sessions.revoke(gone.session)
        peers = [connect(cluster, cluster.token(user)) for user in users]
        late, forged = connect(cluster, cluster.token(gone)), connect(cluster, "no token of ours")
        assert [await late.refused(), await forged.refused()] == [401, 401]
        for peer, user in zip(peers, users, strict=True):
            await peer.accepted()
            assert (await peer.ask("hello"))["user"]["id"] == user.user.id
        assert cluster.sessions.touched == [4], "a token that is not ours asks the store nothing"


async def test_a_user_gets_no_more_connections_by_asking_for_them_together(autojump_clock: MockClock) -> None:
    async with open_cluster(max_connections_per_user=2) as cluster:
        token = cluster.token(await cluster.user("alice"))
        peers = [connect(cluster, token) for _ in range(4)]
        for peer in peers[:2]:
            await peer.accepted()
        assert [await peer.refused() for peer in peers[2:]] == [429, 429]


async def test_who_is_signed_out_during_the_look_up_is_refused_and_no_other(autojump_clock: MockClock) -> None:
    async with open_cluster() as cluster:
        alice, bob = await cluster.user("alice"), await cluster.user("bob")
        cluster.sessions.latency = 1.0
        going, staying = connect(cluster, cluster.token(alice)), connect(cluster, cluster.token(bob))
        await trio.sleep(0.5)
        await cluster.nodes[0].services.auth.sign_out(alice.session)
        await staying.accepted()
        assert await going.refused() == 401


@pytest.mark.parametrize(("error", "expected"), [(Unavailable("away"), 503), (RuntimeError("a bug"), 500)])
async def test_nobody_comes_in_while_the_store_cannot_be_asked(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch, error: Exception, expected: int
) -> None:
    async def fail(*_: object) -> None:
        raise error

    async with open_cluster() as cluster:
        users = [await cluster.user(f"user{n}") for n in range(2)]
        monkeypatch.setattr(cluster.sessions, "touch_each", fail)
        peers = [connect(cluster, cluster.token(user)) for user in users]
        assert [await peer.refused() for peer in peers] == [expected] * 2
        monkeypatch.undo()
        await cluster.nodes[0].connect(users[0])
