"""Carries events between nodes; local fan-out is the gateway's."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple, Protocol


class Delivery(NamedTuple):
    """One event, as it was published."""

    channel: str
    payload: bytes


@dataclasses.dataclass(frozen=True, slots=True)
class Resumed:
    """The subscription of `channels` was interrupted and holds again: events may have been lost."""

    channels: tuple[str, ...]


class Broker(Protocol):
    """At most once, unordered, and possibly twice: the receiver puts things right by position.

    A node receives its own events too. Nothing here is durable.
    """

    async def publish(self, events: Sequence[tuple[str, bytes]]) -> None:
        """Sends (channel, payload) pairs, in one round trip.

        Returns when the broker has taken them. Raises: Unavailable if it may not have.
        """

    async def subscribe(self, channels: Sequence[str]) -> None:
        """Returns when everything published from now on will be received. Twice is once. Raises: Unavailable."""

    async def unsubscribe(self, channels: Sequence[str]) -> None:
        """Events under way may still arrive."""

    async def receive(self) -> list[Delivery | Resumed]:
        """Waits for events and returns all that are there. One waiter. Cancelling loses none."""
