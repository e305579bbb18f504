"""Whatever a server sends, the client refuses it as a violation or takes no notice."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from chat.client import ProtocolViolation
from chat.client.calls import Calls
from chat.client.codec import CborCodec, JsonCodec
from chat.client.errors import refusal
from chat.client.outbox import Request
from chat.client.room import Room

LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(-2, 2**64), st.floats(), st.text(max_size=5), st.binary(max_size=5)
)
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
)
PLAUSIBLE = st.sampled_from([0, 1, 2, 3, 50, 2**53, "e", "r", "ada", {}, {"text": "x"}, []])
NAMES = ["room", "epoch", "seq", "ts", "user", "name", "key", "body", "revision", "deleted", "from", "to", "joins"]
NAMES += ["leaves", "online", "role", "reason", "recovered", "messages", "more", "code", "message", "retry_after_ms"]
MAPS = st.dictionaries(st.sampled_from(NAMES), PLAUSIBLE | VALUES, max_size=12)
KINDS = ["message", "edited", "deleted", "gap", "presence", "typing", "read", "member", "removed", "bye", "new"]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(KINDS), MAPS), max_size=8), st.lists(MAPS | VALUES, max_size=4))
async def test_pushes_and_answers_of_any_shape(pushes: list[tuple[str, dict[str, Any]]], answers: list[Any]) -> None:
    calls = Calls(10, CborCodec())
    room = Room("r", calls, None, 4)
    room._handle_connected()
    for kind, fields in pushes:
        with suppress(ProtocolViolation):
            for request in calls._outbox.poll(float("inf")):
                ok = answers.pop() if answers else {"epoch": "e", "seq": 0, "messages": []}
                calls.answered({"re": request.wire["id"], "ok": ok})
            room._handle_push({**fields, "push": kind})
        assert len(room._feed._events) <= 5
    room._handle_disconnected()
    calls.close(None)


@settings(max_examples=100, deadline=None)
@given(VALUES | MAPS, VALUES)
async def test_refusals_of_any_shape(err: Any, number: Any) -> None:
    calls = Calls(10, CborCodec())
    calls.start(Request("history", {}, lambda answer: None))
    [request] = calls._outbox.poll(0.0)
    with suppress(ProtocolViolation):
        calls.answered({"re": number, "err": err})
        calls.answered({"re": request.wire["id"], "err": err})
    with suppress(ProtocolViolation):
        assert refusal(err).retry_after is None or refusal(err).retry_after >= 0  # type: ignore[operator]


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=60), st.text(max_size=60))
def test_frames_of_any_bytes(payload: bytes, text: str) -> None:
    for frame in (payload, text):
        for codec in (CborCodec(), JsonCodec()):
            with suppress(ProtocolViolation):
                assert all(isinstance(item, dict) for item in codec.decode(frame))
