"""Files that are damaged, mislabelled or too large: clear words, and nothing of them is stored."""

import io
import zlib
from typing import Any

import orjson
import pyarrow as pa
import pytest
from pyarrow import parquet

from app.annotation.transfer.formats import Format
from app.errors import GradbookError
from tests.annotation.book import Book
from tests.annotation.test_transfer_formats import argilla, bad, refused, source_of, table
from tests.annotation.transfer import Transfer, passages

CSV = "text,n\n" + "".join(f"passage {n},{n}\n" for n in range(2000))
LIST = orjson.dumps([argilla(id=str(n)) for n in range(400)])
ROWS = table(text=[f"passage {n}" for n in range(20_000)])
LONG = "x" * 70_000_000


def compressed(text: str, rows: int, **options: Any) -> bytes:
    file = io.BytesIO()
    texts = pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), [text])
    parquet.write_table(pa.table({"text": texts}), file, compression="zstd", store_schema=False, **options)
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (CSV.encode() + b'"cut off', "The row that begins in line 2,002 has a quote that is not closed"),
        (CSV.encode() + b'"a"b,c\n', "line 2,002 is no CSV at line 2,002"),
        (CSV.encode() + b"caf\xe9,1\n", "Line 2,002: Byte 33,790 of the file, 0xE9, is not UTF-8. If 'café,1"),
        (CSV.encode("utf-16"), "UTF-16 text"),
        (CSV.encode() + b"text,\x89PNG\xff\n", "0x89, is not UTF-8"),
        (b'"text\n' + b"x" * 17_000_000, "more than 16,000,000 characters: is a quote not closed?"),
        (b'text\n"' + b"x" * 100_000_000 + b'"', "The row that begins in line 2 is longer than 64,000,000 bytes"),
        (b"text,,n\na,b,c\n", "Column 2 of 3 has no name"),
        (b"text,text\na,b\n", 'There are two columns "text"'),
        (b"externalId,external_id,text\n", "are the same"),
        (b"title,body\na,b\n", 'the table has "title", "body", the dataset "text", "chat", "any"'),
        (",".join(f"c{n}" for n in range(1001)).encode(), "1,001 columns, at most 1,000"),
        (b"just some words\n", "No column is a field of the dataset"),
        (LIST[:-1], "ends before the list does, at byte"),
        (LIST[:100_000], "ends before the list does, at byte 100,000, after item"),
        (LIST + b",", "goes on after the list"),
        (b"[" * 100_000, "ends before the list does"),
        (ROWS[:4] + b"x" * 100, "The Parquet file is damaged"),
        (ROWS[: len(ROWS) // 2], "The Parquet file is damaged"),
        (ROWS[:-1], "The Parquet file is damaged"),
        (ROWS[:1000] + b"\0" * 3000 + ROWS[4000:], "The Parquet file is damaged"),
        (table(title=["a"]), "No column is a field of the dataset"),
        (compressed(LONG, 1, use_dictionary=False), "unpacks to 70,000,0"),
        (compressed("x" * 1_000_000, 2_000), "holds more than 1,000,000,000: it is not read"),
    ],
    ids=lambda value: f"{zlib.crc32(value)}" if isinstance(value, bytes) else str(value)[:40],
)
def test_a_damaged_file_is_refused_as_a_whole(content: bytes, says: str) -> None:
    said = refused(content)
    assert says in said
    assert len(said) < 1000


def test_every_truncation_is_seen_before_anything_is_read() -> None:
    small = {Format.PARQUET: table(text=["a", "b"], n=[1, 2]), Format.ARGILLA: orjson.dumps([argilla()])}
    for given, content in small.items():
        for length in range(len(content)):
            with pytest.raises(GradbookError, match="Nothing was imported"):
                source_of(content[:length], given)


@pytest.mark.parametrize(
    ("content", "number", "says"),
    [
        (b"text,any\na,{\n", 2, "column \"any\": It is not JSON at character 2, near '{'"),
        (b"text,any\na,[123456789012345678901]\n", 2, "does not fit into 64 bits"),
        (b"text,any\na," + b"[" * 100_000, 2, 'column "any": '),
        (b"text,tone.suggestion.score\na,high\n", 2, 'column "tone.suggestion.score": It is not JSON'),
        (b"text,responses\na,5\n", 2, "responses: 5 is not a list"),
        (b"text,n\na\n", 2, "The row has 1 cells, the header 2 columns"),
        (table(text=["a"], id=[1.5]), 1, 'column "id": 1.5 is no id'),
        (table(text=pa.array([LONG])), 1, "The row holds 70,000,008 bytes, at most 64,000,000"),
        (b'[{"fields": {"text": "' + LONG.encode() + b'"}}]', 1, "is 70,000,024 bytes long, at most 64,000,000"),
        (b'[{"fields": ' + b"[" * 100_000 + b"]" * 100_000 + b"}]", 1, "It is not JSON"),
        (b'[{"fields": {"text": "caf\xe9"}}]', 1, "0xE9, is not UTF-8"),
    ],
    ids=lambda value: f"{zlib.crc32(value)}" if isinstance(value, bytes) else str(value)[:40],
)
def test_a_bad_record_is_told_with_its_place(content: bytes, number: int, says: str) -> None:
    [(found, reason)] = bad(content)
    assert (found, says in reason) == (number, True), reason
    assert len(reason) < 500


@pytest.mark.parametrize("content", [CSV.encode() + b'"cut off', LIST[:-1], ROWS[:-1]], ids=["csv", "json", "parquet"])
async def test_nothing_of_a_damaged_file_is_stored(book: Book, content: bytes) -> None:
    transfer = Transfer(book.database, book.dataset, book.workspace)
    with pytest.raises(GradbookError, match="Nothing was imported"):
        await transfer.load_file(content)
    assert await book.rows("SELECT count(*) FROM record") == [(0,)]


async def test_a_record_is_whole_or_not_there(book: Book) -> None:
    """What is bad in a record with others keeps it out with all that belongs to it, and them in."""
    transfer = Transfer(book.database, book.dataset, book.workspace)
    lines = [
        {**line, "suggestions": [{"question": "topic", "value": "war" if number % 2 else "wra"}]}
        for number, line in enumerate(passages(10))
    ]
    assert await transfer.load_file(orjson.dumps(lines)) == (5, 0, 0, 5)
    assert await book.rows("SELECT count(*) FROM suggestion") == [(5,)]
