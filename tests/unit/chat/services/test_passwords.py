from __future__ import annotations

import threading

import pytest
import trio
from argon2 import PasswordHasher

from chat.domain.errors import Unavailable
from chat.services.passwords import Passwords
from tests.support.services import CHEAP_HASHER


async def test_a_password_verifies_against_its_own_hash_only() -> None:
    passwords = Passwords(CHEAP_HASHER)
    stored = await passwords.hash("correct horse")
    assert await passwords.verify(stored, "correct horse")
    assert not await passwords.verify(stored, "correct horsE")
    assert not await passwords.verify(None, "correct horse")
    assert not await passwords.verify("no hash at all", "correct horse")


async def test_an_accent_is_the_same_however_it_was_typed() -> None:
    passwords = Passwords(CHEAP_HASHER)
    assert await passwords.verify(await passwords.hash("caf\u00e9 au lait"), "cafe\u0301 au lait")


async def test_a_hash_with_other_parameters_is_outdated() -> None:
    stored = await Passwords(CHEAP_HASHER).hash("password")
    assert not Passwords(CHEAP_HASHER).is_outdated(stored)
    assert Passwords(PasswordHasher(time_cost=2, memory_cost=8, parallelism=1)).is_outdated(stored)


class _StuckHasher(PasswordHasher):
    """Says that a thread is at work, and works until it is let go."""

    def __init__(self) -> None:
        super().__init__(time_cost=1, memory_cost=8, parallelism=1)
        self.at_work = 0
        self.most_at_work = 0
        self.go = threading.Event()
        self._lock = threading.Lock()

    def verify(self, hash: str | bytes, password: str | bytes) -> bool:  # type: ignore[override]
        with self._lock:
            self.at_work += 1
            self.most_at_work = max(self.most_at_work, self.at_work)
        self.go.wait(60)
        with self._lock:
            self.at_work -= 1
        return True


async def test_b42_few_hash_at_a_time_few_wait_and_more_are_refused_at_once() -> None:
    hasher = _StuckHasher()
    passwords = Passwords(hasher, max_threads=2, max_waiting=3)
    results: list[bool] = []

    async def verify() -> None:
        results.append(await passwords.verify("hash", "password"))

    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(verify)
            await trio.testing.wait_all_tasks_blocked()
            with pytest.raises(Unavailable) as refusal:
                await passwords.verify("hash", "password")
            hasher.go.set()

    assert refusal.value.retry_after is not None
    assert results == [True] * 5
    assert hasher.most_at_work <= 2
