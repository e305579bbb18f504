"""One database server, as trio sees it: deadlines, retries, a bound on what is under way, a circuit breaker."""

from __future__ import annotations

import functools
import random
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import structlog
import trio
from asyncmy.errors import MySQLError

from ...domain.errors import ChatError, Unavailable
from .asyncio_bridge import AsyncioBridge
from .circuit_breaker import CircuitBreaker
from .mysql_dsn import Dsn
from .mysql_errors import Verdict, verdict_of
from .mysql_pool import Moved, MySqlPool, Work

T = TypeVar("T")

MAX_CONNECTIONS = 10
"""For each server and node: 100 nodes stay below a `max_connections` of 1,024."""
MAX_WAITING = 2_000
"""More would wait longer than their deadline for a connection."""
DEADLINE_SECONDS = 5.0
"""For a call with all its retries; above the time that a lock may take."""
_TRIES = 4
_FIRST_PAUSE_SECONDS = 0.05
_log = structlog.get_logger("chat.mysql")


class MySqlServer:
    """The primary of a shard, or one of its replicas."""

    def __init__(
        self,
        bridge: AsyncioBridge,
        dsn: Dsn,
        shard: str,
        *,
        is_primary: bool,
        deadline_seconds: float = DEADLINE_SECONDS,
    ) -> None:
        self.dsn = dsn
        self.shard = shard
        self.breaker = CircuitBreaker()
        self._bridge = bridge
        self._pool = MySqlPool(dsn, shard, is_primary=is_primary)
        self._connections = trio.Semaphore(MAX_CONNECTIONS)
        self._deadline_seconds = deadline_seconds

    @property
    def connections_in_use(self) -> int:
        return MAX_CONNECTIONS - self._connections.value

    @property
    def waiting(self) -> int:
        """Calls that wait for a connection."""
        return self._connections.statistics().tasks_waiting

    async def run(self, work: Work[T], *, transaction: bool = False, idempotent: bool = True, fresh: bool = False) -> T:
        """Runs `work` in the loop's thread; again if it surely was not done, or if twice is once (`idempotent`).

        `fresh` asks on a new connection, and so whoever the address leads to by now.

        Raises: what `work` raises; Unavailable if the server cannot be asked or does not answer in time, after
        which a write may have happened. Cancelling waits until the connection is closed.
        """
        if self._connections.statistics().tasks_waiting >= MAX_WAITING:
            raise self._unavailable("is overloaded")
        with trio.move_on_after(self._deadline_seconds):
            return await self._with_retries(
                functools.partial(self._pool.run, work, transaction=transaction, fresh=fresh), idempotent
            )
        self._failed("no answer in time")
        raise self._unavailable("does not answer")

    async def aclose(self) -> None:
        """Closes all connections that nobody uses."""

        async def clear() -> None:
            self._pool.clear()

        await self._bridge.call(clear)

    async def _with_retries(self, call: Callable[[], Coroutine[Any, Any, T]], idempotent: bool) -> T:
        for tried in range(1, _TRIES + 1):
            if not self.breaker.admits():
                raise self._unavailable("is away for the moment")
            try:
                async with self._connections:
                    value = await self._bridge.call(call)
            except (MySQLError, OSError) as error:
                verdict = self._judge(error)
                if verdict is Verdict.UNABLE or (verdict is Verdict.IN_DOUBT and not idempotent) or tried == _TRIES:
                    raise self._unavailable("is away for the moment") from None
            except (ChatError, Moved):
                self.breaker.succeeded()
                raise
            else:
                self.breaker.succeeded()
                return value
            await trio.sleep(_FIRST_PAUSE_SECONDS * 2 ** (tried - 1) * random.uniform(0.5, 1.5))  # noqa: S311
        raise AssertionError("unreachable")

    def _judge(self, error: BaseException) -> Verdict:
        """Tells the breaker. Raises: the error itself if it is about the work, which is then a bug."""
        verdict = verdict_of(error)
        if verdict is None:
            self.breaker.succeeded()
            raise error
        if verdict is Verdict.NOT_DONE:
            self.breaker.succeeded()
            return verdict
        if verdict is Verdict.UNABLE:
            _log.error("shard_unable", shard=self.shard, server=str(self.dsn), error=str(error))
        self._failed(str(error))
        return verdict

    def _failed(self, why: str) -> None:
        """Logged at the first failure in a row, and when the breaker opens."""
        was_well, was_open = self.breaker.is_well, self.breaker.is_open
        self.breaker.failed()
        if was_well:
            _log.warning("shard_failed", shard=self.shard, server=str(self.dsn), error=why)
        if self.breaker.is_open and not was_open:
            _log.error("shard_away", shard=self.shard, server=str(self.dsn), error=why)

    def _unavailable(self, what: str) -> Unavailable:
        return Unavailable(f"shard {self.shard} {what}", retry_after=1.0)
