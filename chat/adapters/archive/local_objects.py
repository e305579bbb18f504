"""`ObjectStore` in a directory, which may be a mounted file system that nodes share."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

PARTIAL = ".partial"
"""Behind the name of what is still being written."""


class LocalObjects:
    """Directories are made as they are needed, for this user alone."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def write(self, name: str, data: bytes) -> None:
        path = self._root / name
        _make_directory(path.parent)
        partial = path.with_name(path.name + PARTIAL)
        with open(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
        _sync_directory(path.parent)

    def read(self, name: str, offset: int, length: int) -> bytes:
        with open(self._root / name, "rb") as file:
            file.seek(offset)
            return file.read(length)

    def size(self, name: str) -> int:
        return (self._root / name).stat().st_size

    def delete(self, name: str) -> None:
        path = self._root / name
        for each in (path.with_name(path.name + PARTIAL), path):
            with contextlib.suppress(FileNotFoundError):
                each.unlink()


def _make_directory(path: Path) -> None:
    """With its parents, each of them durable before something is put into it."""
    if path.is_dir():
        return
    _make_directory(path.parent)
    path.mkdir(mode=0o700, exist_ok=True)
    _sync_directory(path.parent)


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
