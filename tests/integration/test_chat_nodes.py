"""Several nodes in one process: real sockets on both backends, real files, one bus."""

from __future__ import annotations

import contextlib
import itertools
import random
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import trio

from chat.adapters.embedded.database import SqliteDatabase
from chat.adapters.embedded.message_store import SqliteMessageStore
from chat.adapters.embedded.room_store import SqliteRoomStore
from chat.adapters.embedded.session_store import SqliteSessionStore
from chat.adapters.embedded.user_store import SqliteUserStore
from chat.domain.rooms import Room
from chat.domain.users import Identity
from gateway_core import CloseCode, GatewayConfig
from gateway_core.backend import open_gateway
from tests.support.chat_nodes import Cluster, Ports, open_cluster
from tests.support.chat_sockets import ChatSocket, ChatSockets, open_sockets
from tests.support.gateways import backend_parameters

Opener = Callable[..., contextlib.AbstractAsyncContextManager[tuple[Cluster, ChatSockets]]]
CODECS = ["chat.v1.json", "chat.v1.cbor"]


@pytest.fixture(params=backend_parameters())
def nodes(request: pytest.FixtureRequest, tmp_path: Path) -> Opener:
    """Opens a cluster of `count` nodes of the backend under test; `gateway` are fields of `GatewayConfig`."""

    @contextlib.asynccontextmanager
    async def opener(
        count: int = 1, *, gateway: dict[str, Any] | None = None, **settings: Any
    ) -> AsyncIterator[tuple[Cluster, ChatSockets]]:
        config = GatewayConfig(**gateway or {})
        async with SqliteDatabase(tmp_path) as database, contextlib.AsyncExitStack() as stack:
            ports = Ports(
                SqliteMessageStore(database),
                SqliteRoomStore(database),
                SqliteUserStore(database),
                SqliteSessionStore(database),
            )
            gateways = [await stack.enter_async_context(open_gateway(config, request.param)) for _ in range(count)]
            async with open_cluster(ports=ports, gateways=gateways, **settings) as cluster, open_sockets() as sockets:
                yield cluster, sockets

    return opener


async def enter(
    cluster: Cluster, sockets: ChatSockets, node: int, who: Identity, room: Room, codec: str = CODECS[0], **fields: Any
) -> ChatSocket:
    """A connection of `who` that has joined `room` on that node."""
    socket = await sockets.connect(cluster.nodes[node].gateway.address, cluster.token(who), codec)
    answer = await socket.ask("join", room=room.id, **fields)
    assert "epoch" in answer, answer
    return socket


