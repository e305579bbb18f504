"""A TCP proxy that delays, drops or cuts what goes through it.

async with tcp_proxy(port) as proxy:
    ...  # connect to proxy.port; proxy.delay_seconds = 0.1; proxy.cut()
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TypeVar

import trio


class TcpProxy:
    """`delay_seconds` is the longest that a piece of an answer is held up; pieces stay in order."""

    def __init__(self, target_port: int) -> None:
        self.port = 0
        self.target_port = target_port
        """Where new connections go."""
        self.delay_seconds = 0.0
        self.drops: Callable[[bytes], bool] | None = None
        """Pieces of answers that vanish."""
        self.refusing = False
        """New connections are closed at once."""
        self._connections: set[trio.CancelScope] = set()
        self._passing = trio.Event()
        self._passing.set()

    def fall_silent(self) -> None:
        """Lets nothing through, and tells nobody: as if the network dropped every packet."""
        self._passing = trio.Event()

    def go_on(self) -> None:
        """Lets through what was held up, and what follows."""
        self._passing.set()

    def cut(self) -> None:
        """Ends all connections."""
        for scope in self._connections:
            scope.cancel()

    async def serve(self, client: trio.SocketStream) -> None:
        """Carries one connection, until either side or `cut` ends it."""
        with trio.CancelScope() as scope:
            self._connections.add(scope)
            try:
                async with client:
                    if not self.refusing:
                        async with await trio.open_tcp_stream("127.0.0.1", self.target_port) as server:
                            await self._carry_both(client, server)
            except (OSError, trio.BrokenResourceError):
                pass
            finally:
                self._connections.discard(scope)

    async def _carry_both(self, client: trio.SocketStream, server: trio.SocketStream) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._carry, client, server, False, nursery.cancel_scope)
            nursery.start_soon(self._carry, server, client, True, nursery.cancel_scope)

    async def _carry(
        self, source: trio.SocketStream, sink: trio.SocketStream, answers: bool, scope: trio.CancelScope
    ) -> None:
        try:
            async for data in source:
                await self._passing.wait()
                if answers and self.delay_seconds:
                    await trio.sleep(random.uniform(0, self.delay_seconds))
                if not (answers and self.drops is not None and self.drops(bytes(data))):
                    await sink.send_all(data)
        except (OSError, trio.BrokenResourceError):
            pass
        scope.cancel()


def tcp_proxy(target_port: int) -> AbstractAsyncContextManager[TcpProxy]:
    """A proxy on a free port in front of a port of this machine."""
    return serving(TcpProxy(target_port))


P = TypeVar("P", bound=TcpProxy)


@asynccontextmanager
async def serving(proxy: P) -> AsyncIterator[P]:
    """`proxy`, of a kind of one's own, while it serves."""
    async with trio.open_nursery() as nursery:
        [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
        proxy.port = listener.socket.getsockname()[1]
        nursery.start_soon(trio.serve_listeners, proxy.serve, [listener])
        try:
            yield proxy
        finally:
            nursery.cancel_scope.cancel()
