"""`RateLimiter` on Redis: a bucket is one key, which is gone when the bucket is full."""

from __future__ import annotations

from collections.abc import Callable, Mapping

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
        [wait] = await self.take_each({bucket: cost}, rate)
        return wait

    async def take_each(self, costs: Mapping[str, float], rate: Rate) -> list[float]:
        if rate.per_second <= 0:
            return [0.0] * len(costs)
        now = "" if self._clock is None else repr(self._clock() * 1000)
        refill = (now, repr(rate.per_second / 1000), repr(rate.burst))
        waits = await self._redis.execute(
            [ScriptCommand(_TAKE, [f"rate:{safe(bucket)}"], *refill, repr(cost)) for bucket, cost in costs.items()]
        )
        return [0.0 if isinstance(wait, Unavailable) else float(wait) / 1000 for wait in waits]
