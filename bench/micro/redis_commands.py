"""What talking to Redis costs a node: `python -m bench.micro.redis_commands URL…`, each of a Redis that may be filled.

CPU of this process with all its threads, the best of some rounds. What is published is received by another process,
and what is received was published there, so neither side pays for the other.
"""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Awaitable, Callable

import trio

from chat.adapters.distributed.broker import RedisBroker, open_broker
from chat.adapters.distributed.presence_store import RedisPresenceStore
from chat.adapters.distributed.rate_limiter import RedisRateLimiter
from chat.adapters.distributed.redis_client import RedisClient, open_redis
from chat.domain.errors import Unavailable
from chat.domain.rooms import RoomId
from chat.domain.users import UserId
from chat.ports.broker import Delivery
from chat.ports.presence_store import PresenceEntry
from chat.ports.rate_limiter import Rate

PAYLOAD = b"x" * 200
CHANNELS = [f"room:{number}" for number in range(1_000)]
TASKS = 64
_EVENTS = 30_000
_PUBLISHER = "--publish"
Work = Callable[[], Awaitable[None]]


def main() -> None:
    """Measures at each URL; as its own child it publishes what the parent receives."""
    if sys.argv[1] == _PUBLISHER:
        trio.run(_publish_events, sys.argv[2])
        return
    for url in sys.argv[1:]:
        print(url.rpartition("@")[2])
        trio.run(_measure, url)


async def _measure(url: str) -> None:
    async with open_redis(url) as redis, open_broker(redis) as broker:
        await _until_there(broker)
        events = [(channel, PAYLOAD) for channel in CHANNELS[:100]]
        await _print("publish, 100 in a call", 20 * 100, _repeat(20, lambda: broker.publish(events)))
        await _print(f"publish, {TASKS} tasks with one each", TASKS * 30, _by_tasks(30, lambda: _publish_one(broker)))
        await _print("publish, one task alone", 500, _repeat(500, lambda: _publish_one(broker)))
        await _print("presence entry renewed, 500 in a call", 5 * 500, _repeat(5, _renew(redis)))
        await _print(f"rate bucket, {TASKS} tasks with one each", TASKS * 30, _by_tasks(30, _take(redis)))
        await _receive(url, broker)


async def _print(name: str, operations: int, work: Work, rounds: int = 8) -> None:
    await work()
    spent = []
    for _ in range(rounds):
        began = time.process_time()
        await work()
        spent.append((time.process_time() - began) / operations)
    print(f"  {name:<40} {min(spent) * 1e6:6.1f} µs")


def _repeat(times: int, operation: Callable[[], Awaitable[object]]) -> Work:
    async def work() -> None:
        for _ in range(times):
            await operation()

    return work


def _by_tasks(times: int, operation: Callable[[], Awaitable[object]]) -> Work:
    async def work() -> None:
        async with trio.open_nursery() as nursery:
            for _ in range(TASKS):
                nursery.start_soon(_repeat(times, operation))

    return work


_numbers = itertools.count()


async def _publish_one(broker: RedisBroker) -> None:
    await broker.publish([(CHANNELS[next(_numbers) % len(CHANNELS)], PAYLOAD)])


def _renew(redis: RedisClient) -> Callable[[], Awaitable[object]]:
    store = RedisPresenceStore(redis)
    entries = [PresenceEntry(RoomId(f"room{n % 100}"), UserId(f"user{n}"), f"connection{n}") for n in range(500)]
    return lambda: store.put(entries)


def _take(redis: RedisClient) -> Callable[[], Awaitable[object]]:
    limiter = RedisRateLimiter(redis)
    return lambda: limiter.take(f"bucket{next(_numbers) % TASKS}", Rate(1_000, 1_000))


async def _receive(url: str, broker: RedisBroker) -> None:
    await broker.subscribe(CHANNELS)
    publisher = await trio.lowlevel.open_process([sys.executable, "-m", __spec__.name, _PUBLISHER, url])
    await broker.receive()
    began, received = time.process_time(), 0
    while received < _EVENTS * 0.9:
        received += sum(isinstance(event, Delivery) for event in await broker.receive())
    spent = (time.process_time() - began) / received
    print(f"  {f'event received, {len(CHANNELS):,} channels':<40} {spent * 1e6:6.1f} µs")
    await publisher.wait()


async def _publish_events(url: str) -> None:
    async with open_redis(url) as redis, open_broker(redis) as broker:
        await _until_there(broker)
        for _ in range(_EVENTS // 500):
            await broker.publish([(CHANNELS[next(_numbers) % len(CHANNELS)], PAYLOAD) for _ in range(500)])


async def _until_there(broker: RedisBroker) -> None:
    """A cluster has to be found first."""
    while True:
        try:
            return await broker.publish([(CHANNELS[0], PAYLOAD)])
        except Unavailable:
            await trio.sleep(0.1)


if __name__ == "__main__":
    main()
