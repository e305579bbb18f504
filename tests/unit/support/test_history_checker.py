"""The judge of fault tests must itself find every kind of crime, and none in an honest run."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.support.history_checker import History, Receiver, Row

ROWS = [Row(1, "ada", "a1"), Row(2, "bob", "b1"), Row(3, "ada", "a2"), Row(4, "ada", "a3")]


def honest() -> tuple[History, Receiver]:
    """Ada and Bob in one room, heard by Eve from the second message on; a3 was stored, its answer lost."""
    history = History()
    history.faults = 2
    for row in ROWS:
        history.sends("r", row.sender, row.key)
        if row.key != "a3":
            history.acknowledged("r", row.sender, row.key, row.seq)
    history.sends("r", "bob", "never arrived")
    receiver = history.receiver("eve", "r", start=1)
    for row in ROWS[1:]:
        receiver.received(row.seq, row.sender, row.key)
    history.stored("r", ROWS)
    return history, receiver


def lose_acked(history: History, receiver: Receiver) -> None:
    history.sends("r", "bob", "b2")
    history.acknowledged("r", "bob", "b2", 5)


def move_acked(history: History, receiver: Receiver) -> None:
    history.stored("r", [ROWS[2], ROWS[1], ROWS[0], ROWS[3]])


def lose_room(history: History, receiver: Receiver) -> None:
    history.stored("r", [])


def store_twice(history: History, receiver: Receiver) -> None:
    history.stored("r", [*ROWS, Row(5, "ada", "a1")])
    receiver.received(5, "ada", "a1")


def answer_differently(history: History, receiver: Receiver) -> None:
    history.acknowledged("r", "ada", "a2", 4)


def leave_a_hole(history: History, receiver: Receiver) -> None:
    history.stored("r", [*ROWS[:3], Row(5, "ada", "a3")])


def invent(history: History, receiver: Receiver) -> None:
    history.stored("r", [*ROWS, Row(5, "mallory", "m1")])
    receiver.received(5, "mallory", "m1")


def skip(history: History, receiver: Receiver) -> None:
    del receiver.seen[1]


def repeat(history: History, receiver: Receiver) -> None:
    receiver.seen.insert(1, receiver.seen[0])


def swap(history: History, receiver: Receiver) -> None:
    receiver.seen[0], receiver.seen[1] = receiver.seen[1], receiver.seen[0]


def start_late(history: History, receiver: Receiver) -> None:
    del receiver.seen[0]


def stop_early(history: History, receiver: Receiver) -> None:
    del receiver.seen[-1]


def lose_behind_a_break(history: History, receiver: Receiver) -> None:
    receiver.seen[1] = "gap"


def falsify(history: History, receiver: Receiver) -> None:
    receiver.seen[0] = Row(2, "bob", "b9")


def overtake(history: History, receiver: Receiver) -> None:
    fresh = [Row(5, "bob", "late"), Row(6, "bob", "early")]
    for row in reversed(fresh):
        history.sends("r", row.sender, row.key)
        history.acknowledged("r", row.sender, row.key, row.seq)
    for row in fresh:
        receiver.received(row.seq, row.sender, row.key)
    history.stored("r", [*ROWS, *fresh])


def break_nothing(history: History, receiver: Receiver) -> None:
    history.faults = 1


def hear_nothing(history: History, receiver: Receiver) -> None:
    history.receivers.clear()


def test_an_honest_run_is_acquitted() -> None:
    history, receiver = honest()
    assert history.violations(min_acked=3, min_faults=2) == []
    assert history.acked == 3
    assert receiver.last_seq == 4


@pytest.mark.parametrize(
    ("crime", "words"),
    [
        (lose_acked, "b2 of bob in r was acknowledged as 5 and is stored as None"),
        (move_acked, "has 3 where 1 belongs"),
        (lose_room, "a1 of ada in r was acknowledged as 1 and is stored as None"),
        (store_twice, "a1 of ada twice, as 1 and 5"),
        (answer_differently, "acknowledged as 3 and as 4"),
        (leave_a_hole, "has 5 where 4 belongs"),
        (invent, "m1 of mallory, which nobody sent"),
        (skip, "got 4 where 3 was due"),
        (repeat, "got 2 where 3 was due"),
        (swap, "got 3 where 2 was due"),
        (start_late, "got 3 where 2 was due"),
        (stop_early, "never got 1, the first being 4"),
        (lose_behind_a_break, "never got 1, the first being 3"),
        (falsify, "key='b1') is stored"),
        (overtake, "late of bob in r is 5, but was sent after the answer 6"),
        (break_nothing, "too few faults: 1"),
        (hear_nothing, "nobody received"),
    ],
)
def test_every_crime_is_found(crime: Callable[[History, Receiver], None], words: str) -> None:
    history, receiver = honest()
    crime(history, receiver)
    assert any(words in violation for violation in history.violations(min_acked=3, min_faults=2))


def test_too_little_traffic_proves_nothing() -> None:
    history, _ = honest()
    assert history.violations(min_acked=4) == ["too little traffic: 3 acknowledged messages, 4 wanted"]


def test_a_break_that_was_told_allows_a_repetition_and_a_jump_that_is_filled_later() -> None:
    history, receiver = honest()
    receiver.seen[:] = [ROWS[3], ROWS[1], ROWS[2], ROWS[3]]
    receiver.seen[1:1] = ["gap"]
    receiver.seen[0:0] = ["recovered: false"]
    assert history.violations() == []


def test_one_who_left_need_not_have_got_everything() -> None:
    history, receiver = honest()
    del receiver.seen[-1]
    receiver.stayed = False
    assert history.violations() == []
