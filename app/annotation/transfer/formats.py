"""The formats of files: each is recognised by what the file holds, read as records, and some are written."""

from __future__ import annotations

import enum
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import orjson
from typing_extensions import override

from app.annotation.checks import invalid
from app.annotation.datasets import QuestionInput
from app.annotation.record_items import Shape
from app.annotation.transfer.argilla import argilla_questions, looks_like_argilla, read_argilla
from app.annotation.transfer.aside import aside
from app.annotation.transfer.csv_format import CsvSource, write_csv
from app.annotation.transfer.huggingface import HuggingFaceSource, is_hugging_face
from app.annotation.transfer.json_items import read_items
from app.annotation.transfer.label_studio import (
    Asked,
    looks_like_json_min,
    looks_like_label_studio,
    read_annotations,
    read_task,
)
from app.annotation.transfer.line_format import BadLineError, Read, Spot, parse_json, read_at, read_record
from app.annotation.transfer.lines import Line, demand_utf8, read_lines
from app.annotation.transfer.parquet_format import ParquetSource, ParquetWriter

_BEGINNING = 64 * 1024  # bytes, by which a format is recognised
_ARROW = (b"ARROW1", b"\xff\xff\xff\xff")
_BLANK = b" \t\r\n"
_BOM = b"\xef\xbb\xbf"


class Format(enum.Enum):
    """What a file can be; the value is its name in commands and URLs."""

    JSONL = "jsonl"
    JSON = "json"
    CSV = "csv"
    PARQUET = "parquet"
    ARGILLA = "argilla"
    LABEL_STUDIO = "label-studio"


MEDIA_TYPES = {
    Format.JSONL: "application/x-ndjson",
    Format.CSV: "text/csv; charset=utf-8; header=present",
    Format.PARQUET: "application/vnd.apache.parquet",
}
"""Of what is written."""


class Source(Protocol):
    """A file that is open, in one format. It can be read again and again, if it can be sought."""

    @property
    def unit(self) -> str:
        """What its records are numbered by: lines, rows or items, from 1."""

    def check(self) -> None:
        """Raise INVALID_INPUT for damage that makes the rest unreadable, before anything is stored."""

    def records(self, shape: Shape | None) -> Iterator[Read]:
        """The records, from the beginning, as a dataset of this shape has them; None is one still to be made."""

    def questions(self) -> Sequence[QuestionInput]:
        """What is asked about them, as far as the file says."""


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

    def questions(self) -> Sequence[QuestionInput]:
        """It says nothing about them."""
        return ()


class ListSource:
    """One JSON list of records, each item as `read` makes a line's value of it."""

    unit = "item"

    def __init__(self, file: BinaryIO, read: Callable[[Any], Any] = lambda item: item) -> None:
        self._file = file
        self._beginning = file.tell()
        self._read = read

    def check(self) -> None:
        """Find the end of the list."""
        for _ in self.items():
            pass

    def items(self) -> Iterator[Line]:
        """The items from the first one."""
        self._file.seek(self._beginning)
        return read_items(self._file)

    def records(self, shape: Shape | None) -> Iterator[Read]:
        """The items as records."""
        for line in self.items():
            spot = Spot(line.number, line.length, line.end)
            yield read_at(spot, lambda line=line: self._read(parse_json(line)))  # type: ignore[misc]

    def questions(self) -> Sequence[QuestionInput]:
        """It says nothing about them."""
        return ()


class LabelStudioSource(ListSource):
    """A list of Label Studio's tasks, or of annotations in its JSON_MIN; those of one task follow each other."""

    @override
    def records(self, shape: Shape | None) -> Iterator[Read]:
        """The tasks as records; their number is that of the task's first item."""
        for _, group in groupby(self.items(), _task_id()):
            lines = list(group)
            spot = Spot(lines[0].number, sum(line.length for line in lines), lines[-1].end)
            yield read_at(spot, lambda lines=lines: _read_lines(lines, shape))  # type: ignore[misc]

    @override
    def questions(self) -> Sequence[QuestionInput]:
        """Those that occur in the results, with the options that occur."""
        asked = Asked()
        for line in self.items():
            if (item := _json_or_none(line)) is not None:
                asked.see(item)
        return asked.questions()


