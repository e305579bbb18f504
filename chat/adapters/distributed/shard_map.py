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
from typing import NamedTuple, TypeVar

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


def number_of(key: str) -> int:
    """The number of the bucket of a room's id, a user's id or a folded name.

    The servers can compute it, too: `CRC32(id) % 1024`.
    """
    return zlib.crc32(key.encode(errors="surrogatepass")) % BUCKETS


def bucket_of(kind: Kind, key: str) -> Bucket:
    """The bucket of a key."""
    return Bucket(kind, number_of(key))


class Place(NamedTuple):
    """Where a bucket is. Of two places of a bucket, the one with the higher term counts."""

    shard: str
    term: int
    """One more with each move."""


@dataclasses.dataclass(frozen=True, slots=True)
class ShardMap:
    """The place of every bucket."""

    rooms: tuple[Place, ...]
    users: tuple[Place, ...]

    def __post_init__(self) -> None:
        if len(self.rooms) != BUCKETS or len(self.users) != BUCKETS:
            raise ValueError(f"a shard map has {BUCKETS} buckets of each kind")

    @classmethod
    def spread(cls, shards: Sequence[str]) -> ShardMap:
        """The first map of an installation: each of `shards` gets an equal part, in one piece."""
        if not shards:
            raise ValueError("there must be a shard")
        parts = tuple(Place(shards[number * len(shards) // BUCKETS], 1) for number in range(BUCKETS))
        return cls(parts, parts)

    @property
    def shards(self) -> set[str]:
        """All shards that hold anything."""
        return {place.shard for place in (*self.rooms, *self.users)}

    def place_of(self, bucket: Bucket) -> Place:
        """Where a bucket is, and since which move."""
        return self._places(bucket.kind)[bucket.number]

    def shard_of(self, bucket: Bucket) -> str:
        """Where a bucket is."""
        return self.place_of(bucket).shard

    def buckets_of(self, shard: str, kind: Kind | None = None) -> list[Bucket]:
        """What a shard holds, of one kind or of both."""
        return [bucket for bucket, there in self.items() if there.shard == shard and kind in (None, bucket.kind)]

    def by_shard(self, kind: Kind, keys: Iterable[Id]) -> dict[str, list[Id]]:
        """Ids, in their order, by the shard that has them."""
        found: dict[str, list[Id]] = {}
        for key in keys:
            found.setdefault(self.shard_of(bucket_of(kind, key)), []).append(key)
        return found

    def moved(self, bucket: Bucket, shard: str) -> ShardMap:
        """The map after `bucket` has moved to `shard`."""
        places = list(self._places(bucket.kind))
        places[bucket.number] = Place(shard, places[bucket.number].term + 1)
        return dataclasses.replace(self, **{bucket.kind.value: tuple(places)})

    def merged(self, other: ShardMap) -> ShardMap:
        """What both know together; this map itself if the other one knows nothing newer."""
        if not other.newer_than(self):
            return self
        rooms, users = (
            tuple(max(pair, key=_term) for pair in zip(self._places(kind), other._places(kind), strict=True))
            for kind in Kind
        )
        return ShardMap(rooms, users)

    def newer_than(self, other: ShardMap) -> list[tuple[Bucket, Place]]:
        """What `other` does not know yet."""
        return [(bucket, place) for bucket, place in self.items() if place.term > other.place_of(bucket).term]

    def items(self) -> Iterator[tuple[Bucket, Place]]:
        """Every bucket with its place."""
        for kind in Kind:
            for number, place in enumerate(self._places(kind)):
                yield Bucket(kind, number), place

    def _places(self, kind: Kind) -> tuple[Place, ...]:
        return self.rooms if kind is Kind.ROOMS else self.users


def _term(place: Place) -> int:
    return place.term
