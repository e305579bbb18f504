from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from chat.domain.presence import Differences
from chat.domain.rooms import RoomId
from chat.domain.users import UserId

TEA, COFFEE = RoomId("tea"), RoomId("coffee")
ALICE, BOB = UserId("alice"), UserId("bob")


def test_each_room_has_a_difference_of_its_own_which_is_taken_once() -> None:
    differences = Differences()
    assert not differences
    differences.join(TEA, ALICE)
    differences.leave(COFFEE, ALICE)
    differences.leave(TEA, BOB)
    assert differences
    taken = differences.take()
    assert {room: ([*d.joins], [*d.leaves]) for room, d in taken.items()} == {
        TEA: ([ALICE], [BOB]),
        COFFEE: ([], [ALICE]),
    }
    assert not differences
    assert differences.take() == {}


def test_who_came_and_went_is_not_mentioned() -> None:
    differences = Differences()
    differences.join(TEA, ALICE)
    differences.leave(TEA, ALICE)
    differences.leave(TEA, BOB)
    differences.join(TEA, BOB)
    assert not differences


def test_what_is_put_back_is_taken_again() -> None:
    differences = Differences()
    differences.join(TEA, ALICE)
    taken = differences.take()
    differences.put_back(TEA, taken[TEA])
    assert differences.take() == taken


@settings(deadline=None)
@given(st.lists(st.sampled_from([ALICE, BOB, "take"]), max_size=40))
def test_told_differences_add_up_to_the_truth(steps: list[str]) -> None:
    differences = Differences()
    truth: set[UserId] = set()
    told: set[UserId] = set()
    for step in [*steps, "take"]:
        if step == "take":
            for difference in differences.take().values():
                assert not told & difference.joins.keys()
                assert difference.leaves.keys() <= told
                told = (told | difference.joins.keys()) - difference.leaves.keys()
        else:
            user = UserId(step)
            (differences.leave if user in truth else differences.join)(TEA, user)
            truth ^= {user}
    assert told == truth