def _task_id() -> Callable[[Line], Any]:
    """A key by which items of JSON_MIN belong together; every other item stands alone."""

    def key(line: Line) -> Any:
        item = _json_or_none(line)
        return (str(item.get("id")),) if isinstance(item, dict) and looks_like_json_min(item) else line.number

    return key


def _read_lines(lines: Sequence[Line], shape: Shape | None) -> dict[str, Any]:
    items = [parse_json(line) for line in lines]
    if isinstance(items[0], dict) and looks_like_json_min(items[0]):
        return read_annotations(items, shape)
    return read_task(items[0], shape)


def _json_or_none(line: Line) -> Any:
    try:
        return parse_json(line)
    except BadLineError:
        return None


SOURCES: dict[Format, Callable[[BinaryIO], Source]] = {
    Format.JSONL: LineSource,
    Format.JSON: ListSource,
    Format.CSV: CsvSource,
    Format.PARQUET: ParquetSource,
    Format.ARGILLA: partial(ListSource, read=read_argilla),
    Format.LABEL_STUDIO: LabelStudioSource,
}


def recognise(beginning: bytes) -> Format:
    """The format of a file that begins so; of a list it takes the first item, which may not all be there.

    Raises INVALID_INPUT for what is none of them, with what to do about it.
    """
    if beginning.startswith(b"PAR1"):
        return Format.PARQUET
    if beginning.startswith(_ARROW):
        raise invalid(
            "The file is Arrow's: a Hugging Face dataset is imported by its folder. Save others as Parquet. Nothing "
            "was imported."
        )
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
        if given is Format.JSON:
            given = _kind_of_list(file)
    return SOURCES[given](file)


def open_folder(folder: Path, given: Format | None, stack: ExitStack) -> tuple[Source, int]:
    """A folder, and the bytes in it: Hugging Face's `save_to_disk`, or Argilla's `to_disk`. The stack closes its files.

    Raises INVALID_INPUT for any other, and when a format is given that folders do not have.
    """
    if given not in {None, Format.ARGILLA}:
        raise invalid(f"{folder} is a folder, and {given.value} a format of files: name the file in it.")
    if given is None and is_hugging_face(folder):
        source = HuggingFaceSource(folder)
        return source, source.size
    records = folder / "records.json"
    if not records.is_file():
        raise invalid(
            f"{folder} is a folder without dataset_dict.json or state.json, as `datasets` saves them, and without "
            "records.json, as Argilla does: name a file, or the folder that has one of these. Nothing was imported."
        )
    return ArgillaFolder(stack.enter_context(records.open("rb")), folder), records.stat().st_size


class ArgillaFolder(ListSource):
    """A folder that Argilla's `to_disk` wrote: records, and settings that say what is asked."""

    def __init__(self, file: BinaryIO, folder: Path) -> None:
        super().__init__(file, read_argilla)
        self._settings = folder / ".argilla" / "settings.json"

    @override
    def questions(self) -> Sequence[QuestionInput]:
        """Those of the settings. Raises INVALID_INPUT when they cannot be understood."""
        if not self._settings.is_file():
            return ()
        try:
            return argilla_questions(orjson.loads(self._settings.read_bytes()))
        except (orjson.JSONDecodeError, BadLineError) as error:
            raise invalid(f"{self._settings}: {error} Nothing was imported.") from None


def _kind_of_list(file: BinaryIO) -> Format:
    place = file.tell()
    try:
        item = _json_or_none(next(read_items(file), Line(1, 0, 0, b"{}", 2)))
    finally:
        file.seek(place)
    if isinstance(item, dict):
        if looks_like_argilla(item):
            return Format.ARGILLA
        if looks_like_label_studio(item) or looks_like_json_min(item):
            return Format.LABEL_STUDIO
    return Format.JSON


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
