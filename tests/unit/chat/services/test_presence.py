"""Presence under a clock of its own: nothing here waits, and nothing depends on the machine's speed."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import cast

import pytest
import trio
from trio.testing import MockClock

from chat.adapters.embedded.presence_store import LEASE_SECONDS, MemoryPresenceStore
from chat.domain.errors import Unavailable
from chat.domain.rooms import Role, RoomId, RoomKind
from chat.domain.users import UserId
from chat.ports.presence_store import PresenceEntry
from chat.ports.user_store import UserStore
from chat.services import Names, Presence, Rooms, events
from chat.services.announcer import Announcer
from chat.services.presence import MAX_NAMES
from tests.support.services import RecordingBroker, open_world

ROOM = RoomId("tea")
ALICE, BOB = UserId("alice"), UserId("bob")


class _Users:
    """Everybody exists and is called like their id in capitals."""

    async def names(self, users: Sequence[UserId]) -> dict[UserId, str]:
        return {user: user.upper() for user in users}


class _Store(MemoryPresenceStore):
    """Can be away; counts its calls."""

    is_away = False
    puts = 0

    async def put(self, entries: Sequence[PresenceEntry]) -> list[tuple[RoomId, UserId]]:
        self._check()
        self.puts += 1
        return await super().put(entries)

    async def remove(self, entries: Sequence[PresenceEntry]) -> list[tuple[RoomId, UserId]]:
        self._check()
        return await super().remove(entries)

    async def reap(self) -> list[tuple[RoomId, UserId]]:
        self._check()
        return await super().reap()

    async def online(self, room: RoomId, limit: int) -> tuple[int, list[UserId]]:
        self._check()
        return await super().online(room, limit)

    def _check(self) -> None:
        if self.is_away:
            raise Unavailable("the store is away")


@dataclasses.dataclass(frozen=True)
class Node:
    """A node's presence, running until `stop`."""

    presence: Presence
    broker: RecordingBroker
    running: trio.CancelScope

    def track(self, user: UserId = ALICE, connection: str = "c1", room: RoomId = ROOM) -> None:
        self.presence.track(room, user, connection)

    def untrack(self, user: UserId = ALICE, connection: str = "c1", room: RoomId = ROOM) -> None:
        self.presence.untrack(room, user, connection)

    @property
    def told(self) -> list[events.PresenceChanged]:
        return self.broker.of(events.PresenceChanged)


@contextlib.asynccontextmanager
async def open_nodes(store: MemoryPresenceStore, count: int = 1) -> AsyncIterator[list[Node]]:
    """Nodes that share a store, as a fleet does."""
    async with trio.open_nursery() as nursery:
        nodes = [_start(nursery, store) for _ in range(count)]
        yield nodes
        nursery.cancel_scope.cancel()


def _start(nursery: trio.Nursery, store: MemoryPresenceStore) -> Node:
    broker, scope = RecordingBroker(), trio.CancelScope()
    names = Names(cast(UserStore, _Users()))
    presence = Presence(store, rooms=cast(Rooms, None), names=names, announcer=Announcer(broker))

    async def run() -> None:
        with scope:
            await presence.run()

    nursery.start_soon(run)
    return Node(presence, broker, scope)


def joined(*users: UserId, online: int) -> events.PresenceChanged:
    return events.PresenceChanged(ROOM, [(user, user.upper()) for user in users], [], online)


def left(*users: UserId, online: int) -> events.PresenceChanged:
    return events.PresenceChanged(ROOM, [], list(users), online)


async def test_a_join_and_a_leave_are_told_once_each(autojump_clock: MockClock) -> None:
    async with open_nodes(MemoryPresenceStore()) as [node]:
        node.track()
        await trio.sleep(0.9)
        assert node.told == [joined(ALICE, online=1)]
        node.untrack()
        await trio.sleep(4.9)
        assert await node.presence.count(ROOM) == 1  # still within the grace
        await trio.sleep(2)
        assert node.told[1:] == [left(ALICE, online=0)]
        await trio.sleep(600)
        assert len(node.told) == 2


