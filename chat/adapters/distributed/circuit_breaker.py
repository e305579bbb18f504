"""Fails at once what would fail slowly: a server that does not answer is asked once a second."""

from __future__ import annotations

import time
from collections.abc import Callable

FAILURES = 5
"""In a row; one lost connection is no dead server."""
PAUSE_SECONDS = 1.0


class CircuitBreaker:
    """Open after some failures in a row; then admits one call in each pause until one succeeds."""

    def __init__(
        self,
        *,
        failures: int = FAILURES,
        pause_seconds: float = PAUSE_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limit = failures
        self._pause_seconds = pause_seconds
        self._clock = clock
        self._failures = 0
        self._closed_until = 0.0

    @property
    def is_well(self) -> bool:
        """Whether the last call succeeded."""
        return self._failures == 0

    @property
    def is_open(self) -> bool:
        return self._failures >= self._limit

    def admits(self) -> bool:
        """Whether a call may go ahead; if the breaker is open, the one that may is the only one for a pause."""
        if not self.is_open:
            return True
        if self._clock() < self._closed_until:
            return False
        self._closed_until = self._clock() + self._pause_seconds
        return True

    def succeeded(self) -> None:
        """The server answered, whatever it said."""
        self._failures = 0

    def failed(self) -> None:
        """The server did not answer, or could not be reached."""
        self._failures += 1
        if self._failures == self._limit:
            self._closed_until = self._clock() + self._pause_seconds
