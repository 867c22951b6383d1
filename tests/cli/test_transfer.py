"""`gradbook import` and `gradbook export`, on both databases."""

import gzip
import os
import pty
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.cli.conftest import REPOSITORY, Gradbook

PASSAGES = REPOSITORY / "examples" / "passages.jsonl"
SCHEMA = {
    "fields": [{"name": "text", "title": "Passage"}],
    "questions": [
        {"name": "topic", "settings": {"label": {"options": [{"value": "war"}, {"value": "peace"}]}}},
        {"name": "tone", "required": False, "settings": {"rating": {"min": 1, "max": 5}}},
    ],
}


@pytest.fixture
def book(gradbook: Gradbook) -> Gradbook:
    """The command on a database with a workspace, in a folder with `schema.json`."""
    gradbook.ok("workspace", "add", "default")
    (gradbook.folder / "schema.json").write_bytes(orjson.dumps(SCHEMA))
    return gradbook


def write(gradbook: Gradbook, name: str, lines: Iterable[Any]) -> Path:
    path = gradbook.folder / name
    path.write_bytes(b"".join(line if isinstance(line, bytes) else orjson.dumps(line) + b"\n" for line in lines))
    return path


def test_the_passages_go_in_once_and_come_out_again(book: Gradbook) -> None:
    first = book.ok("import", PASSAGES, "--dataset", "passages", "--schema", "schema.json")
    assert "2,500 added, 0 updated, 0 there already, 0 bad; 2,500 lines in" in first.out
    assert first.err.startswith('Dataset \'passages\' was made: its records have "text", asked is "topic", "tone".\n')
    again = book.ok("import", PASSAGES, "--dataset", "passages", "--schema", "schema.json")
    assert "0 added, 0 updated, 2,500 there already, 0 bad" in again.out
    assert again.err == ""

    exported = book.ok("export", "--dataset", "passages")
    lines = exported.out.splitlines()
    given = [orjson.loads(line) for line in PASSAGES.read_bytes().splitlines()]
    assert [orjson.loads(line) for line in lines] == [
        {"externalId": line["external_id"], "fields": line["fields"], "metadata": line["metadata"]} for line in given
    ]
    assert "2,500 records in" in exported.err

    book.ok("export", "--dataset", "passages", "--output", "out.jsonl")
    assert (book.folder / "out.jsonl").read_text() == exported.out
    book.ok("import", "-", "--dataset", "again", "--schema", "schema.json", stdin=exported.out)
    assert book.ok("export", "--dataset", "again").out == exported.out
    book.ok("verify")


def test_bad_lines_are_told_and_the_exit_code_says_so(book: Gradbook) -> None:
    lines = [
        {"externalId": "a", "fields": {"text": "one"}},
        {"externalId": "b", "fields": {"txt": "two"}},
        b'{"externalId": "c", "fields": {"text": "caf\xe9"}}\n',
        {"externalId": "d", "fields": {"text": "x" * 70_000_000}},
        {"externalId": "e", "fields": {"text": "f"}, "responses": [{"user": "ann", "values": {"topic": "war"}}]},
        b'{"externalId": "f", "fields": {"te',
    ]
    write(book, "some.jsonl", lines)
    result = book.run("import", "some.jsonl", "--dataset", "d", "--schema", "schema.json")
    assert result.code == 1
    assert "1 added, 0 updated, 0 there already, 5 bad; 6 lines" in result.out
    told = [line for line in result.err.splitlines() if line.startswith("some.jsonl:")]
    assert [line.split(":")[1] for line in told] == ["2", "3", "4", "5", "6"]
    assert 'fields.txt: There is no field "txt": the dataset has "text".' in told[0]
    assert "0xE9, is not UTF-8" in told[1]
    assert "is 70,000,040 bytes long, at most 64,000,000 are taken" in told[2]
    assert "responses[0].user: there is no user 'ann'; --create-users makes one." in told[3]
    assert "is cut off after 34 bytes, where the file ends" in told[4]

    mended = book.run("import", "some.jsonl", "--dataset", "d", "--create-users", "--on-conflict", "error")
    assert "1 added, 0 updated, 0 there already, 5 bad" in mended.out
    assert "some.jsonl:1: externalId: The dataset has a record with the external id 'a' already" in mended.err
    assert [row[1] for row in book.ok("user", "list").rows] == ["ann"]
    book.ok("verify")


