"""Files as people have them: what is read of them, and what is said about what cannot be read."""

import io
import tracemalloc
from typing import Any

import pytest

from app.annotation.record_items import SuggestionInput, content_hash
from app.annotation.tables import ResponseStatus
from app.annotation.transfer.line_format import BadLineError, NamedAnswers, RecordLine, parse_record
from app.annotation.transfer.lines import MAX_LINE_BYTES, read_lines
from app.errors import GradbookError
from app.settings import Settings


def read(data: bytes, limit: int = 1000) -> list[tuple[int, bytes]]:
    return [(line.number, line.data) for line in read_lines(io.BytesIO(data), limit)]


def parse(data: bytes) -> RecordLine:
    (line,) = read_lines(io.BytesIO(data))
    return parse_record(line)


def refused(data: bytes) -> str:
    with pytest.raises(BadLineError) as error:
        parse(data)
    return str(error.value)


@pytest.mark.parametrize(
    ("data", "lines"),
    [
        (b"", []),
        (b"a\nb\n", [(1, b"a"), (2, b"b")]),
        (b"a\nb", [(1, b"a"), (2, b"b")]),
        (b"a\r\nb\r\n", [(1, b"a"), (2, b"b")]),
        (b"\n  \n\r\na\n\n", [(4, b"a")]),
        (b"\xef\xbb\xbfa\nb\n", [(1, b"a"), (2, b"b")]),
        (b"\xef\xbb\xbf\na\n", [(2, b"a")]),
        (b"\xef\xbb\xbf", []),
        ("Zeile\u2028eins\u0085\n".encode(), [(1, "Zeile\u2028eins\u0085".encode())]),
    ],
)
def test_lines_end_where_lines_end(data: bytes, lines: list[tuple[int, bytes]]) -> None:
    assert read(data) == lines


def test_places_in_the_file_are_bytes() -> None:
    lines = list(read_lines(io.BytesIO("\ufeffäb\r\n\nc".encode())))
    assert [(line.offset, line.end, line.length, line.is_cut_off) for line in lines] == [
        (3, 8, 3, False),
        (9, 10, 1, True),
    ]


@pytest.mark.parametrize("length", [999, 1000, 1001, 3000, 3_000_000])
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b""])
def test_a_long_line_is_passed_over(length: int, end: bytes) -> None:
    rest = b"next\n" if end else b""
    first, *others = read_lines(io.BytesIO(b"x" * length + end + rest), 1000)
    assert first.is_too_long == (length + len(end) > 1000 or length == 1000)
    assert [line.data for line in others] == ([b"next"] if end else [])
    if first.is_too_long:
        assert first.data == b"x" * 240
        assert first.length in {length, length + len(end)}


class Endless(io.RawIOBase):
    """So many bytes without a line end, made when they are read."""

    def __init__(self, size: int) -> None:
        self.left = size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        count = min(len(buffer), self.left)
        buffer[:count] = b"x" * count
        self.left -= count
        return count


def test_a_line_of_a_gigabyte_is_never_held() -> None:
    size = 1_000_000_000
    tracemalloc.start()
    try:
        (line,) = read_lines(io.BufferedReader(Endless(size)), 1_000_000)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert line.length == size
    assert peak < 5_000_000
    with pytest.raises(BadLineError, match="is 1,000,000,000 bytes long, at most 64,000,000 are taken"):
        parse_record(line)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ('{"fields": {}}\n'.encode("utf-16"), "UTF-16 text (it begins with the bytes FF FE)"),
        ('{"fields": {}}\n'.encode("utf-16-be"), "iconv -f UTF-16BE -t UTF-8"),
        ('{"fields": {}}\n'.encode("utf-32"), "UTF-32"),
        (b"\x1f\x8b\x08\x00", "gunzip -c FILE | gradbook import -"),
        (b"PK\x03\x04", "ZIP"),
    ],
)
def test_a_file_of_another_kind_is_refused_as_a_whole(data: bytes, said: str) -> None:
    with pytest.raises(GradbookError, match="Nothing was imported") as error:
        list(read_lines(io.BytesIO(data)))
    assert error.value.code == "INVALID_INPUT"
    assert said in error.value.message


def test_a_line_with_everything() -> None:
    line = parse(
        '{"externalId": "ä-1", "fields": {"text": "…", "n": 18446744073709551615}, "metadata": {"year": 1900},'
        ' "suggestions": [{"question": "tone", "value": ["calm"], "score": 1, "agent": "m"},'
        ' {"question": "q", "value": 2}],'
        ' "responses": [{"user": "ann", "values": {"tone": "calm"}, "status": "DRAFT"}, {"user": "ben"}]}'.encode()
    )
    record = line.record
    assert (record.external_id, record.metadata) == ("ä-1", {"year": 1900})
    assert record.fields == {"text": "…", "n": 2**64 - 1}
    assert record.suggestions == [SuggestionInput("tone", ["calm"], 1, "m"), SuggestionInput("q", 2)]
    assert line.answers == [
        NamedAnswers("ann", {"tone": "calm"}, ResponseStatus.DRAFT),
        NamedAnswers("ben", None, ResponseStatus.SUBMITTED),
    ]
    assert [response.user_id for response in line.with_users({"ann": 7, "ben": 8}).responses] == [7, 8]


