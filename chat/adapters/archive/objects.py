"""Where segments are kept: objects that are written once and read by ranges."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Protocol

from .errors import ArchiveUnusable
from .local_objects import LocalObjects


class ObjectStore(Protocol):
    """The methods block: they are called in threads. Names are paths of letters, digits, `/`, `.` and `-`.

    Every method raises OSError if the store cannot be asked; FileNotFoundError if there is no such object.
    """

    def write(self, name: str, data: bytes) -> None:
        """Durable when it returns; until then nobody sees any of it. Replaces what is there."""

    def read(self, name: str, offset: int, length: int) -> bytes:
        """So many bytes, or fewer if the object ends before."""

    def size(self, name: str) -> int:
        """Bytes of the object."""

    def delete(self, name: str) -> None:
        """Removes an object, and what an interrupted write of it has left; twice is once."""


def open_objects(location: str) -> ObjectStore:
    """The store at `s3://bucket/prefix` or in a directory. Raises: ArchiveUnusable."""
    if location.startswith("s3://"):
        _check_installed("pyarrow", "obstore")
        from .s3_objects import S3Objects

        return S3Objects(location)
    if "://" in location:
        raise ArchiveUnusable("archive: it must be a directory or s3://bucket/prefix")
    _check_installed("pyarrow")
    return LocalObjects(Path(location))


def _check_installed(*libraries: str) -> None:
    """They are an extra, since few installations need them, and they are large."""
    for library in libraries:
        if importlib.util.find_spec(library) is None:
            raise ArchiveUnusable(f"archive: {library} is not installed: pip install 'chat-gateway[archive]'")
