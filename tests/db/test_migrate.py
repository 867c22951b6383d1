"""Migrations on both databases: there and back, no drift, and nothing done to what is not ours."""

import asyncio
import sqlite3
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy import CheckConstraint, Column, Table

from app.db import Database, migrate, revisions
from app.db.migrate import check, current, downgrade, drift, upgrade
from app.db.sqlite_file import APPLICATION_ID
from app.db.types import Base, Text
from app.errors import GradbookError
from tests.support.postgres import PostgresServer


@pytest.fixture
async def empty_url(backend: str, tmp_path: Path, postgres: PostgresServer) -> AsyncIterator[str]:
    """A database that nobody has migrated; on SQLite a file that does not exist."""
    if backend == "sqlite":
        yield f"sqlite:///{tmp_path}/new.db"
        return
    admin = await postgres.connect()
    await admin.execute("DROP DATABASE IF EXISTS never_migrated WITH (FORCE)")
    await admin.execute("CREATE DATABASE never_migrated")
    yield postgres.url("never_migrated")
    await admin.execute("DROP DATABASE never_migrated WITH (FORCE)")
    await admin.close()


async def execute(url: str, sql: str) -> Any:
    """Meddle with a database, past all our doors."""
    if url.startswith("sqlite"):
        with sqlite3.connect(url.split(":///")[1]) as connection:
            rows = connection.execute(sql).fetchall()
        connection.close()
        return rows
    postgres = await asyncpg.connect(url.replace("+asyncpg", ""))
    try:
        return [tuple(row) for row in await postgres.fetch(sql)]
    finally:
        await postgres.close()


def open_and_close(url: str) -> None:
    async def main() -> None:
        async with await Database.open(url):
            pass

    asyncio.run(main())


def in_thread(call: Callable[..., Any], *args: Any) -> Awaitable[Any]:
    return asyncio.to_thread(call, *args)


async def schema(url: str) -> list[Any]:
    if url.startswith("sqlite"):
        rows = await execute(url, "SELECT type, name, sql FROM sqlite_master ORDER BY name")
    else:
        rows = await execute(
            url,
            "SELECT table_name, column_name, data_type, is_nullable, collation_name FROM information_schema.columns"
            " WHERE table_schema = 'public' UNION ALL SELECT conrelid::regclass::text, conname, contype::text,"
            " pg_get_constraintdef(oid), '' FROM pg_constraint WHERE connamespace = 'public'::regnamespace"
            " UNION ALL SELECT tablename, indexname, indexdef, '', '' FROM pg_indexes WHERE schemaname = 'public'"
            " ORDER BY 1, 2, 3",
        )
    return [row for row in rows if "alembic" not in str(row)]


async def test_up_down_up(empty_url: str) -> None:
    await in_thread(upgrade, empty_url)
    assert await in_thread(current, empty_url) == revisions.head()
    up = await schema(empty_url)
    assert len(up) > 20
    await in_thread(downgrade, empty_url, "base")
    assert await in_thread(current, empty_url) is None
    assert await schema(empty_url) == []
    await in_thread(upgrade, empty_url)
    assert await schema(empty_url) == up


async def test_one_revision_at_a_time(empty_url: str) -> None:
    for revision in revisions.known():
        await in_thread(upgrade, empty_url, revision)
        assert await in_thread(current, empty_url) == revision
    for revision in [*reversed(revisions.known()[:-1]), "base"]:
        await in_thread(downgrade, empty_url, revision)
    assert await schema(empty_url) == []


async def test_the_audit_log_outlives_its_new_actions(empty_url: str) -> None:
    def event(number: int, action: str) -> str:
        at = "'2026-01-01T00:00:00.000000Z'"
        return f"INSERT INTO audit_event (id, created_at, action, door) VALUES ({number}, {at}, '{action}', 'COMMAND')"

    ids = "SELECT id FROM audit_event ORDER BY id"
    await in_thread(upgrade, empty_url, "0006")
    await execute(empty_url, event(1, "USER_CREATED"))
    await in_thread(upgrade, empty_url, "0007")
    await execute(empty_url, event(2, "OPERATION_REGISTERED"))
    assert await execute(empty_url, ids) == [(1,), (2,)]
    for sql in ("UPDATE audit_event SET door = 'HTTP'", "DELETE FROM audit_event"):
        with pytest.raises((sqlite3.IntegrityError, asyncpg.IntegrityConstraintViolationError)):
            await execute(empty_url, sql)
    await in_thread(downgrade, empty_url, "0006")
    assert await execute(empty_url, ids) == [(1,)]
    with pytest.raises((sqlite3.IntegrityError, asyncpg.IntegrityConstraintViolationError)):
        await execute(empty_url, "DELETE FROM audit_event")


