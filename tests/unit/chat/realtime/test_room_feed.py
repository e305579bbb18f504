"""A room's order and gaps, whatever the broker does."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from typing import Any

import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from chat.domain.messages import Position
from chat.domain.rooms import RoomId
from chat.domain.users import UserId
from chat.metrics.meters import RealtimeMeter
from chat.realtime.codecs import CODECS
from chat.realtime.config import RealtimeConfig
from chat.realtime.room_feed import RoomFeed
from chat.services import events
from tests.support.fake_gateway import FakeGateway, FakePeer
from tests.support.memory_stores import MemoryMessageStore

ROOM = RoomId("r1")
ALICE = UserId("u1")
JSON, CBOR = CODECS["chat.v1.json"], CODECS["chat.v1.cbor"]


class Scene:
    """A feed with one subscriber, over a store that holds `stored` messages."""

    def __init__(self, nursery: trio.Nursery, stored: int = 0, **limits: Any) -> None:
        self.gateway = FakeGateway()
        self.meter = RealtimeMeter()
        self.store = MemoryMessageStore()
        self.store.add_room(ROOM)
        self.commit(stored)
        self.feed = RoomFeed(
            ROOM,
            gateway=self.gateway,
            messages=self.store,
            names=self._names,
            config=RealtimeConfig(**limits),
            spawn=nursery.start_soon,
            meter=self.meter,
        )
        self.peer = self.subscriber()

    def subscriber(self, codec: str = "chat.v1.json") -> FakePeer:
        peer = self.gateway.connect(subprotocols=[codec])
        self.gateway.accept(peer.connection, codec, codec)
        self.gateway.subscribe(peer.connection, ROOM)
        self.feed.retain(CODECS[codec])
        return peer

    def commit(self, count: int) -> None:
        for _ in range(count):
            self.store.commit(ROOM, ALICE, {"text": f"message {len(self.store.rooms[ROOM]) + 1}"})

    def post(self, *seqs: int, epoch: str = "e1") -> None:
        """The broker brings these events."""
        for seq in seqs:
            message = self.store.rooms[ROOM][seq - 1]
            event = events.posted(message, epoch, "Alice")
            self.feed.posted(event, len(events.encode(event)))

    def change(self, seq: int, revision: int = 1, epoch: str = "e1") -> None:
        self.feed.changed(events.Edited(ROOM, epoch, seq, revision, ALICE, {"text": f"revision {revision}"}))

    @property
    def seqs(self) -> list[int]:
        return self.peer.seqs(ROOM)

    async def _names(self, users: Any) -> dict[UserId, str]:
        return dict.fromkeys(users, "Alice")


@pytest.fixture
async def scene(nursery: trio.Nursery) -> AsyncIterator[Scene]:
    scene = Scene(nursery, stored=10)
    scene.feed.open(Position("e1", 3), online=5)
    yield scene
    scene.feed.close()


async def settle() -> None:
    """Long enough for every hold and retry."""
    await trio.sleep(60)


# Order


async def test_the_next_message_is_delivered_at_once(autojump_clock: MockClock, scene: Scene) -> None:
    scene.post(4, 5)
    assert scene.seqs == [4, 5]
    assert scene.store.reads == []


async def test_a_push_carries_the_whole_message(autojump_clock: MockClock, scene: Scene) -> None:
    scene.post(4)
    message = scene.store.rooms[ROOM][3]
    assert scene.peer.maps == [
        {
            "push": "message",
            "room": ROOM,
            "epoch": "e1",
            "seq": 4,
            "ts": message.ts,
            "user": ALICE,
            "name": "Alice",
            "key": message.key,
            "body": {"text": "message 4"},
        }
    ]


async def test_a_repeated_message_is_dropped(autojump_clock: MockClock, scene: Scene) -> None:
    scene.post(3, 4, 4, 1, 5, 4)
    assert scene.seqs == [4, 5]


async def test_repetitions_take_no_room_from_early_messages(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    scene = Scene(nursery, stored=100, max_early_events=5)
    scene.feed.open(Position("e1", 90), online=0)
    scene.post(*range(1, 91))
    scene.post(93, 92, 91)
    assert scene.seqs == [91, 92, 93]


async def test_an_early_message_waits_for_the_one_before_it(autojump_clock: MockClock, scene: Scene) -> None:
    scene.post(5, 6)
    assert scene.seqs == []
    scene.post(4)
    assert scene.seqs == [4, 5, 6]
    await settle()
    assert scene.store.reads == []


async def test_a_gap_that_stays_is_fetched_once(autojump_clock: MockClock, scene: Scene) -> None:
    scene.post(6, 8, 7)
    await settle()
    assert scene.seqs == [4, 5, 6, 7, 8, 9, 10]
    assert scene.store.reads == [("read_after", (ROOM, 3, 200))]


async def test_messages_that_arrive_while_a_gap_is_read_are_neither_lost_nor_doubled(
    autojump_clock: MockClock, scene: Scene
) -> None:
    scene.store.latency = 1.0
    scene.post(6)
    await trio.sleep(0.5)
    scene.post(7, 4, 5, 8)
    await settle()
    assert scene.seqs == [4, 5, 6, 7, 8, 9, 10]


async def test_a_store_that_is_away_is_asked_again_until_it_answers(autojump_clock: MockClock, scene: Scene) -> None:
    scene.store.is_away = True
    scene.post(5)
    await trio.sleep(120)
    assert scene.seqs == []
    scene.store.is_away = False
    await settle()
    assert scene.seqs == [4, 5, 6, 7, 8, 9, 10]
    assert len(scene.store.reads) < 60


async def test_an_event_without_a_message_is_given_up(autojump_clock: MockClock, scene: Scene) -> None:
    message = scene.store.rooms[ROOM][0]
    scene.feed.posted(events.Posted(ROOM, "e1", 10**15, message.ts, ALICE, "Alice", "k", {}), 100)
    await trio.sleep(600)
    assert scene.seqs == [4, 5, 6, 7, 8, 9, 10]
    reads = len(scene.store.reads)
    await trio.sleep(600)
    assert len(scene.store.reads) == reads
    scene.commit(1)
    scene.post(11)
    assert scene.seqs[-1] == 11


async def test_more_early_messages_than_are_held_come_from_the_store(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    scene = Scene(nursery, stored=1000, max_early_events=10)
    scene.feed.open(Position("e1", 0), online=0)
    scene.post(*range(2, 1001))
    await settle()
    assert scene.seqs == list(range(1, 1001))


# Opening


async def test_messages_that_arrive_before_the_position_is_known_are_put_in_order(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    scene = Scene(nursery, stored=10)
    scene.post(6, 3, 4, 5)
    scene.change(2)
    scene.change(6)
    scene.feed.open(Position("e1", 4), online=0)
    assert scene.seqs == [5, 6]
    assert [push["seq"] for push in scene.peer.pushes("edited")] == [6]


# Edits and deletions


async def test_an_edit_carries_the_position_of_its_message(autojump_clock: MockClock, scene: Scene) -> None:
    scene.post(4)
    scene.change(4)
    assert scene.peer.maps[-1] == {
        "push": "edited",
        "room": ROOM,
        "epoch": "e1",
        "seq": 4,
        "revision": 1,
        "user": ALICE,
        "body": {"text": "revision 1"},
    }
    assert scene.gateway.published[-1][2] == 4


async def test_an_edit_waits_for_its_message(autojump_clock: MockClock, scene: Scene) -> None:
    scene.change(5, revision=1)
    scene.change(5, revision=2)
    scene.feed.changed(events.Deleted(ROOM, "e1", 6, 1, ALICE))
    assert scene.peer.maps == []
    scene.post(4, 5, 6)
    assert [(push["push"], push["seq"]) for push in scene.peer.maps] == [
        ("message", 4),
        ("message", 5),
        ("edited", 5),
        ("message", 6),
        ("deleted", 6),
    ]


async def test_who_resumes_gets_the_last_revision(autojump_clock: MockClock, scene: Scene) -> None:
    scene.post(4, 5)
    scene.change(4, revision=2)
    scene.change(4, revision=1)
    scene.feed.changed(events.Deleted(ROOM, "e1", 5, 1, ALICE))
    missed = scene.feed.backlog.missed(Position("e1", 3))
    assert missed is not None
    assert missed[0].push["body"] == {"text": "revision 2"}
    assert missed[0].push["revision"] == 2
    assert missed[1].push["body"] == {}
    assert missed[1].push["deleted"] is True
    for item in missed:
        assert CBOR.decode(bytes(item.frame(CBOR)))[0] == item.push  # type: ignore[arg-type]


async def test_an_edit_of_another_epoch_is_dropped(autojump_clock: MockClock, scene: Scene) -> None:
    scene.change(2, epoch="e0")
    assert scene.peer.maps == []


# Epochs


async def test_a_new_epoch_is_told_as_a_gap_over_everything(autojump_clock: MockClock, scene: Scene) -> None:
    scene.post(4)
    scene.store.epochs[ROOM] = "e2"
    del scene.store.rooms[ROOM][7:]
    scene.post(7, epoch="e2")
    await settle()
    assert scene.peer.maps[-1] == {"push": "gap", "room": ROOM, "epoch": "e2", "from": 1, "to": 7}
    scene.commit(1)
    scene.post(8, epoch="e2")
    assert scene.peer.maps[-1]["seq"] == 8
    assert scene.peer.maps[-1]["epoch"] == "e2"


async def test_messages_of_the_new_epoch_are_not_lost_while_it_is_confirmed(
    autojump_clock: MockClock, scene: Scene
) -> None:
    scene.store.epochs[ROOM] = "e2"
    scene.store.latency = 1.0
    scene.post(10, epoch="e2")
    await trio.sleep(0.5)
    scene.commit(2)
    scene.post(11, 12, epoch="e2")
    await settle()
    gap = scene.peer.maps[0]
    assert gap["push"] == "gap"
    assert scene.seqs == list(range(gap["to"] + 1, 13))


async def test_a_straggler_of_the_old_epoch_changes_nothing(autojump_clock: MockClock, scene: Scene) -> None:
    scene.post(4, epoch="e0")
    scene.post(4)
    await settle()
    assert scene.peer.pushes("gap") == []
    assert scene.seqs == [4]


async def test_the_audit_finds_a_silent_loss_and_a_new_epoch(autojump_clock: MockClock, scene: Scene) -> None:
    scene.feed.compare(Position("e1", 10))
    await settle()
    assert scene.seqs == [4, 5, 6, 7, 8, 9, 10]
    scene.feed.compare(Position("e1", 8))
    scene.feed.compare(Position("e0", 2))
    await settle()
    assert scene.peer.pushes("gap") == []
    scene.store.epochs[ROOM] = "e2"
    del scene.store.rooms[ROOM][2:]
    scene.feed.compare(Position("e2", 1))
    await settle()
    assert scene.peer.maps[-1] == {"push": "gap", "room": ROOM, "epoch": "e2", "from": 1, "to": 2}


async def test_what_is_known_of_a_room_before_it_is_open_is_fetched_then(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    scene = Scene(nursery, stored=10)
    scene.feed.compare(Position("e1", 10))
    scene.feed.open(Position("e1", 8), online=1)
    await settle()
    assert scene.seqs == [9, 10]


# Encoding


async def test_a_message_is_encoded_for_the_codecs_in_use_only(autojump_clock: MockClock, scene: Scene) -> None:
    scene.post(4)
    assert set(scene.gateway.published[-1][1]) == {"chat.v1.json"}
    second = scene.subscriber("chat.v1.cbor")
    scene.post(5)
    assert set(scene.gateway.published[-1][1]) == {"chat.v1.json", "chat.v1.cbor"}
    assert second.maps == [scene.peer.maps[-1]]
    scene.feed.release(JSON)
    scene.post(6)
    assert set(scene.gateway.published[-1][1]) == {"chat.v1.cbor"}


async def test_without_subscribers_nothing_is_encoded_and_the_position_still_rises(
    autojump_clock: MockClock, scene: Scene
) -> None:
    scene.feed.release(JSON)
    assert scene.feed.idle
    scene.post(4)
    assert scene.gateway.published == []
    assert scene.feed.backlog.seq == 4


# What was missed


async def test_what_was_missed_is_known_without_a_read_while_it_is_recent(
    autojump_clock: MockClock, scene: Scene
) -> None:
    scene.post(4, 5, 6)
    missed = scene.feed.backlog.missed(Position("e1", 4))
    assert missed is not None
    assert [item.seq for item in missed] == [5, 6]
    assert scene.feed.backlog.missed(Position("e1", 6)) == []


@pytest.mark.parametrize("since", [Position("e0", 3), Position("e1", 11), Position("e1", 2**53)])
async def test_an_impossible_position_is_not_recovered(
    autojump_clock: MockClock, scene: Scene, since: Position
) -> None:
    scene.post(4)
    await scene.feed.backlog.reach(since)
    assert scene.feed.backlog.missed(since) is None
    assert scene.store.reads == []


async def test_older_messages_are_read_once_for_all_who_resume(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    scene = Scene(nursery, stored=1000)
    scene.store.latency = 0.1
    scene.feed.open(Position("e1", 1000), online=0)
    found: list[list[int]] = []

    async def resume(seq: int) -> None:
        since = Position("e1", seq)
        await scene.feed.backlog.reach(since)
        missed = scene.feed.backlog.missed(since)
        assert missed is not None
        found.append([item.seq for item in missed])
        assert found[-1] == list(range(seq + 1, scene.feed.backlog.seq + 1))

    async with trio.open_nursery() as resumes:
        for number in range(1000):
            resumes.start_soon(resume, number * 7 % 999 + 1)
        await trio.sleep(0.25)
        scene.commit(1)
        scene.post(1001)
    assert len(found) == 1000
    assert len(scene.store.reads) <= 5


async def test_more_than_may_be_recovered_is_not_read(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    scene = Scene(nursery, stored=2000)
    scene.feed.open(Position("e1", 2000), online=0)
    for seq in (999, 0):
        await scene.feed.backlog.reach(Position("e1", seq))
        assert scene.feed.backlog.missed(Position("e1", seq)) is None
    assert scene.store.reads == []


async def test_more_bytes_than_may_be_recovered_are_not_kept(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    scene = Scene(nursery, max_recovery_bytes=10_000)
    for _ in range(500):
        scene.store.commit(ROOM, ALICE, {"text": "x" * 1000})
    scene.feed.open(Position("e1", 500), online=0)
    await scene.feed.backlog.reach(Position("e1", 100))
    assert scene.feed.backlog.missed(Position("e1", 100)) is None
    reads = len(scene.store.reads)
    await scene.feed.backlog.reach(Position("e1", 100))
    assert len(scene.store.reads) == reads
    missed = scene.feed.backlog.missed(Position("e1", 495))
    assert missed is not None
    assert [item.seq for item in missed] == [496, 497, 498, 499, 500]


async def test_old_messages_are_forgotten(autojump_clock: MockClock, scene: Scene) -> None:
    scene.post(4)
    await trio.sleep(100)
    scene.post(5)
    scene.feed.backlog.shrink(trio.current_time())
    assert scene.feed.backlog.missed(Position("e1", 3)) is not None
    await trio.sleep(30)
    scene.feed.backlog.shrink(trio.current_time())
    assert scene.feed.backlog.missed(Position("e1", 3)) is None
    assert scene.feed.backlog.missed(Position("e1", 4)) is not None
    await scene.feed.backlog.reach(Position("e1", 1))
    assert scene.feed.backlog.missed(Position("e1", 1)) is not None


async def test_a_history_that_was_pruned_is_not_recovered(autojump_clock: MockClock, scene: Scene) -> None:
    scene.feed.open(Position("e1", 10), online=0)
    scene.store.rooms[ROOM][:5] = []
    await scene.feed.backlog.reach(Position("e1", 2))
    assert scene.feed.backlog.missed(Position("e1", 2)) is None


async def test_a_store_that_is_away_refuses_the_resume(autojump_clock: MockClock, scene: Scene) -> None:
    scene.feed.open(Position("e1", 10), online=0)
    scene.store.is_away = True
    with pytest.raises(Exception, match="away"):
        await scene.feed.backlog.reach(Position("e1", 2))


# Any schedule


@given(
    seed=st.integers(0, 2**32), drop=st.sampled_from([0.0, 0.1, 0.5, 0.9]), latency=st.sampled_from([0.0, 0.03, 0.2])
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_subscriber_sees_seq_rise_by_one_whatever_the_broker_does(seed: int, drop: float, latency: float) -> None:
    """Events dropped, repeated and reordered; the store slow and at times away; resumes at any moment."""

    async def main() -> None:
        chance = random.Random(seed)
        async with trio.open_nursery() as nursery:
            scene = Scene(nursery, stored=5, max_early_events=chance.choice([3, 1000]))
            scene.store.latency = latency
            start = chance.randrange(6)
            scene.feed.open(Position("e1", start), online=0)
            streams = [(start, scene.peer)]
            pending: list[int] = list(range(start + 1, 6))
            for _ in range(100):
                scene.store.is_away = chance.random() < 0.1
                scene.commit(1)
                pending.append(len(scene.store.rooms[ROOM]))
                chance.shuffle(pending)
                while pending and chance.random() < 0.6:
                    seq = pending.pop()
                    if chance.random() >= drop:
                        scene.post(*[seq] * chance.choice([1, 1, 1, 2]))
                if chance.random() < 0.2:
                    await trio.sleep(chance.random() / 5)
                if chance.random() < 0.05:
                    since = Position("e1", max(0, scene.feed.backlog.seq - chance.randrange(20)))
                    nursery.start_soon(resume, scene, since, streams)
            scene.store.is_away = False
            scene.post(*pending)
            scene.feed.compare(Position("e1", len(scene.store.rooms[ROOM])))
            await trio.sleep(60)
            top = len(scene.store.rooms[ROOM])
            for since_seq, peer in streams:
                assert peer.seqs(ROOM) == list(range(since_seq + 1, top + 1))
            scene.feed.close()

    async def resume(scene: Scene, since: Position, streams: list[tuple[int, FakePeer]]) -> None:
        try:
            await scene.feed.backlog.reach(since)
        except Exception:
            return
        missed = scene.feed.backlog.missed(since)
        if missed is not None:
            peer = scene.subscriber(random.Random(since.seq).choice(["chat.v1.json", "chat.v1.cbor"]))
            for item in missed:
                scene.gateway.send(peer.connection, item.frame(CODECS[str(peer.encoding)]))
            streams.append((since.seq, peer))

    trio.run(main, clock=MockClock(autojump_threshold=0))
