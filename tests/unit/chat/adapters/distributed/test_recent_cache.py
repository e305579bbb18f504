"""The cache of recent messages: never a hole, never a message as it was, never short of what the store has."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from chat.adapters.distributed.cached_message_store import CachedMessageStore, open_cached_store
from chat.adapters.distributed.recent_cache import MAX_MESSAGES, Page, RecentCache, Run, Taken
from chat.adapters.distributed.redis_client import RedisClient, open_redis
from chat.adapters.distributed.redis_command import Command
from chat.domain.messages import Message, NewMessage
from chat.domain.rooms import Room, RoomId
from chat.domain.users import UserId
from tests.support.redis_servers import RedisProcess, emptied
from tests.support.stores import Stores, sqlite_stores

DEADLINE_SECONDS = 20
ROOM = RoomId("room")
KEY = "recent:{room}:messages"


def message(seq: int, text: str = "", revision: int = 0) -> Message:
    return Message(ROOM, seq, 1_700_000_000_000 + seq, UserId("anna"), f"key {seq}", {"text": text}, revision)


def run(*seqs: int, epoch: str = "one") -> Run:
    return Run(epoch, [message(seq) for seq in seqs])


def seqs(page: Page | None) -> list[int] | None:
    return None if page is None else [each.seq for each in page.messages]


@pytest.fixture
async def redis() -> AsyncIterator[RedisClient]:
    with trio.fail_after(2 * DEADLINE_SECONDS):
        async with open_redis(emptied("redis").url, deadline_seconds=DEADLINE_SECONDS) as redis:
            yield redis


@pytest.fixture
def cache(redis: RedisClient) -> RecentCache:
    return RecentCache(redis)


async def test_what_follows_is_taken_what_is_there_is_not_and_a_hole_is_told(cache: RecentCache) -> None:
    assert await cache.append({ROOM: run(7, 8)}) == {ROOM: (Taken.OK, 8)}
    assert await cache.append({ROOM: run(8)}) == {ROOM: (Taken.DUP, 8)}
    assert await cache.append({ROOM: run(8, 9)}) == {ROOM: (Taken.OK, 9)}
    assert await cache.append({ROOM: run(10, 12, 13)}) == {ROOM: (Taken.HOLE, 10)}
    page = await cache.read_after(ROOM, 6, 100)
    assert page == Page("one", 10, [message(seq) for seq in (7, 8, 9, 10)])


async def test_a_new_epoch_starts_over(cache: RecentCache) -> None:
    await cache.append({ROOM: run(1, 2, 3)})
    await cache.append({ROOM: run(2, epoch="two")})
    assert seqs(await cache.read_after(ROOM, 1, 100)) == [2]
    assert await cache.read_after(ROOM, 0, 100) is None


async def test_no_more_than_the_newest_are_kept(cache: RecentCache) -> None:
    await cache.append({ROOM: run(*range(1, MAX_MESSAGES + 51))})
    assert seqs(await cache.read_before(ROOM, None, MAX_MESSAGES)) == [*range(51, MAX_MESSAGES + 51)]
    assert await cache.read_before(ROOM, None, MAX_MESSAGES + 1) is None


async def test_pages_from_the_store_are_joined_at_both_ends(cache: RecentCache) -> None:
    await cache.append({ROOM: run(50, 51)})
    await cache.fill(ROOM, run(*range(40, 54)), is_newest=False)
    await cache.fill(ROOM, run(*range(20, 39)), is_newest=False)  # does not touch
    assert seqs(await cache.read_after(ROOM, 39, 100)) == [*range(40, 54)]
    assert await cache.read_after(ROOM, 38, 100) is None


async def test_an_old_page_does_not_begin_a_cache(cache: RecentCache) -> None:
    await cache.fill(ROOM, run(1, 2), is_newest=False)
    assert await cache.read_after(ROOM, 0, 1) is None
    await cache.fill(ROOM, run(1, 2), is_newest=True)
    assert seqs(await cache.read_after(ROOM, 0, 1)) == [1]


async def test_a_history_that_begins_in_the_cache_is_read_to_its_beginning(cache: RecentCache) -> None:
    await cache.append({ROOM: run(1, 2, 3)})
    assert seqs(await cache.read_before(ROOM, None, 100)) == [1, 2, 3]
    assert seqs(await cache.read_before(ROOM, 3, 1)) == [2]
    assert seqs(await cache.read_before(ROOM, 1, 100)) == []


async def test_a_room_with_a_change_is_not_cached_for_a_while(redis: RedisClient, cache: RecentCache) -> None:
    await cache.append({ROOM: run(1, 2)})
    assert await cache.drop([ROOM]) == []
    await cache.append({ROOM: run(3)})
    await cache.fill(ROOM, run(1, 2, 3), is_newest=True)
    assert await cache.read_after(ROOM, 2, 1) is None
    await redis.ask(Command("recent:{room}:quiet", "DEL", "recent:{room}:quiet"))
    await cache.append({ROOM: run(3)})
    assert seqs(await cache.read_after(ROOM, 2, 1)) == [3]


async def test_a_name_that_is_no_id_of_ours_cannot_choose_its_key(redis: RedisClient, cache: RecentCache) -> None:
    for name in ("{room}", "room}:messages{", "room:messages", "r\r\nFLUSHALL", "Room", "*"):
        await cache.append({RoomId(name): Run("one", [message(1)])})
    keys = await redis.ask(Command("", "KEYS", "*"))
    assert len(keys) == 6
    assert all(key.startswith(b"recent:{~") and key.endswith(b"}:messages") and key.count(b"{") == 1 for key in keys)


_actions = st.one_of(
    st.tuples(st.just("append"), st.integers(1, 12), st.integers(1, 4)),
    st.tuples(st.just("fill"), st.integers(1, 12), st.integers(1, 6)),
    st.tuples(st.just("lose"), st.just(0), st.just(0)),
)


@settings(max_examples=60, deadline=None)
@given(actions=st.lists(_actions, max_size=20), after=st.integers(0, 12), limit=st.integers(1, 12))
async def test_whatever_comes_in_whatever_order_there_is_no_hole(
    actions: list[tuple[str, int, int]], after: int, limit: int
) -> None:
    async with open_redis(emptied("redis").url, deadline_seconds=DEADLINE_SECONDS) as redis:
        cache = RecentCache(redis)
        for action, first, count in actions:
            messages = run(*range(first, first + count))
            if action == "append":
                await cache.append({ROOM: messages})
            elif action == "fill":
                await cache.fill(ROOM, messages, is_newest=first % 2 == 0)
            else:
                await redis.ask(Command(KEY, "DEL", KEY))
            page = await cache.read_after(ROOM, after, limit)
            if page is not None:
                top = min(after + limit, page.top)
                assert seqs(page) == [*range(after + 1, top + 1)]


# --- in front of a store ---

NUMBERS = itertools.count()


@pytest.fixture
async def stores(tmp_path: Path) -> AsyncIterator[Stores]:
    async with sqlite_stores(tmp_path) as stores:
        yield stores


@pytest.fixture
async def room(stores: Stores) -> Room:
    return await stores.new_room()


@pytest.fixture
async def cached(stores: Stores, cache: RecentCache) -> AsyncIterator[CachedMessageStore]:
    async with open_cached_store(stores.messages, cache) as cached:
        yield cached


async def post(store: CachedMessageStore, room: Room, count: int = 1) -> None:
    for _ in range(count):
        await store.append([NewMessage(room.id, UserId("anna"), f"key {next(NUMBERS)}", {"text": "hello"})])


async def test_what_was_appended_is_read_from_the_cache(cached: CachedMessageStore, stores: Stores, room: Room) -> None:
    await post(cached, room, 5)
    await cached.settled()
    for after, before in ((0, None), (2, None), (3, 5)):
        assert await cached.read_after(room.id, after, 100) == await stores.messages.read_after(room.id, after, 100)
        assert await cached.read_before(room.id, before, 2) == await stores.messages.read_before(room.id, before, 2)
    assert (cached.hits, cached.misses) == (6, 0)


async def test_messages_of_two_nodes_that_meet_in_the_wrong_order_make_no_hole(
    stores: Stores, redis: RedisClient, cache: RecentCache, room: Room
) -> None:
    async with (
        open_cached_store(stores.messages, cache) as one,
        open_cached_store(stores.messages, RecentCache(redis)) as two,
    ):
        async with trio.open_nursery() as nursery:
            for _ in range(30):
                nursery.start_soon(post, one, room, 3)
                nursery.start_soon(post, two, room, 3)
        await one.settled()
        await two.settled()
        kept = await cache.read_after(room.id, 0, 200)
        assert kept is None or seqs(kept) == [*range(1, 181)]  # all, or it says that it does not know
        assert [each.seq for each in await one.read_after(room.id, 0, 200)] == [*range(1, 181)]


async def test_a_cache_that_fell_behind_is_found_out_and_mended(
    cached: CachedMessageStore, stores: Stores, room: Room
) -> None:
    await post(cached, room, 2)
    await cached.settled()
    await stores.messages.append([NewMessage(room.id, UserId("anna"), "unknown to the cache", {"text": "x"})])
    assert [each.seq for each in await cached.read_after(room.id, 0, 100)] == [1, 2, 3]
    assert [each.seq for each in await cached.read_before(room.id, None, 2)] == [2, 3]
    await cached.settled()
    await stores.messages.append([NewMessage(room.id, UserId("anna"), "unknown, too", {"text": "x"})])
    await post(cached, room)
    await cached.settled()
    assert [each.seq for each in await cached.read_after(room.id, 0, 100)] == [1, 2, 3, 4, 5]


async def test_a_wiped_redis_costs_nothing_but_time(cached: CachedMessageStore, redis: RedisClient, room: Room) -> None:
    await post(cached, room, 3)
    await cached.settled()
    await redis.ask(Command("", "FLUSHALL"))
    assert [each.seq for each in await cached.read_before(room.id, None, 10)] == [1, 2, 3]
    await cached.settled()
    assert [each.seq for each in await cached.read_before(room.id, None, 10)] == [1, 2, 3]


async def test_nobody_reads_a_message_as_it_was_before_its_edit(
    cached: CachedMessageStore, stores: Stores, redis: RedisClient, room: Room
) -> None:
    await post(cached, room, 3)
    await cached.settled()
    async with open_cached_store(stores.messages, RecentCache(redis)) as other:
        await other.edit(room.id, 2, {"text": "better"})
        assert [each.body["text"] for each in await cached.read_after(room.id, 0, 3)] == ["hello", "better", "hello"]
        await cached.delete(room.id, 1)
        assert [each.deleted for each in await other.read_after(room.id, 0, 3)] == [True, False, False]


async def test_without_redis_the_store_alone_does(stores: Stores, room: Room) -> None:
    async with (
        open_redis("redis://127.0.0.1:1", deadline_seconds=0.05) as redis,
        open_cached_store(stores.messages, RecentCache(redis)) as cached,
    ):
        await post(cached, room, 3)
        await cached.edit(room.id, 2, {"text": "better"})
        assert [each.body["text"] for each in await cached.read_after(room.id, 0, 10)] == ["hello", "better", "hello"]


async def test_a_change_while_redis_was_away_is_made_good(stores: Stores, room: Room, own_redis: RedisProcess) -> None:
    async with open_redis(own_redis.url, deadline_seconds=0.2) as redis:
        cache = RecentCache(redis)
        async with open_cached_store(stores.messages, cache) as cached:
            await post(cached, room, 3)
            await cached.settled()
            own_redis.pause()
            await cached.edit(room.id, 2, {"text": "better"})
            own_redis.resume()
            with trio.fail_after(DEADLINE_SECONDS):
                await cached.settled()
            async with open_cached_store(stores.messages, cache) as other:
                assert [each.body["text"] for each in await other.read_after(room.id, 0, 3)][1] == "better"
