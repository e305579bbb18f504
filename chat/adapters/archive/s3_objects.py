"""`ObjectStore` in a bucket of S3, or of anything that speaks its protocol.

Credentials, region and endpoint come from the usual places: the variables `AWS_ACCESS_KEY_ID`,
`AWS_SECRET_ACCESS_KEY`, `AWS_REGION` and `AWS_ENDPOINT_URL`, or the role of the machine.
"""

from __future__ import annotations

import datetime
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import obstore
from obstore.exceptions import BaseError
from obstore.store import S3Store

from .errors import ArchiveUnusable

if TYPE_CHECKING:
    from obstore.store import ClientConfig

_SECONDS = datetime.timedelta(seconds=30)
"""For one request, which carries at most one segment or a part of it."""
_CONNECT_SECONDS = datetime.timedelta(seconds=3)
_RETRY_SECONDS = datetime.timedelta(seconds=10)
"""After which an answer of 5xx or 429 is final; a history page waits for no more than that."""


class S3Objects:
    """`location` is s3://bucket or s3://bucket/prefix. Raises: ArchiveUnusable."""

    def __init__(self, location: str) -> None:
        bucket, _, prefix = location.removeprefix("s3://").partition("/")
        if not bucket:
            raise ArchiveUnusable("archive: s3:// needs the name of a bucket behind it")
        client: ClientConfig = {
            "timeout": _SECONDS,
            "connect_timeout": _CONNECT_SECONDS,
            "allow_http": os.environ.get("AWS_ENDPOINT_URL", "").startswith("http:"),
        }
        try:
            self._store = S3Store(
                bucket,
                prefix=prefix.strip("/") or None,
                client_options=client,
                retry_config={"max_retries": 3, "retry_timeout": _RETRY_SECONDS},
            )
        except BaseError as error:
            raise ArchiveUnusable(f"archive: {_in_one_line(error)}") from None

    def write(self, name: str, data: bytes) -> None:
        with _errors():
            obstore.put(self._store, name, data)

    def read(self, name: str, offset: int, length: int) -> bytes:
        with _errors():
            return obstore.get_range(self._store, name, start=offset, length=length).to_bytes()

    def size(self, name: str) -> int:
        with _errors():
            return obstore.head(self._store, name)["size"]

    def delete(self, name: str) -> None:
        with _errors():
            obstore.delete(self._store, name)


@contextmanager
def _errors() -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise
    except BaseError as error:
        raise OSError(_in_one_line(error)) from None


def _in_one_line(error: Exception) -> str:
    """Without the inside of the library, which follows."""
    return str(error).partition("\n")[0]
