"""What every `PresenceStore` promises."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chat.adapters.distributed.presence_store import RedisPresenceStore
from chat.adapters.distributed.redis_client import open_redis
from chat.adapters.embedded.presence_store import MemoryPresenceStore
from chat.domain.rooms import RoomId
from chat.domain.users import UserId
from chat.ports.presence_store import PresenceEntry, PresenceStore
from tests.support.clocks import ManualClock
from tests.support.redis_servers import REDIS_KINDS, emptied

LEASE_SECONDS = 30.0
ROOM, OTHER = RoomId("room"), RoomId("other")
ANNA, BERT = UserId("anna"), UserId("bert")
DEADLINE_SECONDS = 20
NewStore = Callable[[ManualClock], AbstractAsyncContextManager[PresenceStore]]


@contextlib.asynccontextmanager
async def memory_store(clock: ManualClock) -> AsyncIterator[PresenceStore]:
    yield MemoryPresenceStore(clock=clock)


def redis_store(kind: str) -> NewStore:
    @contextlib.asynccontextmanager
    async def store(clock: ManualClock) -> AsyncIterator[PresenceStore]:
        async with open_redis(emptied(kind).url, deadline_seconds=DEADLINE_SECONDS) as redis:
            yield RedisPresenceStore(redis, clock=clock)

    return store


STORES = [
    pytest.param(memory_store, id="memory"),
    *(pytest.param(redis_store(kind), id=kind) for kind in REDIS_KINDS),
]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(params=STORES)
async def store(request: pytest.FixtureRequest, clock: ManualClock) -> AsyncIterator[PresenceStore]:
    async with request.param(clock) as store:
        yield store


def entry(user: UserId, connection: str = "1", room: RoomId = ROOM) -> PresenceEntry:
    return PresenceEntry(room, user, connection)


async def test_the_first_connection_brings_a_user_online(store: PresenceStore) -> None:
    assert await store.put([entry(ANNA, "1"), entry(ANNA, "2"), entry(BERT, "3")]) == [(ROOM, ANNA), (ROOM, BERT)]
    assert await store.put([entry(ANNA, "4"), entry(ANNA, "1")]) == []
    assert await store.online(ROOM, 10) == (2, [ANNA, BERT])


async def test_of_many_users_those_are_told_who_are_online_in_the_room(store: PresenceStore) -> None:
    await store.put([entry(ANNA, "1"), entry(ANNA, "2"), entry(BERT, "3", OTHER)])
    nobody = UserId("nobody")
    assert await store.online_of(ROOM, [nobody, ANNA, BERT]) == {ANNA}
    assert await store.online_of(OTHER, [ANNA, BERT]) == {BERT}
    assert await store.online_of(RoomId("empty"), [ANNA]) == set()
    assert await store.online_of(ROOM, []) == set()


async def test_those_whose_lease_is_over_are_not_online(store: PresenceStore, clock: ManualClock) -> None:
    await store.put([entry(ANNA)])
    clock.advance(LEASE_SECONDS + 1)
    assert await store.online_of(ROOM, [ANNA]) == set()


async def test_the_last_connection_takes_a_user_offline(store: PresenceStore) -> None:
    await store.put([entry(ANNA, "1"), entry(ANNA, "2"), entry(BERT, "3")])
    assert await store.remove([entry(ANNA, "1")]) == []
    assert await store.remove([entry(ANNA, "2"), entry(BERT, "3")]) == [(ROOM, ANNA), (ROOM, BERT)]
    assert await store.online(ROOM, 10) == (0, [])


async def test_removing_who_is_not_there_is_nothing(store: PresenceStore) -> None:
    assert await store.remove([entry(ANNA)]) == []
    await store.put([entry(ANNA, "1")])
    assert await store.remove([entry(ANNA, "2"), entry(ANNA, "1", OTHER)]) == []
    assert await store.online(ROOM, 10) == (1, [ANNA])


async def test_rooms_are_apart(store: PresenceStore) -> None:
    assert await store.put([entry(ANNA), entry(ANNA, room=OTHER)]) == [(ROOM, ANNA), (OTHER, ANNA)]
    assert await store.remove([entry(ANNA)]) == [(ROOM, ANNA)]
    assert await store.online(OTHER, 10) == (1, [ANNA])


async def test_who_is_not_refreshed_lapses_and_is_reaped_once(store: PresenceStore, clock: ManualClock) -> None:
    await store.put([entry(ANNA, "1"), entry(ANNA, "2"), entry(BERT, "3")])
    clock.advance(LEASE_SECONDS - 1)
    await store.put([entry(BERT, "3")])
    assert await store.reap() == []
    clock.advance(2)
    assert await store.online(ROOM, 10) == (1, [BERT])
    assert await store.reap() == [(ROOM, ANNA)]
    assert await store.reap() == []


async def test_one_connection_that_is_refreshed_keeps_a_user_online(store: PresenceStore, clock: ManualClock) -> None:
    await store.put([entry(ANNA, "1"), entry(ANNA, "2")])
    clock.advance(LEASE_SECONDS - 1)
    await store.put([entry(ANNA, "2")])
    clock.advance(2)
    assert await store.reap() == []
    assert await store.online(ROOM, 10) == (1, [ANNA])


async def test_who_comes_back_after_lapsing_joins_again_and_is_not_reaped(
    store: PresenceStore, clock: ManualClock
) -> None:
    await store.put([entry(ANNA)])
    clock.advance(LEASE_SECONDS + 1)
    assert await store.put([entry(ANNA)]) == [(ROOM, ANNA)]
    assert await store.reap() == []


async def test_the_count_is_whole_where_the_names_are_limited(store: PresenceStore) -> None:
    await store.put([entry(UserId(f"user{number}")) for number in range(300)])
    count, users = await store.online(ROOM, 200)
    assert (count, len(users), len(set(users))) == (300, 200, 200)
    assert await store.online(ROOM, 0) == (300, [])


async def test_an_empty_call_answers_nothing(store: PresenceStore) -> None:
    assert await store.put([]) == await store.remove([]) == []


_entries = st.builds(
    PresenceEntry,
    st.sampled_from([ROOM, OTHER]),
    st.sampled_from([ANNA, BERT]),
    st.sampled_from(["1", "2"]),
)
_steps = st.one_of(
    st.tuples(st.sampled_from(["put", "remove"]), st.lists(_entries, max_size=4)),
    st.tuples(st.just("wait"), st.integers(1, 20)),
    st.tuples(st.just("reap"), st.none()),
)


@pytest.mark.parametrize("new_store", STORES)
@settings(max_examples=100, deadline=None)
@given(steps=st.lists(_steps, max_size=30))
async def test_joins_and_leaves_add_up_to_who_is_online(new_store: NewStore, steps: list[tuple[str, object]]) -> None:
    clock = ManualClock()
    leases: dict[PresenceEntry, float] = {}
    told: set[tuple[RoomId, UserId]] = set()
    async with new_store(clock) as store:
        for operation, argument in steps:
            if isinstance(argument, int):
                clock.advance(argument)
            elif operation == "reap":
                told.difference_update(await store.reap())
            elif isinstance(argument, list) and operation == "put":
                told.update(await store.put(argument))
                leases.update((each, clock.now + LEASE_SECONDS) for each in argument)
            elif isinstance(argument, list):
                told.difference_update(await store.remove(argument))
                for each in argument:
                    leases.pop(each, None)
            alive = {(each.room, each.user) for each, end in leases.items() if end > clock.now}
            for room in (ROOM, OTHER):
                count, users = await store.online(room, 10)
                assert {(room, user) for user in users} == {place for place in alive if place[0] == room}
                assert count == len(users)
        told.difference_update(await store.reap())
        assert told == {(each.room, each.user) for each, end in leases.items() if end > clock.now}
