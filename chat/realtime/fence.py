"""Holds a node back that was frozen, until it knows again who may be here.

A process that was stopped, or whose machine was, goes on in the middle of what it did. Its lease has lapsed
meanwhile, and what it believes of sign-ins is old. So nothing that comes in or goes out is handled before
that is looked up. Whoever runs first after such a gap notices it, by the clock; no signal tells of it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

import structlog
import trio

from .room_feed import Spawn

_MAX_HOLD_SECONDS = 5.0
"""If the stores cannot be asked, the node goes on as any other that cannot ask them."""
_log = structlog.get_logger(__name__)


class Fence:
    """`run` must run for as long as it is used."""

    def __init__(self, check: Callable[[], Awaitable[None]], *, lease_seconds: float, spawn: Spawn) -> None:
        """`check` looks up what may be wrong; `spawn` runs a task that outlives the caller."""
        self._check = check
        self._lease_seconds = lease_seconds
        # The lease was renewed up to a third of it before the freeze, so it may have lapsed after two thirds.
        self._longest_gap = lease_seconds / 2
        self._spawn = spawn
        self._awake_at = trio.current_time()
        self._lowered: trio.Event | None = None

    def is_up(self) -> bool:
        """Whether to wait for `lowered` first. Costs next to nothing, to be asked with each batch."""
        now = trio.current_time()
        if now - self._awake_at > self._longest_gap and self._lowered is None:
            _log.warning("was_frozen", seconds=round(now - self._awake_at, 1))
            self._raise()
        self._awake_at = now
        return self._lowered is not None

    async def lowered(self) -> None:
        """Returns when all is known again, or cannot be."""
        if self._lowered is not None:
            await self._lowered.wait()

    async def run(self) -> None:
        """Shows that the process is awake while nothing happens, for ever."""
        while True:
            await trio.sleep(self._lease_seconds / 3)
            self.is_up()

    def _raise(self) -> None:
        self._lowered = lowered = trio.Event()
        self._spawn(partial(self._look, lowered))
        self._spawn(partial(self._lower, lowered))

    async def _look(self, lowered: trio.Event) -> None:
        try:
            await self._check()
        finally:
            lowered.set()

    async def _lower(self, lowered: trio.Event) -> None:
        with trio.move_on_after(_MAX_HOLD_SECONDS):
            await lowered.wait()
        lowered.set()
        self._lowered = None
