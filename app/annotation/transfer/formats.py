"""The formats of files: each is recognised by what the file holds, read as records, and some are written."""

from __future__ import annotations

import enum
from collections.abc import AsyncIterator, Callable, Iterator
from typing import BinaryIO, Protocol

import orjson

from app.annotation.record_items import Shape
from app.annotation.transfer.aside import aside
from app.annotation.transfer.csv_format import CsvSource, write_csv
from app.annotation.transfer.json_items import read_items
from app.annotation.transfer.line_format import Read, read_record
from app.annotation.transfer.lines import demand_utf8, read_lines
from app.annotation.transfer.parquet_format import ParquetSource, ParquetWriter

_BEGINNING = 64 * 1024  # bytes, by which a format is recognised
_BLANK = b" \t\r\n"
_BOM = b"\xef\xbb\xbf"


class Format(enum.Enum):
    """What a file can be; the value is its name in commands and URLs."""

    JSONL = "jsonl"
    JSON = "json"
    CSV = "csv"
    PARQUET = "parquet"


MEDIA_TYPES = {
    Format.JSONL: "application/x-ndjson",
    Format.CSV: "text/csv; charset=utf-8; header=present",
    Format.PARQUET: "application/vnd.apache.parquet",
}
"""Of what is written."""


class Source(Protocol):
    """A file that is open, in one format. It can be read again and again, if it can be sought."""

    unit: str
    """What its records are numbered by: lines, rows or items, from 1."""

    def check(self) -> None:
        """Raise INVALID_INPUT for damage that makes the rest unreadable, before anything is stored."""

    def records(self, shape: Shape | None) -> Iterator[Read]:
        """The records, from the beginning, as a dataset of this shape has them; None is one still to be made."""


class LineSource:
    """JSON Lines. A line stands for itself: damage is that of one line, and a file that cannot be sought will do."""

    unit = "line"

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._beginning = file.tell() if file.seekable() else None

    def check(self) -> None:
        """Each line is checked when it is read."""

    def records(self, shape: Shape | None) -> Iterator[Read]:
        """The lines as records; those that cannot be sought go on from where they are."""
        if self._beginning is not None:
            self._file.seek(self._beginning)
        return map(read_record, read_lines(self._file))


class ListSource:
    """One JSON list of records."""

    unit = "item"

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._beginning = file.tell()

    def check(self) -> None:
        """Find the end of the list."""
        self._file.seek(self._beginning)
        for _ in read_items(self._file):
            pass

    def records(self, shape: Shape | None) -> Iterator[Read]:
        """The items as records."""
        self._file.seek(self._beginning)
        return map(read_record, read_items(self._file))


SOURCES: dict[Format, Callable[[BinaryIO], Source]] = {
    Format.JSONL: LineSource,
    Format.JSON: ListSource,
    Format.CSV: CsvSource,
    Format.PARQUET: ParquetSource,
}


def recognise(beginning: bytes) -> Format:
    """The format of a file that begins so. Raises INVALID_INPUT for what is none of them, with what to do about it."""
    if beginning.startswith(b"PAR1"):
        return Format.PARQUET
    demand_utf8(beginning)
    text = beginning.removeprefix(_BOM).lstrip(_BLANK)
    if not text or text.startswith(b"{"):
        return Format.JSONL
    return Format.JSON if text.startswith(b"[") else Format.CSV


def open_source(file: BinaryIO, given: Format | None = None) -> Source:
    """A file that can be sought, in its format or in the given one."""
    if given is None:
        place = file.tell()
        given = recognise(file.read(_BEGINNING))
        file.seek(place)
    return SOURCES[given](file)


async def written(lines: AsyncIterator[list[bytes]], shape: Shape, format: Format) -> AsyncIterator[tuple[bytes, int]]:
    """An export in another format: bytes of the file, and how many records are done with them."""
    if format is Format.PARQUET:
        writer = await aside(ParquetWriter, shape)
        async for some in lines:
            yield await aside(writer.write, map(orjson.loads, some)), len(some)
        yield await aside(writer.finish), 0
    elif format is Format.CSV:
        yield write_csv([], shape, header=True), 0
        async for some in lines:
            yield await aside(write_csv, map(orjson.loads, some), shape), len(some)
    else:
        async for some in lines:
            yield b"".join(some), len(some)
