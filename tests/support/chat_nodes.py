"""Nodes of chat in one process, joined by a broker: over fakes with a virtual clock, or over real parts.

async with open_cluster(2) as cluster:
    alice = await cluster.user("alice")
    room = await cluster.room(alice)
    peer = await cluster.nodes[0].enter(alice, room)
"""

from __future__ import annotations

import contextlib
import dataclasses
import random
import secrets
from collections.abc import AsyncIterator, Sequence
from typing import Any

import trio

from chat.adapters.embedded.broker import MemoryBroker, MemoryBus
from chat.adapters.embedded.presence_store import MemoryPresenceStore
from chat.adapters.embedded.rate_limiter import MemoryRateLimiter
from chat.domain.errors import Unavailable
from chat.domain.rooms import Role, Room, RoomKind
from chat.domain.users import Identity
from chat.ports.broker import Broker, Delivery, Resumed
from chat.ports.message_store import MessageStore
from chat.ports.room_store import RoomStore
from chat.ports.session_store import SessionStore
from chat.ports.user_store import UserStore
from chat.realtime import Realtime, RealtimeConfig
from chat.services import Limits, Services, SigningKey, Tokens, assemble
from gateway_core.gateway import Gateway, HttpConnection
from tests.support.fake_gateway import FakeGateway, FakePeer
from tests.support.memory_stores import MemoryMessageStore, MemoryRoomStore, MemorySessionStore, MemoryUserStore
from tests.support.services import SECRET, UNLIMITED


class FaultyBroker(MemoryBroker):
    """Drops, repeats and reorders room events, as a seed says; can be away, or late."""

    def __init__(self, bus: MemoryBus, *, chaos: random.Random | None = None, drop: float = 0.0) -> None:
        super().__init__(bus)
        self.chaos = chaos
        self.drop = drop
        self.is_away = False
        self.subscribed: list[str] = []
        self.unsubscribed: list[str] = []

    async def subscribe(self, channels: Sequence[str]) -> None:
        if self.is_away:
            raise Unavailable("the broker is away")
        self.subscribed += channels
        await super().subscribe(channels)

    async def unsubscribe(self, channels: Sequence[str]) -> None:
        self.unsubscribed += channels
        await super().unsubscribe(channels)

    async def receive(self) -> list[Delivery | Resumed]:
        items = await super().receive()
        return items if self.chaos is None else self._disturbed(items, self.chaos)

    def _disturbed(self, items: list[Delivery | Resumed], chaos: random.Random) -> list[Delivery | Resumed]:
        kept = [item for item in items if chaos.random() >= self.drop]
        kept += [item for item in kept if chaos.random() < 0.2]
        chaos.shuffle(kept)
        return kept


@dataclasses.dataclass(frozen=True)
class Ports:
    """Stores that all nodes share."""

    messages: MessageStore
    rooms: RoomStore
    users: UserStore
    sessions: SessionStore


@dataclasses.dataclass(frozen=True)
class Node:
    """One node of a cluster."""

    name: str
    gateway: Any
    broker: FaultyBroker
    services: Services
    realtime: Realtime
    tokens: Tokens

    async def connect(self, who: Identity, codec: str = "chat.v1.json") -> FakePeer:
        """An authenticated connection of `who`."""
        token, _ = self.tokens.issue(who.user, who.session)
        headers = [("authorization", f"Bearer {token}")]
        peer: FakePeer = self.gateway.connect(headers=headers, subprotocols=[codec])
        await peer.accepted()
        return peer

    async def enter(self, who: Identity, room: Room, codec: str = "chat.v1.json", **fields: Any) -> FakePeer:
        """An authenticated connection that has joined `room`."""
        peer = await self.connect(who, codec)
        answer = await peer.ask("join", room=room.id, **fields)
        assert "epoch" in answer, answer
        return peer


@dataclasses.dataclass(frozen=True)
class Cluster:
    """Nodes on one bus, over one set of stores."""

    nodes: list[Node]
    ports: Ports
    bus: MemoryBus
    tokens: Tokens
    nursery: trio.Nursery

    @property
    def messages(self) -> MemoryMessageStore:
        assert isinstance(self.ports.messages, MemoryMessageStore)
        return self.ports.messages

    @property
    def rooms(self) -> MemoryRoomStore:
        assert isinstance(self.ports.rooms, MemoryRoomStore)
        return self.ports.rooms

    @property
    def sessions(self) -> MemorySessionStore:
        assert isinstance(self.ports.sessions, MemorySessionStore)
        return self.ports.sessions

    async def user(self, name: str) -> Identity:
        """A signed-in user."""
        user = await self.ports.users.create(name, "none")
        session = await self.ports.sessions.create(user.id)
        return Identity(user, session.id, session.expires)

    async def room(self, owner: Identity, *members: Identity, kind: RoomKind = RoomKind.PUBLIC) -> Room:
        """A room of `owner` with these members."""
        room = await self.ports.rooms.create("a room", kind, owner.user.id)
        for member in members:
            await self.ports.rooms.set_role(room.id, member.user.id, Role.MEMBER)
        return room

    def token(self, who: Identity) -> str:
        return self.tokens.issue(who.user, who.session)[0]


def memory_ports(messages: MemoryMessageStore | None = None) -> Ports:
    """Stores without files and threads."""
    messages, users = messages or MemoryMessageStore(), MemoryUserStore()
    return Ports(messages, MemoryRoomStore(messages, users), users, MemorySessionStore())


@contextlib.asynccontextmanager
async def open_cluster(
    nodes: int = 1,
    *,
    ports: Ports | None = None,
    gateways: Sequence[Gateway] | None = None,
    limits: Limits = UNLIMITED,
    chaos: random.Random | None = None,
    drop: float = 0.0,
    token_seconds: float = 900.0,
    **settings: Any,
) -> AsyncIterator[Cluster]:
    """`nodes` nodes; `settings` are fields of `RealtimeConfig`. Gateways that are given must be open."""
    ports = ports or memory_ports()
    tokens = Tokens([SigningKey.of(SECRET)], lifetime_seconds=token_seconds)
    bus, presence, limiter = MemoryBus(), MemoryPresenceStore(), MemoryRateLimiter()
    async with trio.open_nursery() as nursery:
        cluster = Cluster([], ports, bus, tokens, nursery)
        for number, gateway in enumerate(gateways or [FakeGateway() for _ in range(nodes)]):
            broker = FaultyBroker(bus, chaos=chaos, drop=drop)
            services = _services(ports, presence, limiter, broker, tokens, limits)
            name = f"node-{number}-{secrets.token_hex(2)}"
            config = RealtimeConfig(node=name, **settings)
            realtime = Realtime(gateway, services, broker, ports.messages, config, http=_hang_up)
            nursery.start_soon(services.presence.run)
            await nursery.start(realtime.run)
            cluster.nodes.append(Node(name, gateway, broker, services, realtime, tokens))
        yield cluster
        nursery.cancel_scope.cancel()


def _services(
    ports: Ports,
    presence: MemoryPresenceStore,
    limiter: MemoryRateLimiter,
    broker: Broker,
    tokens: Tokens,
    limits: Limits,
) -> Services:
    return assemble(
        messages=ports.messages,
        rooms=ports.rooms,
        users=ports.users,
        sessions=ports.sessions,
        presence=presence,
        limiter=limiter,
        broker=broker,
        tokens=tokens,
        limits=limits,
    )


def _hang_up(connection: HttpConnection) -> None:
    """These nodes serve no HTTP."""
    connection.socket.close()