async def test_migrating_twice_changes_nothing(database_url: str) -> None:
    before = await schema(database_url)
    await in_thread(upgrade, database_url)
    await in_thread(check, database_url)
    assert await schema(database_url) == before


async def test_the_tables_are_what_the_migrations_make(database_url: str) -> None:
    assert await in_thread(drift, database_url) == []


async def test_drift_is_seen(database_url: str) -> None:
    table = Base.metadata.tables["workspace"]
    column: Column[Any] = Column("motto", Text(), CheckConstraint("motto <> ''", name="motto"))
    table.append_column(column)
    try:
        found = await in_thread(drift, database_url)
    finally:
        forget(table, column)
    assert [operation[0] for operation in found] == ["add_constraint", "add_column"] or len(found) == 2
    assert await in_thread(drift, database_url) == []


def forget(table: Table, column: Column[Any]) -> None:
    for constraint in [c for c in table.constraints if str(c.name).endswith("motto")]:
        table.constraints.discard(constraint)
    table._columns.remove(column)


def test_revisions_are_known_by_their_file_names() -> None:
    scripts = ScriptDirectory(str(revisions.folder()))
    assert revisions.head() == scripts.get_current_head()
    assert set(revisions.known()) == {script.revision for script in scripts.walk_revisions()}


async def test_two_processes_migrate_at_once(empty_url: str) -> None:
    """Two replicas that start together: one migrates, the other waits and finds it done."""
    program = (
        "import app.accounts.tables, app.annotation.tables, app.db.migrate as m; print('ready', flush=True); input();"
        f"m.upgrade({empty_url!r})"
    )
    replicas = [
        await asyncio.create_subprocess_exec(sys.executable, "-c", program, stdin=PIPE, stdout=PIPE) for _ in range(2)
    ]
    for replica in replicas:
        assert replica.stdout
        assert await replica.stdout.readline() == b"ready\n"
    await asyncio.gather(*(replica.communicate(b"go\n") for replica in replicas))
    assert [replica.returncode for replica in replicas] == [0, 0]
    await in_thread(check, empty_url)


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)  # SQLite: see the file that somebody keeps locked
async def test_a_migration_waits_for_the_one_before_it(empty_url: str) -> None:
    other = await asyncpg.connect(empty_url.replace("+asyncpg", ""))
    await other.execute(f"SELECT pg_advisory_lock({migrate._LOCK})")
    waiting = asyncio.ensure_future(in_thread(upgrade, empty_url))
    await asyncio.sleep(0.5)
    assert not waiting.done()
    assert await schema(empty_url) == []
    await other.close()
    await waiting
    await in_thread(check, empty_url)


