"""One line of a file: what it may hold, and what is wrong with one that cannot be taken.

    {"externalId": "a-1", "fields": {"text": "…"}, "metadata": {"year": 1900},
     "suggestions": [{"question": "tone", "value": "calm", "score": 0.9, "agent": "model-1"}],
     "responses": [{"user": "ann", "values": {"tone": "calm"}, "status": "SUBMITTED"}]}

`external_id` is the same as `externalId`. Only `fields` are needed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NoReturn

import orjson

from app.annotation.checks import listed, shown
from app.annotation.record_items import RecordInput, SuggestionInput, UserAnswers, content_hash
from app.annotation.tables import ResponseStatus
from app.annotation.transfer.lines import MAX_LINE_BYTES, Line
from app.errors import GradbookError

RECORD_KEYS = ("externalId", "external_id", "fields", "metadata", "suggestions", "responses")
SUGGESTION_KEYS = ("question", "value", "score", "agent")
RESPONSE_KEYS = ("user", "values", "status")

_SHOWN = 60  # characters of a line
_CONTEXT = 20  # characters on each side of a syntax error
# A number of 19 digits or more may lie outside 64 bits, where orjson reads a float without a word. All digits are made
# one to find it: ten times as fast as a regular expression, which would be most of an import's time.
_DIGITS = bytes.maketrans(b"123456789", b"000000000")
_LONG_NUMBER = b"0" * 19
_MIN_INT, _MAX_INT = -(2**63), 2**64 - 1


class BadLineError(Exception):
    """A line that cannot be taken; the message says why, with the value."""


@dataclass(frozen=True, slots=True)
class NamedAnswers:
    """What one person answered; the person by name."""

    username: str
    values: Mapping[str, Any] | None
    status: ResponseStatus


@dataclass(frozen=True, slots=True)
class RecordLine:
    """A line as it was read. `record` has no responses yet: their people are still names."""

    number: int
    length: int
    end: int
    record: RecordInput
    answers: Sequence[NamedAnswers]

    def with_users(self, users: Mapping[str, int]) -> RecordInput:
        """The record with its responses; everybody is among the users."""
        if not self.answers:
            return self.record
        responses = [UserAnswers(users[one.username], one.values, one.status) for one in self.answers]
        return replace(self.record, responses=responses)


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that was not taken, and why."""

    number: int
    length: int
    end: int
    reason: str


Read = RecordLine | BadLine
"""What every format is read as."""


@dataclass(frozen=True, slots=True)
class Spot:
    """Where a record stands in a file: its number (of the line, the row or the item) from 1, its length in bytes, and
    the place in the file up to which everything is read after it."""

    number: int
    length: int
    end: int


def read_record(line: Line) -> Read:
    """A line of JSON Lines as a record, or as what is wrong with it."""
    return read_at(Spot(line.number, line.length, line.end), lambda: parse_json(line))


def read_at(spot: Spot, item: Callable[[], Any]) -> Read:
    """What `item` makes of the record at that spot: keys as a line of JSON Lines has them, or a BadLineError."""
    try:
        return record_line(item(), spot)
    except BadLineError as error:
        return BadLine(spot.number, spot.length, spot.end, str(error))


def parse_record(line: Line) -> RecordLine:
    """Read a line. Values are checked against the dataset later. Raises BadLineError."""
    return record_line(parse_json(line), Spot(line.number, line.length, line.end))


def record_line(value: Any, spot: Spot) -> RecordLine:
    """The record that a line's JSON describes. Raises BadLineError."""
    item = _object(value, "The line", RECORD_KEYS)
    if "fields" not in item:
        raise BadLineError(f'There are no "fields"; the line has {listed(item)}.')
    if "externalId" in item and "external_id" in item:
        raise BadLineError('"externalId" and "external_id" are the same: give one of them.')
    external_id = item.get("externalId", item.get("external_id"))
    if not (external_id is None or isinstance(external_id, str)):
        raise BadLineError(f'externalId: {shown(external_id)} is not a string: write "…", or leave it out.')
    fields, metadata = item["fields"], item.get("metadata")
    record = RecordInput(
        fields=fields,
        external_id=external_id,
        metadata=metadata,
        suggestions=[_suggestion(one, index) for index, one in enumerate(_list(item, "suggestions"))],
        content_hash=None if external_id is not None else content_hash(fields, metadata),
    )
    answers = [_answers(one, index) for index, one in enumerate(_list(item, "responses"))]
    return RecordLine(spot.number, spot.length, spot.end, record, answers)


def parse_json(line: Line) -> Any:
    """The JSON value of a line. Raises BadLineError."""
    if line.is_too_long:
        raise BadLineError(
            f"{_beginning(line)} is {line.length:,} bytes long, at most {MAX_LINE_BYTES:,} are taken: split it, or "
            "leave out what is large."
        )
    try:
        return _loads(line.data)
    except json.JSONDecodeError as error:
        raise BadLineError(_what_is_wrong(line, error)) from None
    except (UnicodeDecodeError, RecursionError) as error:
        raise BadLineError(_encoding_problem(line) or f"{_beginning(line)} is nested too deeply.") from error


def parse_cell(text: str) -> Any:
    """The JSON value in a cell of a table. Raises BadLineError."""
    try:
        return _loads(text.encode())
    except json.JSONDecodeError as error:
        around = text[max(error.pos - _CONTEXT, 0) : error.pos + _CONTEXT]
        what = error.msg[:1].lower() + error.msg[1:]
        raise BadLineError(f"It is not JSON at character {error.pos + 1:,}, near {around!r}: {what}.") from None
    except UnicodeEncodeError:
        raise BadLineError(f"{shown(text)} holds half a character (a lone surrogate): remove it.") from None
    except RecursionError:
        raise BadLineError(f"{shown(text)} is nested too deeply.") from None


