"""One node for one data directory: an advisory lock that ends with its process, however that ends."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from .errors import DatabaseUnusable

LOCK_NAME = "lock"


@contextlib.contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Holds `directory` for this node. Raises: DatabaseUnusable at once if another node holds it.

    The file stays when the lock is gone: to remove it would let two nodes lock two different files.
    """
    descriptor = os.open(directory / LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        _lock(descriptor, directory)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int, directory: Path) -> None:
    """`flock`, not `lockf`: it also keeps two nodes of the same process apart."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        owner = os.pread(descriptor, 20, 0).decode("ascii", "replace").strip() or "unknown"
        raise DatabaseUnusable(f"{directory} is in use by another node (process {owner})") from None
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode("ascii"), 0)
