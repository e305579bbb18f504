"""A TCP proxy that counts round trips: what is sent before the next answer comes is one."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager

import trio

from tests.support.tcp_proxy import TcpProxy, serving

_ANSWER_SECONDS = 0.02
"""Every answer is held up for so long: what was sent in one go has then passed, in however many pieces."""


class CountingProxy(TcpProxy):
    """`requests` has what was sent in each round trip, on all connections."""

    def __init__(self, target_port: int) -> None:
        super().__init__(target_port)
        self.requests: list[bytes] = []
        self._open: dict[trio.SocketStream, int] = {}
        """The round trip that each client is in, by its place in `requests`."""

    def having(self, word: bytes) -> list[bytes]:
        """The round trips in which `word` was sent."""
        return [request for request in self.requests if word in request]

    async def _carry(
        self, source: trio.SocketStream, sink: trio.SocketStream, answers: bool, scope: trio.CancelScope
    ) -> None:
        try:
            async for data in source:
                if answers:
                    await trio.sleep(_ANSWER_SECONDS)
                    self._open.pop(sink, None)
                else:
                    self._add(source, bytes(data))
                await sink.send_all(data)
        except (OSError, trio.BrokenResourceError):
            pass
        scope.cancel()

    def _add(self, client: trio.SocketStream, data: bytes) -> None:
        if client in self._open:
            self.requests[self._open[client]] += data
        else:
            self._open[client] = len(self.requests)
            self.requests.append(data)


def counting_proxy(target_port: int) -> AbstractAsyncContextManager[CountingProxy]:
    """A proxy on a free port in front of a port of this machine."""
    return serving(CountingProxy(target_port))
