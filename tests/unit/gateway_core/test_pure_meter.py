"""The meter of the pure backend: limits judged on frame headers, however the bytes are cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_core import GatewayConfig
from gateway_core.pure.meter import Meter, TokenBucket, Violation
from tests.support.raw_peer import BINARY, CONTINUATION, PING, TEXT, close_frame, frame


def meter(**settings: float) -> Meter:
    return Meter(GatewayConfig(**settings), 0.0)  # type: ignore[arg-type]


def test_a_bucket_gives_its_burst_and_then_its_rate() -> None:
    bucket = TokenBucket(rate=2, burst=3, now=0)
    assert [bucket.take(1, 0) for _ in range(4)] == [True, True, True, False]
    assert bucket.take(1, 0.5)
    assert not bucket.take(1, 0.5)
    assert [bucket.take(1, 100) for _ in range(4)] == [True, True, True, False]


@pytest.mark.parametrize("size", [0, 125, 126, 65_535])
def test_frames_of_every_length_form_are_followed(size: int) -> None:
    measured = meter(max_message_bytes=65_535)
    for _ in range(3):
        assert measured.feed(frame(BINARY, bytes(size)), 0) is None
    assert measured.message_started is None


def test_the_bytes_before_the_violating_frame_are_allowed() -> None:
    good = frame(TEXT, b"good")
    violation = meter(max_message_bytes=10).feed(good + good + frame(TEXT, bytes(11)), 0)
    assert violation is not None
    assert (violation.code, violation.allowed) == (1009, 2 * len(good))


def test_a_violation_found_in_a_later_piece_allows_nothing_of_it() -> None:
    measured = meter(max_message_bytes=10)
    bad = frame(TEXT, bytes(11))
    assert measured.feed(bad[:3], 0) is None
    violation = measured.feed(bad[3:], 0)
    assert violation is not None
    assert violation.allowed == 0


def test_control_frames_count_as_frames_and_not_as_message_bytes() -> None:
    measured = meter(max_message_bytes=10, message_burst=4, max_messages_per_second=1)
    assert measured.feed(frame(TEXT, bytes(10), first=TEXT) + frame(PING, bytes(100)) + frame(CONTINUATION), 0) is None
    violation = measured.feed(frame(PING) * 2, 0)
    assert violation is not None
    assert violation.code == 1008


def test_an_unfinished_message_has_a_start() -> None:
    measured = meter()
    measured.feed(frame(TEXT, b"a", first=TEXT), 5.0)
    measured.feed(frame(CONTINUATION, b"b", first=CONTINUATION), 6.0)
    assert measured.message_started == 5.0
    measured.feed(frame(CONTINUATION, b"c"), 7.0)
    assert measured.message_started is None


def test_only_a_whole_close_frame_closes() -> None:
    measured = meter()
    data = frame(TEXT, b"x") + close_frame(1000, b"bye")
    measured.feed(data[:-1], 0)
    assert not measured.peer_closed
    measured.feed(data[-1:], 0)
    assert measured.peer_closed


def test_an_empty_close_frame_closes() -> None:
    measured = meter()
    measured.feed(frame(0x8), 0)
    assert measured.peer_closed


FRAMES = st.lists(
    st.tuples(st.sampled_from([TEXT, BINARY, PING]), st.binary(max_size=200), st.booleans()), min_size=1, max_size=10
)


@given(FRAMES, st.data())
def test_the_verdict_does_not_depend_on_how_the_bytes_are_cut(
    frames: list[tuple[int, bytes, bool]], data: st.DataObject
) -> None:
    settings = {"max_message_bytes": 300, "message_burst": 7, "max_messages_per_second": 1, "max_empty_fragments": 2}
    whole = b"".join(
        frame(opcode, payload[:125], first=opcode | (0x80 if fin or opcode == PING else 0))
        for opcode, payload, fin in frames
    )
    at_once = meter(**settings).feed(whole, 0)
    measured, verdict = meter(**settings), None
    rest = whole
    while rest and verdict is None:
        cut = data.draw(st.integers(1, len(rest)))
        verdict = measured.feed(rest[:cut], 0)
        rest = rest[cut:]
    assert (verdict and verdict.code) == (at_once and at_once.code)


@given(st.binary(max_size=500))
def test_noise_never_breaks_the_meter(data: bytes) -> None:
    verdict = meter().feed(data, 0)
    assert verdict is None or isinstance(verdict, Violation)
