"""Keeps a connection to one server, and is the circuit breaker in front of it.

While the server is up, commands go straight through. When the connection breaks, callers wait for its return
as long as a command may take; from then on they are refused at once, so a server that is mute costs nothing.
Meanwhile one probe at a time tries to connect and to get an answer, with growing pauses; when it succeeds,
everybody is let through again.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import structlog
import trio

from .redis_connection import Away, RedisConnection, open_stream
from .redis_url import Address, RedisUrl
from .redis_wire import Reply, ReplyError, code_of, pack

_FIRST_PAUSE_SECONDS = 0.05
_LONGEST_PAUSE_SECONDS = 1.0
_log = structlog.get_logger("chat.redis")


class Link:
    """The way to `address`. `run` must run for as long as it is used; `on_change` is called when it goes up or down."""

    def __init__(
        self, url: RedisUrl, address: Address, *, deadline_seconds: float, on_change: Callable[[], None]
    ) -> None:
        self.address = address
        self._url = url
        self._deadline_seconds = deadline_seconds
        self._on_change = on_change
        self._connection: RedisConnection | None = None
        self._down_since = trio.current_time()
        self._changed = trio.Event()

    @property
    def is_up(self) -> bool:
        """Whether commands go through at the moment."""
        return self._connection is not None

    async def execute(self, commands: Sequence[bytes], until: float) -> list[Reply]:
        """The replies to packed commands. Waits for a connection until then, if it has been lost only just now.

        Raises: Away if nothing was sent, Broken if that is unknown.
        """
        while self._connection is None:
            until = min(until, self._down_since + self._deadline_seconds)
            if trio.current_time() >= until:
                raise Away(f"{self.address}: there is no connection")
            with trio.move_on_at(until):
                await self._changed.wait()
        return await self._connection.execute(commands)

    async def run(self) -> None:
        """Connects, and connects again, for ever."""
        pause = _FIRST_PAUSE_SECONDS
        while True:
            try:
                connection = await self._connect()
            except Away as error:
                _log.debug("redis_away", address=str(self.address), error=str(error))
            else:
                await self._serve(connection)
                pause = _FIRST_PAUSE_SECONDS
            await trio.sleep(pause * random.uniform(0.5, 1))  # noqa: S311 -- nothing secret
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    async def _connect(self) -> RedisConnection:
        """A connection that has answered: to connect is no proof, as the kernel does that for a stopped process."""
        with trio.move_on_after(self._deadline_seconds):
            stream, reader, [role] = await open_stream(self._url, self.address, pack("ROLE"))
            problem = _problem(role)
            if problem is None:
                return RedisConnection(stream, reader, deadline_seconds=self._deadline_seconds, on_lost=self._on_lost)
            await trio.aclose_forcefully(stream)
            raise Away(f"{self.address}: {problem}")
        raise Away(f"{self.address}: no answer")

    async def _serve(self, connection: RedisConnection) -> None:
        """Lets commands through until the connection breaks."""
        self._change(connection)
        _log.info("redis_connected", address=str(self.address))
        await connection.run()
        _log.warning("redis_lost", address=str(self.address), reason=connection.lost)

    def _on_lost(self) -> None:
        self._down_since = trio.current_time()
        self._change(None)

    def _change(self, connection: RedisConnection | None) -> None:
        self._connection = connection
        self._changed.set()
        self._changed = trio.Event()
        self._on_change()


def _problem(role: Reply) -> str | None:
    """Why a server that answers so to ROLE is not to be used. Users without the right to ask are trusted."""
    if isinstance(role, ReplyError):
        return None if code_of(role) in ("NOPERM", "ERR") else f"refused with {code_of(role)}"
    if isinstance(role, list) and role and role[0] == b"master":
        return None
    return "is no primary"
