"""Commands in frames."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from chat.client.codec import CborCodec, JsonCodec
from chat.client.connection import pack


@given(st.lists(st.integers(0, 40), max_size=600), st.integers(50, 400), st.integers(1, 300))
def test_frames_hold_every_command_in_order_within_the_limits(sizes: list[int], max_bytes: int, max_items: int) -> None:
    maps = [{"id": number, "x": "x" * size} for number, size in enumerate(sizes)]
    for codec in (CborCodec(), JsonCodec()):
        batches = list(pack([codec.encode(item) for item in maps], max_bytes, max_items))
        frames = [codec.frame(batch) for batch in batches]
        assert [item for frame in frames for item in codec.decode(frame)] == maps
        assert all(len(batch) <= max_items for batch in batches)
        assert all(len(frame) <= max_bytes or len(batch) == 1 for frame, batch in zip(frames, batches, strict=True))
