"""`RateLimiter` on Redis: a bucket is one key, which is gone when the bucket is full."""

from __future__ import annotations

from collections.abc import Callable

from ...domain.errors import Unavailable
from ...ports.rate_limiter import Rate
from .keys import safe
from .redis_client import RedisClient
from .redis_command import ScriptCommand
from .redis_scripts import load_script

_TAKE = load_script("take", "clock")


class RedisRateLimiter:
    """Buckets of the whole fleet. Time is the server's, so nodes need not agree on it."""

    def __init__(self, redis: RedisClient, *, clock: Callable[[], float] | None = None) -> None:
        """`clock` gives seconds in place of the server's, for tests."""
        self._redis = redis
        self._clock = clock

    async def take(self, bucket: str, rate: Rate, cost: float = 1.0) -> float:
        if rate.per_second <= 0:
            return 0.0
        now = "" if self._clock is None else repr(self._clock() * 1000)
        arguments = (now, repr(rate.per_second / 1000), repr(rate.burst), repr(cost))
        try:
            wait = await self._redis.ask(ScriptCommand(_TAKE, [f"rate:{safe(bucket)}"], *arguments))
            return float(wait) / 1000
        except Unavailable:
            return 0.0
