"""Sessions in a store that can lose them: who is signed in stays so, and who was sent away does not come back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from chat.adapters.distributed.redis_client import open_redis
from chat.adapters.distributed.session_store import RedisSessionStore
from chat.adapters.embedded.rate_limiter import MemoryRateLimiter
from chat.domain.errors import Unauthenticated
from chat.services import Passwords, SignedIn, assemble, events
from chat.services.auth import Auth
from tests.support.redis_servers import RedisSetup, emptied
from tests.support.services import CHEAP_HASHER, UNLIMITED, World, open_world

DEADLINE_SECONDS = 20
PEER, PASSWORD = "192.0.2.1", "correct horse"


@pytest.fixture
def redis() -> RedisSetup:
    return emptied("redis")


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with open_world(tmp_path) as world:
        yield world


@pytest.fixture
async def auth(world: World, redis: RedisSetup) -> AsyncIterator[Auth]:
    with trio.fail_after(2 * DEADLINE_SECONDS):
        async with open_redis(redis.url, deadline_seconds=DEADLINE_SECONDS) as client:
            services = assemble(
                messages=world.messages,
                rooms=world.rooms,
                users=world.users,
                sessions=RedisSessionStore(client),
                presence=world.presence,
                limiter=MemoryRateLimiter(),
                broker=world.broker,
                tokens=world.tokens,
                passwords=Passwords(CHEAP_HASHER),
                limits=UNLIMITED,
            )
            yield services.auth


@pytest.fixture
async def anna(auth: Auth) -> SignedIn:
    await auth.register("anna", PASSWORD, PEER)
    return await auth.sign_in("anna", PASSWORD, PEER)


def wipe(redis: RedisSetup) -> None:
    for primary in redis.primaries:
        primary.command("FLUSHALL")


async def test_a_token_outlives_the_loss_of_its_session_and_restores_it(
    auth: Auth, anna: SignedIn, redis: RedisSetup
) -> None:
    wipe(redis)
    with pytest.raises(Unauthenticated):
        await auth.token_for(anna.session.id)
    identity = await auth.verify(anna.access_token)
    assert identity.user == anna.user
    assert await auth.recheck_each([identity]) == [identity]
    assert (await auth.token_for(anna.session.id)).user == anna.user


async def test_a_session_that_was_ended_is_not_restored(auth: Auth, anna: SignedIn) -> None:
    await auth.sign_out(anna.session.id)
    with pytest.raises(Unauthenticated):
        await auth.verify(anna.access_token)


async def test_a_session_that_is_lost_can_be_ended_everywhere(
    auth: Auth, anna: SignedIn, redis: RedisSetup, world: World
) -> None:
    wipe(redis)
    await auth.sign_out(anna.session.id)
    assert world.broker.of(events.SessionRevoked) == [events.SessionRevoked(anna.session.id)]
    with pytest.raises(Unauthenticated):
        await auth.verify(anna.access_token)


@pytest.mark.parametrize("wiped_first", [True, False])
async def test_who_is_banned_gets_no_lost_session_back(
    auth: Auth, anna: SignedIn, redis: RedisSetup, wiped_first: bool
) -> None:
    if wiped_first:
        wipe(redis)
    await auth.ban(anna.user.id)
    if not wiped_first:
        wipe(redis)
    for _ in range(2):
        with pytest.raises(Unauthenticated):
            await auth.verify(anna.access_token)
    await auth.unban(anna.user.id)
    with pytest.raises(Unauthenticated):
        await auth.verify(anna.access_token)
