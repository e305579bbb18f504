"""Password hashes: argon2id in worker threads, few at a time."""

from __future__ import annotations

from argon2 import PasswordHasher


class Passwords:
    """Hashes and verifies; a hash costs about 0.1 s and 64 MiB, so `max_threads` run and `max_waiting` wait.

    A call beyond that raises `Unavailable` at once, with `retry_after`. Cancelling waits for the thread.
    """

    def __init__(self, hasher: PasswordHasher | None = None, *, max_threads: int = 2, max_waiting: int = 64) -> None:
        raise NotImplementedError

    async def hash(self, password: str) -> str:
        """The encoded hash, with parameters and salt. Raises: Unavailable."""
        raise NotImplementedError

    async def verify(self, password_hash: str | None, password: str) -> bool:
        """Whether they belong together; None (no such user) is False at the same cost. Raises: Unavailable."""
        raise NotImplementedError

    def is_outdated(self, password_hash: str) -> bool:
        """Whether the hash was made with other parameters than today's."""
        raise NotImplementedError
