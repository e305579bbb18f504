"""The key that signs access tokens, when none is configured: kept beside the data, made by the first node alone."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from .services.tokens import MIN_SECRET_BYTES

FILE_NAME = "token.key"
RECIPE = "python3 -c 'import secrets; print(secrets.token_urlsafe(48))'"


def load(data_dir: Path) -> bytes:
    """The secret that somebody has put into `data_dir`: nodes of a cluster must not each make their own.

    Raises: ValueError that says how to make one; OSError, with the file's name.
    """
    path = data_dir / FILE_NAME
    if not path.exists():
        raise ValueError(
            f"token_key: nodes that share a database need one key for access tokens; set CHAT_GATEWAY_TOKEN_KEY on"
            f" each, or put the same {path} there. To make one: {RECIPE}"
        )
    return _read(path)


def load_or_make(data_dir: Path) -> bytes:
    """The secret in `data_dir`, which only its owner can read; of many who make it at once, one does.

    Raises: OSError, with the file's name; ValueError for a file that was cut short.
    """
    path = data_dir / FILE_NAME
    if not path.exists():
        _write(path, secrets.token_urlsafe(2 * MIN_SECRET_BYTES).encode())
    return _read(path)


def _read(path: Path) -> bytes:
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
