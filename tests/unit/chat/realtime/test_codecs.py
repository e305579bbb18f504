"""The codecs against what hostile peers send: rows B26 and B27, and the bounds of a frame."""

from __future__ import annotations

import itertools
import resource
import struct
from typing import Any

import cbor2
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chat.realtime.codecs import CODECS, MAX_BATCH, MAX_DEPTH, Codec, Malformed, negotiate
from gateway_core import CloseCode

JSON, CBOR = CODECS["chat.v1.json"], CODECS["chat.v1.cbor"]

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8"))
)
few = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])

values = st.recursive(
    scalars,
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner),
    max_leaves=8,
)
maps = st.dictionaries(st.text(st.characters(codec="utf-8")), values, max_size=4)


def refused(codec: Codec, payload: bytes) -> CloseCode:
    with pytest.raises(Malformed) as caught:
        codec.decode(payload)
    return caught.value.code


def encode(codec: Codec, value: Any) -> bytes:
    return cbor2.dumps(value) if codec is CBOR else msgspec.json.encode(value)


@pytest.fixture(params=[JSON, CBOR], ids=["json", "cbor"])
def codec(request: pytest.FixtureRequest) -> Codec:
    codec: Codec = request.param
    return codec


# One data model


@few
@given(st.lists(maps, max_size=3))
def test_what_one_codec_reads_the_other_writes_and_reads_alike(batch: list[dict[str, Any]]) -> None:
    for codec in (JSON, CBOR):
        assert codec.decode(encode(codec, batch)) == batch
        frame = codec.join([codec.encode(item) for item in batch])
        assert codec.decode(frame.encode() if isinstance(frame, str) else frame) == batch


@pytest.mark.parametrize("length", [0, 1, 23, 24, 255, 256])
def test_joined_frames_are_one_array(codec: Codec, length: int) -> None:
    frame = codec.join([codec.encode({"id": number}) for number in range(length)])
    decoded = codec.decode(frame.encode() if isinstance(frame, str) else frame)
    assert decoded == [{"id": number} for number in range(length)]


def test_a_long_array_of_joined_frames_has_a_two_byte_length() -> None:
    assert cbor2.loads(CBOR.join([b"\x00"] * 300)) == [0] * 300  # type: ignore[arg-type]


def test_text_codecs_write_text_and_binary_ones_bytes() -> None:
    assert type(JSON.encode({"a": 1})) is str
    assert type(CBOR.encode({"a": 1})) is bytes


# The shape of a frame


def test_one_map_is_a_batch_of_one(codec: Codec) -> None:
    assert codec.decode(encode(codec, {"op": "ping"})) == [{"op": "ping"}]


@pytest.mark.parametrize("value", [1, "text", None, True, 1.5, [1], [[]], [{}, "x"]])
def test_a_frame_that_holds_no_maps_is_refused(codec: Codec, value: Any) -> None:
    assert refused(codec, encode(codec, value)) == CloseCode.INVALID_PAYLOAD


def test_a_batch_may_be_full_but_not_fuller(codec: Codec) -> None:
    assert len(codec.decode(encode(codec, [{}] * MAX_BATCH))) == MAX_BATCH
    assert refused(codec, encode(codec, [{}] * (MAX_BATCH + 1))) == CloseCode.POLICY_VIOLATION


def nested(depth: int) -> dict[str, Any]:
    """A map that nests `depth` deep."""
    value: Any = {}
    for level in range(depth - 1):
        value = {"a": value} if level % 2 or level == depth - 2 else [value]
    assert isinstance(value, dict)
    return value


def test_nesting_up_to_the_limit_is_read_and_one_more_is_refused(codec: Codec) -> None:
    assert codec.decode(encode(codec, nested(MAX_DEPTH))) == [nested(MAX_DEPTH)]
    assert refused(codec, encode(codec, nested(MAX_DEPTH + 1))) == CloseCode.INVALID_PAYLOAD


def test_the_array_of_a_batch_counts_as_a_level(codec: Codec) -> None:
    assert codec.decode(encode(codec, [nested(MAX_DEPTH - 1)]))
    assert refused(codec, encode(codec, [nested(MAX_DEPTH)])) == CloseCode.INVALID_PAYLOAD


def test_every_prefix_of_a_frame_is_refused(codec: Codec) -> None:
    frame = encode(codec, {"id": 1, "op": "publish", "body": {"text": "ü", "n": [1, 2.5, None, True]}})
    for cut in range(len(frame)):
        refused(codec, frame[:cut])


