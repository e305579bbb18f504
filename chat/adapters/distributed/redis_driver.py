"""What we use of redis-py: pipelines to a primary, over connections that it keeps, and who the primaries are.

Everything here runs in the loop that owns redis-py. It tries nothing again that may have been carried out, and
sets no deadline: whoever cancels `send` ends the connection that it waits for, so no reply is ever left behind.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Iterable, Sequence
from typing import Any, TypeVar

from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import (
    AskError,
    ConnectionError,
    MovedError,
    NoScriptError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)

from .redis_command import Command
from .redis_errors import Away, code_of
from .redis_layout import Layout
from .redis_topology import connection_options, topology_of
from .redis_url import Address, RedisUrl

T = TypeVar("T")
Reply = Any
"""As Redis gives it: bytes, int, None, a list of replies, or a `ResponseError`."""
_MAX_CONNECTIONS = 8
"""To one primary. One pipeline is under way there; a few may come along that others redirect."""


class RedisDriver:
    """`layout` is what was found last, None at first; it may be read from any thread."""

    def __init__(self, url: RedisUrl, deadline_seconds: float) -> None:
        """Connects to nothing yet. `deadline_seconds`: for a connection, and for each server that is asked who is."""
        self.layout: Layout | None = None
        self._deadline_seconds = deadline_seconds
        self._topology = topology_of(url, deadline_seconds)
        self._options = connection_options(url, connect_seconds=deadline_seconds, reply_seconds=None)
        self._options |= {"db": url.database, "max_connections": _MAX_CONNECTIONS}
        self._clients: dict[Address, Redis] = {}

    async def look(self) -> None:
        """Finds out who is primary of what, for `layout`. Raises: Away if nobody says."""
        self.layout = layout = await _translated(self._topology.look())
        for address in self._clients.keys() - layout.primaries:
            with contextlib.suppress(RedisError):
                await self._clients.pop(address).aclose()

    async def send(self, address: Address, commands: Sequence[Command]) -> list[Reply]:
        """Sends commands in a row to a primary and returns their replies; error replies are among them.

        Scripts that it does not know are told to it, and what it redirects for once (ASK) goes there. `MovedError`
        is returned, and `layout` knows of it. Raises: Away.
        """
        return await _translated(self._send(address, commands))

    async def close(self) -> None:
        """Ends all connections."""
        for client in self._clients.values():
            with contextlib.suppress(RedisError):
                await client.aclose()
        with contextlib.suppress(RedisError):
            await self._topology.close()

    async def _send(self, address: Address, commands: Sequence[Command]) -> list[Reply]:
        replies = await self._ask(address, commands)
        errors = {index: reply for index, reply in enumerate(replies) if isinstance(reply, ResponseError)}
        if redirected := [index for index, error in errors.items() if isinstance(error, AskError)]:
            await self._redirect(address, commands, replies, redirected)
        if any(isinstance(error, ReadOnlyError) for error in errors.values()):  # the next connection will see who it is
            await self._client(address).connection_pool.disconnect(inuse_connections=False)
        return replies

    async def _ask(self, address: Address, commands: Sequence[Command], *, asking: bool = False) -> list[Reply]:
        """The replies at `address`, which gets to know the scripts that it does not know."""
        replies = await self._pipeline(address, commands, asking)
        unknown = [index for index, reply in enumerate(replies) if isinstance(reply, NoScriptError)]
        scripts = {script.sha: script for index in unknown if (script := commands[index].script) is not None}
        if scripts:
            await self._pipeline(address, [Command("", "SCRIPT LOAD", script.text) for script in scripts.values()])
            again = await self._pipeline(address, [commands[index] for index in unknown], asking)
            for index, reply in zip(unknown, again, strict=True):
                replies[index] = reply
        return replies

    async def _pipeline(self, address: Address, commands: Iterable[Command], asking: bool = False) -> list[Reply]:
        pipeline = self._client(address).pipeline(transaction=False)
        for command in commands:
            if asking:
                pipeline.execute_command("ASKING")
            pipeline.execute_command(*command.words)
        replies = await pipeline.execute(raise_on_error=False)
        return replies[1::2] if asking else replies

    async def _redirect(
        self, address: Address, commands: Sequence[Command], replies: list[Reply], redirected: Sequence[int]
    ) -> None:
        """Learns what has moved; what is about to is asked for at its new owner, who answers if asked so."""
        moving: dict[Address, list[int]] = {}
        for index in redirected:
            error = replies[index]
            error.host = error.host or address.host  # it need not know its own address
            if not isinstance(error, MovedError):
                moving.setdefault(Address(error.host, error.port), []).append(index)
        for owner, indices in moving.items():
            with contextlib.suppress(Away, TimeoutError):
                async with asyncio.timeout(self._deadline_seconds / 2):
                    answers = await _translated(self._ask(owner, [commands[index] for index in indices], asking=True))
                for index, answer in zip(indices, answers, strict=True):
                    replies[index] = answer
        if moved := [reply for reply in replies if isinstance(reply, MovedError)]:
            self.layout = await self._topology.moved(moved)

    def _client(self, address: Address) -> Redis:
        if address not in self._clients:
            client = Redis(host=address.host, port=address.port, redis_connect_func=_connect, **self._options)
            client.response_callbacks.clear()  # replies as they are
            self._clients[address] = client
        return self._clients[address]


async def _connect(connection: AbstractConnection) -> None:
    """Signs in, and sees to it that this is a primary: a replica would take events, and keep them to itself.

    Users without the right to ask are trusted.
    """
    await connection.on_connect()
    await connection.send_command("ROLE", check_health=False)
    try:
        role = await connection.read_response()
    except ResponseError as error:
        if code_of(error) in ("NOPERM", "ERR"):
            return
        raise ConnectionError(f"refused with {code_of(error)}") from None
    if not isinstance(role, list) or role[:1] != [b"master"]:
        raise ConnectionError("is no primary")


async def _translated(work: Awaitable[T]) -> T:
    """A driver may raise anything when a server talks nonsense; whatever it is, the connection is gone."""
    try:
        return await work
    except ConnectionError as error:
        raise Away(f"{error}") from error
    except Exception as error:
        raise Away(type(error).__name__) from error
