"""A proxy in front of a MySQL server that cuts connections at a commit: just before it, or just after it."""

from __future__ import annotations

import contextlib
import enum
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

_COMMIT = b"\x07\x00\x00\x00\x03COMMIT"
"""The packet: its length, its number, the command for a query, the statement."""


class Cut(enum.Enum):
    """Where a connection ends."""

    BEFORE_COMMIT = "before"
    """The server never hears of it."""
    AFTER_COMMIT = "after"
    """The server has done it, and nobody hears its answer."""


class CommitProxy:
    """Forwards everything but the next `cuts` commits."""

    def __init__(self, listener: trio.SocketListener, server_port: int) -> None:
        self.port: int = listener.socket.getsockname()[1]
        self.cuts = 0
        self.where = Cut.BEFORE_COMMIT
        self.made = 0
        """How many connections were cut."""
        self._server_port = server_port

    async def handle(self, client: trio.SocketStream) -> None:
        server = await trio.open_tcp_stream("127.0.0.1", self._server_port)
        swallowed: list[trio.Event] = []
        async with client, server, trio.open_nursery() as nursery:
            nursery.start_soon(_answers, server, client, swallowed)
            await self._requests(client, server, swallowed)
            nursery.cancel_scope.cancel()

    async def _requests(
        self, client: trio.SocketStream, server: trio.SocketStream, swallowed: list[trio.Event]
    ) -> None:
        """Until the client is gone, or is cut off."""
        with contextlib.suppress(trio.BrokenResourceError):
            async for data in client:
                if self.cuts and data == _COMMIT:
                    self.cuts -= 1
                    self.made += 1
                    if self.where is Cut.AFTER_COMMIT:
                        swallowed.append(trio.Event())
                        await server.send_all(data)
                        await swallowed[0].wait()
                    return
                await server.send_all(data)


async def _answers(server: trio.SocketStream, client: trio.SocketStream, swallowed: list[trio.Event]) -> None:
    """Hands on what the server says, unless it is to be swallowed."""
    with contextlib.suppress(trio.BrokenResourceError):
        async for data in server:
            if swallowed:
                swallowed[0].set()
            else:
                await client.send_all(data)
    await client.aclose()


@asynccontextmanager
async def commit_proxy(server_port: int) -> AsyncIterator[CommitProxy]:
    """Runs for as long as the block."""
    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    proxy = CommitProxy(listener, server_port)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, proxy.handle, [listener])
        yield proxy
        nursery.cancel_scope.cancel()
