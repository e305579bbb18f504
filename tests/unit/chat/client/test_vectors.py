"""The examples of the protocol, as bytes, are understood; and what the client sends has their form."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from chat.client.calls import Calls
from chat.client.codec import CborCodec, JsonCodec
from chat.client.connection import Hello
from chat.client.errors import refusal
from chat.client.events import Online, Published, RoomChanged, parse
from chat.client.room import Joined, Room

VECTORS = Path(__file__).parents[3] / "vectors"


def vectors(name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((VECTORS / f"{name}.json").read_text())
    return found


EVERYTHING = [item for name in ("commands", "answers", "pushes") for item in vectors(name)]


@pytest.mark.parametrize("item", EVERYTHING, ids=lambda item: item["name"])
def test_both_encodings_carry_the_same_value(item: dict[str, Any]) -> None:
    model = item["model"] if isinstance(item["model"], list) else [item["model"]]
    assert CborCodec().decode(bytes.fromhex(item["cbor"])) == model
    assert JsonCodec().decode(item["json"]) == model
    for codec in (CborCodec(), JsonCodec()):
        assert codec.decode(codec.frame([codec.encode(part) for part in model])) == model


async def test_every_push_is_understood() -> None:
    kinds = set()
    for item in vectors("pushes"):
        for push in item["model"] if isinstance(item["model"], list) else [item["model"]]:
            room = Room(push.get("room", "r"), Calls(1, CborCodec()), None, 10)
            room._feed.join_fields()
            room._handle_joined({"epoch": "e1", "seq": push.get("seq", 42) - 1, "recovered": False})
            room._handle_push(push)
            told = room._feed.take()
            if push["push"] == "room":
                assert parse(push, RoomChanged).title in ("Board", "Bob")
            else:
                kinds.add(push["push"])
                assert told is not None or push["push"] in ("gap", "bye", "removed", "edited", "deleted")
    assert kinds == {"message", "edited", "deleted", "gap", "presence", "typing", "read", "member", "removed", "bye"}


def test_every_answer_is_understood() -> None:
    kinds: dict[str, type[msgspec.Struct]] = {"hello": Hello, "join": Joined, "publish": Published, "presence": Online}
    for item in vectors("answers"):
        for answer in item["model"] if isinstance(item["model"], list) else [item["model"]]:
            kind = next((kind for name, kind in kinds.items() if item["name"].startswith(name)), None)
            if "err" in answer:
                assert refusal(answer["err"]).code == answer["err"]["code"]
            elif kind is not None:
                parse(answer["ok"], kind)
