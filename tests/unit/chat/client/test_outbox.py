"""Requests that wait for their answer, through refusals and broken connections."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chat.client.outbox import Outbox, Request


def request(key: str = "", lane: str | None = None, survives: bool = True) -> Request:
    return Request("publish" if lane else "history", {"key": key}, lambda answer: None, lane, survives)


def keys(requests: list[Request]) -> list[str]:
    return [request.fields["key"] for request in requests]


def ids(requests: list[Request]) -> list[int]:
    return [request.wire["id"] for request in requests]


def filled(*keys_of_lane: str) -> Outbox:
    outbox = Outbox()
    for key in keys_of_lane:
        outbox.add(request(key, "a"))
    return outbox


def test_a_request_goes_out_with_an_id_of_its_own() -> None:
    outbox = filled("1")
    outbox.add(request("2"))
    sent = outbox.poll(0.0)
    assert len(set(ids(sent))) == 2
    assert {item.wire["op"] for item in sent} == {"publish", "history"}
    assert outbox.poll(0.0) == []


def test_publishes_of_one_room_go_out_in_order_a_batch_at_a_time() -> None:
    outbox = Outbox(max_batch=2)
    for key in "12345":
        outbox.add(request(key, "a"))
    outbox.add(request("other", "b"))
    first = outbox.poll(0.0)
    assert keys(first) == ["1", "2", "other"]
    outbox.answered(ids(first)[0])
    assert outbox.poll(0.0) == []
    outbox.answered(ids(first)[1])
    assert keys(outbox.poll(0.0)) == ["3", "4"]


def test_a_retry_goes_first_and_holds_back_only_its_room() -> None:
    outbox = Outbox(max_batch=3)
    for key in "12345":
        outbox.add(request(key, "a"))
    sent = outbox.poll(0.0)
    for item in sent:
        outbox.answered(item.wire["id"])
    outbox.retry(sent[1], 5.0)
    outbox.retry(sent[2], 4.0)
    outbox.add(request("other", "b"))
    assert keys(outbox.poll(0.0)) == ["other"]
    assert outbox.next_time() == 5.0
    assert keys(outbox.poll(5.0)) == ["2", "3", "4"]


def test_a_broken_connection_sends_everything_again_in_the_same_order() -> None:
    outbox = Outbox(max_batch=3)
    for key in "1234":
        outbox.add(request(key, "a"))
    before = ids(outbox.poll(0.0))
    outbox.answered(before[0])
    outbox.disconnected()
    after = outbox.poll(0.0)
    assert keys(after) == ["2", "3", "4"]
    assert not set(before) & set(ids(after)), "an old answer cannot be taken for a new one"
    assert outbox.answered(before[1]) is None


def test_what_belongs_to_one_connection_ends_with_it() -> None:
    outbox = Outbox()
    outbox.add(request("sent", survives=False))
    outbox.poll(0.0)
    outbox.add(request("waiting", survives=False))
    outbox.add(request("kept"))
    outbox.disconnected()
    assert keys(outbox.poll(0.0)) == ["kept"]


def test_a_withdrawn_request_is_not_sent() -> None:
    outbox = Outbox()
    loose, first, second = request("loose"), request("1", "a"), request("2", "a")
    for item in (loose, first, second):
        outbox.add(item)
    outbox.withdraw(loose)
    outbox.withdraw(first)
    assert len(outbox) == 1
    assert keys(outbox.poll(0.0)) == ["2"]


def test_the_answer_to_a_withdrawn_request_is_ignored_and_frees_its_room() -> None:
    outbox = filled("1")
    [sent] = outbox.poll(0.0)
    outbox.add(request("2", "a"))
    outbox.withdraw(sent)
    assert outbox.answered(sent.wire["id"]) is None
    assert keys(outbox.poll(0.0)) == ["2"]


def test_a_withdrawn_request_is_not_sent_again() -> None:
    outbox = filled("1", "2")
    sent = outbox.poll(0.0)
    outbox.withdraw(sent[0])
    outbox.disconnected()
    assert keys(outbox.poll(0.0)) == ["2"]


@pytest.mark.parametrize("unknown", [99, None, "1", [1], 1.0])
def test_an_answer_to_nothing_is_nothing(unknown: Any) -> None:
    outbox = filled("1")
    outbox.poll(0.0)
    assert outbox.answered(unknown) is None
    assert len(outbox) == 1


def test_draining_gives_everything_back_once() -> None:
    outbox = filled("1", "2")
    outbox.add(request("3"))
    outbox.poll(0.0)
    outbox.add(request("4", "b"))
    assert keys(outbox.drain()) == ["1", "2", "3", "4"]
    assert len(outbox) == 0
    assert outbox.drain() == []
    assert outbox.next_time() is None


STEP = st.one_of(
    st.tuples(st.just("add"), st.integers(0, 2)),
    st.tuples(st.sampled_from(["poll", "answer", "refuse", "disconnect", "withdraw"]), st.integers(0, 50)),
)


@settings(max_examples=400, deadline=None)
@given(st.lists(STEP, max_size=100))
def test_any_interleaving_sends_each_lane_in_order_and_forgets_nothing(steps: list[tuple[str, int]]) -> None:
    """A server that handles a connection's commands in order sees each room's keys in order, the first time."""
    outbox, now, number = Outbox(max_batch=3), 0.0, 0
    in_flight: list[Request] = []
    waiting: set[str] = set()
    stored: dict[str, list[int]] = {"0": [], "1": [], "2": []}

    def store(item: Request) -> None:
        assert item.lane is not None
        if int(item.fields["key"]) not in stored[item.lane]:
            stored[item.lane].append(int(item.fields["key"]))

    def answer(refuse: bool) -> None:
        item = in_flight.pop(0)
        if not refuse:
            store(item)
        if outbox.answered(item.wire["id"]) is None:
            return
        if refuse:
            outbox.retry(item, now + 1.0)
        else:
            waiting.discard(item.fields["key"])

    for step, value in steps:
        now += 0.1
        if step == "add":
            number += 1
            outbox.add(request(str(number), str(value)))
            waiting.add(str(number))
        elif step == "poll":
            in_flight += outbox.poll(now)
        elif step == "disconnect":
            for item in in_flight[: value % (len(in_flight) + 1)]:
                store(item)  # the answer is lost
            in_flight.clear()
            outbox.disconnected()
        elif in_flight and step == "withdraw":
            item = in_flight[value % len(in_flight)]
            outbox.withdraw(item)
            waiting.discard(item.fields["key"])
        elif in_flight:
            answer(refuse=step == "refuse" and len(in_flight) == 1)
    for _ in range(2 * number + 2):
        now += 10.0
        in_flight += outbox.poll(now)
        while in_flight:
            answer(refuse=False)
    assert not waiting
    assert len(outbox) == 0
    for order in stored.values():
        assert order == sorted(order)