async def test_a_reconnect_within_the_grace_is_told_to_nobody(autojump_clock: MockClock) -> None:
    async with open_nodes(MemoryPresenceStore()) as [node]:
        node.track(connection="c1")
        await trio.sleep(2)
        for number in range(1, 20):
            node.untrack(connection=f"c{number}")
            await trio.sleep(4)
            node.track(connection=f"c{number + 1}")
        await trio.sleep(60)
        assert node.told == [joined(ALICE, online=1)]
        assert await node.presence.count(ROOM) == 1


async def test_a_reconnect_to_another_node_is_told_to_nobody(autojump_clock: MockClock) -> None:
    async with open_nodes(MemoryPresenceStore(), 2) as [first, second]:
        first.track(connection="c1")
        await trio.sleep(2)
        first.untrack(connection="c1")
        second.track(connection="c2")
        await trio.sleep(600)
        assert (first.told, second.told) == ([joined(ALICE, online=1)], [])


async def test_the_same_connection_may_leave_a_room_and_come_back(autojump_clock: MockClock) -> None:
    async with open_nodes(MemoryPresenceStore()) as [node]:
        node.track()
        await trio.sleep(2)
        node.untrack()
        await trio.sleep(1)
        node.track()
        await trio.sleep(60)
        assert node.told == [joined(ALICE, online=1)]
        node.untrack()
        await trio.sleep(7)
        assert node.told[1:] == [left(ALICE, online=0)]


async def test_a_user_with_two_devices_leaves_with_the_last(autojump_clock: MockClock) -> None:
    async with open_nodes(MemoryPresenceStore()) as [node]:
        node.track(connection="phone")
        node.track(connection="laptop")
        await trio.sleep(2)
        node.untrack(connection="phone")
        await trio.sleep(60)
        assert node.told == [joined(ALICE, online=1)]
        node.untrack(connection="laptop")
        await trio.sleep(7)
        assert node.told[1:] == [left(ALICE, online=0)]


async def test_untracking_what_is_not_tracked_is_no_error(autojump_clock: MockClock) -> None:
    async with open_nodes(MemoryPresenceStore()) as [node]:
        node.untrack()
        node.track(BOB)
        node.untrack(BOB)
        await trio.sleep(2)
        node.untrack(BOB)  # does not prolong the grace
        await trio.sleep(5)
        assert await node.presence.count(ROOM) == 0


async def test_leases_are_renewed_for_as_long_as_the_connection_lives(autojump_clock: MockClock) -> None:
    store = MemoryPresenceStore()
    async with open_nodes(store) as [node]:
        for number in range(2000):
            node.track(UserId(f"u{number}"), f"c{number}")
        await trio.sleep(20 * LEASE_SECONDS)
        assert await node.presence.count(ROOM) == 2000
        assert [event.online for event in node.told] == [2000]


async def test_p5_when_a_node_dies_the_others_tell_it_within_35_seconds(autojump_clock: MockClock) -> None:
    async with open_nodes(MemoryPresenceStore(), 3) as [doomed, second, third]:
        doomed.track(ALICE, "c1")
        second.track(BOB, "c2")
        await trio.sleep(0.1)  # the leases are new, so this is the worst moment
        doomed.running.cancel()
        await trio.sleep(35)
        everything = second.told + third.told
        assert [event for event in everything if event.leaves] == [left(ALICE, online=1)]


async def test_changes_of_a_room_are_told_at_most_once_a_second(autojump_clock: MockClock) -> None:
    async with open_nodes(MemoryPresenceStore()) as [node]:
        for number in range(100):
            node.track(UserId(f"u{number}"), f"c{number}")
            await trio.sleep(0.1)
        await trio.sleep(2)
        assert 8 <= len(node.told) <= 12
        assert sum(len(event.joins) for event in node.told) == 100
        assert node.told[-1].online == 100


