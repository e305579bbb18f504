"""`RateLimiter` in memory."""

from __future__ import annotations

import collections
from collections.abc import Callable, Mapping

import trio

from ...ports.rate_limiter import Rate

MAX_BUCKETS = 100_000
"""About 30 MB. Beyond it some bucket counts as full again."""
_TOLERANCE = 1e-9
"""So that whoever waits exactly as long as told finds the units there, whatever the rounding."""


class MemoryRateLimiter:
    """Token buckets of one process; `clock` gives seconds that never step back.

    A bucket that is full says no more than none: each call looks at two buckets in turn and forgets
    those that are full, so what is kept follows what is in use.
    """

    def __init__(self, *, max_buckets: int = MAX_BUCKETS, clock: Callable[[], float] = trio.current_time) -> None:
        self._max_buckets = max_buckets
        self._clock = clock
        self._full_at: collections.OrderedDict[str, float] = collections.OrderedDict()

    def __len__(self) -> int:
        """How many buckets are kept."""
        return len(self._full_at)

    async def take(self, bucket: str, rate: Rate, cost: float = 1.0) -> float:
        [wait] = await self.take_each({bucket: cost}, rate)
        return wait

    async def take_each(self, costs: Mapping[str, float], rate: Rate) -> list[float]:
        await trio.lowlevel.checkpoint_if_cancelled()
        if rate.per_second <= 0:
            return [0.0] * len(costs)
        now = self._clock()
        return [self._take(bucket, rate, cost, now) for bucket, cost in costs.items()]

    def _take(self, bucket: str, rate: Rate, cost: float, now: float) -> float:
        self._forget_full(now)
        full_at = max(now, self._full_at.get(bucket, now))
        missing = (full_at - now) * rate.per_second + min(cost, rate.burst) - rate.burst
        if missing > _TOLERANCE:
            return missing / rate.per_second
        self._full_at[bucket] = full_at + cost / rate.per_second
        return 0.0

    def _forget_full(self, now: float) -> None:
        for _ in range(min(2, len(self._full_at))):  # two, as a call adds one: so that a surplus shrinks
            bucket, full_at = self._full_at.popitem(last=False)
            if full_at > now and len(self._full_at) < self._max_buckets - 1:
                self._full_at[bucket] = full_at
