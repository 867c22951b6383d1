"""Parquet, read and written by Arrow, some rows at a time; Arrow is imported when the first file is opened.

What a file decodes to has bounds. Columns of text stay dictionaries until a row is looked at, so that a text which is
stored once and meant a million times is held once; sizes are known before anything is made of them.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any, BinaryIO

from app.annotation.checks import invalid
from app.annotation.datasets import QuestionInput
from app.annotation.record_items import Shape
from app.annotation.transfer.columns import MAX_COLUMNS, Columns, column_names, holds_json, row_of
from app.annotation.transfer.line_format import BadLineError, Read, Spot, read_at
from app.annotation.transfer.lines import MAX_LINE_BYTES
from app.errors import Code, GradbookError

if TYPE_CHECKING:
    from pyarrow import Array, RecordBatch
    from pyarrow.parquet import ParquetFile

BATCH_BYTES = 4_000_000  # that are decoded at once, by what the file says
BATCH_ROWS = 1_000
CHUNK_BYTES = 64_000_000  # of one column of a row group; it may be longer if it is not much shorter in the file
FILE_BYTES = 1_000_000_000  # that all rows may hold; more if the file is not much smaller
EXPANSION = 100  # how many times its size a file may decode to beyond these
GROUP_ROWS = 10_000
GROUP_BYTES = 32_000_000  # of the rows that are written together

_BUFFER = 1 << 20
_METADATA_BYTES = 50_000_000  # of the footer


class ParquetSource:
    """A Parquet file that is open, from where it stands."""

    unit = "row"

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._size = file.seek(0, io.SEEK_END)

    def check(self) -> None:
        """Decode all of it. Raises INVALID_INPUT for damage, LIMIT_EXCEEDED for a file that decodes to far too much."""
        total = 0
        bound = max(FILE_BYTES, EXPANSION * self._size)
        for batch, _, _ in self._batches():
            total += sum(sizes_of(batch))
            if total > bound:
                raise GradbookError(
                    Code.LIMIT_EXCEEDED,
                    f"The file has {self._size:,} bytes and holds more than {bound:,}: it is not read. Nothing was "
                    "imported.",
                )

    def records(self, shape: Shape | None) -> Iterator[Read]:
        """The rows as records."""
        file = self._open()
        names = file.schema_arrow.names
        columns = Columns(names, shape, typed=True, json_names=_json_names(file))
        number = 0
        for batch, done, of in self._batches():
            end = self._size * done // max(of, 1)
            yield from rows_of(batch, columns, number, end)
            number += batch.num_rows

    def questions(self) -> Sequence[QuestionInput]:
        """It says nothing about them."""
        return ()

    def _open(self) -> ParquetFile:
        from pyarrow import ArrowException  # noqa: PLC0415 - takes a quarter of a second and 40 MB
        from pyarrow.parquet import ParquetFile  # noqa: PLC0415

        limits: dict[str, Any] = {
            "thrift_string_size_limit": _METADATA_BYTES,
            "thrift_container_size_limit": 1_000_000,
            "pre_buffer": False,
            "buffer_size": _BUFFER,
            "page_checksum_verification": True,
            "arrow_extensions_enabled": False,
        }
        try:
            schema = ParquetFile(self._file, **limits).schema
            if len(schema) > MAX_COLUMNS:
                raise invalid(f"The table has {len(schema):,} columns, at most {MAX_COLUMNS:,} are taken.")
            texts = [column.path for column in map(schema.column, range(len(schema))) if _is_text(column)]
            return ParquetFile(self._file, read_dictionary=texts, **limits)
        except MemoryError as error:  # Arrow's is an ArrowException too
            raise _too_large(error) from None
        except (ArrowException, OSError) as error:
            raise _damage(error) from None

    def _batches(self) -> Iterator[tuple[RecordBatch, int, int]]:
        """Some rows at a time, how many rows were read with them, and how many there are."""
        from pyarrow import ArrowException  # noqa: PLC0415

        file = self._open()
        metadata = file.metadata
        done = 0
        try:
            for group in range(metadata.num_row_groups):
                _demand_chunks(metadata.row_group(group), group)
                rows = metadata.row_group(group).num_rows
                size = max(metadata.row_group(group).total_byte_size // max(rows, 1), 1)
                at_once = max(1, min(BATCH_ROWS, BATCH_BYTES // size))
                for batch in file.iter_batches(at_once, row_groups=[group], use_threads=False):
                    done += batch.num_rows
                    yield batch, done, metadata.num_rows
        except MemoryError as error:
            raise _too_large(error) from None
        except (ArrowException, OSError) as error:
            raise _damage(error, f" after row {done:,}") from None


def load_arrow() -> None:
    """Import what reading a file needs, as the first file does otherwise."""
    import pyarrow.compute  # noqa: PLC0415
    import pyarrow.parquet  # noqa: F401, PLC0415


class ParquetWriter:
    """Records to bytes of one Parquet file, row group by row group."""

    def __init__(self, shape: Shape) -> None:
        import pyarrow as pa  # noqa: PLC0415
        from pyarrow import parquet  # noqa: PLC0415

        self._pa = pa
        self._shape = shape
        self._json = holds_json(shape)
        types = [pa.json_() if is_json else pa.string() for is_json in self._json]
        self._schema = pa.schema(list(zip(column_names(shape), types, strict=True)))
        self._sink = _Sink()
        self._writer = parquet.ParquetWriter(self._sink, self._schema, compression="zstd")
        self._rows: list[list[str | None]] = []
        self._bytes = 0

    def write(self, items: Iterable[dict[str, Any]]) -> bytes:
        """Take some records; what is finished of the file, which may be nothing."""
        for item in items:
            row = row_of(item, self._shape, typed=True)
            self._rows.append(row)
            self._bytes += sum(len(cell) for cell in row if cell is not None)
            if self._bytes > GROUP_BYTES or len(self._rows) >= GROUP_ROWS:
                self._write_group()
        return self._sink.take()

    def finish(self) -> bytes:
        """The rest of the file."""
        self._write_group()
        self._writer.close()
        return self._sink.take()

    def _write_group(self) -> None:
        if self._rows:
            columns = zip(*self._rows, strict=True)
            arrays = [self._array(column, is_json) for column, is_json in zip(columns, self._json, strict=True)]
            self._writer.write_table(self._pa.Table.from_arrays(arrays, schema=self._schema))
        self._rows, self._bytes = [], 0

    def _array(self, cells: Sequence[str | None], is_json: bool) -> Any:
        array = self._pa.array(cells, self._pa.string())
        return self._pa.ExtensionArray.from_storage(self._pa.json_(), array) if is_json else array


class _Sink(io.RawIOBase):
    """A file that is only written, and whose bytes are taken away as they come."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._written = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        part = bytes(data)
        self._parts.append(part)
        self._written += len(part)
        return len(part)

    def tell(self) -> int:
        return self._written

    def take(self) -> bytes:
        data = b"".join(self._parts)
        self._parts.clear()
        return data


