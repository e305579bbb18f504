"""The format of a segment: a Parquet file of which every byte is covered by a checksum.

    ┌──────┬─────────┬─────────┬───┬────────┐
    │ PAR1 │ block 0 │ block 1 │ … │ footer │      a block is a row group, and a range to read at once
    └──────┴─────────┴─────────┴───┴────────┘

Rows are sorted by room and seq, so a page of a room's history lies in one or two blocks. The footer names each
block's length, rows and SHA-256; the footer's own SHA-256 is in the database. Nothing is parsed before its checksum
was seen to be right. Any program that reads Parquet can read a segment; `body` is MessagePack.
"""

from __future__ import annotations

import bisect
import dataclasses
import hashlib
import io
import json
from collections.abc import Iterable, Iterator, Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from .catalog import ArchivedRow, Segment
from .errors import Damaged

BLOCK_ROWS = 500
BLOCK_BYTES = 256 << 10
"""Of bodies. Larger blocks compress a little better, and make a page of history dearer."""
_VERSION = 1
_METADATA = b"chat-gateway"
_ZSTD_LEVEL = 3
"""Higher levels save 2 % and take three times as long."""
_TS = pa.timestamp("ms", "UTC")
_SCHEMA = pa.schema(
    [
        ("room", pa.string()),
        ("seq", pa.uint64()),
        ("ts", _TS),
        ("user", pa.string()),
        ("key", pa.string()),
        ("body", pa.binary()),
        ("revision", pa.uint32()),
        ("deleted", pa.bool_()),
    ]
)


@dataclasses.dataclass(frozen=True, slots=True)
class Block:
    """A row group: its bytes, and the number of its first row."""

    number: int
    offset: int
    size: int
    row: int
    sha256: bytes


@dataclasses.dataclass(frozen=True, slots=True)
class Footer:
    """How to read a segment."""

    metadata: pq.FileMetaData
    blocks: Sequence[Block]
    rows: int

    def blocks_of(self, row: int, count: int) -> Sequence[Block]:
        """The blocks with `count` rows from `row` on."""
        first = bisect.bisect_right(self.blocks, row, key=lambda block: block.row) - 1
        behind = bisect.bisect_left(self.blocks, row + count, key=lambda block: block.row)
        return self.blocks[first:behind]


def write_segment(name: str, rows: Sequence[ArchivedRow]) -> tuple[Segment, bytes]:
    """The bytes of a segment with `rows`, which are sorted by room and seq, and what is to be known of it."""
    sink = io.BytesIO()
    writer = _writer(sink)
    blocks = []
    start = 0  # the magic number at the front belongs to the first block
    for block in _in_blocks(rows):
        writer.write_table(_table(block), row_group_size=len(block))
        end = sink.tell()
        blocks.append((end - start, len(block), _sha256(sink.getbuffer()[start:end]).hex()))
        start = end
    writer.add_key_value_metadata({_METADATA: json.dumps({"version": _VERSION, "blocks": blocks})})
    writer.close()
    data = sink.getvalue()
    return Segment(name, len(data), len(data) - start, _sha256(data[start:])), data


def read_footer(segment: Segment, data: bytes) -> Footer:
    """Parses the last `footer_size` bytes of a segment. Raises: Damaged."""
    if len(data) != segment.footer_size or _sha256(data) != segment.footer_sha256:
        raise Damaged(f"segment {segment.name}: its footer is not as it was written")
    metadata = pq.read_metadata(_Window(data, segment.size - segment.footer_size, segment.size))
    ours = json.loads(metadata.metadata[_METADATA])
    if ours["version"] != _VERSION:
        raise Damaged(f"segment {segment.name}: its format {ours['version']} is that of a newer version")
    blocks = []
    offset = row = 0
    for number, (size, rows, sha256) in enumerate(ours["blocks"]):
        blocks.append(Block(number, offset, size, row, bytes.fromhex(sha256)))
        offset += size
        row += rows
    return Footer(metadata, blocks, row)


def read_block(segment: Segment, footer: Footer, block: Block, data: bytes) -> list[ArchivedRow]:
    """The rows of a block, from its bytes. Raises: Damaged."""
    if len(data) != block.size or _sha256(data) != block.sha256:
        raise Damaged(f"segment {segment.name}: block {block.number} is not as it was written")
    window = _Window(data, block.offset, segment.size)
    file = pq.ParquetFile(window, metadata=footer.metadata, page_checksum_verification=True)
    table = file.read_row_group(block.number, use_threads=False)
    columns = [(column.cast(pa.int64()) if column.type == _TS else column).to_pylist() for column in table.columns]
    return [ArchivedRow(*values) for values in zip(*columns, strict=True)]


def _writer(sink: io.BytesIO) -> pq.ParquetWriter:
    return pq.ParquetWriter(
        sink,
        _SCHEMA,
        compression="zstd",
        compression_level=_ZSTD_LEVEL,
        use_dictionary=["room", "user"],
        column_encoding={"seq": "DELTA_BINARY_PACKED", "ts": "DELTA_BINARY_PACKED"},
        write_statistics=["room", "seq", "ts"],
        write_page_checksum=True,
        store_schema=False,
    )


def _in_blocks(rows: Iterable[ArchivedRow]) -> Iterator[list[ArchivedRow]]:
    block: list[ArchivedRow] = []
    size = 0
    for row in rows:
        if block and (len(block) == BLOCK_ROWS or size + len(row.body) > BLOCK_BYTES):
            yield block
            block, size = [], 0
        block.append(row)
        size += len(row.body)
    if block:
        yield block


def _table(rows: Sequence[ArchivedRow]) -> pa.Table:
    columns = zip(*rows, strict=True)
    arrays = [pa.array(values, field.type) for values, field in zip(columns, _SCHEMA, strict=True)]
    return pa.Table.from_arrays(arrays, schema=_SCHEMA)


def _sha256(data: bytes | memoryview) -> bytes:
    return hashlib.sha256(data).digest()


class _Window(io.RawIOBase):
    """A part of a file as if it were the whole, for those who read nothing else of it."""

    def __init__(self, data: bytes, offset: int, size: int) -> None:
        self._data = memoryview(data)
        self._offset = offset
        self._size = size
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._position = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        return self._position

    def read(self, size: int = -1) -> bytes:
        """Zeros outside of the part: the end of a file is read with whatever lies before the footer."""
        left = self._size - self._position
        wanted = bytearray(left if size < 0 else max(0, min(size, left)))
        first = max(self._offset, self._position)
        last = min(self._offset + len(self._data), self._position + len(wanted))
        if first < last:
            part = self._data[first - self._offset : last - self._offset]
            wanted[first - self._position : last - self._position] = part
        self._position += len(wanted)
        return bytes(wanted)
