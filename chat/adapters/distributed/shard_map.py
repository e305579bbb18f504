"""Which shard holds what: an id's bucket by a fixed hash, a bucket's shard by a map that can change.

Rooms, with all that belongs to them, go by the bucket of the room's id; accounts, with their list of
rooms, by that of the user's id; names of accounts by that of the folded name. The two kinds of buckets
move apart, since rooms grow and accounts do not.
"""

from __future__ import annotations

import dataclasses
import enum
import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

Id = TypeVar("Id", bound=str)

BUCKETS = 1024
"""Fixed for ever, as the hash is: 100 shards still share it out evenly, and a bucket is small enough to move."""


class Kind(enum.StrEnum):
    """What a bucket is made of."""

    ROOMS = "rooms"
    USERS = "users"


@dataclasses.dataclass(frozen=True, slots=True)
class Bucket:
    """A part of the data that lives on one shard and moves as a whole."""

    kind: Kind
    number: int


def bucket_of(kind: Kind, key: str) -> Bucket:
    """The bucket of a room's id, a user's id or a folded name.

    The servers can compute it, too: `CRC32(id) % 1024`.
    """
    return Bucket(kind, zlib.crc32(key.encode(errors="surrogatepass")) % BUCKETS)


@dataclasses.dataclass(frozen=True, slots=True)
class ShardMap:
    """The shard of every bucket. Of two maps, the one with the higher version counts."""

    version: int
    rooms: tuple[str, ...]
    users: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(self.rooms) != BUCKETS or len(self.users) != BUCKETS:
            raise ValueError(f"a shard map has {BUCKETS} buckets of each kind")

    @classmethod
    def spread(cls, shards: Sequence[str]) -> ShardMap:
        """The first map of an installation: each of `shards` gets an equal part, in one piece."""
        if not shards:
            raise ValueError("there must be a shard")
        parts = tuple(shards[number * len(shards) // BUCKETS] for number in range(BUCKETS))
        return cls(1, parts, parts)

    @property
    def shards(self) -> set[str]:
        """All shards that hold anything."""
        return {*self.rooms, *self.users}

    def shard_of(self, bucket: Bucket) -> str:
        """Where a bucket is."""
        return self._buckets(bucket.kind)[bucket.number]

    def buckets_of(self, shard: str) -> list[Bucket]:
        """What a shard holds."""
        return [bucket for bucket, there in self.items() if there == shard]

    def by_shard(self, kind: Kind, keys: Iterable[Id]) -> dict[str, list[Id]]:
        """Ids, in their order, by the shard that has them."""
        found: dict[str, list[Id]] = {}
        for key in keys:
            found.setdefault(self.shard_of(bucket_of(kind, key)), []).append(key)
        return found

    def moved(self, bucket: Bucket, shard: str) -> ShardMap:
        """The next version, in which `bucket` is on `shard`."""
        buckets = list(self._buckets(bucket.kind))
        buckets[bucket.number] = shard
        return dataclasses.replace(self, version=self.version + 1, **{bucket.kind.value: tuple(buckets)})

    def items(self) -> Iterator[tuple[Bucket, str]]:
        """Every bucket with its shard."""
        for kind in Kind:
            for number, shard in enumerate(self._buckets(kind)):
                yield Bucket(kind, number), shard

    def _buckets(self, kind: Kind) -> tuple[str, ...]:
        return self.rooms if kind is Kind.ROOMS else self.users
