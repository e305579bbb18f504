"""`Broker` on Redis: a channel of ours is one of Redis, sharded in a cluster.

Redis keeps nothing for who is not there, so what matters is to know when that may have cost an event. A
channel that was interrupted, for whatever reason, is told with `Resumed` once it holds again. A publisher that
could not publish says so in the channel as soon as it can, which its receivers are told likewise. And so are
all channels when a server was wiped.
"""

from __future__ import annotations

import itertools
import random
import secrets
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager

import structlog
import trio

from ...domain.errors import Unavailable
from ...ports.broker import Delivery, Resumed
from .background import background_tasks
from .delivery_inbox import MAX_WAITING_BYTES, DeliveryInbox
from .redis_client import RedisClient
from .redis_command import Command
from .redis_errors import Away
from .redis_layout import Layout
from .redis_stream import open_stream
from .redis_subscriber import HEARTBEAT, LOSS_MARK, RedisSubscriber
from .redis_url import CLUSTER, Address

_SUBSCRIBE_DEADLINES = 4
"""A batch of subscriptions may wait for a connection that is just being made."""
_BEAT_SECONDS = 1.0
_CANARY_SECONDS = 3600
"""A key that is set with every beat is gone when somebody has wiped the server, or the node has slept for so long."""
_FIRST_PAUSE_SECONDS = 0.05
_LONGEST_PAUSE_SECONDS = 1.0
_MEND_SECONDS = 0.1
_CONFESS_SECONDS = 0.25
_CHUNK = 500
_MAX_LOSSES = 100_000
"""Channels to remember; a node does not publish to more in an outage, and audits of the receivers find the rest."""
_log = structlog.get_logger("chat.redis")


@asynccontextmanager
async def open_broker(redis: RedisClient, *, max_waiting_bytes: int = MAX_WAITING_BYTES) -> AsyncIterator[RedisBroker]:
    """The broker of this node, which connects in the background, and as often as needed."""
    async with background_tasks() as nursery:
        broker = RedisBroker(redis, max_waiting_bytes=max_waiting_bytes)
        nursery.start_soon(broker.run)
        yield broker


