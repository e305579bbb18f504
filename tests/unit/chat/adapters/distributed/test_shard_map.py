"""Buckets and the map from them to shards."""

from __future__ import annotations

import collections

import pytest

from chat.adapters.distributed.shard_map import BUCKETS, Bucket, Kind, Place, ShardMap, bucket_of
from chat.adapters.ids import new_id


def test_an_id_has_the_same_bucket_for_ever() -> None:
    assert [bucket_of(Kind.ROOMS, key).number for key in ("a", "room", "grüße", "")] == [579, 411, 493, 0]


def test_ids_are_spread_evenly_over_the_buckets() -> None:
    counts = collections.Counter(bucket_of(Kind.ROOMS, new_id()).number for _ in range(100 * BUCKETS))
    assert len(counts) == BUCKETS
    assert 40 < min(counts.values()) <= max(counts.values()) < 180


@pytest.mark.parametrize("shards", [["a"], ["a", "b"], ["a", "b", "c"], [str(number) for number in range(100)]])
def test_the_first_map_gives_every_shard_an_equal_part(shards: list[str]) -> None:
    for parts in (ShardMap.spread(shards).rooms, ShardMap.spread(shards).users):
        counts = collections.Counter(shard for shard, _ in parts)
        assert set(counts) == set(shards)
        assert max(counts.values()) - min(counts.values()) <= 1


def test_a_map_without_shards_is_refused() -> None:
    with pytest.raises(ValueError, match="there must be a shard"):
        ShardMap.spread([])
    with pytest.raises(ValueError, match="1024 buckets"):
        ShardMap((Place("a", 1),), (Place("a", 1),))


def test_ids_are_grouped_by_shard_in_their_order() -> None:
    shards = ShardMap.spread(["a", "b"])
    keys = [new_id() for _ in range(100)]
    groups = shards.by_shard(Kind.ROOMS, keys)
    assert sorted(groups) == ["a", "b"]
    for shard, group in groups.items():
        assert group == [key for key in keys if shards.shard_of(bucket_of(Kind.ROOMS, key)) == shard]


def test_a_moved_bucket_is_elsewhere_and_nothing_else_is() -> None:
    before = ShardMap.spread(["a", "b"])
    after = before.moved(Bucket(Kind.USERS, 7), "c")
    assert after.shards == {"a", "b", "c"}
    assert after.buckets_of("c") == [Bucket(Kind.USERS, 7)]
    assert after.buckets_of("c", Kind.ROOMS) == []
    assert after.newer_than(before) == [(Bucket(Kind.USERS, 7), Place("c", 2))]
    assert before.newer_than(after) == []


def test_of_two_maps_each_bucket_has_its_newest_place() -> None:
    first = ShardMap.spread(["a", "b"])
    room, user = Bucket(Kind.ROOMS, 1), Bucket(Kind.USERS, 2)
    here, there = first.moved(room, "c"), first.moved(user, "c").moved(user, "b")
    both = here.merged(there)
    assert both == there.merged(here)
    assert (both.place_of(room), both.place_of(user)) == (Place("c", 2), Place("b", 3))
    assert both.merged(first) is both
