"""Distributions: counts in fixed buckets since the start, and what was added in the last minute."""

from __future__ import annotations

import collections
import dataclasses
from bisect import bisect_left
from collections.abc import Iterable, Sequence

TURN_SECONDS = 5.0
"""How often `turn` is to be called."""
_TURNS = 12
"""So the last minute is the last 55 to 60 seconds."""

SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
"""Bounds for waits: from what a network does to what people give up on."""
SIZES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
"""Bounds for batches."""


@dataclasses.dataclass(frozen=True, slots=True)
class Quantiles:
    """Half, and all but a hundredth, of what was measured lies below these."""

    p50: float
    p99: float


class Histogram:
    """Counts values by the lowest of `bounds` that they do not exceed. One thread may add, any may read."""

    __slots__ = ("_past", "bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[float] = SECONDS) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        """By bucket, not cumulated; the last one is for what exceeds all bounds."""
        self.sum = 0.0
        self._past: collections.deque[list[int]] = collections.deque([list(self.counts)], maxlen=_TURNS)

    def add(self, value: float, times: int = 1) -> None:
        """Counts `value`, as often as it occurred."""
        self.counts[bisect_left(self.bounds, value)] += times
        self.sum += value * times

    def turn(self) -> None:
        """Another `TURN_SECONDS` have passed."""
        self._past.append(list(self.counts))

    def recent(self) -> list[int]:
        """The counts of the last minute."""
        return [now - then for now, then in zip(self.counts, self._past[0], strict=True)]


def quantiles(histograms: Iterable[Histogram]) -> Quantiles | None:
    """Of the last minute, over histograms of the same bounds; None if there was nothing."""
    chosen = list(histograms)
    counts = [sum(column) for column in zip(*(histogram.recent() for histogram in chosen), strict=True)]
    if not sum(counts):
        return None
    bounds = chosen[0].bounds
    return Quantiles(_quantile(0.5, counts, bounds), _quantile(0.99, counts, bounds))


def _quantile(share: float, counts: Sequence[int], bounds: Sequence[float]) -> float:
    """As if the values of a bucket were spread evenly over it; the highest bound for what exceeds it."""
    left = share * sum(counts)
    low = 0.0
    for count, high in zip(counts, bounds, strict=False):
        if count and left <= count:
            return high - (high - low) * (count - left) / count
        left -= count
        low = high
    return bounds[-1]
