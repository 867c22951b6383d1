"""A dataset that files go into and come out of."""

import io
import secrets
from collections.abc import Iterable
from typing import Any

import orjson
import pyarrow as pa
import zstandard
from pyarrow import parquet

from app.annotation.records import OnConflict, read_shape
from app.annotation.transfer.exporting import count_records, export_records
from app.annotation.transfer.formats import Format, open_source, written
from app.annotation.transfer.importing import ImportOptions, Tally, import_records
from app.annotation.transfer.line_format import BadLine
from app.db import Database

Line = dict[str, Any]


def as_file(lines: Iterable[Line | bytes]) -> bytes:
    return b"".join(line if isinstance(line, bytes) else orjson.dumps(line) + b"\n" for line in lines)


def passages(count: int, first: int = 0) -> list[Line]:
    return [{"externalId": f"x{n}", "fields": {"text": f"Text {n}"}} for n in range(first, first + count)]


class Transfer:
    """A dataset that files go into and come out of."""

    def __init__(self, database: Database, dataset: int, workspace: int) -> None:
        self.database = database
        self.dataset = dataset
        self.workspace = workspace
        self.bad: list[tuple[int, str]] = []
        self.batches: list[int] = []

    async def load(
        self, lines: Iterable[Line | bytes], on_conflict: OnConflict = OnConflict.SKIP, *, create_users: bool = False
    ) -> tuple[int, int, int, int]:
        """Import: how many were added, updated, skipped, bad."""
        return await self.load_file(as_file(lines), on_conflict, create_users=create_users)

    async def load_file(
        self,
        content: bytes,
        on_conflict: OnConflict = OnConflict.SKIP,
        *,
        create_users: bool = False,
        format: Format | None = None,
    ) -> tuple[int, int, int, int]:
        """Import a file in the format that it is in, or in that one: how many were added, updated, skipped, bad."""
        self.bad, self.batches = [], []
        source = open_source(io.BytesIO(content), format)
        source.check()
        shape = await self.database.transact(read_shape, self.dataset)
        options = ImportOptions(self.dataset, self.workspace, on_conflict, create_users)

        def note(line: BadLine) -> None:
            self.bad.append((line.number, line.reason))

        def count(tally: Tally) -> None:
            self.batches.append(tally.lines)

        tally = await import_records(self.database, source.records(shape), options, note, count)
        assert tally.lines == tally.added + tally.updated + tally.skipped + tally.bad
        assert tally.bad == len(self.bad)
        return tally.added, tally.updated, tally.skipped, tally.bad

    async def dump(self) -> list[bytes]:
        """Export."""
        lines = [line async for page in export_records(self.database, self.dataset) for line in page]
        assert len(lines) == await count_records(self.database, self.dataset)
        return lines

    async def dump_file(self, format: Format) -> bytes:
        """Export in that format."""
        shape = await self.database.transact(read_shape, self.dataset)
        parts = [data async for data, _ in written(export_records(self.database, self.dataset), shape, format)]
        return b"".join(parts)


def claiming(size: int) -> bytes:
    """A small Parquet file of one short text, in a page that unpacks to so many bytes, as only it says."""
    file = io.BytesIO()
    room = secrets.token_hex(size // 20_000)  # as much of the file as the page will take
    schema = pa.schema([pa.field("text", pa.string(), nullable=False)])
    plain: dict[str, Any] = {"use_dictionary": False, "write_statistics": False, "store_schema": False}
    parquet.write_table(pa.table({"text": [room]}, schema), file, compression="zstd", **plain)
    honest = file.getvalue()
    chunk = parquet.ParquetFile(file).metadata.row_group(0).column(0)

    packer = zstandard.ZstdCompressor().compressobj()
    million = bytes(1_000_000)
    packed = packer.compress(b"\1\0\0\0x") + b"".join(packer.compress(million) for _ in range(size // 1_000_000))
    packed += packer.flush()
    size = 5 + size // 1_000_000 * 1_000_000
    # Thrift's compact protocol: a data page with both sizes, then one value, PLAIN, its levels RLE.
    sizes = b"".join(b"\x15" + _varint(number * 2) for number in (size, len(packed)))
    page = b"\x15\0" + sizes + b"\x2c\x15\2\x15\0\x15\6\x15\6\0\0" + packed
    begin, end = chunk.data_page_offset, chunk.data_page_offset + chunk.total_compressed_size
    assert begin + len(page) <= end
    return honest[:begin] + page.ljust(end - begin, b"\0") + honest[end:]


def _varint(number: int) -> bytes:
    low = bytes([number & 127 | 128 * (number > 127)])
    return low + _varint(number >> 7) if number > 127 else low
