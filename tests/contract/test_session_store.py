"""What every `SessionStore` promises."""

from __future__ import annotations

import contextlib
import dataclasses
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from chat.adapters.distributed.redis_client import open_redis
from chat.adapters.distributed.session_store import RedisSessionStore
from chat.domain.users import Session, SessionId, User, UserId
from tests.support.redis_servers import REDIS_KINDS, emptied
from tests.support.stores import STORES, Stores, StoresFactory, sqlite_stores

DAY = 24 * 3600.0
MINUTE = 60.0
DEADLINE_SECONDS = 20


def redis_sessions(kind: str) -> StoresFactory:
    """The sessions in Redis, the users in SQLite."""

    @contextlib.asynccontextmanager
    async def stores(directory: Path) -> AsyncIterator[Stores]:
        url = emptied(kind).url
        async with sqlite_stores(directory) as stores, open_redis(url, deadline_seconds=DEADLINE_SECONDS) as redis:
            yield dataclasses.replace(stores, sessions=RedisSessionStore(redis, clock=stores.clock))

    return stores


REDIS_STORES = [pytest.param(redis_sessions(kind), id=kind) for kind in REDIS_KINDS]


@pytest.fixture(params=[*STORES, *REDIS_STORES])
async def stores(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Stores]:
    async with request.param(tmp_path) as stores:
        yield stores


@pytest.fixture
async def user(stores: Stores) -> User:
    return await stores.new_user()


async def test_a_session_lives_for_a_day(stores: Stores, user: User) -> None:
    session = await stores.sessions.create(user.id)
    assert (session.user, session.created, session.expires) == (user.id, stores.clock.now, stores.clock.now + DAY)
    assert await stores.sessions.touch(session.id) == session
    stores.clock.advance(DAY)
    assert await stores.sessions.touch(session.id) is None


async def test_a_session_id_cannot_be_guessed(stores: Stores, user: User) -> None:
    ids = {(await stores.sessions.create(user.id)).id for _ in range(50)}
    assert len(ids) == 50
    for session in ids:
        assert re.fullmatch("[a-z0-9_-]{26,32}", session)


async def test_a_session_in_use_lives_on(stores: Stores, user: User) -> None:
    session = await stores.sessions.create(user.id)
    for _ in range(5):
        stores.clock.advance(DAY - MINUTE)
        touched = await stores.sessions.touch(session.id)
        assert touched is not None
        assert (touched.id, touched.user, touched.created) == (session.id, user.id, session.created)
        assert touched.expires >= stores.clock.now + DAY - MINUTE


async def test_a_session_touched_all_the_time_ends_a_day_after_the_last(stores: Stores, user: User) -> None:
    session = await stores.sessions.create(user.id)
    for _ in range(200):
        stores.clock.advance(7)
        assert await stores.sessions.touch(session.id) is not None
    stores.clock.advance(DAY - MINUTE - 1)
    assert await stores.sessions.touch(session.id) is not None
    stores.clock.advance(DAY + 1)
    assert await stores.sessions.touch(session.id) is None


async def test_a_session_that_was_ended_or_has_expired_is_not_restored(stores: Stores, user: User) -> None:
    revoked, banned = [await stores.sessions.create(user.id) for _ in range(2)]
    await stores.sessions.revoke(revoked.id)
    assert await stores.sessions.restore(revoked.id, user.id) is None
    await stores.sessions.revoke_user(user.id)
    assert await stores.sessions.restore(banned.id, user.id) is None
    expired = await stores.sessions.create(user.id)
    stores.clock.advance(DAY)
    assert await stores.sessions.restore(expired.id, user.id) is None
    for session in (revoked, banned, expired):
        assert await stores.sessions.touch(session.id) is None


async def test_nothing_is_restored_by_a_name_that_no_session_has(stores: Stores, user: User) -> None:
    for name in ("unknown", "", "{tag}" + "a" * 27, "a" * 32, "A" * 32, "*" * 32):
        assert await stores.sessions.restore(SessionId(name), user.id) is None


@pytest.mark.parametrize("stores", REDIS_STORES, indirect=True)
async def test_what_redis_has_lost_is_restored_for_its_user_alone(stores: Stores, user: User) -> None:
    session, other = await stores.sessions.create(user.id), await stores.new_user()
    for kind in REDIS_KINDS:
        emptied(kind)
    assert await stores.sessions.touch(session.id) is None
    assert await stores.sessions.restore(session.id, other.id) is None
    stores.clock.advance(MINUTE)
    restored = await stores.sessions.restore(session.id, user.id)
    assert restored is not None
    assert (restored.id, restored.user, restored.expires) == (session.id, user.id, stores.clock.now + DAY)
    assert await stores.sessions.touch(session.id) == await stores.sessions.restore(session.id, user.id) == restored
    assert await stores.sessions.revoke_user(user.id) == [session.id]


