"""A room's stream, whatever the connection does to it."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from chat.client.events import Deleted, Edited, Event, Message, Missed, Position, PresenceChanged, Typing, Unrecovered
from chat.client.resume import PAGE, Feed, Fetch

ROOM = "r"


def message(seq: int, revision: int = 0, deleted: bool = False) -> Message:
    return Message(ROOM, seq, 1_000 + seq, "u", "ada", f"k{seq}", {"text": f"{seq}/{revision}"}, revision, deleted)


def joined(capacity: int = 100, at: int = 0, epoch: str = "e") -> Feed:
    feed = Feed(ROOM, capacity=capacity)
    feed.join_fields()
    feed.joined(Position(epoch, at), recovered=False)
    return feed


def push(feed: Feed, *seqs: int, epoch: str = "e") -> None:
    for seq in seqs:
        feed.pushed(message(seq), epoch)


def taken(feed: Feed) -> list[Event]:
    events = []
    while (event := feed.take()) is not None:
        events.append(event)
    return events


def seqs(events: Sequence[Event]) -> list[int]:
    return [event.seq for event in events if isinstance(event, Message)]


def test_the_first_join_starts_after_what_was_there() -> None:
    feed = Feed(ROOM)
    assert feed.position is None
    assert feed.join_fields() == {"room": ROOM}
    feed.joined(Position("e", 7), recovered=False)
    push(feed, 6, 7, 8, 9)
    assert seqs(taken(feed)) == [8, 9]
    assert feed.wanted() is None
    assert feed.position == Position("e", 9)


def test_the_position_is_after_what_was_read_not_after_what_waits() -> None:
    feed = joined(at=2)
    push(feed, 3, 4, 5)
    assert feed.position == Position("e", 2)
    feed.take()
    assert feed.position == Position("e", 3)
    feed.gap(6, 9, "e")
    fetch = feed.wanted()
    assert fetch is not None
    feed.filled(fetch, [message(9)])
    feed.disconnected()
    feed.join_fields()
    feed.joined(Position("f", 7), recovered=False)
    positions = []
    while feed.take() is not None:
        positions.append(feed.position)
    assert positions == [Position("e", seq) for seq in (4, 5, 8, 9)] + [Position("f", 7)]


def test_a_position_from_an_earlier_life_is_resumed() -> None:
    feed = Feed(ROOM, Position("e", 7))
    assert feed.join_fields() == {"room": ROOM, "since": {"epoch": "e", "seq": 7}}
    feed.joined(Position("e", 9), recovered=True)
    push(feed, 8, 9, 10)
    assert seqs(taken(feed)) == [8, 9, 10]
    assert feed.wanted() is None


def test_a_repeated_message_is_told_once() -> None:
    feed = joined()
    push(feed, 1, 1, 2, 1, 2, 3)
    assert seqs(taken(feed)) == [1, 2, 3]


def test_a_hole_is_filled_from_history_before_what_came_early() -> None:
    feed = joined()
    push(feed, 1, 4, 5)
    fetch = feed.wanted()
    assert fetch is not None
    assert fetch.after == 1
    assert feed.wanted() is None, "one page at a time"
    push(feed, 6)
    assert feed.filled(fetch, [message(2), message(3)])
    assert seqs(taken(feed)) == [1, 2, 3, 4, 5, 6]
    assert feed.wanted() is None


def test_a_gap_of_new_messages_is_paged_from_history() -> None:
    feed = joined()
    feed.gap(1, PAGE + 20, "e")
    first = feed.wanted()
    assert first == Fetch(0, PAGE)
    feed.filled(first, [message(seq) for seq in range(1, PAGE + 1)])
    taken(feed)
    second = feed.wanted()
    assert second == Fetch(PAGE, PAGE)
    feed.filled(second, [message(seq) for seq in range(PAGE + 1, PAGE + 21)])
    assert seqs(taken(feed)) == list(range(PAGE + 1, PAGE + 21))
    assert feed.wanted() is None


def test_a_gap_over_delivered_messages_tells_what_was_edited() -> None:
    feed = joined()
    push(feed, 1, 2, 3)
    taken(feed)
    feed.gap(2, 3, "e")
    fetch = feed.wanted()
    assert fetch is not None
    assert fetch.changes
    assert fetch.after == 1
    feed.filled(fetch, [message(2, revision=1), message(3, revision=2, deleted=True)])
    assert taken(feed) == [Edited(ROOM, 2, 1, {"text": "2/1"}), Deleted(ROOM, 3, 2)]
    assert feed.wanted() is None


def test_an_edit_told_while_a_page_is_under_way_is_looked_up_again() -> None:
    feed = joined()
    feed.gap(1, 2, "e")
    fetch = feed.wanted()
    assert fetch is not None
    feed.changed(Edited(ROOM, 2, 1, {"text": "new"}))
    feed.filled(fetch, [message(1), message(2)])
    again = feed.wanted()
    assert again is not None
    assert again.changes
    feed.filled(again, [message(2, revision=1)])
    assert [type(event) for event in taken(feed)] == [Message, Message, Edited]


def test_an_edit_during_a_look_for_edits_is_not_forgotten() -> None:
    feed = joined(capacity=4)
    push(feed, 1, 2)
    feed.gap(1, 2, "e")
    fetch = feed.wanted()
    assert fetch is not None
    push(feed, 3, 4)
    feed.changed(Edited(ROOM, 2, 1, {"text": "2/1"}))
    taken(feed)
    feed.filled(fetch, [message(1), message(2)])
    again = feed.wanted()
    assert again is not None
    feed.filled(again, [message(2, revision=1), message(3), message(4)])
    assert taken(feed) == [Edited(ROOM, 2, 1, {"text": "2/1"})]


def test_history_that_has_lost_messages_is_told() -> None:
    feed = joined()
    feed.gap(1, 9, "e")
    fetch = feed.wanted()
    assert fetch is not None
    feed.filled(fetch, [message(1), *(message(seq) for seq in range(5, 10))])
    events = taken(feed)
    assert events[1] == Missed(ROOM, 2, 4)
    assert seqs(events) == [1, 5, 6, 7, 8, 9]


def test_a_page_without_news_says_so_and_is_wanted_again() -> None:
    feed = joined()
    feed.gap(1, 3, "e")
    fetch = feed.wanted()
    assert fetch is not None
    assert not feed.filled(fetch, [])
    assert feed.wanted() is not None


def test_a_failed_page_is_wanted_again() -> None:
    feed = joined()
    push(feed, 1)
    for gap in (1, 2):
        feed.gap(gap, gap, "e")
        fetch = feed.wanted()
        assert fetch is not None
        feed.failed()
        again = feed.wanted()
        assert again == fetch
        feed.filled(again, [message(gap)])
    assert seqs(taken(feed)) == [1, 2]


def test_an_answer_of_an_earlier_connection_is_ignored() -> None:
    feed = joined()
    feed.gap(1, 1, "e")
    fetch = feed.wanted()
    assert fetch is not None
    feed.disconnected()
    assert feed.filled(fetch, [message(1)])
    assert taken(feed) == []


def test_a_reader_that_stops_costs_no_more_than_its_capacity() -> None:
    feed = joined(capacity=10)
    push(feed, *range(1, 1_001))
    feed.noticed(Typing(ROOM, "u", "ada"))
    feed.changed(Edited(ROOM, 3, 1, {}))
    assert feed.wanted() is None, "no room yet"
    events = taken(feed)
    assert seqs(events) == list(range(1, 11))
    assert len(events) == 10
    fetch = feed.wanted()
    assert fetch == Fetch(10, 10)
    feed.filled(fetch, [message(seq) for seq in range(11, 21)])
    assert seqs(taken(feed)) == list(range(11, 21))


def test_edits_that_found_no_room_are_told_from_history() -> None:
    feed = joined(capacity=3)
    push(feed, 1, 2, 3)
    feed.changed(Deleted(ROOM, 2, 1))
    taken(feed)
    fetch = feed.wanted()
    assert fetch is not None
    assert fetch.changes
    feed.filled(fetch, [message(2, revision=1, deleted=True), message(3)])
    assert taken(feed) == [Deleted(ROOM, 2, 1)]
    assert feed.wanted() is None


def test_a_reader_that_is_behind_joins_without_asking_for_what_it_could_not_keep() -> None:
    feed = joined(capacity=2)
    push(feed, 1, 2, 3, 4)
    feed.disconnected()
    assert feed.join_fields() == {"room": ROOM}
    feed.joined(Position("e", 9), recovered=False)
    assert seqs(taken(feed)) == [1, 2], "nothing is lost, so nothing is told"
    assert feed.wanted() == Fetch(2, 2)


def test_a_resume_that_fails_is_told_and_filled_from_history() -> None:
    feed = joined()
    push(feed, 1, 2)
    feed.disconnected()
    assert feed.join_fields()["since"] == {"epoch": "e", "seq": 2}
    feed.joined(Position("e", 4), recovered=False)
    push(feed, 5)
    fetch = feed.wanted()
    assert fetch is not None
    feed.filled(fetch, [message(3), message(4)])
    events = taken(feed)
    assert events[2] == Unrecovered(ROOM, Position("e", 2), Position("e", 4))
    assert not events[2].history_changed
    assert seqs(events) == [1, 2, 3, 4, 5]


def test_a_restored_history_is_told_and_followed_from_its_end() -> None:
    feed = joined()
    push(feed, *range(1, 8))
    taken(feed)
    feed.disconnected()
    feed.join_fields()
    feed.joined(Position("f", 5), recovered=False)
    push(feed, 6, 7, epoch="f")
    events = taken(feed)
    assert isinstance(events[0], Unrecovered)
    assert events[0].history_changed
    assert seqs(events) == [6, 7]


def test_a_push_of_another_epoch_asks_for_a_new_join() -> None:
    feed = joined()
    push(feed, 1)
    push(feed, 2, epoch="f")
    assert not feed.live
    assert seqs(taken(feed)) == [1]


def test_a_gap_of_another_epoch_asks_for_a_new_join() -> None:
    feed = joined()
    push(feed, 1)
    feed.gap(1, 9, "f")
    assert not feed.live
    assert feed.wanted() is None


def test_a_page_of_another_epoch_is_dropped_and_asks_for_a_new_join() -> None:
    feed = joined(at=2)
    feed.gap(3, 9, "e")
    fetch = feed.wanted()
    assert fetch is not None
    assert feed.filled(fetch, [message(3)], "f")
    assert (taken(feed), feed.live) == ([], False)
    assert feed.join_fields() == {"room": ROOM}
    feed.joined(Position("f", 5), recovered=False)
    assert taken(feed) == [Unrecovered(ROOM, Position("e", 2), Position("f", 5))]
    assert feed.wanted() == Fetch(2, PAGE)


def test_a_flapping_connection_adds_one_event() -> None:
    feed = joined()
    for seq in range(1, 50):
        feed.disconnected()
        feed.join_fields()
        feed.joined(Position(f"e{seq}", 0), recovered=False)
    assert taken(feed) == [Unrecovered(ROOM, Position("e", 0), Position("e49", 0))]


def test_what_is_about_people_is_told_while_there_is_room() -> None:
    feed = joined(capacity=1)
    change = PresenceChanged(ROOM, [], ["u"], 3)
    feed.noticed(change)
    feed.noticed(Typing(ROOM, "u", "ada"))
    assert taken(feed) == [change]


class Server:
    """What a room's server does to one client: it stores, pushes, and sometimes does not push."""

    def __init__(self, feed: Feed) -> None:
        self.feed = feed
        self.top = 0
        self.pending: Fetch | None = None
        self.page: list[Message] = []
        self.connect(recover=False)

    def store(self) -> int:
        self.top += 1
        return self.top

    def connect(self, recover: bool) -> None:
        self.feed.disconnected()
        self.pending = None
        since = self.feed.join_fields().get("since")
        self.feed.joined(Position("e", self.top), recovered=bool(since and recover))
        if since and recover:
            push(self.feed, *range(since["seq"] + 1, self.top + 1))

    def read_history(self) -> None:
        """The server reads the page now; it arrives later."""
        if self.pending is None and (fetch := self.feed.wanted()):
            self.pending = fetch
            self.page = [message(seq) for seq in range(fetch.after + 1, min(self.top, fetch.after + fetch.limit) + 1)]

    def answer_history(self) -> None:
        if self.pending is not None:
            fetch, self.pending = self.pending, None
            self.feed.filled(fetch, self.page)