async def test_a_migration_that_fails_leaves_all_as_it_was(empty_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def half_way(config: Any, _: str) -> None:
        config.attributes["connection"].exec_driver_sql("CREATE TABLE half (x int)")
        raise KeyError("half-way")

    monkeypatch.setattr(command, "upgrade", half_way)
    with pytest.raises(KeyError, match="half-way"):
        await in_thread(upgrade, empty_url)
    assert await schema(empty_url) == []
    monkeypatch.undo()
    await in_thread(upgrade, empty_url)


# Databases that are not as they should be


async def test_a_database_newer_than_the_code(database_url: str) -> None:
    await execute(database_url, "UPDATE alembic_version SET version_num = '9999' RETURNING 1")
    for attempt in (upgrade, check, open_and_close):
        with pytest.raises(
            GradbookError, match="revision 9999, which this version of Gradbook does not know"
        ) as raised:
            await in_thread(attempt, database_url)
        assert raised.value.code == "DATABASE_MISMATCH"
    assert await in_thread(current, database_url) == "9999"


async def test_a_database_older_than_the_code(database_url: str) -> None:
    await in_thread(downgrade, database_url, "base")
    for attempt in (check, open_and_close):
        with pytest.raises(GradbookError, match="is empty: run `gradbook migrate`"):
            await in_thread(attempt, database_url)


async def test_a_database_of_another_program(empty_url: str) -> None:
    await execute(empty_url, "CREATE TABLE invoices (number int)")
    before = await schema(empty_url)
    for attempt in (upgrade, check, open_and_close):
        with pytest.raises(
            GradbookError, match=r"another program's.*invoices.*left as it was|another program"
        ) as raised:
            await in_thread(attempt, empty_url)
        assert raised.value.code == "DATABASE_MISMATCH"
        assert "invoices" in str(raised.value)
    assert await schema(empty_url) == before


@pytest.mark.parametrize(
    "content", [b"id,name\n1,a\n" * 100, b"x", b"SQLite format 3\0", b"SQLite format 3\0" + b"\xff" * 5_000]
)
async def test_a_file_that_is_no_database(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "people.csv"
    path.write_bytes(content)
    url = f"sqlite:///{path}"
    for attempt in (upgrade, check, open_and_close):
        with pytest.raises(GradbookError, match=r"people\.csv is not a SQLite database") as raised:
            await in_thread(attempt, url)
        assert raised.value.code == "DATABASE_MISMATCH"
    assert path.read_bytes() == content


async def test_another_programs_application_id(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/fossil.db"
    await execute(url, "PRAGMA application_id = 252006673")
    with pytest.raises(GradbookError, match="another program"):
        await in_thread(upgrade, url)


async def test_an_empty_file_becomes_a_database(tmp_path: Path) -> None:
    path = tmp_path / "empty.db"
    path.touch()
    url = f"sqlite:///{path}"
    await in_thread(upgrade, url)
    assert await execute(url, "PRAGMA application_id") == [(APPLICATION_ID,)]
    assert await execute(url, "PRAGMA journal_mode") == [("wal",)]


async def test_a_folder_that_is_not_there_and_one_that_is_no_file(tmp_path: Path) -> None:
    for path in (tmp_path / "nowhere" / "x.db", tmp_path):
        with pytest.raises(GradbookError, match="cannot be opened") as raised:
            await in_thread(upgrade, f"sqlite:///{path}")
        assert raised.value.code == "DATABASE_UNAVAILABLE"


async def test_a_path_with_odd_characters(tmp_path: Path) -> None:
    folder = tmp_path / "50% off a#b ü"
    folder.mkdir()
    url = f"sqlite:///{folder}/my book.db"
    await in_thread(upgrade, url)
    assert (folder / "my book.db").exists()
    async with await Database.open(url) as database:
        assert await database.read("SELECT 1") == [(1,)]


async def test_references_that_a_migration_breaks_are_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Foreign keys are off while SQLite migrates, so they are checked at the end."""
    url = f"sqlite:///{tmp_path}/a.db"
    await in_thread(upgrade, url)

    def orphan(config: Any, _: str) -> None:
        config.attributes["connection"].exec_driver_sql(
            "INSERT INTO membership (workspace_id, user_id, created_at) VALUES (1, 2, 'now')"
        )

    monkeypatch.setattr(command, "upgrade", orphan)
    with pytest.raises(RuntimeError, match=r"would break 2 references, such as .'membership'"):
        await in_thread(upgrade, url)
    assert await execute(url, "SELECT count(*) FROM membership") == [(0,)]


async def test_a_file_that_somebody_keeps_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migrate, "_PATIENCE", 0.1)
    url = f"sqlite:///{tmp_path}/a.db"
    await in_thread(upgrade, url)
    other = sqlite3.connect(tmp_path / "a.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(GradbookError, match="stayed locked by another process") as raised:
        await in_thread(upgrade, url)
    other.close()
    assert raised.value.code == "DATABASE_BUSY"
