"""The words of the Redis protocol."""

from __future__ import annotations

import pytest

from chat.adapters.distributed.redis_layout import Layout
from chat.adapters.distributed.redis_url import Address
from chat.adapters.distributed.redis_wire import SLOTS, Remedy, ReplyError, pack, redirection, remedy_for, slot_of

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


def test_words_are_packed_by_length_whatever_is_in_them() -> None:
    assert pack("SET", "k", b"a\r\n$1", 7) == b"*4\r\n$3\r\nSET\r\n$1\r\nk\r\n$5\r\na\r\n$1\r\n$1\r\n7\r\n"


@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        ("MOVED 1 a:1", Remedy.REDIRECT),
        ("ASK 1 a:1", Remedy.ASK),
        ("NOSCRIPT No matching script", Remedy.LOAD),
        ("READONLY You can't write against a read only replica.", Remedy.WAIT),
        ("LOADING Redis is loading the dataset in memory", Remedy.WAIT),
        ("MASTERDOWN Link with MASTER is down", Remedy.WAIT),
        ("CLUSTERDOWN The cluster is down", Remedy.WAIT),
        ("BUSY Redis is busy running a script", Remedy.WAIT),
        ("OOM command not allowed", Remedy.REFUSE),
        ("NOAUTH Authentication required.", Remedy.REFUSE),
        ("WRONGTYPE Operation against a key", Remedy.REFUSE),
        ("", Remedy.REFUSE),
    ],
)
def test_each_error_has_a_remedy(error: str, remedy: Remedy) -> None:
    assert remedy_for(ReplyError(error)) is remedy


@pytest.mark.parametrize(
    ("error", "target"),
    [
        ("MOVED 3999 127.0.0.1:6381", ("127.0.0.1", 6381)),
        ("ASK 3999 ::1:6381", ("::1", 6381)),
        ("MOVED 3999 :6381", ("asked", 6381)),
        ("MOVED 3999", None),
        ("MOVED 3999 host", None),
        ("MOVED 3999 host:x", None),
        ("MOVED 3999 host:\u0661", None),
    ],
)
def test_a_redirection_names_a_server_or_nobody(error: str, target: tuple[str, int] | None) -> None:
    assert redirection(ReplyError(error), ("asked", 1)) == target


def test_a_layout_knows_owners_and_what_moved() -> None:
    owners: list[Address | None] = [A] * SLOTS
    owners[slot_of("foo")] = None
    layout = Layout(owners)
    assert (layout.owner("bar"), layout.owner("foo"), layout.is_whole) == (A, None, False)
    moved = layout.moved("foo", B)
    assert (moved.owner("bar"), moved.owner("foo"), moved.is_whole, moved.primaries) == (A, B, True, frozenset({A, B}))
    assert layout.owner("foo") is None


def test_a_channel_can_be_made_for_each_owner() -> None:
    layout = Layout([A if slot < 5000 else B for slot in range(SLOTS)])
    for owner in (A, B):
        assert layout.owner(layout.name_at(owner, "heartbeat")) == owner
    assert Layout([A]).owner(Layout([A]).name_at(A, "heartbeat")) == A
