"""Which buckets are moved where."""

from __future__ import annotations

import collections

import pytest

from chat.adapters.distributed.bucket_mover import Move
from chat.adapters.distributed.shard_map import BUCKETS, Bucket, Kind, ShardMap
from chat.adapters.distributed.shard_moves import moves_between, moves_to_even


def after(shard_map: ShardMap, moves: list[Move]) -> ShardMap:
    for move in moves:
        assert shard_map.shard_of(move.bucket) == move.source
        shard_map = shard_map.moved(move.bucket, move.target)
    return shard_map


def counts(shard_map: ShardMap) -> list[dict[str, int]]:
    return [dict(collections.Counter(place.shard for place in places)) for places in (shard_map.rooms, shard_map.users)]


@pytest.mark.parametrize("old", [["a"], ["a", "b"], ["a", "b", "c"]])
@pytest.mark.parametrize("new", [["a", "b", "c"], ["a", "b", "c", "d", "e", "f", "g"], ["b", "c"], ["x"]])
def test_buckets_are_evened_out_with_the_fewest_moves(old: list[str], new: list[str]) -> None:
    before = ShardMap.spread(old)
    moves = moves_to_even(before, new)
    for was, has in zip(counts(before), counts(after(before, moves)), strict=True):
        assert set(has) == set(new)
        assert max(has.values()) - min(has.values()) <= 1
        gained = sum(max(0, has[shard] - was.get(shard, 0)) for shard in new)
        assert len(moves) == 2 * gained
    assert moves_to_even(after(before, moves), new) == []


def test_one_kind_can_be_evened_out_alone() -> None:
    before = ShardMap.spread(["a"])
    rooms, users = counts(after(before, moves_to_even(before, ["a", "b"], kinds=[Kind.USERS])))
    assert (rooms, users) == ({"a": BUCKETS}, {"a": BUCKETS // 2, "b": BUCKETS // 2})


def test_some_buckets_or_all_move_from_one_shard_to_another() -> None:
    shard_map = ShardMap.spread(["a", "b"])
    assert len(moves_between(shard_map, "a", "b")) == BUCKETS
    numbers = moves_between(shard_map, "a", "b", kinds=[Kind.ROOMS], numbers=range(510, 520))
    assert numbers == [Move(Bucket(Kind.ROOMS, number), "a", "b") for number in (510, 511)]
    assert moves_between(shard_map, "a", "b", count=0) == []
    some = moves_between(shard_map, "a", "b", count=3)
    assert collections.Counter(move.bucket.kind for move in some) == {Kind.ROOMS: 3, Kind.USERS: 3}
    assert len(moves_between(shard_map, "a", "b", count=5000)) == BUCKETS
