"""Many callers who want the same at the same time share one answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable
from typing import Any, TypeVar

import trio

from ...domain.errors import ChatError

T = TypeVar("T")


class _Flight:
    """One run of the work, for all who came before it began."""

    __slots__ = ("done", "error", "value")

    def __init__(self) -> None:
        self.done = trio.Event()
        self.value: Any = None
        self.error: Exception | None = None


class SingleFlight:
    """Runs the work of each key at most once at a time, in `nursery`.

    A caller never gets an answer that was begun before it asked: who comes during a flight takes the next one,
    with everybody else who does. So the answer is as fresh as one's own, and a crowd costs two.
    """

    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery
        self._flying: dict[Hashable, _Flight] = {}
        self._boarding: dict[Hashable, _Flight] = {}

    async def share(self, key: Hashable, work: Callable[[], Awaitable[T]]) -> T:
        """What `work` returns or raises: the same work for the same key. Cancelling ends the waiting only."""
        flight = self._boarding.get(key)
        if flight is None:
            flight = self._boarding[key] = _Flight()
            self._nursery.start_soon(self._fly, key, flight, work)
        await flight.done.wait()
        if isinstance(flight.error, ChatError):
            raise type(flight.error)(flight.error.message, retry_after=flight.error.retry_after)
        if flight.error is not None:
            raise flight.error
        value: T = flight.value
        return value

    async def _fly(self, key: Hashable, flight: _Flight, work: Callable[[], Awaitable[Any]]) -> None:
        if (ahead := self._flying.get(key)) is not None:
            await ahead.done.wait()
        del self._boarding[key]
        self._flying[key] = flight
        try:
            flight.value = await work()
        except Exception as error:
            flight.error = error
        finally:
            del self._flying[key]
            flight.done.set()
