"""The lines of a file, one at a time, whatever it holds: of a line that is too long only its beginning is kept."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from app.errors import Code, GradbookError

# An exported record is one line: its fields alone take up to 32 MiB, what one request may bring.
MAX_LINE_BYTES = 64_000_000
_SKIPPED_BYTES = 1 << 20  # at a time, of a line that is too long
_KEPT_BYTES = 240
_BOM = b"\xef\xbb\xbf"

# How a file begins that is no UTF-8 text, what it is then, and how it becomes one.
_FOREIGN = (
    (b"\xff\xfe\x00\x00", "UTF-32 text", "iconv -f UTF-32 -t UTF-8"),
    (b"\xff\xfe", "UTF-16 text", "iconv -f UTF-16 -t UTF-8"),
    (b"\xfe\xff", "UTF-16 text", "iconv -f UTF-16 -t UTF-8"),
    (b"{\0", "UTF-16 text", "iconv -f UTF-16LE -t UTF-8"),
    (b"\0{", "UTF-16 text", "iconv -f UTF-16BE -t UTF-8"),
    (b"\x1f\x8b", "compressed by gzip", "gunzip -c"),
    (b"\x28\xb5\x2f\xfd", "compressed by zstd", "zstd -dc"),
    (b"PK\x03\x04", "a ZIP archive", "unzip -p"),
)


@dataclass(frozen=True, slots=True)
class Line:
    """A line without its end. Of one that is too long `data` is the beginning; `length` counts all its bytes.

    `number` begins at 1. `offset` is the place of its first byte in the file, `end` that of the next line.
    """

    number: int
    offset: int
    end: int
    data: bytes
    length: int
    is_too_long: bool = False
    is_cut_off: bool = False
    """The file ends without a line end."""


def read_lines(file: BinaryIO, limit: int = MAX_LINE_BYTES) -> Iterator[Line]:
    """The lines that are not empty, up to `limit` bytes of each. A byte order mark at the beginning is left out.

    Raises INVALID_INPUT for a file that begins as no UTF-8 text does.
    """
    number = offset = 0
    while data := file.readline(limit):
        number += 1
        start, end = offset, offset + len(data)
        too_long = len(data) == limit and not data.endswith(b"\n")
        if too_long:
            end += _skip_line(file)
            data = data[:_KEPT_BYTES]
        offset = end
        if number == 1:
            demand_utf8(data)
            if data.startswith(_BOM):
                data, start = data[len(_BOM) :], start + len(_BOM)
        text = data.rstrip(b"\r\n")
        if too_long or (not text.isspace() and text):
            length = end - start if too_long else len(text)
            yield Line(number, start, end, text, length, too_long, not too_long and not data.endswith(b"\n"))


def _skip_line(file: BinaryIO) -> int:
    """Go to the next line; the number of bytes."""
    skipped = 0
    while data := file.readline(_SKIPPED_BYTES):
        skipped += len(data)
        if data.endswith(b"\n"):
            break
    return skipped


def demand_utf8(beginning: bytes) -> None:
    """Raise INVALID_INPUT, with what it is, for a file that begins as no UTF-8 text does."""
    for signature, what, command in _FOREIGN:
        if beginning.startswith(signature):
            message = (
                f"The file is {what} (it begins with the bytes {signature.hex(' ').upper()}), expected UTF-8 "
                f"text. Nothing was imported; convert it on the way: {command} FILE | gradbook import - …"
            )
            raise GradbookError(Code.INVALID_INPUT, message)
