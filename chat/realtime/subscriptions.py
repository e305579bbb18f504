"""Keeps the broker's subscriptions as the rooms need them: in batches, and in the order of the wishes."""

from __future__ import annotations

import structlog
import trio

from ..domain.errors import ChatError
from ..ports.broker import Broker

_BATCH = 500
"""Channels in one call."""
_log = structlog.get_logger(__name__)


class _Wish:
    """A channel that callers wait for."""

    __slots__ = ("done", "error")

    def __init__(self) -> None:
        self.done = trio.Event()
        self.error: ChatError | None = None


class Subscriptions:
    """One task speaks with the broker, so a channel's subscribe and unsubscribe never overtake each other."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._wanted: dict[str, _Wish] = {}
        self._unwanted: set[str] = set()
        self._work = trio.Event()

    async def add(self, channel: str) -> None:
        """Returns when everything published to `channel` from now on will be received. Raises: Unavailable."""
        if channel in self._unwanted:  # and still subscribed
            self._unwanted.discard(channel)
            return
        wish = self._wanted.get(channel)
        if wish is None:
            wish = self._wanted[channel] = _Wish()
            self._work.set()
        await wish.done.wait()
        if wish.error is not None:
            raise type(wish.error)(wish.error.message, retry_after=wish.error.retry_after)

    def remove(self, channel: str) -> None:
        """Ends the subscription soon."""
        self._unwanted.add(channel)
        self._work.set()

    async def run(self) -> None:
        """Carries out the wishes, for ever."""
        while True:
            await self._work.wait()
            self._work = trio.Event()
            while self._wanted or self._unwanted:
                await self._unsubscribe()
                await self._subscribe()

    async def _subscribe(self) -> None:
        batch = {channel: self._wanted.pop(channel) for channel in list(self._wanted)[:_BATCH]}
        if not batch:
            return
        error = None
        try:
            await self._broker.subscribe(list(batch))
        except ChatError as refused:
            error = refused
        for wish in batch.values():
            wish.error = error
            wish.done.set()

    async def _unsubscribe(self) -> None:
        batch = [self._unwanted.pop() for _ in range(min(_BATCH, len(self._unwanted)))]
        if not batch:
            return
        try:
            await self._broker.unsubscribe(batch)
        except ChatError as error:
            _log.warning("broker_unsubscribe_failed", channels=len(batch), error=error.code)