def test_without_a_schema_the_file_says_what_the_records_are(book: Gradbook) -> None:
    write(book, "some.jsonl", [{"fields": {"text": "a"}}, *[{"fields": {"text": str(n)}} for n in range(1500)]])
    late = {"fields": {"text": "b", "chat": [{"role": "user", "content": "Hello"}]}}
    write(book, "late.jsonl", [*[{"fields": {"text": str(n)}} for n in range(1500)], late])
    assert 'its records have "text", asked is "comment"' in book.ok("import", "some.jsonl", "--dataset", "a").err
    assert 'its records have "text", "chat"' in book.ok("import", "late.jsonl", "--dataset", "b").err
    # Standard input is read once: what comes after 1,000 lines is not known when the dataset is made.
    with book.start("import", "-", "--dataset", "c", stdin=subprocess.PIPE) as process:
        out, err = process.communicate((book.folder / "late.jsonl").read_text(), 60)
    assert process.returncode == 1
    assert "standard input:1501: fields.chat: There is no field" in err
    assert "1,500 added" in out
    answered = [{"fields": {"text": "a"}, "responses": [{"user": "ann", "values": {"topic": "war"}}]}]
    write(book, "answered.jsonl", answered)
    assert 'Line 1 answers "topic": say by --schema FILE' in book.refused("import", "answered.jsonl", "--dataset", "e")
    assert 'There is no dataset "e"; there is' in book.refused("export", "--dataset", "e")


def test_a_schema_is_what_create_dataset_takes(book: Gradbook) -> None:
    def refused(schema: Any) -> list[str]:
        write(book, "wrong.json", [schema])
        result = book.run("import", PASSAGES, "--dataset", "d", "--schema", "wrong.json")
        assert (result.code, result.out) == (1, "")
        return result.err.splitlines()

    assert "The schema wrong.json is not JSON" in refused(b"{")[0]
    assert "is no object" in refused([1])[0]
    wrong = refused({**SCHEMA, "fields": [{"name": "text", "type": "TXT"}], "questions": [{"name": "q"}]})
    assert "The schema wrong.json, fields[0].type: Value 'TXT' does not exist in 'FieldType' enum" in wrong[0]
    assert "questions[0]: Expected value of type 'QuestionInput' to include required field 'settings'" in wrong[1]
    ratings = {"name": "r", "settings": {"rating": {"min": 5, "max": 1}}}
    assert refused({**SCHEMA, "questions": [ratings]})[0].startswith(
        "Error: questions[0].settings.rating.max: From 5 to 1"
    )
    assert "No such file or directory" in book.refused("import", PASSAGES, "--dataset", "d", "--schema", "none.json")

    book.ok("import", PASSAGES, "--dataset", "d", "--schema", "schema.json")
    write(book, "other.json", [{**SCHEMA, "fields": [{"name": "title"}]}])
    result = book.ok("import", PASSAGES, "--dataset", "d", "--schema", "other.json")
    assert "exists, with other fields or questions than the schema: it keeps its own" in result.err


def test_where_a_dataset_is(book: Gradbook) -> None:
    write(book, "some.jsonl", [{"fields": {"text": "a"}}])
    book.ok("workspace", "add", "team")
    book.ok("import", "some.jsonl", "--dataset", "d")  # several workspaces: into `default`
    book.ok("import", "some.jsonl", "--dataset", "t", "--workspace", "team")
    assert "1 there already" in book.ok("import", "some.jsonl", "--dataset", "t").out  # where it is
    book.ok("import", "some.jsonl", "--dataset", "d", "--workspace", "team")
    said = 'Several workspaces have a dataset "d": "default", "team". Say by --workspace which is meant.'
    assert book.refused("import", "some.jsonl", "--dataset", "d") == said
    assert book.refused("export", "--dataset", "d") == said
    assert book.ok("export", "--dataset", "d", "--workspace", "team").out == '{"fields":{"text":"a"}}\n'
    assert 'in the workspace \'team\'; there is "d", "t"' in book.refused(
        "export", "--dataset", "x", "--workspace", "team"
    )
    assert "There is no workspace 'no'" in book.refused("export", "--dataset", "d", "--workspace", "no")
    assert "There is no workspace 'no'" in book.refused("import", "some.jsonl", "--dataset", "d", "--workspace", "no")