@pytest.mark.parametrize("stores", REDIS_STORES, indirect=True)
async def test_what_redis_has_lost_can_be_ended(stores: Stores, user: User) -> None:
    session = await stores.sessions.create(user.id)
    for kind in REDIS_KINDS:
        emptied(kind)
    assert await stores.sessions.revoke(session.id) is True
    assert await stores.sessions.revoke(session.id) is False
    assert await stores.sessions.restore(session.id, user.id) is None


@pytest.mark.parametrize("stores", REDIS_STORES, indirect=True)
async def test_a_session_begun_where_the_clock_is_ahead_leaves_the_others_to_be_ended(
    stores: Stores, user: User
) -> None:
    session = await stores.sessions.create(user.id)
    stores.clock.advance(DAY + MINUTE)
    await stores.sessions.create(user.id)
    stores.clock.advance(-DAY)
    assert session.id in await stores.sessions.revoke_user(user.id)
    assert await stores.sessions.touch(session.id) is None


async def test_an_unknown_session_is_nothing(stores: Stores) -> None:
    assert await stores.sessions.touch(SessionId("unknown")) is None
    assert await stores.sessions.revoke(SessionId("unknown")) is False
    assert await stores.sessions.revoke_user(UserId("nobody")) == []


async def test_a_revoked_session_is_over(stores: Stores, user: User) -> None:
    session, other = await stores.sessions.create(user.id), await stores.sessions.create(user.id)
    assert await stores.sessions.revoke(session.id) is True
    assert await stores.sessions.revoke(session.id) is False
    assert await stores.sessions.touch(session.id) is None
    assert await stores.sessions.touch(other.id) == other


async def test_all_sessions_of_a_user_are_revoked_at_once(stores: Stores, user: User) -> None:
    other = await stores.sessions.create((await stores.new_user()).id)
    sessions = {(await stores.sessions.create(user.id)).id for _ in range(3)}
    assert set(await stores.sessions.revoke_user(user.id)) == sessions
    assert await stores.sessions.revoke_user(user.id) == []
    assert [await stores.sessions.touch(session) for session in sessions] == [None] * 3
    assert await stores.sessions.touch(other.id) == other


async def test_an_expired_session_is_not_there_to_be_revoked(stores: Stores, user: User) -> None:
    session = await stores.sessions.create(user.id)
    stores.clock.advance(DAY)
    assert await stores.sessions.revoke(session.id) is False
    assert await stores.sessions.revoke_user(user.id) == []


async def test_a_session_is_not_revived_by_a_touch_beside_its_revocation(stores: Stores, user: User) -> None:
    for _ in range(20):
        session = await stores.sessions.create(user.id)
        stores.clock.advance(2 * MINUTE)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stores.sessions.touch, session.id)
            nursery.start_soon(stores.sessions.revoke, session.id)
            nursery.start_soon(stores.sessions.touch, session.id)
        assert await stores.sessions.touch(session.id) is None


async def test_many_are_touched_in_one_call_and_answered_in_their_order(stores: Stores, user: User) -> None:
    first, ended, second = [await stores.sessions.create(user.id) for _ in range(3)]
    await stores.sessions.revoke(ended.id)
    stores.clock.advance(DAY / 2)
    asked = [second.id, SessionId("unknown"), ended.id, first.id, second.id]
    expires = stores.clock.now + DAY
    extended = [dataclasses.replace(session, expires=expires) for session in (second, first)]
    assert await stores.sessions.touch_each(asked) == [extended[0], None, None, extended[1], extended[0]]
    stores.clock.advance(DAY * 0.75)
    assert await stores.sessions.touch(first.id) is not None
    assert await stores.sessions.touch_each([]) == []


async def test_more_are_touched_than_one_statement_takes(stores: Stores, user: User) -> None:
    sessions = [(await stores.sessions.create(user.id)).id for _ in range(120)]
    stores.clock.advance(2 * MINUTE)
    touched = await stores.sessions.touch_each(sessions)
    assert [at.id for at in touched if isinstance(at, Session)] == sessions
    assert {at.expires for at in touched if isinstance(at, Session)} == {stores.clock.now + DAY}
