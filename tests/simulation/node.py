"""A node: the real services and the real realtime side, over a gateway, stores and a broker in memory."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import trio

from chat.adapters.embedded.rate_limiter import MemoryRateLimiter
from chat.realtime import Realtime, RealtimeConfig
from chat.services import Passwords, Services, SigningKey, Tokens, assemble
from gateway_core.gateway import HttpConnection
from tests.support.services import CHEAP_HASHER, SECRET, UNLIMITED

from .bus import Bus
from .gateway import SimGateway
from .life import TICK, Died, Life, Link, Remote
from .stores import SHARDS, ShardedMessages, Stores

SETTINGS: dict[str, Any] = {
    "audit_seconds": 5.0,
    "feed_linger_seconds": 3.0,
    "retry_seconds": 2.0,
    "recent_seconds": 10.0,
    "max_recovery_messages": 20,
    "max_recovery_bytes": 6_000,
    "recovery_bytes_per_second": 3_000.0,
    "max_early_events": 20,
}
"""Shorter and smaller than in earnest, so that a short run comes to every limit."""
_DELAYS = (0.0, 0.0, TICK, TICK, 2 * TICK, 6 * TICK)
MESSAGES = tuple(f"messages-{shard}" for shard in range(SHARDS))


class Process:
    """One incarnation of a node, from its start to its death."""

    def __init__(self, name: str, bus: Bus, stores: Stores, chance: random.Random) -> None:
        self.life = life = Life(name)
        self.gateway = SimGateway(life)
        self.broker = bus.connect(life)
        self._bus = bus

        def link() -> Link:
            return Link(life, lambda: chance.choice(_DELAYS), chance.random)

        names = (*MESSAGES, "rooms", "users", "sessions", "presence")
        self.links = {name: link() for name in names}
        remote: Callable[[str, Any], Any] = lambda name, port: Remote(port, self.links[name])  # noqa: E731
        messages = ShardedMessages(stores.messages, [self.links[name] for name in MESSAGES])
        self.services: Services = assemble(
            messages=messages,
            rooms=remote("rooms", stores.rooms),
            users=remote("users", stores.users),
            sessions=remote("sessions", stores.sessions),
            presence=remote("presence", stores.presence),
            limiter=MemoryRateLimiter(),
            broker=self.broker,
            tokens=TOKENS,
            passwords=PASSWORDS,
            limits=UNLIMITED,
        )
        config = RealtimeConfig(node=name, **SETTINGS)
        self.realtime = Realtime(self.gateway, self.services, self.broker, messages, config, http=_no_http)
        self.troubles: list[tuple[float, float]] = []
        """When it was frozen, or could not ask its stores."""

    async def run(self) -> None:
        """Serves until it dies."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self.services.announcer.run)
                nursery.start_soon(self.services.presence.run)
                nursery.start_soon(self.realtime.run)
                await self.life.died.wait()
                nursery.cancel_scope.cancel()
        except* Died:
            pass
        finally:
            self._bus.disconnect(self.broker)

    async def stop(self, seconds: float) -> None:
        """As on SIGTERM: everybody is asked to go, then sent away."""
        await self.realtime.say_goodbye(seconds)
        await self.gateway.drain(seconds=seconds)
        self.die()

    def die(self) -> None:
        """As on SIGKILL."""
        self.life.die()
        self.gateway.die()

    def trouble(self, seconds: float) -> None:
        """From now on, for so long, it is not expected to keep any time."""
        self.troubles.append((trio.current_time(), trio.current_time() + seconds))


class Node:
    """A place in the fleet, where one process follows another."""

    def __init__(self, name: str, start: Callable[[str], Process]) -> None:
        self.name = name
        self.process: Process | None = None
        self._start = start
        self._lives = 0

    @property
    def up(self) -> Process | None:
        """The process, if it takes connections."""
        return self.process if self.process is not None and self.process.gateway.is_listening else None

    def start(self) -> Process:
        self._lives += 1
        self.process = self._start(f"{self.name}-{self._lives}")
        return self.process


PASSWORDS = Passwords(CHEAP_HASHER)
TOKENS = Tokens([SigningKey.of(SECRET)], lifetime_seconds=900.0)


def until_untroubled(troubles: list[tuple[float, float]], at: float, margin: float) -> float:
    """The first moment from `at` on with no trouble in it, nor within `margin` before it."""
    for began, ended in sorted(troubles):
        if began <= at:
            at = max(at, ended + margin)
    return at


def _no_http(connection: HttpConnection) -> None:
    connection.socket.close()
