"""Which server a read goes to: a replica that is known to be near its primary, or the primary.

How far a replica is behind is measured with a heartbeat that nodes write to the primary, since what a replica
says about itself is wrong just when its connection to the primary hangs. A replica that was not measured
lately is not in the rotation.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Hashable, Sequence

import structlog
import trio

from ...domain.errors import Unavailable
from .mysql_pool import Session
from .mysql_server import MySqlServer

MAX_LAG_SECONDS = 2.0
MEASURE_SECONDS = 1.0
_TRUSTED_SECONDS = 2 * MEASURE_SECONDS
"""How long a measurement holds: until the next one is overdue."""
_BEAT_MS = 500
"""However many nodes measure, the heartbeat is written no more often than this."""
_SEMI_SYNC = {"Rpl_semi_sync_master_status", "Rpl_semi_sync_source_status"}
"""As MariaDB and MySQL call it; MySQL has it only with a plugin."""
_log = structlog.get_logger("chat.mysql")


class RecentKeys:
    """What was added in the last `seconds`, and some of what was added a little earlier."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._since = clock()
        self._new: set[Hashable] = set()
        self._old: set[Hashable] = set()

    def add(self, key: Hashable) -> None:
        self._turn()
        self._new.add(key)

    def __contains__(self, key: Hashable) -> bool:
        self._turn()
        return key in self._new or key in self._old

    def _turn(self) -> None:
        passed = self._clock() - self._since
        if passed > self._seconds:
            self._old = self._new if passed <= 2 * self._seconds else set()
            self._new = set()
            self._since = self._clock()


class Replica:
    """A server that follows a primary. `lag_seconds` is infinite if it is not known."""

    def __init__(self, server: MySqlServer, clock: Callable[[], float] = time.monotonic) -> None:
        self.server = server
        self.lag_seconds = float("inf")
        self._clock = clock
        self._measured = 0.0

    def measured(self, lag_seconds: float) -> None:
        self.lag_seconds, self._measured = lag_seconds, self._clock()

    def is_near(self, max_lag_seconds: float) -> bool:
        """Whether what it answers is no older than the limit, and than the last measurement."""
        return self.lag_seconds <= max_lag_seconds and self._clock() - self._measured <= _TRUSTED_SECONDS


class Rotation:
    """The replicas of one shard that may be read, and whether the primary waits for one of them."""

    def __init__(
        self, primary: MySqlServer, replicas: Sequence[MySqlServer], *, max_lag_seconds: float = MAX_LAG_SECONDS
    ) -> None:
        self.replicas = [Replica(server) for server in replicas]
        self.is_semi_synchronous: bool | None = None
        """Whether a commit waits until a replica has it, too; None: not known yet."""
        self._primary = primary
        self._max_lag_seconds = max_lag_seconds
        self._turn = 0
        self.staleness_seconds = max_lag_seconds + _TRUSTED_SECONDS + _BEAT_MS / 1000
        """What a replica in the rotation may lack, at the most."""

    def choose(self) -> MySqlServer | None:
        """The next one in turn; None if no replica is near enough."""
        self._turn += 1
        near = [each for each in self.replicas if each.is_near(self._max_lag_seconds) and each.server.breaker.is_well]
        return near[self._turn % len(near)].server if near else None

    async def run(self) -> None:
        """Measures until it is cancelled."""
        while self.replicas:
            await self.measure()
            await trio.sleep(MEASURE_SECONDS)

    async def measure(self) -> None:
        """Finds out how far each replica is behind, and whether the primary waits for one."""
        if not self.replicas:
            return
        try:
            now, is_semi_synchronous = await self._primary.run(_beat)
        except Unavailable:
            return  # and with that all measurements expire
        self._note(is_semi_synchronous)
        async with trio.open_nursery() as nursery:
            for replica in self.replicas:
                nursery.start_soon(functools.partial(self._measure, replica, now))

    async def _measure(self, replica: Replica, now: int) -> None:
        was_near = replica.is_near(self._max_lag_seconds)
        try:
            replica.measured((now - await replica.server.run(_read_beat)) / 1000)
        except Unavailable:
            replica.measured(float("inf"))
        if replica.is_near(self._max_lag_seconds) != was_near:
            change = "replica_left" if was_near else "replica_joined"
            _log.info(change, shard=replica.server.shard, server=str(replica.server.dsn), lag=replica.lag_seconds)

    def _note(self, is_semi_synchronous: bool) -> None:
        if is_semi_synchronous == self.is_semi_synchronous:
            return
        self.is_semi_synchronous = is_semi_synchronous
        if is_semi_synchronous:
            _log.info("shard_semi_synchronous", shard=self._primary.shard)
        else:
            _log.warning("shard_not_semi_synchronous", shard=self._primary.shard, risk="messages on one disk only")


async def _beat(session: Session) -> tuple[int, bool]:
    """Renews the heartbeat by the primary's clock, and returns it; and whether that waits for a replica."""
    await session.execute(
        "UPDATE heartbeat SET ts = FLOOR(1000 * UNIX_TIMESTAMP(NOW(3)))"
        " WHERE ts < FLOOR(1000 * UNIX_TIMESTAMP(NOW(3))) - %s",
        [_BEAT_MS],
    )
    return await _read_beat(session), await _waits_for_replica(session)


async def _read_beat(session: Session) -> int:
    """The heartbeat as this server has it; 0, which is very long ago, on a replica that has not got so far yet."""
    rows = await session.rows("SELECT ts FROM heartbeat WHERE only = 1")
    return int(rows[0][0]) if rows else 0


async def _waits_for_replica(session: Session) -> bool:
    # LIKE spares the server to work out what it does not show.
    rows = await session.rows("SHOW STATUS LIKE 'Rpl_semi_sync_%_status'")
    return any(name in _SEMI_SYNC and value == "ON" for name, value in rows)
