"""Reads of archived messages: right, or refused."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
import trio

from chat.adapters.archive.catalog import ArchivedRow, Part
from chat.adapters.archive.local_objects import LocalObjects
from chat.adapters.archive.metrics import archive_metrics
from chat.adapters.archive.segment import write_segment
from chat.adapters.archive.segment_reader import SegmentReader
from chat.domain.errors import Unavailable
from chat.domain.rooms import RoomId

DEADLINE_SECONDS = 60
ROOM = RoomId("room")
ROWS = [ArchivedRow("another", 9, 0, "user", "key", b"", 0, False)] + [
    ArchivedRow(ROOM, seq, seq, "user", f"key {seq}", b"body", 0, False) for seq in range(11, 1211)
]


class CountedObjects(LocalObjects):
    """A directory that counts what is read from it, and can be mute."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.reads = 0
        self.answers = threading.Event()
        self.answers.set()

    def read(self, name: str, offset: int, length: int) -> bytes:
        self.reads += 1
        self.answers.wait()
        return super().read(name, offset, length)


@pytest.fixture
def objects(tmp_path: Path) -> CountedObjects:
    return CountedObjects(tmp_path)


@pytest.fixture
def part(objects: CountedObjects) -> Part:
    segment, data = write_segment("segment", ROWS)
    objects.write(segment.path, data)
    return Part(11, 1210, 1, segment)


async def test_a_page_takes_one_read_and_its_first_one_another(objects: CountedObjects, part: Part) -> None:
    reader = SegmentReader(objects)
    assert await reader.read(ROOM, part, 500, 699) == ROWS[490:690]
    assert objects.reads == 2
    assert await reader.read(ROOM, part, 11, 1210) == ROWS[1:]
    assert objects.reads == 3
    assert reader.reads == {"read": 2, "damaged": 0, "away": 0}


@pytest.mark.parametrize(
    ("room", "part_row", "first", "last"),
    [(RoomId("other"), 1, 11, 12), (ROOM, 0, 11, 12), (ROOM, 2, 11, 12), (ROOM, 1, 1210, 1211), (ROOM, 5000, 11, 11)],
)
async def test_rows_that_are_not_those_of_the_part_are_refused(
    objects: CountedObjects, part: Part, room: RoomId, part_row: int, first: int, last: int
) -> None:
    reader = SegmentReader(objects)
    with pytest.raises(Unavailable):
        await reader.read(room, Part(11, 1211, part_row, part.segment), first, last)
    assert reader.reads["damaged"] == 1


async def test_a_segment_in_quarantine_is_not_read(objects: CountedObjects, part: Part) -> None:
    with pytest.raises(Unavailable):
        await SegmentReader(objects).read(ROOM, Part(11, 1210, 1, part.segment, quarantined=True), 11, 12)
    assert objects.reads == 0


async def test_a_footer_that_was_damaged_is_read_again(objects: CountedObjects, part: Part) -> None:
    reader = SegmentReader(objects)
    whole = objects.read(part.segment.path, 0, part.segment.size)
    objects.write(part.segment.path, whole[:-1] + b"x")
    with pytest.raises(Unavailable):
        await reader.read(ROOM, part, 11, 12)
    objects.write(part.segment.path, whole)
    assert await reader.read(ROOM, part, 11, 12) == ROWS[1:3]


async def test_an_archive_that_does_not_answer_is_waited_for_no_longer(objects: CountedObjects, part: Part) -> None:
    reader = SegmentReader(objects, seconds=0.05)
    objects.answers.clear()
    try:
        with trio.fail_after(DEADLINE_SECONDS), pytest.raises(Unavailable) as refused:
            await reader.read(ROOM, part, 11, 12)
    finally:
        objects.answers.set()
    assert refused.value.retryable
    assert reader.reads == {"read": 0, "damaged": 0, "away": 1}


def test_how_reads_end_is_told(objects: CountedObjects) -> None:
    [metric] = archive_metrics(SegmentReader(objects))
    assert metric.name == "chat_gateway_archive_reads"
    assert {sample.labels["result"] for sample in metric.samples} == {"read", "damaged", "away"}