@few
@given(st.binary(max_size=64))
def test_no_bytes_do_anything_but_decode_or_be_refused(junk: bytes) -> None:
    for codec in (JSON, CBOR):
        try:
            commands = codec.decode(junk)
        except Malformed:
            continue
        for command, other in itertools.product(commands, (JSON, CBOR)):
            other.encode(command)


# B26: JSON


@pytest.mark.parametrize("opening", [b"[", b'{"a":', b'[{"a":'])
def test_b26_json_100k_deep_is_refused(opening: bytes) -> None:
    assert refused(JSON, opening * 100_000) == CloseCode.INVALID_PAYLOAD
    assert refused(JSON, b"[" * 100_000 + b"]" * 100_000) == CloseCode.INVALID_PAYLOAD


def test_b26_json_between_the_depth_limit_and_the_interpreters_is_refused() -> None:
    for depth in (33, 100, 500, 900, 999, 1000, 1001):
        refused(JSON, b'{"a":' + b"[" * depth + b"]" * depth + b"}")


def test_b26_a_key_of_10_mb_is_only_a_long_key() -> None:
    [command] = JSON.decode(b'{"' + b"k" * 10_000_000 + b'":1}')
    assert len(next(iter(command))) == 10_000_000  # the gateway's frame limit keeps it from getting here


@pytest.mark.parametrize(
    "number", ["1e400", "-1e400", "NaN", "Infinity", "-Infinity", "1" + "0" * 30, "1" * 60_000, "18446744073709551616"]
)
def test_b26_numbers_beyond_the_model_are_refused(number: str) -> None:
    assert refused(JSON, f'{{"id":{number}}}'.encode()) == CloseCode.INVALID_PAYLOAD


def test_b26_negative_zero_and_large_integers_stay_what_they_are() -> None:
    [command] = JSON.decode(b'{"a":-0,"b":-0.0,"c":9007199254740993,"d":18446744073709551615,"e":1e2}')
    assert command == {"a": 0, "b": 0.0, "c": 2**53 + 1, "d": 2**64 - 1, "e": 100.0}
    assert str(command["b"]) == "-0.0"


@pytest.mark.parametrize(
    "payload",
    [
        '{"id":1,"id":2}',
        '{"id":1, "body":{"text":"a","text":"b"}}',
        '{"a:":":","a:":":"}',
        '[{"a":1},{"b":1,"b":1}]',
        r'{"key":1,"key":2}',
        r'{"a":"\":\"\\","a":2}',
        '{"a" :1,"a":"x"}',
        '{"a" :1,"a" :"x"}',
        '{"a"\n:1,"a"\n:"x"}',
        '{"a"\t:1,"a"\t:"x"}',
        '{"a"\r:1,"a"\r:"x"}',
        r'{"a\\":1,"a\\":"x"}',
    ],
)
def test_b26_duplicate_keys_are_refused(payload: str) -> None:
    assert refused(JSON, payload.encode()) == CloseCode.INVALID_PAYLOAD


@few
@given(maps)
def test_b26_no_map_with_unique_keys_is_taken_for_one_with_duplicates(value: dict[str, Any]) -> None:
    assert JSON.decode(msgspec.json.encode(value)) == [value]


@pytest.mark.parametrize(
    "payload",
    [
        rb'{"a":"\ud800"}',
        rb'{"a":"\udc00\ud800"}',
        b'{"a":"\xed\xa0\x80"}',
        b'{"a":"\xff"}',
        b'\xef\xbb\xbf{"a":1}',
        b'{"a":1} x',
        b'{"a":1}{"b":1}',
        b'{"a":1}\x1e',
        b'{"a":1}\x00',
        b"{'a':1}",
        b'{"a":1,}',
        b"// comment\n{}",
        b'{"a":01}',
        b'{"a":"\n"}',
        b"",
        b" ",
    ],
)
def test_b26_text_that_is_no_json_value_is_refused(payload: bytes) -> None:
    assert refused(JSON, payload) == CloseCode.INVALID_PAYLOAD


def test_b26_proto_is_a_key_like_any_other() -> None:
    assert JSON.decode(b'{"__proto__":{"admin":true},"constructor":1}') == [
        {"__proto__": {"admin": True}, "constructor": 1}
    ]


def test_b31_a_record_separator_inside_text_is_text() -> None:
    assert JSON.decode(rb'{"a":"\u001e"}') == [{"a": "\x1e"}]


# B27: CBOR


