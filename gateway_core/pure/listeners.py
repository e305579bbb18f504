"""The sockets that a gateway listens on."""

from __future__ import annotations

import socket

import trio

from ..config import GatewayConfig


async def open_listeners(config: GatewayConfig) -> list[trio.SocketListener]:
    """On every address of the host, or on the first one if the port is shared. Raises: OSError."""
    if not config.share_port:
        return await trio.open_tcp_listeners(config.port, host=config.host, backlog=config.backlog)
    found = await trio.socket.getaddrinfo(config.host, config.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, kind, protocol, _, address = found[0]
    listener = trio.socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        await listener.bind(address)
        listener.listen(config.backlog)
    except BaseException:
        listener.close()
        raise
    return [trio.SocketListener(listener)]
