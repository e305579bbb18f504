"""When to try again, and how fast to send: pure, the time is an argument."""

from __future__ import annotations

import random

BASE_SECONDS = 0.5
CAP_SECONDS = 20.0
_LONGEST = 32
"""The number of a try from which on the interval is the cap, whatever base and cap are."""


def full_jitter(attempt: int, base: float = BASE_SECONDS, cap: float = CAP_SECONDS) -> float:
    """A random delay in seconds before try number `attempt` + 1: 0 to base × 2^attempt, at most `cap`.

    Random over the whole interval, so that many clients that lose one server do not come back together.
    """
    return random.uniform(0, min(cap, base * 2 ** min(attempt, _LONGEST)))  # noqa: S311 (no secret depends on it)


class Backoff:
    """The delays of one client's reconnects. It never gives up."""

    def __init__(self, base: float = BASE_SECONDS, cap: float = CAP_SECONDS) -> None:
        self._base = base
        self._cap = cap
        self._attempt = 0

    def delay(self, hint: float | None = None) -> float:
        """Seconds to wait before the next try. A server's `hint` counts as it is, being jittered already."""
        if hint is not None:
            return hint
        self._attempt += 1
        return full_jitter(self._attempt - 1, self._base, self._cap)

    def slow_down(self) -> None:
        """The next delays are of the longest kind, until a connection has lasted."""
        self._attempt = _LONGEST

    def lasted(self, seconds: float) -> None:
        """A connection was up that long. One that falls at once does not count as a success."""
        if seconds >= self._cap / 4:
            self._attempt = 0


class TokenBucket:
    """Spends at most `per_second` units a second, and at most `burst` at once."""

    def __init__(self, per_second: float, burst: float, now: float) -> None:
        self._per_second = per_second
        self._burst = burst
        self._level = burst
        self._time = now

    def spend(self, cost: float, now: float) -> float:
        """Spends `cost` and returns the seconds to wait before acting on it."""
        self._level = min(self._burst, self._level + (now - self._time) * self._per_second)
        self._time = now
        self._level -= cost
        return max(0.0, -self._level / self._per_second)
