"""The key that signs access tokens, when none is configured: made once and kept beside the data."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from .services.tokens import MIN_SECRET_BYTES

FILE_NAME = "token.key"


def load_or_make(data_dir: Path) -> bytes:
    """The secret in `data_dir`, which only its owner can read; of many who make it at once, one does.

    Raises: OSError, with the file's name; ValueError for a file that was cut short.
    """
    path = data_dir / FILE_NAME
    if not path.exists():
        _write(path, secrets.token_urlsafe(2 * MIN_SECRET_BYTES).encode())
    secret = path.read_bytes().strip()
    if len(secret) < MIN_SECRET_BYTES:
        raise ValueError(f"{path} is damaged; remove it, and everybody must sign in again")
    return secret


def _write(path: Path, secret: bytes) -> None:
    """All or nothing, also if the machine stops in the middle; leaves a file that is there as it is."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_suffix(f".{secrets.token_hex(8)}")
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
        stream.write(secret + b"\n")
        stream.flush()
        os.fsync(stream.fileno())
    try:
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