def test_the_key_is_the_external_id_in_either_spelling_or_the_content() -> None:
    assert parse(b'{"external_id": "a", "fields": {}}').record.key == ("a", None)
    assert parse(b'{"externalId": null, "fields": {"a": 1}}').record.key == (None, content_hash({"a": 1}, None))
    first = parse(b'{"fields": {"a": 1, "b": {"c": 2, "d": 3}}, "metadata": {"m": 1}, "responses": [{"user": "ann"}]}')
    again = parse(b'{"metadata":{"m":1},"fields":{"b":{"d":3,"c":2},"a":1}}')
    assert first.record.key == again.record.key
    assert parse(b'{"fields": {"a": 1, "b": {"c": 2, "d": 3}}, "metadata": {"m": 2}}').record.key != first.record.key


@pytest.mark.parametrize(
    ("data", "said"),
    [
        # Not an object of the right shape.
        (b"[1, 2]\n", "The line is [1,2], expected an object {…}. (If the file is one JSON list"),
        (b'"text"\n', 'The line is "text", expected an object'),
        (b"{}\n", 'There are no "fields"; the line has none.'),
        (b'{"text": "a"}\n', 'The line has "text", which is not known here: allowed are "externalId"'),
        (b'{"fields": {}, "id": 1, "meta": {}}\n', 'The line has "id", "meta", which is not known'),
        (b'{"fields": {}, "externalId": 7}\n', "externalId: 7 is not a string"),
        (b'{"fields": {}, "externalId": "a", "external_id": "a"}\n', "are the same: give one"),
        (b'{"fields": {}, "suggestions": {"tone": 1}}\n', 'suggestions: {"tone":1} is not a list'),
        (b'{"fields": {}, "suggestions": [{"question": "q"}]}\n', 'suggestions[0] has no "value".'),
        (b'{"fields": {}, "suggestions": ["q"]}\n', 'suggestions[0] is "q", expected an object'),
        (b'{"fields": {}, "responses": [{}]}\n', 'responses[0] has no "user".'),
        (b'{"fields": {}, "responses": [{"user": 7}]}\n', "responses[0].user: 7 is not a username"),
        (b'{"fields": {}, "responses": [{"user": "a", "status": "done"}]}\n', 'responses[0].status: "done" is none of'),
        (b'{"fields": {}, "responses": [{"user": "a", "value": 1}]}\n', 'responses[0] has "value", which is not known'),
        # Not JSON.
        (b"text\n", "It is not JSON at character 1 (byte 0 of the file), near 'text'"),
        ('{"fields": {"ä": 1 2}}\n'.encode(), "It is not JSON at character 20 (byte 20 of the file)"),
        (b'{"fields": {"a": NaN}}\n', "NaN at character 18 (byte 17 of the file) is not JSON: write null"),
        (b'{"fields": {"a": -Infinity}}\n', "-Infinity at character"),
        (b'{"fields": {"a": "\0"}}\n', "There is a NUL byte at character 19 (byte 18 of the file)"),
        (b'{"fields": {"a": 18446744073709551616}}\n', "18446744073709551616 does not fit into 64 bits"),
        (b'{"fields": {"a": -9223372036854775809}}\n', "-9223372036854775809 does not fit into 64 bits"),
        (b'{"fields": {"a": 10000000000000000000, "b": NaN}}\n', "NaN is not JSON"),
        (b'{"fields": {"a": ' + b"[" * 5000 + b"]" * 5000 + b"}}\n", "not JSON"),
        (b'{"fields": {"a": 10000000000000000000, "b": ' + b"[" * 5000 + b"]" * 5000 + b"}}\n", "nested too deeply"),
        # Cut off, which only a last line without its end can be.
        (b'{"fields": {"text": "abc', '\'{"fields": {"text": "abc\' is cut off after 24 bytes, where the file ends'),
        (b'{"fields": {"text": 1', "is cut off after 21 bytes"),
        ('{"fields": {"text": "ä'.encode()[:-1], "is cut off after 22 bytes"),
        (b'{"fields": {"text": "abc\n', "It is not JSON at character 25"),
        # Another encoding.
        (b'{"fields": {"text": "caf\xe9"}}\n', "Byte 24 of the file, 0xE9, is not UTF-8. If"),
        (b'{"fields": {"text": "caf\xe9"}}\n', "café"),
        (b'{"fields": {"text": "caf\xe9"}}\n', "iconv -f WINDOWS-1252 -t UTF-8"),
    ],
)
def test_a_bad_line_is_told_with_the_value_and_the_place(data: bytes, said: str) -> None:
    assert said in refused(data)


def test_places_count_from_the_beginning_of_the_file() -> None:
    lines = list(read_lines(io.BytesIO(b"\xef\xbb\xbf{}\r\n" + b'{"fields": {"a": "\xff"}}\n')))
    with pytest.raises(BadLineError, match="Byte 25 of the file, 0xFF"):
        parse_record(lines[1])


def test_messages_stay_short() -> None:
    long = "x" * 100_000
    for data in (
        f'{{"fields": {{}}, "{long}": 1}}',
        f'{{"fields": {{}}, "externalId": ["{long}"]}}',
        f'{{"fields": {{}}, "responses": [{{"user": ["{long}"]}}]}}',
        f'{{"fields": "{long}',
        f'{{"fields": "{long}" 1}}',
        f'["{long}"]',
        f'{{"a": {"1" * 100_000}}}',
    ):
        assert len(refused(data.encode() + b"\n")) < 400


def test_the_longest_line_takes_what_one_request_may_bring() -> None:
    assert Settings.model_fields["max_body_bytes"].default < MAX_LINE_BYTES
