"""Free ports that stay ours until their servers have them, and between two lives of a server."""

from __future__ import annotations

import contextlib
import socket
import sys
from collections.abc import Iterator


class Ports:
    """On Linux nobody else is given a port that was taken here; elsewhere it is only likely to be free.

    It stays bound, so only a server that asks for the very number may listen on it.
    """

    def __init__(self) -> None:
        self._holders: list[socket.socket] = []

    def take(self) -> int:
        """A port of 127.0.0.1."""
        holder = socket.socket()
        self._holders.append(holder)
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", 0))
        port: int = holder.getsockname()[1]
        if sys.platform != "linux":  # others do not let a second one bind it
            holder.close()
        return port

    def close(self) -> None:
        """Gives them up."""
        for holder in self._holders:
            holder.close()


@contextlib.contextmanager
def ports() -> Iterator[Ports]:
    """Held for as long as the block lasts."""
    held = Ports()
    try:
        yield held
    finally:
        held.close()