def test_files_that_are_not_there_or_of_another_kind(book: Gradbook) -> None:
    assert book.refused("import", "none.jsonl", "--dataset", "d") == "none.jsonl: No such file or directory."
    assert "is a folder without dataset_dict.json or state.json" in book.refused("import", ".", "--dataset", "d")
    (book.folder / "some.jsonl.gz").write_bytes(gzip.compress(b'{"fields": {"text": "a"}}\n'))
    assert "compressed by gzip" in book.refused("import", "some.jsonl.gz", "--dataset", "d")
    (book.folder / "wide.jsonl").write_text('{"fields": {"text": "a"}}\n', "utf-16")
    assert "iconv -f UTF-16 -t UTF-8" in book.refused("import", "wide.jsonl", "--dataset", "d")
    (book.folder / "empty.jsonl").touch()
    assert "has no record with fields" in book.refused("import", "empty.jsonl", "--dataset", "d")
    (book.folder / "marked.jsonl").write_text(
        '\ufeff{"fields": {"text": "a"}}\r\n\r\n{"fields": {"text": "b"}}', "utf-8"
    )
    assert "2 added" in book.ok("import", "marked.jsonl", "--dataset", "d").out
    assert book.refused("export", "--dataset", "d", "--output", "no/out.jsonl") == (
        "no/out.jsonl: there is no folder no."
    )
    assert ".xlsx is no format that is written" in book.refused("export", "--dataset", "d", "--output", "out.xlsx")
    assert not (book.folder / "out.xlsx").exists()


def test_an_output_is_complete_or_not_there(book: Gradbook) -> None:
    write(book, "some.jsonl", [{"fields": {"text": "x" * 100_000}, "metadata": {"n": n}} for n in range(300)])
    book.ok("import", "some.jsonl", "--dataset", "d")
    (book.folder / "out.jsonl").write_text("earlier")
    limited = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000));"
        "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "sys.argv = ['gradbook', 'export', '--dataset', 'd', '--output', 'out.jsonl']; from app.cli import main; main()"
    )
    environment = {**book.environment, "PYTHONPATH": str(REPOSITORY)}
    result = subprocess.run(
        [sys.executable, "-c", limited], cwd=book.folder, env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 1
    assert "File too large" in result.stderr
    assert "Traceback" not in result.stderr
    assert (book.folder / "out.jsonl").read_text() == "earlier"
    assert not list(book.folder.glob(".out.jsonl*"))


def test_a_reader_that_leaves_is_no_error_worth_a_word(book: Gradbook) -> None:
    write(book, "some.jsonl", [{"fields": {"text": "x" * 10_000}, "metadata": {"n": n}} for n in range(500)])
    book.ok("import", "some.jsonl", "--dataset", "d")
    with book.start("export", "--dataset", "d") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().startswith('{"fields"')
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 1


def test_on_a_terminal_there_is_a_bar(book: Gradbook) -> None:
    parent, child = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "app.cli", "import", str(PASSAGES), "--dataset", "d"],
        cwd=book.folder,
        env={**book.environment, "PYTHONPATH": str(REPOSITORY), "TERM": "xterm", "COLUMNS": "100"},
        stdout=subprocess.DEVNULL,
        stderr=child,
    )
    os.close(child)
    shown = b""
    try:
        while data := os.read(parent, 10_000):
            shown += data
    except OSError:  # Linux says so when the other side of a terminal is closed
        pass
    finally:
        os.close(parent)
    assert process.wait(60) == 0
    text = shown.decode()
    assert "lines/s" in text
    assert "100%" in text
    assert "0:00:0" in text
