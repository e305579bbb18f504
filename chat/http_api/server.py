"""HTTP/1.1 on sockets that the gateway hands over: h11 on trio, in front of an ASGI application.

Nothing else is spoken here: no HTTP/2, no upgrade. An opening handshake that comes on a connection that has
served HTTP before is told to come on a new one, which the gateway then gets.
"""

from __future__ import annotations

import socket
from collections import Counter

import trio

from gateway_core import HttpConnection

from ..domain.errors import Unavailable
from .asgi import AsgiApp
from .connection import Connection
from .errors import error_answer
from .proxies import is_trusted, parse_networks
from .settings import HttpSettings


class HttpServer:
    """Serves `app` on connections that `start` is given, while `run` runs."""

    def __init__(self, app: AsgiApp, settings: HttpSettings) -> None:
        self._app = app
        self._settings = settings
        self._trusted = parse_networks(settings.trusted_proxies)
        self._draining = False
        self._nursery: trio.Nursery | None = None
        self._connections: set[Connection] = set()
        self._per_address: Counter[str] = Counter()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Carries the connections until it is cancelled."""
        async with trio.open_nursery() as self._nursery:
            task_status.started()
            await trio.sleep_forever()

    def start(self, handed_over: HttpConnection) -> None:
        """Takes a connection over, or refuses it with 503; never waits."""
        try:
            peer = str(handed_over.socket.getpeername()[0])
        except OSError:
            handed_over.socket.close()
            return
        if self._nursery is None or self._draining or self._is_full(peer):
            _refuse(handed_over.socket)
            return
        self._per_address[peer] += 1
        connection = Connection(self._app, self._settings, self._trusted, handed_over, peer)
        self._connections.add(connection)
        self._nursery.start_soon(self._serve, connection, peer)

    async def drain(self, seconds: float) -> None:
        """Closes idle connections, lets the others finish their answer, cuts off what remains after `seconds`."""
        self._draining = True
        connections = list(self._connections)
        for connection in connections:
            connection.finish()
        with trio.move_on_after(seconds):
            for connection in connections:
                await connection.done.wait()
        for connection in connections:
            connection.abort()

    def _is_full(self, peer: str) -> bool:
        if len(self._connections) >= self._settings.max_http_connections:
            return True
        of_peer = self._per_address[peer]
        return of_peer >= self._settings.max_http_connections_per_address and not is_trusted(peer, self._trusted)

    async def _serve(self, connection: Connection, peer: str) -> None:
        try:
            await connection.serve()
        finally:
            self._connections.discard(connection)
            self._per_address[peer] -= 1
            if not self._per_address[peer]:
                del self._per_address[peer]


def _refuse(peer: socket.socket) -> None:
    """Says 503 if the socket takes it at once, as a new one does."""
    status, headers, body = error_answer(Unavailable("this node takes no more connections now", retry_after=5.0))
    headers += [("Content-Length", str(len(body))), ("Connection", "close")]
    head = f"HTTP/1.1 {status} Service Unavailable\r\n" + "".join(f"{key}: {value}\r\n" for key, value in headers)
    with peer:
        try:
            peer.send(head.encode() + b"\r\n" + body)
        except OSError:
            return
