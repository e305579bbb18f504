"""Keeps a node from a primary that another one has replaced.

A shard counts its promotions: its `generation` is what is called a fencing token. A server that was stopped or cut off
while another one became the primary has a lower one, which shows with each connection that is opened to it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog
from asyncmy.errors import MySQLError, OperationalError

from .mysql_errors import CONNECTION_LOST, NO_CONNECTION, NO_SUCH_COLUMN, NO_SUCH_TABLE, code_of

if TYPE_CHECKING:
    from .mysql_pool import Session

_log = structlog.get_logger("chat.mysql")


async def read_generation(session: Session) -> tuple[int, str]:
    """The generation that a server has of its shard, and the server's own name; 0 before the first promotion."""
    try:
        rows = await session.rows("SELECT generation, @@hostname, @@port FROM map_version")
    except MySQLError as error:
        if code_of(error) not in (NO_SUCH_TABLE, NO_SUCH_COLUMN):  # those are of a schema that is to be migrated yet
            raise
        rows = ()
    return next(((generation, f"{host}:{port}") for generation, host, port in rows), (0, ""))


class Fence:
    """Refuses primaries of a generation below the highest that was met. Used in the loop's thread only."""

    def __init__(self, shard: str, address: str) -> None:
        self._names = {"shard": shard, "address": address}
        self._highest = 0
        self._refusing = False

    def meet(self, generation: int, server: str) -> None:
        """To be called with each new connection. Raises: OperationalError, as if nobody could be reached."""
        if generation < self._highest:
            if not self._refusing:
                _log.error(
                    "primary_superseded", **self._names, server=server, generation=generation, highest=self._highest
                )
            self._refusing = True
            raise OperationalError(NO_CONNECTION, "the server is no longer the primary")
        if generation > self._highest:
            _log.info("primary_met", **self._names, server=server, generation=generation)
        self._highest = generation
        self._refusing = False

    def admits(self, generation: int) -> bool:
        """Whether a connection that was opened at `generation` may still be used."""
        return generation >= self._highest

    def check(self, generation: int) -> None:
        """To be called when work is done: what a superseded primary says counts as little as if it was lost.

        Raises: OperationalError.
        """
        if not self.admits(generation):
            raise OperationalError(CONNECTION_LOST, "the server has ceased to be the primary")
