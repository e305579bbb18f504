"""Password hashes: argon2id in worker threads, few at a time."""

from __future__ import annotations

import secrets
import unicodedata
from collections.abc import Callable
from typing import TypeVar

import trio
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from ..domain.errors import Unavailable

T = TypeVar("T")
_RETRY_SECONDS = 2.0


class Passwords:
    """Hashes and verifies; a hash costs about 0.1 s and 64 MiB, so `max_threads` run and `max_waiting` wait.

    A call beyond that raises `Unavailable` at once, with `retry_after`. Cancelling waits for the thread.
    """

    def __init__(self, hasher: PasswordHasher | None = None, *, max_threads: int = 2, max_waiting: int = 64) -> None:
        self._hasher = hasher or PasswordHasher()
        self._limiter = trio.CapacityLimiter(max_threads)
        self._max_waiting = max_waiting
        self._nobody = self._hasher.hash(secrets.token_hex())

    async def hash(self, password: str) -> str:
        """The encoded hash, with parameters and salt. Raises: Unavailable."""
        return await self._in_thread(lambda: self._hasher.hash(_prepare(password)))

    async def verify(self, password_hash: str | None, password: str) -> bool:
        """Whether they belong together; None (no such user) is False at the same cost. Raises: Unavailable."""
        matches = await self._in_thread(lambda: self._matches(password_hash or self._nobody, password))
        return matches and password_hash is not None

    def is_outdated(self, password_hash: str) -> bool:
        """Whether the hash was made with other parameters than today's."""
        return self._hasher.check_needs_rehash(password_hash)

    def _matches(self, password_hash: str, password: str) -> bool:
        try:
            return self._hasher.verify(password_hash, _prepare(password))
        except (VerificationError, InvalidHashError):
            return False

    async def _in_thread(self, work: Callable[[], T]) -> T:
        if self._limiter.statistics().tasks_waiting >= self._max_waiting:
            raise Unavailable("too many people are signing in; try again", retry_after=_RETRY_SECONDS)
        return await trio.to_thread.run_sync(work, limiter=self._limiter)


def _prepare(password: str) -> bytes:
    """The same bytes whichever keyboard composed the accents (RFC 8265 §4.2)."""
    return unicodedata.normalize("NFC", password).encode("utf-8", "surrogatepass")