async def test_rooms_that_change_together_are_told_in_one_call(autojump_clock: MockClock) -> None:
    async with open_nodes(MemoryPresenceStore()) as [node]:
        for number in range(50):
            node.track(room=RoomId(f"room{number}"))
        await trio.sleep(2)
        assert [len(call) for call in node.broker.calls] == [50]


async def test_ten_thousand_joins_of_one_room_take_a_moment_and_name_nobody(autojump_clock: MockClock) -> None:
    store = _Store()
    async with open_nodes(store) as [node]:
        for number in range(10_000):
            node.track(UserId(f"u{number}"), f"c{number}")
        await trio.sleep(2)
        assert node.told == [events.PresenceChanged(ROOM, [], [], 10_000)]
        assert store.puts == 20


async def test_above_two_hundred_only_the_number_is_told(autojump_clock: MockClock) -> None:
    async with open_nodes(MemoryPresenceStore()) as [node]:
        for number in range(MAX_NAMES):
            node.track(UserId(f"u{number}"), f"c{number}")
        await trio.sleep(2)
        node.track(ALICE)
        await trio.sleep(2)
        node.untrack(UserId("u0"), "c0")
        await trio.sleep(8)
        assert [(len(e.joins), len(e.leaves), e.online) for e in node.told] == [(200, 0, 200), (0, 0, 201), (0, 1, 200)]


async def test_while_the_store_is_away_nothing_is_lost_but_time(autojump_clock: MockClock) -> None:
    store = _Store()
    async with open_nodes(store) as [node]:
        node.track(BOB, "c0")
        await trio.sleep(2)
        store.is_away = True
        node.track(ALICE)
        node.untrack(BOB, "c0")
        await trio.sleep(2)
        with pytest.raises(Unavailable):
            await node.presence.count(ROOM)
        await trio.sleep(10)
        store.is_away = False
        await trio.sleep(LEASE_SECONDS + 7)
        assert node.told[0] == joined(BOB, online=1)
        told = node.told[1:]
        assert {user for event in told for user, _ in event.joins} == {ALICE}
        assert [user for event in told for user in event.leaves] == [BOB]
        assert told[-1].online == 1


async def test_a_store_that_was_emptied_is_filled_again(autojump_clock: MockClock) -> None:
    store = MemoryPresenceStore()
    async with open_nodes(store) as [node]:
        node.track()
        await trio.sleep(2)
        await store.remove([PresenceEntry(ROOM, ALICE, "c1")])
        await trio.sleep(13)
        assert await node.presence.count(ROOM) == 1


async def test_a_broker_that_is_away_stops_nothing(autojump_clock: MockClock) -> None:
    async with open_nodes(MemoryPresenceStore()) as [node]:
        node.broker.is_away = True
        node.track()
        await trio.sleep(2)
        node.broker.is_away = False
        node.track(BOB, "c2")
        await trio.sleep(2)
        assert node.told == [joined(BOB, online=2)]


async def test_an_idle_node_sleeps(autojump_clock: MockClock) -> None:
    store = _Store()
    async with open_nodes(store):
        await trio.sleep(3600)
        assert store.puts == 0


async def test_members_see_who_is_online_and_in_large_rooms_how_many(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        owner = await world.user("owner")
        room = await world.room(RoomKind.PRIVATE, {owner: Role.OWNER})
        await world.presence.put([PresenceEntry(room.id, owner.user.id, "c")])
        presence = world.services.presence
        assert await presence.online(owner, room.id) == (1, [(owner.user.id, "owner")])
        await world.presence.put([PresenceEntry(room.id, UserId(f"u{n}"), f"c{n}") for n in range(MAX_NAMES)])
        assert await presence.online(owner, room.id) == (MAX_NAMES + 1, [])
