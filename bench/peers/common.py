"""What all Python peers share: their arguments, and how they say where they listen."""

from __future__ import annotations

import argparse
import socket

HOST = "127.0.0.1"
BACKLOG = 4096


def arguments() -> argparse.Namespace:
    """`mode`, and whether to `deflate`."""
    parser = argparse.ArgumentParser()
    parser.add_argument("mode", choices=("broadcast", "echo", "sink"))
    parser.add_argument("--deflate", action="store_true")
    parser.add_argument("--uvloop", action="store_true")
    return parser.parse_args()


def listening(port: int) -> None:
    """Tells the harness."""
    print(f"listening on {HOST}:{port}", flush=True)


def free_port() -> int:
    """For servers that cannot say which port they were given."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def bound_socket() -> socket.socket:
    """A listening socket with room for a storm of connections."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((HOST, 0))
    listener.listen(BACKLOG)
    return listener


class Sink:
    """Counts messages; answers `?` with the count."""

    def __init__(self) -> None:
        self._count = 0

    def answer(self, message: bytes | str) -> bytes | None:
        """What to send back, if anything."""
        if message in (b"?", "?"):
            return str(self._count).encode()
        self._count += 1
        return None
