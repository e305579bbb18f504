"""What every helper that starts a server needs."""

from __future__ import annotations

import ctypes
import signal
import socket
import sys


def free_port() -> int:
    """One that nobody uses at the moment."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def die_with_parent() -> None:
    """In the child, before it becomes the server: even a killed test run leaves no server behind.

    To Linux the parent is the thread that started the child: it must not be one of trio's, which end when idle.
    """
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)
