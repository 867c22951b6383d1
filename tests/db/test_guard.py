"""What the guard lets through and what it refuses: as text on both grammars, then through every door of a real one."""

from collections.abc import Callable

import pytest
from sqlalchemy import insert, text, update

from app.db import Database, UnitOfWork
from app.db.guard import Guard, Protection, UnmarkedWriteError
from tests.db.things import Thing, add, names, placed

PROTECTED = [Protection("response"), Protection("record", frozenset({"status", "submitted_count", "required"}))]
BOTH, SQLITE, POSTGRESQL = ["sqlite", "postgresql"], ["sqlite"], ["postgresql"]

# statement, grammars, marks it needs
STATEMENTS: list[tuple[str, list[str], set[str]]] = [
    # Reads, however much they sound like writes.
    ("SELECT * FROM response", BOTH, set()),
    ("SELECT id FROM record WHERE id = ? FOR UPDATE", BOTH, set()),
    ("SELECT id FROM record FOR NO KEY UPDATE OF record", POSTGRESQL, set()),
    ("SELECT 'update response set status = 1', \"delete from response\" FROM record", BOTH, set()),
    ("SELECT 1 FROM response -- DELETE FROM response", BOTH, set()),
    ("SELECT 1 /* DELETE FROM response */ FROM response", BOTH, set()),
    ("SELECT 1 /* /* DELETE FROM response */ UPDATE response SET a = 1 */ FROM response", POSTGRESQL, set()),
    ("SELECT $$ UPDATE response SET a = 1 $$, $x$ DELETE FROM response $x$ FROM record", POSTGRESQL, set()),
    ("SELECT E'it\\'s; DELETE FROM response' FROM response", POSTGRESQL, set()),
    ("SELECT ';' FROM response; SELECT 2", BOTH, set()),
    ("(SELECT id FROM response) UNION (SELECT id FROM record)", BOTH, set()),
    ("WITH a AS (SELECT * FROM response) SELECT count(*) FROM a", BOTH, set()),
    ("SELECT replace(status, 'a', 'b') AS insert_into FROM record", BOTH, set()),
    ("SELECT r.update, r.delete FROM response r", BOTH, set()),
    ("EXPLAIN SELECT * FROM response", BOTH, set()),
    ("COPY response TO STDOUT", POSTGRESQL, set()),
    ("COPY (SELECT * FROM response) TO STDOUT", POSTGRESQL, set()),
    ("VALUES ('response')", BOTH, set()),
    ("LOCK TABLE response IN SHARE MODE", POSTGRESQL, set()),
    # Writes to what is free.
    ("INSERT INTO suggestion (response, status) SELECT response_id, status FROM response", BOTH, set()),
    ("UPDATE question SET status = 'x', required = true", BOTH, set()),
    ("UPDATE responses SET a = 1", BOTH, set()),
    ("UPDATE record SET metadata = (SELECT status FROM response LIMIT 1), changed = 1 WHERE status = 'x'", BOTH, set()),
    ("UPDATE record SET metadata = CASE WHEN status = 'a' THEN required ELSE submitted_count END", BOTH, set()),
    ("UPDATE record SET metadata = coalesce(required, status), x = 1 RETURNING status, required", BOTH, set()),
    ("UPDATE record SET metadata = ARRAY[status, required] WHERE id = 1", POSTGRESQL, set()),
    ("INSERT INTO record (id, metadata) SELECT id, status FROM old", BOTH, set()),
    ("INSERT INTO record (id) VALUES (1) ON CONFLICT (status) DO UPDATE SET metadata = excluded.status", BOTH, set()),
    ("INSERT INTO record DEFAULT VALUES", BOTH, set()),
    ("DELETE FROM record WHERE status = 'PENDING'", BOTH, set()),
    ("DELETE FROM suggestion USING response WHERE true", POSTGRESQL, set()),
    ("TRUNCATE suggestion, record", POSTGRESQL, set()),
    # Writes to the protected table.
    ("INSERT INTO response (id) VALUES (1)", BOTH, {"response"}),
    ("insert\n\tinto\r\n  RESPONSE(id) values(1)", BOTH, {"response"}),
    ("INSERT INTO response DEFAULT VALUES", BOTH, {"response"}),
    ("INSERT OR REPLACE INTO response VALUES (1)", SQLITE, {"response"}),
    ("REPLACE INTO response VALUES (1)", SQLITE, {"response"}),
    ("UPDATE response SET status = 'x'", BOTH, {"response"}),
    ("UPDATE OR IGNORE response SET status = 'x'", SQLITE, {"response"}),
    ("UPDATE ONLY response SET status = 'x'", POSTGRESQL, {"response"}),
    ("UPDATE ONLY (response) SET status = 'x'", POSTGRESQL, {"response"}),
    ("UPDATE response AS r SET status = 'x'", BOTH, {"response"}),
    ("DELETE FROM response", BOTH, {"response"}),
    ("DELETE FROM ONLY response", POSTGRESQL, {"response"}),
    ("MERGE INTO response r USING x ON true WHEN MATCHED THEN DELETE", POSTGRESQL, {"response"}),
    ("MERGE INTO record r USING x ON true WHEN MATCHED THEN UPDATE SET a = 1", POSTGRESQL, {"record"}),
    ("TRUNCATE response", POSTGRESQL, {"response"}),
    ("TRUNCATE TABLE suggestion, ONLY public.response * CASCADE", POSTGRESQL, {"response"}),
    ("COPY response (id) FROM STDIN", POSTGRESQL, {"response"}),
    # The same, in disguise.
    ('DELETE FROM "response"', BOTH, {"response"}),
    ('DELETE FROM "public" . "response"', BOTH, {"response"}),
    ("DELETE FROM main.response", SQLITE, {"response"}),
    ("DELETE FROM `response`", SQLITE, {"response"}),
    ("DELETE FROM [response]", SQLITE, {"response"}),
    ("DELETE FROM 'response'", SQLITE, {"response"}),
    ("DELETE/* */FROM/**/response", BOTH, {"response"}),
    ("DELETE FROM -- the\nresponse", BOTH, {"response"}),
    ("/* /* */ DELETE FROM response -- */", SQLITE, {"response"}),
    ("SELECT 'it''s' ; DELETE FROM response", BOTH, {"response"}),
    ("SELECT E'\\\\'; DELETE FROM response", POSTGRESQL, {"response"}),
    ("SELECT 'a\\'; DELETE FROM response", BOTH, {"response"}),
    ("SELECT E'a'\n'b\\''; DELETE FROM response --'", POSTGRESQL, {"response"}),
    ("SELECT $a$ $b$ $a$; DELETE FROM response -- $b$", POSTGRESQL, {"response"}),
    ("WITH a AS (SELECT 1), d AS (DELETE FROM response RETURNING id) SELECT * FROM d", POSTGRESQL, {"response"}),
    ("WITH a AS (SELECT id FROM record FOR UPDATE) UPDATE response SET x = 1 FROM a", BOTH, {"response"}),
    ("EXPLAIN ANALYZE DELETE FROM response", POSTGRESQL, {"response"}),
    ('DELETE FROM U&"r\\0065sponse"', POSTGRESQL, {"record", "response"}),
    ("DO $$ BEGIN DELETE FROM response; END $$", POSTGRESQL, {"response"}),
    ("PREPARE p AS DELETE FROM response", POSTGRESQL, {"response"}),
    ("SELECT 1; CREATE TRIGGER t AFTER INSERT ON x BEGIN DELETE FROM response; END", SQLITE, {"response"}),
    ("ALTER TABLE response RENAME TO innocent", BOTH, {"response"}),
    ("DROP TABLE response", BOTH, {"response"}),
    # Protected columns.
    ("UPDATE record SET status = 'x'", BOTH, {"record"}),
    ('UPDATE record SET metadata = 1, "Status" = 2', BOTH, {"record"}),
    ("UPDATE record SET 'status' = 2", SQLITE, {"record"}),
    ("UPDATE record SET (metadata, required) = (1, 2)", BOTH, {"record"}),
    ("UPDATE record AS r SET a = b IS DISTINCT FROM c, required = 1", POSTGRESQL, {"record"}),
    ("UPDATE record SET a = (SELECT 1 WHERE true), status = 'x' WHERE id = 1", BOTH, {"record"}),
    ("UPDATE record SET a[1] = 2, submitted_count = submitted_count + 1", POSTGRESQL, {"record"}),
    ("UPDATE record INDEXED BY ix SET required = 1", SQLITE, {"record"}),
    ("INSERT INTO record VALUES (1, 2)", BOTH, {"record"}),
    ("INSERT INTO record SELECT * FROM old", BOTH, {"record"}),
    ("INSERT INTO record (SELECT * FROM old)", POSTGRESQL, {"record"}),
    ("INSERT INTO record ((SELECT * FROM old))", POSTGRESQL, {"record"}),
    ("INSERT INTO record AS r (id, required) VALUES (1, 2)", BOTH, {"record"}),
    ("INSERT INTO record (id) VALUES (1) ON CONFLICT (id) DO UPDATE SET status = 'x'", BOTH, {"record"}),
    ("INSERT OR REPLACE INTO record (id, status) VALUES (1, 2)", SQLITE, {"record"}),
    ("COPY record FROM STDIN", POSTGRESQL, {"record"}),
    ("WITH u AS (INSERT INTO response (id) VALUES (1) RETURNING id) UPDATE record SET status = 'x' FROM u",
     POSTGRESQL, {"response", "record"}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("sql", "dialect_name", "needed"),
    [pytest.param(sql, name, needed, id=f"{name}: {sql}") for sql, names, needed in STATEMENTS for name in names],
)
def test_which_marks_a_statement_needs(sql: str, dialect_name: str, needed: set[str]) -> None:
    guard = Guard(PROTECTED, dialect_name)
    guard.check(sql, frozenset(needed))
    for mark in needed:
        with pytest.raises(UnmarkedWriteError, match=f"protected of {mark}"):
            guard.check(sql, frozenset(needed - {mark}))


def test_the_message_shows_the_statement_and_the_way_out() -> None:
    with pytest.raises(UnmarkedWriteError) as raised:
        Guard(PROTECTED, "sqlite").check("DELETE  FROM\n response", frozenset())
    assert "Call the module that keeps the rule" in str(raised.value)
    assert "DELETE FROM response" in str(raised.value)


@pytest.fixture
async def guarded(things: Database, database_url: str) -> Database:
    """The database again, its table `thing` protected in `count` and `change`."""
    protections = [Protection("thing", frozenset({"count", "change"}))]
    return await Database.open(database_url, protect=protections)


def by_orm(uow: UnitOfWork) -> None:
    uow.session.add(Thing(id=uow.new_id(), name="new", count=1))


def by_orm_update(uow: UnitOfWork) -> None:
    thing = uow.session.query(Thing).one()
    thing.count = 5


def by_core(uow: UnitOfWork) -> None:
    uow.connection.execute(update(Thing).values(count=5))


def by_orm_enabled_update(uow: UnitOfWork) -> None:
    uow.session.execute(update(Thing).values(count=5))


def by_many(uow: UnitOfWork) -> None:
    uow.connection.execute(insert(Thing), [{"id": uow.new_id(), "count": 1} for _ in range(3)])


def by_text(uow: UnitOfWork) -> None:
    uow.connection.execute(text('update "thing" set count = 5'))


def by_driver_sql(uow: UnitOfWork) -> None:
    uow.connection.exec_driver_sql("UPDATE thing SET count = 5")


def by_session_text(uow: UnitOfWork) -> None:
    uow.session.execute(text("UPDATE thing SET name = 'x', count = 5"))


def by_fetch(uow: UnitOfWork) -> None:
    uow.fetch(placed("UPDATE thing SET count = ?", uow.dialect_name), (5,))


DOORS = [
    by_orm,
    by_orm_update,
    by_core,
    by_orm_enabled_update,
    by_many,
    by_text,
    by_driver_sql,
    by_session_text,
    by_fetch,
]


@pytest.mark.parametrize("write", DOORS)
async def test_no_door_is_left_open(guarded: Database, write: Callable[[UnitOfWork], None]) -> None:
    def marked(uow: UnitOfWork, mark: str) -> None:
        with uow.marked(mark):
            write(uow)

    await guarded.transact(add, "old")
    for work, args in ((write, ()), (marked, ("thing2",))):
        with pytest.raises(UnmarkedWriteError, match="protected of thing"):
            await guarded.transact(work, *args)
    assert await guarded.read("SELECT name, count FROM thing") == [("old", None)]
    await guarded.transact(marked, "thing")
    rows = await guarded.read("SELECT count FROM thing WHERE count IS NOT NULL")
    assert rows
    await guarded.close()


async def test_a_mark_covers_its_block_only(guarded: Database) -> None:
    def orm_change_before_the_block(uow: UnitOfWork) -> None:
        uow.session.add(Thing(id=uow.new_id(), count=1))
        with uow.marked("thing"):
            pass

    def write_after_the_block(uow: UnitOfWork) -> None:
        with uow.marked("thing"), uow.marked("other"):
            by_fetch(uow)
        by_fetch(uow)

    def mark_after_an_error(uow: UnitOfWork) -> None:
        try:
            with uow.marked("thing"):
                raise KeyError
        except KeyError:
            by_fetch(uow)

    for work in (orm_change_before_the_block, write_after_the_block, mark_after_an_error):
        with pytest.raises(UnmarkedWriteError):
            await guarded.transact(work)
    assert await names(guarded) == []
    await guarded.close()


async def test_free_columns_and_reads_need_no_mark(guarded: Database) -> None:
    def work(uow: UnitOfWork) -> int:
        add(uow, "x")
        uow.session.query(Thing).one().name = "y"
        uow.session.flush()
        uow.connection.execute(update(Thing).values(name="z").where(Thing.count.is_(None)))
        return len(uow.fetch("SELECT count, change FROM thing WHERE count IS NULL"))

    assert await guarded.transact(work) == 1
    assert await names(guarded) == ["z"]
    await guarded.close()