@pytest.mark.parametrize("head", ["81", "a16161", "c1", "d81c", "d9d9f7", "d90100"])
def test_b27_cbor_100k_deep_is_refused(head: str) -> None:
    assert refused(CBOR, bytes.fromhex(head) * 100_000) == CloseCode.INVALID_PAYLOAD


@pytest.mark.parametrize(
    "payload",
    ["9f", "9f01ff", "bf", "bf616101ff", "5f", "7f6161ff", "a161617f6161ff", "ff", "81ff"],
)
def test_b27_indefinite_lengths_are_refused(payload: str) -> None:
    assert refused(CBOR, bytes.fromhex(payload)) == CloseCode.INVALID_PAYLOAD


@pytest.mark.parametrize("major", [0x5B, 0x7B, 0x9B, 0xBB])
@pytest.mark.parametrize("length", [2**24, 2**32, 2**40, 2**63 - 1, 2**63, 2**64 - 1])
def test_b27_a_declared_length_allocates_nothing(major: int, length: int) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refused(CBOR, struct.pack(">BQ", major, length) + b"\x00" * 100)
    refused(CBOR, b"\xa1\x61a" + struct.pack(">BQ", major, length))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 * 1024  # KiB


ITEMS = [b"\x00", b"\x1a\x5f\x00\x00\x00", b"\x60", b"\x61a", b"\x40", b"\x41a", b"\x80", b"\x82\x00\x01", b"\xa0"]


def test_b27_every_tag_is_refused_whatever_it_wraps() -> None:
    numbers = itertools.chain(range(2048), range(43_000, 43_010), range(55_790, 55_800), (2**16, 2**32 - 1, 2**63))
    for number in numbers:
        head = cbor2.dumps(cbor2.CBORTag(number, 0))[:-1]
        for item in ITEMS:
            refused(CBOR, b"\xa1\x61a" + head + item)


@pytest.mark.parametrize(
    "payload",
    [
        "a16161d81c81d81d00",  # a list that contains itself
        "a16161c249010000000000000000",  # a bignum
        "a16161d9010082616161d81900",  # a string reference
        "a16161f7",  # undefined
        "a16161f0",  # an unassigned simple value
        "a16161f8ff",
        "a161614101",  # bytes, for which JSON has no word
        "a10101",  # a key that is no text
        "a1416101",
        "a1f97e0001",
        "a18001",
        "a16161f97e00",  # not a number
        "a16161f97c00",  # infinity
        "a161613bffffffffffffffff",  # -2^64
        "a16161fb7ff0000000000000",
        "a2616101616102",  # a key twice
        "a1616161ff",  # text that is not UTF-8
        "a1616163eda080",  # a surrogate
        "a161611c",  # reserved minor values
        "a161611d",
        "a161611e",
        "a161615c",
        "a16161fc",
        "a16161f818",  # a simple value in two bytes that needs one
    ],
)
def test_b27_items_beyond_the_model_are_refused(payload: str) -> None:
    assert refused(CBOR, bytes.fromhex(payload)) == CloseCode.INVALID_PAYLOAD


def test_b27_shared_references_cannot_grow_a_frame() -> None:
    level = cbor2.dumps({"a": "x" * 100})
    for _ in range(30):
        level = b"\xd8\x1c\x82" + level + b"\xd8\x1d\x00"
    refused(CBOR, b"\xa1\x61b" + level)


def test_b27_bytes_after_the_item_are_refused() -> None:
    frame = cbor2.dumps({"id": 1})
    for junk in (b"\x00", b"\xff", frame, b"\x48" + b"\x00" * 8):
        assert refused(CBOR, frame + junk) == CloseCode.INVALID_PAYLOAD


def test_b27_numbers_in_longer_forms_are_read() -> None:
    assert CBOR.decode(bytes.fromhex("a16269641b0000000000000007")) == [{"id": 7}]
    assert CBOR.decode(bytes.fromhex("a1616afb4000000000000000")) == [{"j": 2.0}]


# Negotiation


def test_the_first_known_subprotocol_wins() -> None:
    assert negotiate(["graphql-ws", "chat.v1.cbor", "chat.v1.json"]) is CBOR
    assert negotiate(["chat.v1.json", "chat.v1.cbor"]) is JSON


def test_no_offer_means_json_and_only_unknown_ones_mean_none() -> None:
    assert negotiate([]) is JSON
    assert negotiate(["chat.v2.cbor", "CHAT.V1.JSON"]) is None
