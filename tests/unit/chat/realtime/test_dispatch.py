"""Commands: read strictly, carried out in order, answered in batches, bounded."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
import trio
from trio.testing import MockClock

from chat.domain.errors import ChatError
from chat.domain.messages import Appended
from chat.domain.rooms import Room, RoomKind
from chat.domain.users import Identity
from chat.ports.rate_limiter import Rate
from chat.services import Limits
from gateway_core import CloseCode
from tests.support.chat_nodes import Cluster, open_cluster
from tests.support.fake_gateway import FakePeer


class Scene:
    """Alice and Bob in a room of one node."""

    def __init__(self, cluster: Cluster, alice: Identity, bob: Identity, room: Room, peer: FakePeer) -> None:
        self.cluster = cluster
        self.node = cluster.nodes[0]
        self.alice = alice
        self.bob = bob
        self.room = room
        self.peer = peer

    def publish(self, key: str, text: str = "hello", **fields: Any) -> dict[str, Any]:
        return self.peer.command("publish", **{"room": self.room.id, "key": key, "body": {"text": text}, **fields})


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    async with open_cluster() as cluster:
        alice, bob = await cluster.user("alice"), await cluster.user("bob")
        room = await cluster.room(alice, bob)
        yield Scene(cluster, alice, bob, room, await cluster.nodes[0].enter(alice, room))


# Fields


GARBLED: list[tuple[dict[str, Any], str]] = [
    ({"op": None}, "op"),
    ({"op": 7}, "op"),
    ({"op": ""}, "op"),
    ({"op": "x" * 1000}, "op"),
    ({"op": "join"}, "room"),
    ({"op": "join", "room": 7}, "room"),
    ({"op": "join", "room": "R1"}, "room"),
    ({"op": "join", "room": "r" * 33}, "room"),
    ({"op": "join", "room": "r1\x00"}, "room"),
    ({"op": "join", "room": "r1", "since": 7}, "since"),
    ({"op": "join", "room": "r1", "since": {}}, "since.epoch"),
    ({"op": "join", "room": "r1", "since": {"epoch": "e1"}}, "since.seq"),
    ({"op": "join", "room": "r1", "since": {"epoch": "e1", "seq": -1}}, "since.seq"),
    ({"op": "join", "room": "r1", "since": {"epoch": "e1", "seq": 2**53}}, "since.seq"),
    ({"op": "join", "room": "r1", "since": {"epoch": "e" * 65, "seq": 1}}, "since.epoch"),
    ({"op": "leave", "room": []}, "room"),
    ({"op": "publish", "key": "k", "body": {"text": "t"}}, "room"),
    ({"op": "publish", "room": "r1", "body": {"text": "t"}}, "key"),
    ({"op": "publish", "room": "r1", "key": "k" * 65, "body": {"text": "t"}}, "key"),
    ({"op": "publish", "room": "r1", "key": "k"}, "body"),
    ({"op": "publish", "room": "r1", "key": "k", "body": "t"}, "body"),
    ({"op": "publish", "room": "r1", "key": "k", "body": {}}, "body.text"),
    ({"op": "publish", "room": "r1", "key": "k", "body": {"text": "x" * 20_000}}, "body"),
    ({"op": "publish", "room": "r1", "key": "k", "body": {"text": "t", "n": 2**53 + 1}}, "body"),
    ({"op": "history", "room": "r1", "limit": 0}, "limit"),
    ({"op": "history", "room": "r1", "limit": 201}, "limit"),
    ({"op": "history", "room": "r1", "limit": 1.5}, "limit"),
    ({"op": "history", "room": "r1", "before": True}, "before"),
    ({"op": "history", "room": "r1", "after": "1"}, "after"),
    ({"op": "history", "room": "r1", "after": 1, "before": 2}, "before"),
    ({"op": "edit", "room": "r1", "seq": 0, "body": {"text": "t"}}, "seq"),
    ({"op": "edit", "room": "r1", "seq": 1}, "body"),
    ({"op": "delete", "room": "r1"}, "seq"),
    ({"op": "read", "room": "r1", "seq": None}, "seq"),
    ({"op": "typing"}, "room"),
    ({"op": "presence", "room": {}}, "room"),
    ({"op": "refresh"}, "token"),
]


@pytest.mark.parametrize("codec", ["chat.v1.json", "chat.v1.cbor"])
async def test_a_missing_or_garbled_field_is_named(autojump_clock: MockClock, scene: Scene, codec: str) -> None:
    peer = await scene.node.connect(scene.alice, codec)
    for fields, named in GARBLED:
        answer = await peer.ask(**fields)
        assert answer["code"] == "invalid", fields
        assert named in answer["message"].split()[0], fields
        assert answer["retryable"] is False
    assert await peer.ask("ping") == {}


async def test_a_command_without_a_readable_id_is_answered_with_null(autojump_clock: MockClock, scene: Scene) -> None:
    numbers: list[Any] = [None, "7", -1, 1.5, 2**53, True, [], {}]
    for number in numbers:
        for op in ("ping", "publish"):
            scene.peer.maps.clear()
            scene.peer.say({"id": number, "op": op, "room": scene.room.id, "key": "k", "body": {"text": "t"}})
            answer = await scene.peer.answer_to(None)
            assert answer["err"]["code"] == "invalid"
            assert answer["err"]["message"].startswith("id ")
    assert scene.cluster.messages.rooms[scene.room.id] == []


async def test_an_unknown_op_is_told_and_unknown_fields_are_ignored(autojump_clock: MockClock, scene: Scene) -> None:
    assert (await scene.peer.ask("explode"))["code"] == "unknown_op"
    assert await scene.peer.ask("ping", color="red", nested={"a": [1]}) == {}


async def test_ids_are_echoed_up_to_the_largest_safe_integer(autojump_clock: MockClock, scene: Scene) -> None:
    for number in (0, 2**53 - 1):
        scene.peer.say({"id": number, "op": "ping"})
        assert (await scene.peer.answer_to(number))["ok"] == {}


async def test_b40_what_a_client_says_of_sender_position_or_time_is_ignored(
    autojump_clock: MockClock, scene: Scene
) -> None:
    forged: dict[str, Any] = {
        "user": scene.bob.user.id,
        "name": "bob",
        "seq": 99,
        "ts": 1,
        "epoch": "e9",
        "push": "message",
    }
    scene.peer.say(scene.publish("k", **forged, body={"text": "t", **forged}))
    [push] = await scene.peer.pushed("message")
    assert (push["user"], push["name"], push["seq"], push["epoch"]) == (scene.alice.user.id, "alice", 1, "e1")
    assert push["ts"] > 1
    assert push["body"] == {"text": "t", **forged}


# Order and batches


async def test_commands_are_carried_out_in_order(autojump_clock: MockClock, scene: Scene) -> None:
    scene.cluster.messages.latency = 0.1
    commands = [
        scene.publish("a"),
        scene.peer.command("history", room=scene.room.id),
        scene.peer.command("ping"),
        scene.publish("b"),
        scene.peer.command("edit", room=scene.room.id, seq=2, body={"text": "b2"}),
        scene.peer.command("delete", room=scene.room.id, seq=1),
    ]
    scene.peer.say(*commands)
    await scene.peer.answer_to(commands[-1]["id"])
    answers = [item for item in scene.peer.maps if item.get("re") in {command["id"] for command in commands}]
    assert [answer["re"] for answer in answers] == [command["id"] for command in commands]
    assert [len(answers[1]["ok"]["messages"]), answers[3]["ok"]["seq"], answers[4]["ok"]["revision"]] == [1, 2, 1]


async def test_commands_that_come_while_one_is_worked_on_wait_for_it(autojump_clock: MockClock, scene: Scene) -> None:
    scene.cluster.messages.latency = 1.0
    for key in "abc":
        scene.peer.say(scene.publish(key))
        await trio.sleep(0.1)
    pings = scene.peer.command("ping")
    scene.peer.say(pings)
    await scene.peer.answer_to(pings["id"])
    assert [message.key for message in scene.cluster.messages.rooms[scene.room.id]] == ["a", "b", "c"]


async def test_messages_that_wait_are_posted_in_one_call_and_acknowledged_in_one_frame(
    autojump_clock: MockClock, scene: Scene
) -> None:
    commands = [scene.publish(f"k{number}") for number in range(100)]
    scene.peer.say(*commands)
    await scene.peer.answer_to(commands[-1]["id"])
    assert [size for what, size in scene.cluster.messages.reads if what == "append"] == [100]
    frames = [msgspec.json.decode(frame) for frame in scene.peer.frames]
    [acknowledgements] = [frame for frame in frames if isinstance(frame, list)]
    assert [item["re"] for item in acknowledgements] == [command["id"] for command in commands]
    assert [item["ok"]["seq"] for item in acknowledgements] == list(range(1, 101))


async def test_each_message_of_a_batch_has_its_own_answer(autojump_clock: MockClock, scene: Scene) -> None:
    commands = [
        scene.publish("a"),
        scene.publish("a", body=7),
        scene.publish("a"),
        scene.publish("b", room="nowhere"),
        scene.publish("c", body={"text": ""}),
        scene.publish("d"),
    ]
    scene.peer.say(*commands)
    answers = [await scene.peer.answer_to(command["id"]) for command in commands]
    assert answers[0]["ok"]["seq"] == 1
    assert answers[1]["err"]["code"] == "invalid"
    assert answers[2]["ok"] == {**answers[0]["ok"], "duplicate": True}
    assert answers[3]["err"]["code"] == "not_found"
    assert answers[4]["err"]["code"] == "invalid"
    assert answers[5]["ok"]["seq"] == 2


async def test_an_empty_batch_is_nothing(autojump_clock: MockClock, scene: Scene) -> None:
    scene.peer.send("[]")
    assert await scene.peer.ask("ping") == {}


async def test_answers_in_cbor_are_batched_alike(autojump_clock: MockClock, scene: Scene) -> None:
    peer = await scene.node.connect(scene.alice, "chat.v1.cbor")
    before = len(peer.frames)
    peer.say(*[peer.command("ping") for _ in range(50)])
    await peer.answer_to(50)
    assert len(peer.frames) == before + 1
    assert all(type(frame) is bytes for frame in peer.frames)


# Pages


async def test_a_page_of_history_has_names_and_says_whether_there_is_more(
    autojump_clock: MockClock, scene: Scene
) -> None:
    scene.peer.say(*[scene.publish(f"k{number}") for number in range(5)])
    await scene.peer.pushed("message", 5)
    page = await scene.peer.ask("history", room=scene.room.id, limit=2)
    assert [message["seq"] for message in page["messages"]] == [4, 5]
    assert page["more"] is True
    assert {message["name"] for message in page["messages"]} == {"alice"}
    page = await scene.peer.ask("history", room=scene.room.id, before=4)
    assert ([message["seq"] for message in page["messages"]], page["more"]) == ([1, 2, 3], False)
    page = await scene.peer.ask("history", room=scene.room.id, after=1, limit=200)
    assert ([message["seq"] for message in page["messages"]], page["more"]) == ([2, 3, 4, 5], False)


@pytest.mark.parametrize(
    ("fields", "first", "last"), [({"after": 0}, 1, None), ({"before": 41}, None, 40), ({}, None, 40)]
)
async def test_a_page_never_outgrows_an_answer(
    autojump_clock: MockClock, scene: Scene, fields: dict[str, int], first: int | None, last: int | None
) -> None:
    for number in range(40):
        scene.cluster.messages.commit(scene.room.id, scene.alice.user.id, {"text": "x" * 16_000}, f"k{number}")
    page = await scene.peer.ask("history", room=scene.room.id, limit=200, **fields)
    seqs = [message["seq"] for message in page["messages"]]
    assert page["more"] is True
    assert seqs == list(range(seqs[0], seqs[-1] + 1))
    assert first in (None, seqs[0])
    assert last in (None, seqs[-1])
    assert max(len(frame) for frame in scene.peer.frames) <= 262_144


# Bounds


async def test_b41_what_exceeds_the_queue_is_refused_and_the_rest_is_carried_out(
    autojump_clock: MockClock, scene: Scene
) -> None:
    scene.cluster.messages.latency = 1.0
    scene.peer.say(scene.publish("first"))
    await trio.sleep(0.5)
    commands = [scene.publish(f"k{number}") for number in range(300)]
    for start in range(0, 300, 100):
        scene.peer.say(*commands[start : start + 100])
    answers = [await scene.peer.answer_to(command["id"]) for command in commands]
    refused = [answer["err"] for answer in answers if "err" in answer]
    assert len(refused) == 300 - 256
    assert {error["code"] for error in refused} == {"rate_limited"}
    assert all(error["retryable"] and error["retry_after_ms"] > 0 for error in refused)
    assert all("ok" in answer for answer in answers[:256])


async def test_b41_a_client_that_never_stops_is_closed(autojump_clock: MockClock, scene: Scene) -> None:
    scene.cluster.messages.latency = 1000.0
    for number in range(20):
        scene.peer.say(*[scene.publish(f"k{number}-{item}") for item in range(100)])
    assert await scene.peer.close_code() == CloseCode.POLICY_VIOLATION


async def test_b41_rates_count_messages_not_frames_and_survive_a_reconnect(autojump_clock: MockClock) -> None:
    limits = Limits(publish_per_user=Rate(1, 10))
    async with open_cluster(limits=limits) as cluster:
        alice = await cluster.user("alice")
        room = await cluster.room(alice)
        for attempt, granted in enumerate([10, 0]):
            peer = await cluster.nodes[0].enter(alice, room)
            commands = [
                peer.command("publish", room=room.id, key=f"{attempt}-{number}", body={"text": "t"})
                for number in range(50)
            ]
            peer.say(*commands)
            answers = [await peer.answer_to(command["id"]) for command in commands]
            assert len([answer for answer in answers if "ok" in answer]) == granted
            errors = [answer["err"] for answer in answers if "err" in answer]
            assert {error["code"] for error in errors} == {"rate_limited"}
            assert all(error["retry_after_ms"] > 0 for error in errors)
            peer.hang_up()


# Frames


async def test_a_frame_of_the_wrong_kind_closes_with_1003(autojump_clock: MockClock, scene: Scene) -> None:
    scene.peer.send(b'{"id":1,"op":"ping"}')
    assert await scene.peer.close_code() == CloseCode.UNSUPPORTED_DATA
    peer = await scene.node.connect(scene.alice, "chat.v1.cbor")
    peer.send('{"id":1,"op":"ping"}')
    assert await peer.close_code() == CloseCode.UNSUPPORTED_DATA


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        ("{", CloseCode.INVALID_PAYLOAD),
        ("[" * 100_000, CloseCode.INVALID_PAYLOAD),
        ('{"id":1,"id":2}', CloseCode.INVALID_PAYLOAD),
        ("7", CloseCode.INVALID_PAYLOAD),
        (f"[{','.join(['{}'] * 257)}]", CloseCode.POLICY_VIOLATION),
    ],
)
async def test_a_malformed_frame_closes_the_connection(
    autojump_clock: MockClock, scene: Scene, frame: str, code: CloseCode
) -> None:
    scene.peer.send(frame)
    scene.peer.say(scene.publish("late"))
    assert await scene.peer.close_code() == code
    await trio.sleep(1)
    assert scene.cluster.messages.rooms[scene.room.id] == []


# Failures


async def test_a_store_that_is_away_is_told_as_retryable(autojump_clock: MockClock, scene: Scene) -> None:
    scene.cluster.messages.is_away = True
    for op in ("publish", "history", "edit"):
        answer = await scene.peer.ask(
            op, room=scene.room.id, key="k", body={"text": "t"}, **({"seq": 1} if op == "edit" else {})
        )
        assert (answer["code"], answer["retryable"]) == ("unavailable", True)
    scene.cluster.messages.is_away = False
    scene.peer.say(scene.publish("k"))
    await scene.peer.pushed("message")


async def test_a_bug_in_a_service_costs_one_answer(
    autojump_clock: MockClock, scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: Any, **__: Any) -> list[Appended | ChatError]:
        raise ZeroDivisionError("secret detail")

    monkeypatch.setattr(scene.cluster.messages, "append", broken)
    monkeypatch.setattr(scene.cluster.messages, "read_before", broken)
    for op in ("publish", "history"):
        answer = await scene.peer.ask(op, room=scene.room.id, key="k", body={"text": "t"})
        assert answer == {"code": "internal", "message": "internal error", "retryable": False}
    assert await scene.peer.ask("ping") == {}


# Access


OPERATIONS: list[tuple[str, dict[str, Any]]] = [
    ("join", {}),
    ("publish", {"key": "k", "body": {"text": "t"}}),
    ("history", {}),
    ("edit", {"seq": 1, "body": {"text": "t"}}),
    ("delete", {"seq": 1}),
    ("read", {"seq": 1}),
    ("typing", {}),
    ("presence", {}),
]


@pytest.mark.parametrize(("op", "fields"), OPERATIONS)
async def test_b36_b37_a_foreign_room_and_no_room_get_the_same_answer(
    autojump_clock: MockClock, scene: Scene, op: str, fields: dict[str, Any]
) -> None:
    private = await scene.cluster.room(scene.bob, kind=RoomKind.PRIVATE)
    scene.cluster.messages.commit(private.id, scene.bob.user.id, {"text": "private"})
    foreign = await scene.peer.ask(op, room=private.id, **fields)
    nowhere = await scene.peer.ask(op, room="nowhere", **fields)
    assert foreign == nowhere
    assert foreign["code"] == "not_found"
    assert scene.node.gateway.topics.keys() == {scene.room.id}


async def test_b36_variants_of_an_id_are_no_ids(autojump_clock: MockClock, scene: Scene) -> None:
    for variant in ["R1", "r1 ", " r1", "r1\n", "ｒ1", "r1/../r2", "room:r1", "r1*", "", "é"]:
        for op, fields in OPERATIONS:
            assert (await scene.peer.ask(op, room=variant, **fields))["code"] == "invalid", variant