def rows_of(batch: RecordBatch, columns: Columns, before: int, end: int) -> Iterator[Read]:
    """The rows of a batch as records, made few at a time; `before` is how many rows came before them."""
    sizes = sizes_of(batch)
    start = 0
    while start < batch.num_rows:
        stop, size = start + 1, sizes[start]
        while stop < batch.num_rows and size + sizes[stop] <= BATCH_BYTES:
            size += sizes[stop]
            stop += 1
        is_last = stop == batch.num_rows
        spots = [Spot(before + n + 1, sizes[n], end if is_last else 0) for n in range(start, stop)]
        if size > MAX_LINE_BYTES:  # then it is one row
            yield read_at(spots[0], partial(_too_long, size))
        else:
            cells = [column.to_pylist() for column in batch.slice(start, stop - start).columns]
            for spot, row in zip(spots, zip(*cells, strict=True), strict=True):
                yield read_at(spot, partial(columns.item, row))
        start = stop


def sizes_of(batch: RecordBatch) -> list[int]:
    """How many bytes each row holds, about, without making them."""
    totals = [8] * batch.num_rows
    for column in batch.columns:
        for row, size in enumerate(_sizes(column)):
            totals[row] += size
    return totals


def _sizes(column: Array) -> Sequence[int]:
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.compute as pc  # noqa: PLC0415

    kind = column.type
    if pa.types.is_dictionary(kind):
        lengths = _sizes(column.dictionary)
        return [0 if index is None else lengths[index] for index in column.indices.to_pylist()]
    if pa.types.is_string(kind) or pa.types.is_binary(kind) or pa.types.is_large_string(kind):
        return [size or 0 for size in pc.binary_length(column).to_pylist()]
    if pa.types.is_struct(kind):
        parts = [_sizes(part) for part in column.flatten()]
        return [sum(sizes) for sizes in zip(*parts, strict=True)] if parts else [0] * len(column)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_map(kind):
        inner = _sizes(column.flatten() if not pa.types.is_map(kind) else column.items)
        sizes: list[int] = []
        at = 0
        for count in (pc.list_value_length(column) if not pa.types.is_map(kind) else _counts(column)).to_pylist():
            sizes.append(sum(inner[at : at + (count or 0)]) + (count or 0))
            at += count or 0
        return sizes
    return [8] * len(column)


def _counts(column: Any) -> Any:
    import pyarrow as pa  # noqa: PLC0415

    offsets = column.offsets.to_pylist()
    return pa.array([after - before for before, after in pairwise(offsets)])


def _too_long(size: int) -> Any:
    raise BadLineError(f"The row holds {size:,} bytes, at most {MAX_LINE_BYTES:,} are taken: leave out what is large.")


def _is_text(column: Any) -> bool:
    return bool(column.physical_type == "BYTE_ARRAY" and column.logical_type.type != "DECIMAL")


def _json_names(file: ParquetFile) -> frozenset[str]:
    schema = file.schema
    columns = [schema.column(place) for place in range(len(schema))]
    return frozenset(column.path for column in columns if column.logical_type.type == "JSON")


def _demand_chunks(group: Any, number: int) -> None:
    """Raise LIMIT_EXCEEDED for a column that unpacks to far more than it has in the file, before it does."""
    for place in range(group.num_columns):
        chunk = group.column(place)
        if chunk.total_uncompressed_size > max(CHUNK_BYTES, EXPANSION * chunk.total_compressed_size):
            raise GradbookError(
                Code.LIMIT_EXCEEDED,
                f"Column {chunk.path_in_schema!r} of row group {number} has {chunk.total_compressed_size:,} bytes and "
                f"unpacks to {chunk.total_uncompressed_size:,}: it is not read. Nothing was imported.",
            )


def _too_large(error: MemoryError) -> GradbookError:
    message = f"The Parquet file takes more memory than there is for it ({error}): it is not read."
    return GradbookError(Code.LIMIT_EXCEEDED, f"{message} Nothing was imported.")


def _damage(error: Exception, where: str = "") -> GradbookError:
    said = str(error).split("\n", 1)[0].rstrip(".")
    return invalid(f"The Parquet file is damaged{where} ({said}): was it copied completely? Nothing was imported.")
