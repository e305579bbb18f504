"""The vectors in tests/vectors: both encodings, and the shapes that the server makes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from trio.testing import MockClock

from chat.domain.errors import ChatError, RateLimited
from chat.domain.messages import Appended, Message
from chat.domain.rooms import RoomId
from chat.domain.users import UserId
from chat.realtime import pushes
from chat.realtime.codecs import CODECS, Malformed
from chat.services import events
from gateway_core import CloseCode
from tests.support.chat_nodes import open_cluster

VECTORS = Path(__file__).parents[3] / "vectors"
JSON, CBOR = CODECS["chat.v1.json"], CODECS["chat.v1.cbor"]
ROOM, ADA, BOB = RoomId("r4k2x9"), UserId("u7h3m1"), UserId("u2b8q5")


def load(name: str) -> list[dict[str, Any]]:
    vectors: list[dict[str, Any]] = json.loads((VECTORS / f"{name}.json").read_text(encoding="utf-8"))
    return vectors


def named(name: str) -> dict[str, Any]:
    return {vector["name"]: vector["model"] for vector in load(name)}


ALL = [
    pytest.param(vector, id=f"{name}-{vector['name']}")
    for name in ("commands", "answers", "pushes")
    for vector in load(name)
]


@pytest.mark.parametrize("vector", ALL)
def test_both_encodings_are_pinned_both_ways(vector: dict[str, Any]) -> None:
    model = vector["model"]
    batch = model if isinstance(model, list) else [model]
    assert JSON.encode(model) == vector["json"]
    assert bytes(CBOR.encode(model)).hex() == vector["cbor"]  # type: ignore[arg-type]
    assert JSON.decode(vector["json"].encode()) == batch
    assert CBOR.decode(bytes.fromhex(vector["cbor"])) == batch


@pytest.mark.parametrize("vector", [pytest.param(v, id=f"{v['codec']}-{v['what']}") for v in load("malformed")])
def test_malformed_frames_close_with_the_pinned_code(vector: dict[str, Any]) -> None:
    with pytest.raises(Malformed) as caught:
        CODECS[f"chat.v1.{vector['codec']}"].decode(bytes.fromhex(vector["payload"]))
    assert caught.value.code == vector["close"]


def test_the_pushes_are_what_the_server_makes() -> None:
    expected = named("pushes")
    first = expected["message"]
    posted = events.Posted(ROOM, "e1", 42, first["ts"], ADA, "Ada", first["key"], first["body"])
    edited = Message(ROOM, 43, first["ts"] + 1, BOB, "k-3", {"text": "edited"}, revision=2)
    deleted = Message(ROOM, 44, first["ts"] + 2, BOB, "k-4", {}, revision=1, deleted=True)
    assert expected == {
        "message": pushes.posted(posted),
        "message_edited": pushes.message_push(ROOM, "e1", pushes.message(edited, "Bob")),
        "message_deleted": pushes.message_push(ROOM, "e1", pushes.message(deleted, "Bob")),
        "edited": pushes.edited(events.Edited(ROOM, "e1", 42, 1, ADA, {"text": "Hello, world"})),
        "deleted": pushes.deleted(events.Deleted(ROOM, "e1", 42, 2, BOB)),
        "presence": pushes.presence(events.PresenceChanged(ROOM, [(ADA, "Ada")], [BOB], 3)),
        "presence_large": pushes.presence(events.PresenceChanged(ROOM, [], [], 4711)),
        "typing": pushes.typing(events.Typing(ROOM, ADA, "Ada")),
        "read": pushes.read(events.MarkRaised(ROOM, ADA, 42)),
        "member": pushes.member(ROOM, BOB, "moderator"),
        "member_gone": pushes.member(ROOM, BOB, None),
        "removed": pushes.removed(ROOM, "banned"),
        "room": pushes.room(events.RoomsChanged(ADA, ROOM, "private", "Board", "Board", "member"), "member"),
        "room_direct": pushes.room(events.RoomsChanged(ADA, ROOM, "direct", "", "Bob", "member"), "member"),
        "room_gone": pushes.room(events.RoomsChanged(ADA, ROOM, "private", "Board", "Board", "banned"), None),
        "gap": pushes.gap(ROOM, "e1", 42, 57),
        "bye": pushes.bye("going_away", 4211),
        "batch": [pushes.posted(posted), {**pushes.posted(posted), "seq": 43, "key": "k-5"}],
    }


def test_the_answers_are_what_the_server_makes() -> None:
    expected = named("answers")
    ts = expected["publish"]["ok"]["ts"]
    assert expected["publish"] == pushes.answer(5, pushes.receipt(Appended("e1", 42, ts, False)))
    assert expected["publish_duplicate"] == pushes.answer(5, pushes.receipt(Appended("e1", 42, ts, True)))
    assert expected["revision"] == pushes.answer(10, pushes.revision(Message(ROOM, 42, ts, ADA, "k", {}, revision=1)))
    assert expected["rate_limited"] == pushes.refusal(6, RateLimited("too many requests", retry_after=0.8))


async def test_every_command_is_understood_and_answered_in_the_pinned_shape(autojump_clock: MockClock) -> None:
    async with open_cluster() as cluster:
        alice = await cluster.user("alice")
        room = await cluster.room(alice)
        peer = await cluster.nodes[0].connect(alice)
        shapes: dict[str, set[frozenset[str]]] = {}
        for answer in named("answers").values():
            if isinstance(answer, dict) and "ok" in answer:
                shapes.setdefault("any", set()).add(frozenset(answer["ok"]))
        await peer.ask("join", room=room.id)
        for seq in range(1, 61):
            cluster.messages.commit(room.id, alice.user.id, {"text": str(seq)}, f"k{seq}")
        for command in [vector["model"] for vector in load("commands") if isinstance(vector["model"], dict)]:
            fields = {name: value for name, value in command.items() if name not in ("id", "op", "room", "token")}
            if "room" in command:
                fields["room"] = room.id
            if "token" in command:
                fields["token"] = cluster.token(alice)
            answer = await peer.ask(command["op"], **fields)
            assert "code" not in answer, (command, answer)
            assert frozenset(answer) in shapes["any"], (command, answer)


def test_every_example_in_the_manual_is_a_vector() -> None:
    manual = (VECTORS.parents[1] / "docs" / "protocol.md").read_text(encoding="utf-8")
    texts = {vector["json"] for name in ("commands", "answers", "pushes") for vector in load(name)}
    examples = [line for block in re.findall(r"```json\n(.*?)```", manual, re.DOTALL) for line in block.splitlines()]
    assert len(examples) > 30
    assert [example for example in examples if example not in texts] == []


def test_the_manual_has_every_op_push_and_code() -> None:
    manual = (VECTORS.parents[1] / "docs" / "protocol.md").read_text(encoding="utf-8")
    names = {vector["model"]["op"] for vector in load("commands") if isinstance(vector["model"], dict)}
    names |= {vector["model"]["push"] for vector in load("pushes") if isinstance(vector["model"], dict)}
    names |= {error.code for error in _all_errors(ChatError)}
    assert [name for name in sorted(names) if f"`{name}`" not in manual] == []
    ours = [code for code in CloseCode if code not in (CloseCode.NO_STATUS,)]
    assert [code for code in ours if str(int(code)) not in manual] == []


def _all_errors(kind: type[ChatError]) -> Iterator[type[ChatError]]:
    yield kind
    for narrower in kind.__subclasses__():
        if narrower.__module__ == ChatError.__module__:
            yield from _all_errors(narrower)
