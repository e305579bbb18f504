"""The format of a segment: what goes in comes out, and nothing else does."""

from __future__ import annotations

import dataclasses
import hashlib
import io

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chat.adapters.archive.catalog import ArchivedRow, Segment
from chat.adapters.archive.errors import Damaged
from chat.adapters.archive.segment import BLOCK_BYTES, BLOCK_ROWS, read_block, read_footer, write_segment

_text = st.text(st.characters(exclude_categories=["Cs"]))
_rows = st.builds(
    ArchivedRow,
    room=_text,
    seq=st.integers(1, 2**63 - 1),
    ts=st.integers(-(2**62), 2**62),
    user=_text,
    key=_text,
    body=st.binary(max_size=200),
    revision=st.integers(0, 2**32 - 1),
    deleted=st.booleans(),
)


def row(seq: int, body: bytes = b"body") -> ArchivedRow:
    return ArchivedRow("room", seq, 1_700_000_000_000 + seq, "user", f"key {seq}", body, 0, False)


def read(segment: Segment, data: bytes) -> list[ArchivedRow]:
    footer = read_footer(segment, data[-segment.footer_size :])
    rows: list[ArchivedRow] = []
    for block in footer.blocks:
        rows += read_block(segment, footer, block, data[block.offset : block.offset + block.size])
    return rows


@settings(max_examples=50, deadline=None)
@given(rows=st.lists(_rows, min_size=1, max_size=20))
def test_rows_come_out_as_they_went_in(rows: list[ArchivedRow]) -> None:
    assert read(*write_segment("name", rows)) == rows


def test_blocks_hold_so_many_rows_and_bytes() -> None:
    rows = [row(seq) for seq in range(BLOCK_ROWS + 1)] + [row(seq, b"x" * (BLOCK_BYTES // 2)) for seq in range(3)]
    segment, data = write_segment("name", rows)
    footer = read_footer(segment, data[-segment.footer_size :])
    assert [block.row for block in footer.blocks] == [0, BLOCK_ROWS, BLOCK_ROWS + 2]
    assert footer.rows == len(rows)
    assert read(segment, data) == rows


def test_a_body_larger_than_a_block_has_one_for_itself() -> None:
    rows = [row(1), row(2, b"x" * (BLOCK_BYTES + 1)), row(3)]
    segment, data = write_segment("name", rows)
    assert [block.row for block in read_footer(segment, data[-segment.footer_size :]).blocks] == [0, 1, 2]
    assert read(segment, data) == rows


@pytest.mark.parametrize(
    ("at", "count", "blocks"), [(0, 1, [0]), (499, 1, [0]), (499, 2, [0, 1]), (500, 1, [1]), (0, 1100, [0, 1, 2])]
)
def test_a_page_lies_in_as_few_blocks_as_possible(at: int, count: int, blocks: list[int]) -> None:
    segment, data = write_segment("name", [row(seq) for seq in range(1100)])
    footer = read_footer(segment, data[-segment.footer_size :])
    assert [block.number for block in footer.blocks_of(at, count)] == blocks


def test_checksums_cover_every_byte() -> None:
    segment, data = write_segment("name", [row(seq) for seq in range(1100)])
    footer = read_footer(segment, data[-segment.footer_size :])
    ends = [block.offset + block.size for block in footer.blocks]
    assert [block.offset for block in footer.blocks] == [0, *ends[:-1]]
    assert ends[-1] == len(data) - segment.footer_size
    assert hashlib.sha256(data[ends[-1] :]).digest() == segment.footer_sha256


def test_a_footer_that_is_short_or_changed_is_damaged() -> None:
    segment, data = write_segment("name", [row(1)])
    footer = data[-segment.footer_size :]
    for wrong in (b"", footer[:-1], footer[1:], bytes([footer[0] ^ 1]) + footer[1:]):
        with pytest.raises(Damaged):
            read_footer(segment, wrong)


def test_a_footer_of_another_segment_is_damaged() -> None:
    segment, _ = write_segment("name", [row(1)])
    other, data = write_segment("other", [row(2)])
    with pytest.raises(Damaged):
        read_footer(segment, data[-other.footer_size :])


def test_a_block_in_the_place_of_another_is_damaged() -> None:
    segment, data = write_segment("name", [row(seq) for seq in range(1000)])
    footer = read_footer(segment, data[-segment.footer_size :])
    first, second = footer.blocks
    with pytest.raises(Damaged):
        read_block(segment, footer, first, data[second.offset : second.offset + second.size])


def test_a_format_that_is_newer_is_refused() -> None:
    segment, data = write_segment("name", [row(1)])
    newer = data.replace(b'{"version": 1', b'{"version": 2')
    footer = newer[-segment.footer_size :]
    segment = dataclasses.replace(segment, footer_sha256=hashlib.sha256(footer).digest())
    with pytest.raises(Damaged, match="newer"):
        read_footer(segment, footer)


def test_other_programs_can_read_a_segment() -> None:
    _, data = write_segment("name", [row(7)])
    [found] = pq.read_table(io.BytesIO(data)).to_pylist()
    assert (found["room"], found["seq"], found["key"], found["ts"].isoformat()) == (
        *("room", 7, "key 7"),
        "2023-11-14T22:13:20.007000+00:00",
    )
