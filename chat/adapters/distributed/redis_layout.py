"""Which server is the primary of which keys, at one moment."""

from __future__ import annotations

import functools

from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot

from .redis_url import Address

SLOTS = REDIS_CLUSTER_HASH_SLOTS


class Layout:
    """Who owns what. A cluster has an owner for each slot, or None where it has none."""

    def __init__(self, owners: list[Address | None]) -> None:
        """`owners` by slot; one alone for a server that owns everything."""
        self._owners = owners
        self.is_cluster = len(owners) > 1
        self.primaries = frozenset(owner for owner in owners if owner is not None)
        self.is_whole = None not in owners

    def owner(self, key: str) -> Address | None:
        """The primary of a key or of a sharded channel; None if nobody knows."""
        owners = self._owners
        return owners[slot_of(key)] if self.is_cluster else owners[0]

    def is_like(self, other: Layout) -> bool:
        """Whether both say the same."""
        return self._owners == other._owners

    def name_at(self, owner: Address, prefix: str) -> str:
        """Some channel `prefix…` that `owner` owns; just `prefix` if there is none."""
        names = (f"{prefix}:{number}" for number in range(SLOTS * 16 if owner in self.primaries else 0))
        return next((name for name in names if self.owner(name) == owner), prefix)


@functools.lru_cache(maxsize=4096)
def slot_of(key: str) -> int:
    """The hash slot of a key or sharded channel; of its part in braces, if that is not empty."""
    return key_slot(key.encode())
