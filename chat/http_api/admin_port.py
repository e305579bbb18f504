"""The port for machines that look after a node: metrics and health, on a loopback address by default."""

from __future__ import annotations

import socket

import trio
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Route

from gateway_core import AddressUnavailable, HttpConnection

from ..metrics.exposition import Exposition
from .health import Health, Readiness
from .server import HttpServer
from .settings import HttpSettings

_SETTINGS = HttpSettings(max_http_connections=64)


def create_admin_app(exposition: Exposition, readiness: Readiness) -> Starlette:
    """`/metrics`, `/healthz` and `/readyz`. Whoever reaches the port may read them."""
    return Starlette(
        routes=[Route("/metrics", exposition.respond)],
        middleware=[Middleware(Health, readiness)],
    )


async def serve_admin_port(
    app: Starlette,
    host: str,
    port: int,
    *,
    task_status: trio.TaskStatus[tuple[str, int]] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serves until it is cancelled; started with the address. Raises: AddressUnavailable."""
    server = HttpServer(app, _SETTINGS)

    async def hand_over(stream: trio.SocketStream) -> None:
        server.start(HttpConnection(socket.socket(fileno=stream.socket.detach()), b""))

    try:
        listeners = await trio.open_tcp_listeners(port, host=host)
    except OSError as error:
        raise AddressUnavailable(f"cannot listen on {host}:{port} (admin_port): {error}") from error
    async with trio.open_nursery() as nursery:
        await nursery.start(server.run)
        nursery.start_soon(trio.serve_listeners, hand_over, listeners)
        task_status.started(listeners[0].socket.getsockname()[:2])
