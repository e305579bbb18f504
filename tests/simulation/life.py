"""The life of one process: it may be frozen and go on later, or die between any two steps."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import trio

from chat.domain.errors import Unavailable

from .clock import sleep

TICK = 0.01
"""Delays are multiples of it, so that many things happen at the same moment, in an order that the seed decides."""
DEADLINE_SECONDS = 1.0
"""After which a question to something mute is given up."""


class Died(BaseException):
    """Nothing of the process runs on, whatever it was about to do; no `except Exception` may hold it up."""


class Life:
    """What everything of one process asks before it goes on."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.died = trio.Event()
        self._thawed = trio.Event()
        self._thawed.set()

    @property
    def is_frozen(self) -> bool:
        return not self._thawed.is_set()

    def freeze(self) -> None:
        """Nothing that waits goes on until `thaw`."""
        self._thawed = trio.Event()

    def thaw(self) -> None:
        self._thawed.set()

    def die(self) -> None:
        self.died.set()
        self._thawed.set()

    async def sleep(self, seconds: float) -> None:
        """Returns after `seconds`, later if frozen. Raises: Died."""
        if seconds > 0:
            await sleep(seconds)
        await self.go_on()

    async def go_on(self) -> None:
        """Returns once the process is not frozen. Raises: Died."""
        while not self._thawed.is_set():
            await self._thawed.wait()
        if self.died.is_set():
            raise Died


class Link:
    """The way from a process to something that it asks: late, or cut off, before the question or after the answer."""

    def __init__(self, life: Life, delay: Callable[[], float], chance: Callable[[], float]) -> None:
        self._life = life
        self._delay = delay
        self._chance = chance
        self.failing = 0.0
        """The share of calls that end with `Unavailable`; half of them have been carried out."""
        self.extra_seconds = 0.0
        self.troubled_until = -math.inf

    async def call(self, operation: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        """Carries out `operation`, or seems not to."""
        await self._life.sleep(self._delay() + self.extra_seconds)
        luck = self._chance() if self.failing else 1.0
        if luck < self.failing / 2:
            await self._life.sleep(DEADLINE_SECONDS)
            raise Unavailable("no answer")
        answer = await operation(*arguments, **options)
        await self._life.go_on()
        if luck < self.failing:
            await self._life.sleep(DEADLINE_SECONDS)
            raise Unavailable("no answer")
        return answer


class Remote:
    """A port whose every method goes over a link."""

    def __init__(self, port: Any, link: Link) -> None:
        self._port = port
        self._link = link

    def __getattr__(self, name: str) -> Any:
        operation, link = getattr(self._port, name), self._link

        async def call(*arguments: Any, **options: Any) -> Any:
            return await link.call(operation, *arguments, **options)

        setattr(self, name, call)
        return call