def reason(error: GradbookError) -> str:
    """An error as a bad line's reason: where in the line, and what."""
    path = list(error.path)
    if path[:1] == ["records"]:
        path = path[2:]
    if not path:
        return error.message
    return f"{path_text(path)}: {error.message.removeprefix(f'{path[-1]}: ')}"


def path_text(path: Sequence[str | int]) -> str:
    """`("responses", 0, "values", "tone")` as people write it: `responses[0].values.tone`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).removeprefix(".")


def _loads(data: bytes) -> Any:
    if _LONG_NUMBER in data.translate(_DIGITS):
        return json.loads(data.decode(), parse_int=_checked_int, parse_constant=_no_constant)
    return orjson.loads(data)


def _suggestion(value: Any, index: int) -> SuggestionInput:
    where = f"suggestions[{index}]"
    item = _object(value, where, SUGGESTION_KEYS, required=("question", "value"))
    return SuggestionInput(item["question"], item["value"], item.get("score"), item.get("agent"))


def _answers(value: Any, index: int) -> NamedAnswers:
    where = f"responses[{index}]"
    item = _object(value, where, RESPONSE_KEYS, required=("user",))
    if not isinstance(item["user"], str):
        raise BadLineError(f"{where}.user: {shown(item['user'])} is not a username: write it as a string.")
    status = item.get("status", ResponseStatus.SUBMITTED.name)
    if not isinstance(status, str) or status not in ResponseStatus.__members__:
        raise BadLineError(f"{where}.status: {shown(status)} is none of {listed(ResponseStatus.__members__)}.")
    return NamedAnswers(item["user"], item.get("values"), ResponseStatus[status])


def _object(value: Any, what: str, keys: Sequence[str], required: Sequence[str] = ()) -> dict[str, Any]:
    if not isinstance(value, dict):
        hint = " (If the file is one JSON list, write each of its items on a line.)" if isinstance(value, list) else ""
        raise BadLineError(f"{what} is {shown(value)}, expected an object {{…}}.{hint}")
    if unknown := [key for key in value if key not in keys]:
        raise BadLineError(f"{what} has {listed(unknown)}, which is not known here: allowed are {listed(keys)}.")
    if missing := [key for key in required if key not in value]:
        raise BadLineError(f"{what} has no {listed(missing)}.")
    return value


def _list(item: Mapping[str, Any], key: str) -> list[Any]:
    value = item.get(key)
    if value is None:
        return []
    if not isinstance(value, list):
        raise BadLineError(f"{key}: {shown(value)} is not a list: write [{{…}}, …].")
    return value


def _checked_int(digits: str) -> int:
    value = int(digits) if len(digits) <= 20 else _MAX_INT + 1
    if not _MIN_INT <= value <= _MAX_INT:
        raise BadLineError(f"The number {shown(digits)[1:-1]} does not fit into 64 bits: write it as a string.")
    return value


def _no_constant(name: str) -> NoReturn:
    raise BadLineError(f"{name} is not JSON: write null, or leave it out.")


def _what_is_wrong(line: Line, error: json.JSONDecodeError) -> str:
    if encoding := _encoding_problem(line):
        return encoding
    text = line.data.decode()
    at = min(error.pos, len(text))
    if "\0" in text:
        at = text.index("\0")
        return f"There is a NUL byte at {_place(line, text, at)}: the line is damaged."
    if line.is_cut_off and at >= len(text) - 1:
        return _cut_off(line)
    for constant in ("NaN", "-Infinity", "Infinity"):
        if text.startswith(constant, at) or text.startswith(constant, at - 1):
            return f"{constant} at {_place(line, text, at)} is not JSON: write null, or leave it out."
    around = text[max(at - _CONTEXT, 0) : at + _CONTEXT]
    what = error.msg[:1].lower() + error.msg[1:]
    return f"It is not JSON at {_place(line, text, at)}, near {around!r}: {what}."


def _cut_off(line: Line) -> str:
    return f"{_beginning(line)} is cut off after {line.length:,} bytes, where the file ends: was it copied completely?"


def _encoding_problem(line: Line) -> str | None:
    try:
        line.data.decode()
    except UnicodeDecodeError as error:
        if line.is_cut_off and error.reason == "unexpected end of data":
            return _cut_off(line)
        return encoding_problem(line.data, line.offset, error)
    return None


def encoding_problem(data: bytes, offset: int, error: UnicodeDecodeError) -> str:
    """What is said about a byte that is not UTF-8; the data begins at that byte of the file."""
    around = data[max(error.start - _CONTEXT, 0) : error.start + _CONTEXT].decode("cp1252", "replace")
    return (
        f"Byte {offset + error.start:,} of the file, 0x{data[error.start]:02X}, is not UTF-8. If {around!r} reads "
        "right, the file is Windows-1252 (Latin-1): convert it by iconv -f WINDOWS-1252 -t UTF-8."
    )


def _place(line: Line, text: str, at: int) -> str:
    return f"character {at + 1:,} (byte {line.offset + len(text[:at].encode()):,} of the file)"


def _beginning(line: Line) -> str:
    text = line.data[: 4 * _SHOWN].decode(errors="ignore")
    return repr(text) if len(text) <= _SHOWN else f"{text[:_SHOWN]!r}…"
