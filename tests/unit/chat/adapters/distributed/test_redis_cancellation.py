"""Cancelling any operation at any moment never hands one caller another one's answer."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import itertools
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import trio

from chat.adapters.distributed.asyncio_bridge import AsyncioBridge
from chat.adapters.distributed.broker import RedisBroker
from chat.adapters.distributed.presence_store import RedisPresenceStore
from chat.adapters.distributed.rate_limiter import RedisRateLimiter
from chat.adapters.distributed.recent_cache import Page, RecentCache, Run
from chat.adapters.distributed.redis_client import RedisClient, open_redis
from chat.adapters.distributed.redis_command import Command, ScriptCommand
from chat.adapters.distributed.redis_driver import RedisDriver
from chat.adapters.distributed.redis_errors import Away
from chat.adapters.distributed.redis_scripts import load_script
from chat.adapters.distributed.redis_url import parse_redis_url
from chat.adapters.distributed.session_store import RedisSessionStore
from chat.domain.errors import Unavailable
from chat.domain.messages import Message
from chat.domain.rooms import RoomId
from chat.domain.users import UserId
from chat.ports.presence_store import PresenceEntry
from chat.ports.rate_limiter import Rate
from tests.support.clocks import ManualClock
from tests.support.redis_servers import RedisProcess
from tests.support.tcp_proxy import TcpProxy, tcp_proxy

DEADLINE_SECONDS = 20.0
PATIENCE_SECONDS = 60.0
CALLERS = 12
RATE = Rate(per_second=0.01, burst=1)
Operation = Callable[[], Awaitable[object]]


class Caller:
    """Somebody whose questions all have answers that nobody else's have."""

    def __init__(self, redis: RedisClient, number: int) -> None:
        self._number = number
        self._room, self._user = RoomId(f"room{number}"), UserId(f"user{number}")
        self._bucket = f"bucket{number}"
        self._clock = ManualClock()
        self._message = Message(self._room, 1, 1_700_000_000_000, self._user, "key", {"text": f"{number}"})
        self.use(redis)

    def use(self, redis: RedisClient) -> None:
        """Asks through `redis` from now on."""
        self._redis = redis
        self._limiter = RedisRateLimiter(redis, clock=self._clock)
        self._presence = RedisPresenceStore(redis)
        self._sessions = RedisSessionStore(redis, clock=self._clock)
        self._cache = RecentCache(redis)
        self._broker = RedisBroker(redis)

    async def furnish(self) -> None:
        await self._presence.put([PresenceEntry(self._room, self._user, "connection")])
        self._session = await self._sessions.create(self._user)
        await self._cache.append({self._room: Run("one", [self._message])})
        assert await self._limiter.take(self._bucket, RATE, self._number + 1) == 0
        self._answers: dict[Callable[[], Awaitable[Any]], Any] = {
            self._take: 100 * (self._number + 1),
            self._online: (1, [self._user]),
            self._touch: self._session,
            self._read: Page("one", 1, [self._message]),
            self._echo: [b"%d %d" % (self._number, word) for word in range(3)],
            self._publish: None,
        }

    @property
    def operations(self) -> list[Operation]:
        """Each raises AssertionError if it gets a wrong answer."""
        return [functools.partial(self._check, ask, answer) for ask, answer in self._answers.items()]

    async def _check(self, ask: Callable[[], Awaitable[Any]], answer: object) -> None:
        assert await ask() == answer

    async def _take(self) -> int:
        """The seconds until there is something in a bucket that everybody has emptied by another amount."""
        wait = await self._limiter.take(self._bucket, RATE)
        if not wait:
            raise Unavailable("whom nobody can count passes")
        return round(wait)

    async def _online(self) -> tuple[int, list[UserId]]:
        return await self._presence.online(self._room, 10)

    async def _touch(self) -> object:
        return await self._sessions.touch(self._session.id)

    async def _read(self) -> Page | None:
        return await self._cache.read_after(self._room, 0, 10)

    async def _echo(self) -> list[Any]:
        replies = await self._redis.execute([Command("k", "ECHO", f"{self._number} {word}") for word in range(3)])
        for reply in replies:
            if isinstance(reply, Unavailable):
                raise reply
        return replies

    async def _publish(self) -> None:
        await self._broker.publish([(f"room:{self._room}", b"x")])


@pytest.fixture
async def proxy(own_redis: RedisProcess) -> AsyncIterator[TcpProxy]:
    async with tcp_proxy(own_redis.port) as proxy:
        yield proxy


