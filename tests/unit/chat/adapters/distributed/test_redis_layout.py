"""Who is the primary of what."""

from __future__ import annotations

import pytest

from chat.adapters.distributed.redis_layout import SLOTS, Layout, slot_of
from chat.adapters.distributed.redis_url import Address

A, B = Address("a", 1), Address("b", 2)


@pytest.mark.parametrize(
    ("key", "slot"),
    [
        ("123456789", 12739),
        ("foo", 12182),
        ("{user1000}.following", slot_of("user1000")),
        ("foo{bar}{zap}", slot_of("bar")),
        ("foo{{bar}}zap", slot_of("{bar")),
        ("", 0),
    ],
)
def test_a_slot_follows_the_specification(key: str, slot: int) -> None:
    assert slot_of(key) == slot


def test_an_empty_tag_is_no_tag() -> None:
    assert slot_of("foo{}{bar}") != slot_of("bar")


def test_a_layout_knows_owners_and_that_one_is_missing() -> None:
    owners: list[Address | None] = [A] * SLOTS
    owners[slot_of("foo")] = None
    layout = Layout(owners)
    assert (layout.owner("bar"), layout.owner("foo"), layout.is_whole) == (A, None, False)
    whole = Layout([owner or B for owner in owners])
    assert (whole.owner("bar"), whole.owner("foo"), whole.is_whole, whole.primaries) == (A, B, True, frozenset({A, B}))
    assert whole.is_like(Layout([owner or B for owner in owners]))
    assert not whole.is_like(layout)


def test_a_channel_can_be_made_for_each_owner() -> None:
    layout = Layout([A if slot < 5000 else B for slot in range(SLOTS)])
    for owner in (A, B):
        assert layout.owner(layout.name_at(owner, "heartbeat")) == owner
    assert Layout([A]).owner(Layout([A]).name_at(A, "heartbeat")) == A
