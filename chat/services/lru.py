"""A dict that forgets what was not used for longest."""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Lru(Generic[K, V]):
    """At most `capacity` values."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._values: OrderedDict[K, V] = OrderedDict()

    def __len__(self) -> int:
        return len(self._values)

    def recall(self, key: K) -> V | None:
        """The value, which counts as used; None if it is not there."""
        if key in self._values:
            self._values.move_to_end(key)
        return self._values.get(key)

    def remember(self, key: K, value: V) -> None:
        """Keeps the value, at the cost of the one unused for longest."""
        self._values[key] = value
        self._values.move_to_end(key)
        if len(self._values) > self._capacity:
            self._values.popitem(last=False)
