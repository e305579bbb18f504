from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from chat.domain.users import UserId
from chat.ports.user_store import UserStore
from chat.services.lru import Lru
from chat.services.names import Names


class _Users:
    """Everybody but `nobody` exists; remembers what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[list[UserId]] = []

    async def names(self, users: Sequence[UserId]) -> dict[UserId, str]:
        self.asked.append(list(users))
        return {user: user.upper() for user in users if user != "nobody"}


def ids(*users: str) -> list[UserId]:
    return [UserId(user) for user in users]


async def test_a_name_is_read_once_and_who_does_not_exist_is_left_out() -> None:
    users = _Users()
    names = Names(cast(UserStore, users))
    assert await names.of(ids("a", "nobody", "a", "b")) == {"a": "A", "b": "B"}
    assert await names.of(ids("b", "c", "a")) == {"a": "A", "b": "B", "c": "C"}
    assert await names.of(ids("a", "b", "c")) == {"a": "A", "b": "B", "c": "C"}
    assert await names.of([]) == {}
    assert users.asked == [["a", "nobody", "b"], ["c"]]


async def test_more_names_than_are_remembered_are_all_answered() -> None:
    users = _Users()
    names = Names(cast(UserStore, users), capacity=2)
    assert await names.of(ids("a", "b", "c", "d")) == {"a": "A", "b": "B", "c": "C", "d": "D"}
    await names.of(ids("d", "a"))
    assert users.asked[1:] == [["a"]]


def test_what_was_not_used_for_longest_is_forgotten() -> None:
    lru: Lru[str, int] = Lru(2)
    lru.remember("a", 1)
    lru.remember("b", 2)
    assert lru.recall("a") == 1
    lru.remember("c", 3)
    assert (lru.recall("a"), lru.recall("b"), lru.recall("c"), len(lru)) == (1, None, 3, 2)
    lru.remember("a", 4)
    assert (lru.recall("a"), len(lru)) == (4, 2)
