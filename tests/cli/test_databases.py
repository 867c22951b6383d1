"""Databases that are not there, not ours, or of another version: one clear line, and nothing is touched."""

import hashlib
import re
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from app.db import Database
from tests.cli.conftest import REPOSITORY, Gradbook
from tests.support.postgres import PostgresServer

COMMANDS = [["serve", "--port", "0"], ["migrate"], ["verify"]]


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def make(path: Path, kind: str) -> None:
    if kind == "text":
        path.write_text("This is no database.\n" * 1000)
        return
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE recipes (name text)")
    connection.close()


@pytest.mark.parametrize(
    ("kind", "said"), [("text", "is not a SQLite database"), ("foreign", "is another program's SQLite database")]
)
def test_a_file_that_is_not_ours_is_left_as_it_is(kind: str, said: str, unmigrated: Callable[[str], Gradbook]) -> None:
    gradbook = unmigrated("other.db")
    path = gradbook.folder / "other.db"
    make(path, kind)
    before = digest(path)
    for command in COMMANDS:
        assert said in gradbook.refused(*command), command
    assert digest(path) == before
    assert sorted(gradbook.folder.iterdir()) == [path]


async def test_a_newer_database_is_left_as_it_is(gradbook: Gradbook) -> None:
    async with await Database.open(gradbook.url) as database:
        await database.transact(lambda uow: uow.fetch("UPDATE alembic_version SET version_num = '9999'"))
    for command in COMMANDS:
        said = gradbook.refused(*command)
        assert "9999" in said
        assert "newer version" in said, command


def test_a_database_that_is_not_there(unmigrated: Callable[[str], Gradbook], postgres: PostgresServer) -> None:
    gradbook = unmigrated("missing.db")
    for command in (["user", "list"], ["export", "--dataset", "d"]):
        assert "run `gradbook migrate`" in gradbook.refused(*command)
    assert list(gradbook.folder.iterdir()) == []
    nowhere = unmigrated("no/such/folder/some.db")
    for command in (["migrate"], ["serve", "--port", "0"]):
        assert "cannot be opened" in nowhere.refused(*command)
    for url, said in (
        ("mysql://localhost/book", "it starts with 'mysql'"),
        ("sqlite://", "it names no file"),
        (postgres.url("nowhere"), 'database "nowhere" does not exist'),
        ("postgresql://me:secret@127.0.0.1:1/book", "cannot be reached"),
    ):
        told = gradbook.refused("serve", "--port", "0", "--database-url", url)
        assert said in told
        assert "secret" not in told


def test_a_path_that_cannot_be_opened(unmigrated: Callable[[str], Gradbook]) -> None:
    gradbook = unmigrated("folder.db")
    (gradbook.folder / "folder.db").mkdir()
    for command in COMMANDS:
        assert "cannot be opened" in gradbook.refused(*command)


def test_migrating_is_said_and_can_be_done_again(unmigrated: Callable[[str], Gradbook]) -> None:
    gradbook = unmigrated("new.db")
    first = gradbook.ok("migrate").out
    assert first.startswith("The database is at revision ")
    assert gradbook.ok("migrate").out == first
    assert [row[1] for row in gradbook.ok("workspace", "list").rows] == ["default"]


async def test_a_status_that_is_wrong_is_found_and_shown(gradbook: Gradbook) -> None:
    gradbook.ok("workspace", "add", "default")
    (gradbook.folder / "some.jsonl").write_text('{"externalId": "a", "fields": {"t": "a"}}\n{"fields": {"t": "b"}}\n')
    gradbook.ok("import", "some.jsonl", "--dataset", "d")
    async with await Database.open(gradbook.url) as database:  # without the guard
        await database.transact(lambda uow: uow.fetch("UPDATE record SET status = 'COMPLETED', submitted_count = 3"))
    result = gradbook.run("verify")
    assert result.code == 1
    first, second = result.out.splitlines()
    assert re.fullmatch(r"rec_\d+ \('a'\) in dst_\d+: is COMPLETED with 3 of 1, should be PENDING with 0 of 1", first)
    assert re.fullmatch(r"rec_\d+ in dst_\d+: is COMPLETED .*", second)


def test_a_full_disk_is_one_line(unmigrated: Callable[[str], Gradbook]) -> None:
    gradbook = unmigrated("full.db")
    gradbook.ok("migrate")
    (gradbook.folder / "some.jsonl").write_text('{"fields": {"t": "' + "x" * 2_000_000 + '"}}\n')
    limited = (
        "import resource, signal, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000));"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "sys.argv = ['gradbook', 'import', 'some.jsonl', '--dataset', 'd']; from app.cli import main; main()"
    )
    result = subprocess.run(
        [sys.executable, "-c", limited],
        cwd=gradbook.folder,
        env={**gradbook.environment, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1].startswith("Error: The database failed: ")
    assert "Traceback" not in result.stderr
    assert "1 added" in gradbook.ok("import", "some.jsonl", "--dataset", "d").out
