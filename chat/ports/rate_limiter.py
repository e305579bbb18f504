"""Token buckets shared by all nodes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Protocol


@dataclasses.dataclass(frozen=True, slots=True)
class Rate:
    """A bucket's refill in units per second, 0 for no limit at all, and its depth in units."""

    per_second: float
    burst: float


class RateLimiter(Protocol):
    """Buckets by name; one that nobody has touched is full."""

    async def take(self, bucket: str, rate: Rate, cost: float = 1.0) -> float:
        """Takes `cost` if it is there and returns 0, else takes nothing and returns the seconds until it would be.

        A cost above the burst needs a full bucket and leaves a debt, so that it can pass at all.
        Never raises `Unavailable`: a limiter that is away lets everything pass.
        """

    async def take_each(self, costs: Mapping[str, float], rate: Rate) -> list[float]:
        """The same for many buckets of one rate: a cost and an answer for each, in their order."""