@contextlib.asynccontextmanager
async def callers(proxy: TcpProxy, deadline_seconds: float = DEADLINE_SECONDS) -> AsyncIterator[list[Caller]]:
    url = f"redis://127.0.0.1:{proxy.port}"
    with trio.fail_after(PATIENCE_SECONDS):
        async with open_redis(url, deadline_seconds=DEADLINE_SECONDS) as patient:
            callers = [Caller(patient, number) for number in range(CALLERS)]
            for caller in callers:
                await caller.furnish()
        async with open_redis(url, deadline_seconds=deadline_seconds) as redis:
            for caller in callers:
                caller.use(redis)
            yield callers


async def test_operations_that_are_cancelled_at_random(proxy: TcpProxy) -> None:
    generator = random.Random(1)
    ends = {"answered": 0, "cancelled": 0}

    async def talk(caller: Caller) -> None:
        for turn in itertools.count():
            if turn >= 40 and min(ends.values()) > 50:
                return
            operation = generator.choice(caller.operations)
            with trio.move_on_after(generator.uniform(0, 0.1)) as scope:
                await operation()
                ends["answered"] += 1
            ends["cancelled"] += scope.cancelled_caught

    async with callers(proxy) as people:
        proxy.delay_seconds = 0.05
        async with trio.open_nursery() as nursery:
            for caller in people:
                nursery.start_soon(talk, caller)
        proxy.delay_seconds = 0
        for caller in people:
            for operation in caller.operations:
                await operation()
    assert sum(ends.values()) >= 40 * CALLERS


class CancelAtStep(trio.abc.Instrument):
    """Cancels `scope` when its task has come to its `step`th checkpoint."""

    def __init__(self, step: int, scope: trio.CancelScope) -> None:
        self._remaining = step
        self._scope = scope
        self._task = trio.lowlevel.current_task()

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        if task is self._task:
            self._remaining -= 1
            if self._remaining == 0:
                self._scope.cancel()


async def test_operations_that_are_cancelled_at_each_of_their_checkpoints(proxy: TcpProxy) -> None:
    async with callers(proxy) as (one, other, *_):
        proxy.delay_seconds = 0.005
        cancelled = 0
        for operation, probe in zip(one.operations, other.operations, strict=True):
            for step in range(1, 10):
                with trio.CancelScope() as scope, instrument(CancelAtStep(step, scope)):
                    await operation()
                cancelled += scope.cancelled_caught
                await probe()
        assert cancelled >= len(one.operations)


@contextlib.contextmanager
def instrument(instrument: trio.abc.Instrument) -> Any:
    trio.lowlevel.add_instrument(instrument)
    try:
        yield
    finally:
        trio.lowlevel.remove_instrument(instrument)


async def test_pipelines_that_are_given_up_at_their_deadline(proxy: TcpProxy) -> None:
    """The connection is cancelled at any moment of its life; everybody gets their own answer or none."""
    generator = random.Random(2)
    ends = {"answered": 0, "unavailable": 0}

    async def talk(caller: Caller) -> None:
        while min(ends.values()) < 100:
            try:
                await generator.choice(caller.operations)()
                ends["answered"] += 1
            except Unavailable:
                ends["unavailable"] += 1
                await trio.sleep(generator.uniform(0, 0.05))

    async with callers(proxy, 0.2) as people:
        proxy.delay_seconds = 0.18
        async with trio.open_nursery() as nursery:
            for caller in people:
                nursery.start_soon(talk, caller)


async def test_a_driver_that_is_cancelled_at_any_moment_leaves_no_reply_behind(proxy: TcpProxy) -> None:
    generator = random.Random(3)
    url = parse_redis_url(f"redis://127.0.0.1:{proxy.port}")
    take = ScriptCommand(load_script("take", "clock"), ["bucket"], "0", "0.001", "1", "1")
    ends = {"answered": 0, "cancelled": 0}
    proxy.delay_seconds = 0.01

    async def talk() -> None:
        driver = RedisDriver(url, DEADLINE_SECONDS)
        for turn in itertools.count():
            if turn >= 150 and min(ends.values()) > 10:
                break
            words = [Command("k", "ECHO", f"{turn} {word}") for word in range(3)]
            task = asyncio.create_task(driver.send(url.addresses[0], [*words, take]))
            for _ in range(generator.randrange(30)):
                await asyncio.sleep(0)
            if turn % 2:
                await asyncio.wait({task}, timeout=generator.uniform(0, 0.03))
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, Away):
                replies = await task
                assert replies[:3] == [b"%d %d" % (turn, word) for word in range(3)]
                ends["answered"] += 1
                continue
            ends["cancelled"] += 1
        await driver.close()

    with trio.fail_after(PATIENCE_SECONDS):
        async with AsyncioBridge() as bridge:
            await bridge.call(talk)
    assert sum(ends.values()) >= 150
