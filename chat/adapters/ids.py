"""Random ids: lower-case letters and digits, safe in a URL, a cookie and a channel name."""

from __future__ import annotations

import base64
import secrets

_ID_BYTES = 10
_SECRET_BYTES = 20
_EPOCH_BYTES = 5


def new_id() -> str:
    """An id of 80 random bits, 16 characters: enough that two never meet, too few to be a secret."""
    return _base32(_ID_BYTES)


def new_secret() -> str:
    """An id of 160 random bits, 32 characters, that nobody can guess."""
    return _base32(_SECRET_BYTES)


def new_epoch() -> str:
    """The name of one life of a room's history, 8 characters."""
    return _base32(_EPOCH_BYTES)


def _base32(size: int) -> str:
    """All sizes above are multiples of 5 bytes, so there is no padding."""
    return base64.b32encode(secrets.token_bytes(size)).decode("ascii").lower()