class RedisBroker:
    """`run` must run for as long as it is used."""

    def __init__(self, redis: RedisClient, *, max_waiting_bytes: int = MAX_WAITING_BYTES) -> None:
        self._redis = redis
        self._sharded = redis.url.kind == CLUSTER
        self._publish = "SPUBLISH" if self._sharded else "PUBLISH"
        self._layout: Layout | None = None
        self._subscribers: dict[Address, RedisSubscriber] = {}
        self._wanted: dict[str, None] = {}
        self._holding: dict[str, Address] = {}
        """Wanted channels that are subscribed at this moment, and where."""
        self._interrupted: set[str] = set()
        """Wanted channels that were, and are not."""
        self._inbox = DeliveryInbox(self._wanted, max_waiting_bytes=max_waiting_bytes)
        self._losses: dict[str, None] = {}
        """Channels in which this node could not publish, and has not said so yet."""
        self._changed = trio.Event()
        self._lost_some = trio.Event()

    async def publish(self, events: Sequence[tuple[str, bytes]]) -> None:
        word = self._publish
        replies = await self._redis.execute([Command(channel, word, channel, payload) for channel, payload in events])
        failed = [channel for (channel, _), reply in zip(events, replies, strict=True) if type(reply) is Unavailable]
        if failed:
            self._remember_losses(failed)
            raise Unavailable(f"{len(failed)} of {len(events)} events were not published")

    async def subscribe(self, channels: Sequence[str]) -> None:
        new = [channel for channel in channels if channel not in self._wanted]
        self._wanted.update(dict.fromkeys(new))
        self._arrange(new)
        try:
            with trio.move_on_after(_SUBSCRIBE_DEADLINES * self._redis.deadline_seconds):
                await trio.lowlevel.checkpoint()
                while not all(channel in self._holding for channel in channels):
                    await self._changed.wait()
                return
            raise Unavailable("redis does not take the subscription")
        except BaseException:
            self._forget(new)
            raise

    async def unsubscribe(self, channels: Sequence[str]) -> None:
        await trio.lowlevel.checkpoint()
        self._forget(channels)

    async def receive(self) -> list[Delivery | Resumed]:
        return await self._inbox.take()

    async def run(self) -> None:
        """Keeps a subscriber at each primary, for ever."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._mend)
            nursery.start_soon(self._confess)
            attended: dict[Address, trio.CancelScope] = {}
            while True:
                self._layout = layout = await self._redis.layout_other_than(self._layout)
                for address in attended.keys() - layout.primaries:
                    attended.pop(address).cancel()
                for address in layout.primaries - attended.keys():
                    attended[address] = trio.CancelScope()
                    nursery.start_soon(self._attend, address, attended[address])
                self._follow(layout)

    # What is wanted, and where it holds

    def _arrange(self, channels: Iterable[str]) -> None:
        """Asks the owners of `channels` for them, as far as they can be reached."""
        if self._layout is None:
            return
        by_owner: dict[Address, list[str]] = {}
        for channel in channels:
            if (owner := self._layout.owner(channel)) is not None:
                by_owner.setdefault(owner, []).append(channel)
        for owner, owned in by_owner.items():
            if (subscriber := self._subscribers.get(owner)) is not None:
                subscriber.subscribe(owned)

    def _forget(self, channels: Iterable[str]) -> None:
        for channel in channels:
            self._wanted.pop(channel, None)
            self._holding.pop(channel, None)
            self._interrupted.discard(channel)
        for subscriber in self._subscribers.values():
            subscriber.unsubscribe(channels)

    def _holds(self, address: Address, channels: Iterable[str]) -> None:
        held = [channel for channel in channels if channel in self._wanted]
        self._holding.update(dict.fromkeys(held, address))
        resumed = [channel for channel in held if channel in self._interrupted]
        self._interrupted.difference_update(resumed)
        if resumed:
            self._inbox.resume(resumed)
        self._tell()

    def _ceases(self, address: Address, channels: Iterable[str]) -> None:
        for channel in channels:
            if self._holding.get(channel) == address:
                del self._holding[channel]
                self._interrupted.add(channel)
        self._tell()

    def _follow(self, layout: Layout) -> None:
        """Moves what holds where it does not belong any more."""
        for address, subscriber in self._subscribers.items():
            astray = [each for each, at in self._holding.items() if at == address and layout.owner(each) != address]
            subscriber.unsubscribe(astray)
            self._ceases(address, astray)
        self._tell()

    def _tell(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    async def _mend(self) -> None:
        """Asks again for what does not hold, until it does; who was asked already is not asked twice."""
        while True:
            if len(self._holding) == len(self._wanted):
                await self._changed.wait()
            await trio.sleep(_MEND_SECONDS)
            self._arrange([channel for channel in self._wanted if channel not in self._holding])

    # The subscriber at one primary

    async def _attend(self, address: Address, scope: trio.CancelScope) -> None:
        pause = _FIRST_PAUSE_SECONDS
        with scope:
            while True:
                try:
                    subscriber = await self._connect(address)
                except Away as error:
                    _log.debug("redis_subscriber_away", address=str(address), error=str(error))
                else:
                    if await self._listen(address, subscriber):
                        pause = _FIRST_PAUSE_SECONDS
                self._redis.suspect()
                await trio.sleep(pause * random.uniform(0.5, 1))  # noqa: S311 -- nothing secret
                pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    async def _connect(self, address: Address) -> RedisSubscriber:
        with trio.move_on_after(self._redis.deadline_seconds):
            stream, reader = await open_stream(self._redis.url, address)
            return RedisSubscriber(
                stream,
                reader,
                sharded=self._sharded,
                on_deliveries=self._delivered,
                on_change=lambda held, ceased: self._changed_at(address, held, ceased),
            )
        raise Away(f"{address}: no answer")

    async def _listen(self, address: Address, subscriber: RedisSubscriber) -> bool:
        """Until the connection ends; whether it ever worked."""
        self._subscribers[address] = subscriber
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._beat, address, subscriber)
                self._arrange(self._wanted)
                await subscriber.run()
                nursery.cancel_scope.cancel()
        finally:
            del self._subscribers[address]
            self._ceases(address, [channel for channel, at in self._holding.items() if at == address])
        _log.warning("redis_subscriber_lost", address=str(address), reason=subscriber.lost)
        return subscriber.beats > 0

    async def _beat(self, address: Address, subscriber: RedisSubscriber) -> None:
        """Publishes to the subscriber itself, and gives it up if it does not hear that although Redis took it.

        Where everything has been wiped, the subscriptions hold; but whoever keeps something there has to look.
        """
        channel = f"heartbeat:{secrets.token_hex(8)}"
        if self._layout is not None:
            channel = self._layout.name_at(address, channel)
        subscriber.hear_itself(channel)
        beat = Command(channel, self._publish, channel, b"")
        canary = Command(channel, "SET", channel, 1, "EX", _CANARY_SECONDS, "GET")
        published = missed = 0
        known = False
        while missed < 2:
            await trio.sleep(_BEAT_SECONDS)
            heard = subscriber.beats
            sent, found = await self._redis.execute([beat, canary])
            if isinstance(sent, Unavailable) or isinstance(found, Unavailable):
                continue
            if known and found is None:
                _log.warning("redis_wiped", address=str(address))
                self._inbox.resume(self._wanted)
            known = True
            missed = missed + 1 if heard < published else 0
            published = heard + 1
        subscriber.give_up("it does not hear itself")

    def _changed_at(self, address: Address, held: list[str], ceased: list[str]) -> None:
        if HEARTBEAT in ceased:
            self._subscribers[address].give_up("its own channel has moved")
        self._ceases(address, ceased)
        self._holds(address, held)
        if ceased:
            self._redis.suspect()

    def _delivered(self, deliveries: list[Delivery], losses: list[str]) -> None:
        self._inbox.put(deliveries)
        self._inbox.resume(losses)

    # What could not be published

    def _remember_losses(self, channels: Iterable[str]) -> None:
        spare = max(0, _MAX_LOSSES - len(self._losses))
        self._losses.update(dict.fromkeys(itertools.islice(channels, spare)))
        self._lost_some.set()

    async def _confess(self) -> None:
        """Says in each channel that something is missing there, as soon as that can be said."""
        while True:
            await self._lost_some.wait()
            await trio.sleep(_CONFESS_SECONDS)
            channels = list(itertools.islice(self._losses, _CHUNK))
            for channel in channels:  # before it is said, so that a loss meanwhile is said, too
                del self._losses[channel]
            said = await self._redis.execute([Command(each, self._publish, each, LOSS_MARK) for each in channels])
            self._losses.update(
                (channel, None) for channel, reply in zip(channels, said, strict=True) if type(reply) is Unavailable
            )
            if not self._losses:
                self._lost_some = trio.Event()
