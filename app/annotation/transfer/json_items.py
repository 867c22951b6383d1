"""The items of a JSON list, one at a time: what exports of other tools are, however long."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import BinaryIO

from app.annotation.checks import invalid
from app.annotation.transfer.lines import MAX_LINE_BYTES, Line, demand_utf8
from app.errors import GradbookError

_CHUNK = 1 << 20
_KEPT = 240  # bytes of an item that is too long
_BLANK = b" \t\r\n"
_BOM = b"\xef\xbb\xbf"
# A text without escapes is one sign; commas matter between the items alone.
_BETWEEN = re.compile(rb'"[^"\\]*"|["\[\]{},]')
_WITHIN = re.compile(rb'"[^"\\]*"|["\[\]{}]')
_INSIDE = re.compile(rb'["\\]')


def read_items(file: BinaryIO, limit: int = MAX_LINE_BYTES) -> Iterator[Line]:
    """The items of the list as lines, numbered from 1; of one that is longer than `limit` only the beginning.

    Raises INVALID_INPUT when the file is no list, when it ends before the list does, or goes on after it.
    """
    return _Items(file, limit).read()


class _Items:
    """The list on its way: where it stands, and what is kept of the item at hand."""

    def __init__(self, file: BinaryIO, limit: int) -> None:
        self._file = file
        self._limit = limit
        self._depth = 0
        self._in_text = False
        self._escaped = False
        self._number = 0
        self._start = 0
        self._length = 0
        self._parts: list[bytes] = []

    def read(self) -> Iterator[Line]:
        offset = 0
        ended = False
        while data := self._file.read(_CHUNK):
            if offset == 0:
                demand_utf8(data)
                data = data.replace(_BOM, b"   ", 1) if data.startswith(_BOM) else data
            at = 0
            if self._depth == 0 and not ended:
                at = len(data) - len(data.lstrip(_BLANK))
                if data[at : at + 1] != b"[":
                    found = data[at : at + 20].decode(errors="replace")
                    raise invalid(f"The file is no JSON list: it begins {found!r}. Nothing was imported.")
                at, self._depth, self._start = at + 1, 1, offset + at + 1
            if not ended:
                at, lines, ended = self._split(data, at, offset)
                yield from lines
            if ended and data[at:].strip(_BLANK):
                raise self._damage(offset + at, "goes on after the list")
            offset += len(data)
        if not ended:
            raise self._damage(offset, "ends before the list does")

    def _split(self, data: bytes, at: int, offset: int) -> tuple[int, list[Line], bool]:
        """The items that end in the data, how far it was read, and whether the list ended."""
        lines: list[Line] = []
        kept = at
        while at < len(data):
            if self._escaped:
                self._escaped, at = False, at + 1
                continue
            found = (_INSIDE if self._in_text else _BETWEEN if self._depth == 1 else _WITHIN).search(data, at)
            if found is None:
                break
            sign, at = found[0], found.end()
            if self._in_text:
                self._in_text, self._escaped = sign == b"\\", sign == b"\\"
            elif sign == b'"':
                self._in_text = True
            elif len(sign) > 1:
                continue
            elif sign in b"[{":
                self._depth += 1
            elif sign != b"," or self._depth == 1:
                self._depth -= sign != b","
                if self._depth == 0 or sign == b",":
                    self._keep(data[kept : at - 1])
                    kept = at
                    lines += self._finish(offset + at, is_last=self._depth == 0)
                    if self._depth == 0:
                        return at, lines, True
        self._keep(data[kept:])
        return len(data), lines, False

    def _keep(self, part: bytes) -> None:
        self._length += len(part)
        self._parts.append(part)
        if self._length > self._limit:
            self._parts = [b"".join(self._parts)[:_KEPT]]

    def _finish(self, end: int, *, is_last: bool) -> Iterator[Line]:
        data = b"".join(self._parts)
        start, length = self._start, self._length
        self._start, self._length, self._parts = end, 0, []
        if is_last and self._number == 0 and not data.strip(_BLANK):
            return
        self._number += 1
        left = len(data) - len(data.lstrip(_BLANK))
        too_long = length > self._limit
        text = data.strip(_BLANK)
        yield Line(self._number, start + left, end, text, length if too_long else len(text), too_long)

    def _damage(self, at: int, what: str) -> GradbookError:
        return invalid(
            f"The file {what}, at byte {at:,}, after item {self._number:,}: was it copied completely? Nothing was "
            "imported."
        )