STEPS = st.sampled_from(
    ["push", "push", "push", "lose", "twice", "old", "gap", "resume", "restart", "read", "answer", "take", "edit"]
)


@settings(max_examples=400, deadline=None)
@given(st.lists(STEPS, max_size=120), st.integers(1, 12))
def test_any_interleaving_gives_the_exact_sequence(steps: list[str], capacity: int) -> None:
    feed = Feed(ROOM, capacity=capacity)
    server = Server(feed)
    told: list[Event] = []
    for step in steps:
        match step:
            case "push":
                push(feed, server.store())
            case "lose":
                server.store()
            case "twice":
                seq = server.store()
                push(feed, seq, seq)
            case "old":
                push(feed, *range(1, server.top + 1, 3))
            case "gap":
                first = server.top
                feed.gap(max(1, first), server.store(), "e")
            case "resume":
                server.connect(recover=True)
            case "restart":
                server.connect(recover=False)
            case "read":
                server.read_history()
            case "answer":
                server.answer_history()
            case "take":
                told += filter(None, [feed.take()])
            case "edit" if server.top:
                feed.changed(Edited(ROOM, server.top, 1, {}))
        assert len(feed._events) <= capacity + 1
        assert len(feed._early) <= PAGE
    server.connect(recover=True)
    push(feed, server.store())
    for _ in range(4 * server.top + 10):
        told += taken(feed)
        server.read_history()
        server.answer_history()
    assert seqs(told) == list(range(1, server.top + 1))
    assert not any(isinstance(event, Missed) for event in told)
    assert feed.wanted() is None