async def test_everybody_sees_the_same_messages_in_the_same_order(nodes: Opener) -> None:
    async with nodes(2) as (cluster, sockets):
        users = [await cluster.user(f"user{number}") for number in range(4)]
        room = await cluster.room(*users)
        peers = [
            await enter(cluster, sockets, number % 2, who, room, CODECS[number // 2])
            for number, who in enumerate(users)
        ]

        async def write(peer: ChatSocket, name: int) -> None:
            commands = [
                peer.command("publish", room=room.id, key=f"{name}-{number}", body={"text": f"{number} ✓"})
                for number in range(50)
            ]
            for start in range(0, 50, 10):
                await peer.send(*commands[start : start + 10])
            for command in commands:
                assert "seq" in await peer.answer_to(command["id"])

        async with trio.open_nursery() as nursery:
            for name, peer in enumerate(peers):
                nursery.start_soon(write, peer, name)
        for peer in peers:
            await peer.pushed("message", 200)
            assert peer.seqs() == list(range(1, 201))
            assert peer.pushes("message") == peers[0].pushes("message")
        page = await peers[3].ask("history", room=room.id, after=0, limit=200)
        shown = [{"push": "message", "room": room.id, "epoch": room.epoch, **item} for item in page["messages"]]
        assert shown == peers[0].pushes("message")


async def test_clients_that_hop_between_nodes_miss_nothing_and_see_nothing_twice(nodes: Opener) -> None:
    chance = random.Random(7)
    async with nodes(2) as (cluster, sockets):
        alice, bob = await cluster.user("alice"), await cluster.user("bob")
        room = await cluster.room(alice, bob)
        writer = await enter(cluster, sockets, 0, alice, room)
        seen: list[int] = []
        finished = trio.Event()

        async def visit() -> None:
            """Resumes on one of the nodes and stays for a few messages."""
            address = cluster.nodes[chance.randrange(2)].gateway.address
            socket = await sockets.connect(address, cluster.token(bob), chance.choice(CODECS))
            last = seen[-1] if seen else 0
            answer = await socket.ask("join", room=room.id, since={"epoch": room.epoch, "seq": last})
            assert answer["recovered"] is True
            enough = min(chance.randrange(1, 40), 300 - last)
            await socket.pushed("message", enough)
            seen.extend(socket.seqs())
            await socket.close()

        async def hop() -> None:
            while len(seen) < 300:
                await visit()
            finished.set()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(hop)
            for number in range(300):
                assert "seq" in await writer.ask("publish", room=room.id, key=f"{number}", body={"text": "t" * 100})
            with trio.fail_after(60):
                await finished.wait()
        assert seen == list(range(1, 301))


async def test_a_client_that_reads_too_slowly_gets_a_gap_and_pages_it(nodes: Opener) -> None:
    limits = {
        "soft_outbox_bytes": 65_536,
        "slow_consumer_seconds": 600,
        "max_bytes_per_second": 1e9,
        "bytes_burst": 1_000_000_000,
    }
    async with nodes(gateway=limits) as (cluster, sockets):
        alice, bob = await cluster.user("alice"), await cluster.user("bob")
        room = await cluster.room(alice, bob)
        slow = await enter(cluster, sockets, 0, bob, room)
        writer = await sockets.connect(cluster.nodes[0].gateway.address, cluster.token(alice), CODECS[1])
        slow.pause()
        for start in range(0, 500, 5):
            commands = [
                writer.command("publish", room=room.id, key=f"{start + number}", body={"text": "x" * 12_000})
                for number in range(5)
            ]
            await writer.send(*commands)
            for command in commands:
                assert "seq" in await writer.answer_to(command["id"])
        slow.go_on()
        await slow.pushed("gap")
        for gap in slow.pushes("gap"):
            await page(slow, room, gap["from"], gap["to"])
        assert (await writer.ask("publish", room=room.id, key="end", body={"text": "end"}))["seq"] == 501
        await slow.until(lambda: slow.seqs()[-1] == 501)
        told = {(gap["from"], gap["to"]) for gap in slow.pushes("gap")}
        jumps = {(last + 1, seq - 1) for last, seq in itertools.pairwise([0, *slow.seqs()]) if seq != last + 1}
        assert jumps
        assert jumps <= told


async def page(socket: ChatSocket, room: Room, first: int, last: int) -> None:
    """Reads `first` to `last` from the history, page by page."""
    while first <= last:
        answer = await socket.ask("history", room=room.id, after=first - 1, limit=200)
        seqs = [message["seq"] for message in answer["messages"]]
        assert seqs == list(range(first, first + len(seqs)))
        first = seqs[-1] + 1


async def test_the_session_ends_with_its_sign_in_on_every_node(nodes: Opener) -> None:
    async with nodes(2) as (cluster, sockets):
        alice, bob = await cluster.user("alice"), await cluster.user("bob")
        room = await cluster.room(alice, bob)
        first, second = [await enter(cluster, sockets, number, alice, room) for number in range(2)]
        other = await enter(cluster, sockets, 0, bob, room)
        await cluster.nodes[1].services.auth.sign_out(alice.session)
        assert await first.close_code() == CloseCode.SESSION_REVOKED
        assert await second.close_code() == CloseCode.SESSION_REVOKED
        await cluster.nodes[1].services.auth.ban(bob.user.id)
        assert await other.close_code() == CloseCode.BANNED


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        ("{", CloseCode.INVALID_PAYLOAD),
        ("[" * 60_000, CloseCode.INVALID_PAYLOAD),
        (b"\x00", CloseCode.UNSUPPORTED_DATA),
        (f"[{','.join(['{}'] * 257)}]", CloseCode.POLICY_VIOLATION),
        ('{"a":"' + "x" * 70_000 + '"}', CloseCode.MESSAGE_TOO_BIG),
        ('{"' + "k" * 10_000_000 + '":1}', CloseCode.MESSAGE_TOO_BIG),
    ],
    ids=["junk", "deep", "binary", "batch", "long", "long-key"],
)
async def test_a_bad_frame_closes_its_connection_and_no_other(nodes: Opener, frame: str | bytes, code: int) -> None:
    async with nodes() as (cluster, sockets):
        alice = await cluster.user("alice")
        room = await cluster.room(alice)
        good = await enter(cluster, sockets, 0, alice, room)
        bad = await enter(cluster, sockets, 0, alice, room)
        with contextlib.suppress(Exception):  # the peer may close while we send
            await bad.send_frame(frame)
        assert await bad.close_code() in (code, CloseCode.ABNORMAL if len(frame) > 1_000_000 else code)
        assert await good.ask("ping") == {}


async def test_goodbye_comes_before_the_close(nodes: Opener) -> None:
    async with nodes() as (cluster, sockets):
        alice = await cluster.user("alice")
        room = await cluster.room(alice)
        peers = [await enter(cluster, sockets, 0, alice, room) for _ in range(5)]
        node = cluster.nodes[0]
        await node.realtime.say_goodbye(0.5)
        await node.gateway.drain(seconds=0.5)
        for peer in peers:
            assert await peer.close_code() == CloseCode.NODE_GOING_AWAY
            [bye] = peer.pushes("bye")
            assert 0 <= bye["reconnect_after_ms"] <= 500
