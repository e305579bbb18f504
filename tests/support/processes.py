"""What every helper that starts a server needs."""

from __future__ import annotations

import socket

from chat.dev_cluster.child import die_with_parent

__all__ = ["die_with_parent", "free_port"]


def free_port() -> int:
    """One that nobody uses at the moment."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
