"""Transactions: all or nothing, run again when that helps, published after the commit."""

import asyncio
import contextvars
import datetime
import logging
import sqlite3
import threading
from typing import Any

import asyncpg
import pytest
from sqlalchemy import insert, select
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.orm import Session

from app.db import Database, Options, UnitOfWork
from app.db.database import ATTEMPTS
from app.db.ids import IdGenerator
from app.db.types import instant_text
from app.errors import Code, GradbookError
from tests.db.things import Thing, add, names, placed


async def test_core_orm_and_fetch_share_the_transaction(things: Database) -> None:
    def work(uow: UnitOfWork) -> list[str]:
        add(uow, "fetch")
        uow.session.add(Thing(id=uow.new_id(), name="orm"))
        uow.connection.execute(insert(Thing).values(id=uow.new_id(), name="core"))
        assert len(uow.fetch("SELECT 1 FROM thing")) == 3, "fetch sees what the session held"
        uow.session.add(Thing(id=uow.new_id(), name="late"))
        return [thing.name or "" for thing in uow.session.scalars(select(Thing))]

    assert sorted(await things.transact(work)) == ["core", "fetch", "late", "orm"]
    assert await names(things) == ["core", "fetch", "late", "orm"]


async def test_what_the_session_holds_is_written_before_the_commit(things: Database) -> None:
    def work(uow: UnitOfWork) -> Thing:
        thing = Thing(id=uow.new_id(), name="orm")
        uow.session.add(thing)
        return thing

    thing = await things.transact(work)
    assert thing.name == "orm", "readable after the end: nothing is expired"
    assert await names(things) == ["orm"]


async def test_an_error_rolls_everything_back(things: Database) -> None:
    def work(uow: UnitOfWork) -> None:
        add(uow, "fetch")
        uow.session.add(Thing(id=uow.new_id(), name="orm"))
        uow.session.flush()
        uow.publish("topic")
        raise GradbookError(Code.CONFLICT, "no")

    published: list[Any] = []
    things.on_commit = published.append
    with pytest.raises(GradbookError, match="no"):
        await things.transact(work)
    assert await names(things) == []
    assert published == []
    await things.transact(add, "the connection is as good as new")


async def test_a_savepoint_keeps_what_came_before_it(things: Database) -> None:
    def work(uow: UnitOfWork) -> None:
        add(uow, "a")
        with pytest.raises(IntegrityError), uow.connection.begin_nested():
            uow.connection.execute(insert(Thing).values(id=uow.new_id(), name="a"))
        add(uow, "b")

    await things.transact(work)
    assert await names(things) == ["a", "b"]


async def test_an_error_that_is_swallowed_is_not_lost(things: Database) -> None:
    """PostgreSQL answers the COMMIT after it with a quiet ROLLBACK; SQLite goes on."""

    def work(uow: UnitOfWork) -> None:
        add(uow, "a")
        try:
            add(uow, "a")
        except Exception:  # noqa: BLE001
            return

    if things.dialect_name == "postgresql":
        with pytest.raises(RuntimeError, match="Nothing was written: a statement failed"):
            await things.transact(work)
        assert await names(things) == []
    else:
        await things.transact(work)
        assert await names(things) == ["a"]


async def test_now_viewer_and_ids(things: Database) -> None:
    def work(uow: UnitOfWork, extra: int) -> Any:
        assert uow.now is uow.now
        return uow.now, uow.viewer, uow.new_ids(3), extra, uow.dialect_name

    before = datetime.datetime.now(datetime.UTC)
    now, viewer, ids, extra, dialect_name = await things.transact(work, 5, viewer="ann")
    assert before <= now <= datetime.datetime.now(datetime.UTC)
    assert now.tzinfo is datetime.UTC
    assert (viewer, extra, dialect_name) == ("ann", 5, things.dialect_name)
    assert ids == sorted(set(ids))


async def test_a_raw_instant_is_written_as_a_column_would(things: Database) -> None:
    def work(uow: UnitOfWork) -> None:
        uow.fetch(placed("INSERT INTO thing (id, at) VALUES (1, ?)", uow.dialect_name), (uow.now,))
        assert uow.connection.execute(select(Thing.at)).scalar_one() == uow.now

    await things.transact(work)
    [(at,)] = await things.read("SELECT at FROM thing")
    assert isinstance(at, datetime.datetime) or at == instant_text(datetime.datetime.fromisoformat(at))


async def test_topics_are_published_once_after_the_commit(things: Database) -> None:
    published: list[tuple[frozenset[str], list[str]]] = []
    tasks: list[asyncio.Task[None]] = []

    async def look(topics: frozenset[str]) -> None:
        published.append((topics, await names(things)))

    things.on_commit = lambda topics: tasks.append(asyncio.create_task(look(topics)))

    def work(uow: UnitOfWork) -> None:
        uow.publish("b")
        add(uow, "x")
        uow.publish("a")
        uow.publish("b")

    await things.transact(work)
    await things.transact(add, "silent")
    await asyncio.gather(*tasks)
    assert [topics for topics, _ in published] == [frozenset({"a", "b"})]
    assert "x" in published[0][1]


async def test_a_broken_hook_does_not_unmake_a_commit(things: Database, caplog: pytest.LogCaptureFixture) -> None:
    def broken(topics: frozenset[str]) -> None:
        raise KeyError(topics)

    def work(uow: UnitOfWork) -> None:
        uow.publish("t")
        add(uow, "x")

    things.on_commit = broken
    with caplog.at_level(logging.ERROR):
        await things.transact(work)
    assert await names(things) == ["x"]
    assert "publishing ['t'] failed" in caplog.text


def test_a_session_class_can_be_given_for_its_events(database_url: str) -> None:
    class Listening(Session):
        pass

    def work(uow: UnitOfWork) -> tuple[type[Session], bool]:
        return type(uow.session), uow.session.info["uow"] is uow

    async def main() -> tuple[type[Session], bool]:
        async with await Database.open(database_url, session_class=Listening) as database:
            return await database.transact(work)

    assert asyncio.run(main()) == (Listening, True)


async def test_a_unit_of_work_that_has_ended_executes_nothing(things: Database) -> None:
    kept = await things.transact(lambda uow: uow)
    with pytest.raises(RuntimeError, match="has ended"):
        kept.fetch("SELECT 1")


async def test_context_variables_reach_the_function(things: Database) -> None:
    request_id: contextvars.ContextVar[str] = contextvars.ContextVar("request_id")
    request_id.set("r-1")
    assert await things.transact(lambda _: request_id.get()) == "r-1"


# Retries


def transient_error(database: Database) -> Exception:
    if database.dialect_name == "postgresql":
        failure: Exception = asyncpg.SerializationError("could not serialize access")
        return failure
    error = sqlite3.OperationalError("database is locked")
    error.sqlite_errorcode = sqlite3.SQLITE_BUSY
    return error


async def test_a_transient_error_runs_the_whole_function_again(things: Database) -> None:
    attempts: list[UnitOfWork] = []

    def work(uow: UnitOfWork) -> str:
        attempts.append(uow)
        add(uow, "once")
        uow.publish(f"attempt {len(attempts)}")
        if len(attempts) < 3:
            raise transient_error(things)
        return "done"

    published: list[frozenset[str]] = []
    things.on_commit = published.append
    assert await things.transact(work) == "done"
    assert len({id(uow) for uow in attempts}) == 3
    assert await names(things) == ["once"]
    assert published == [frozenset({"attempt 3"})]


async def test_attempts_are_bounded(things: Database) -> None:
    attempts = 0

    def work(uow: UnitOfWork) -> None:
        nonlocal attempts
        attempts += 1
        raise transient_error(things)

    with pytest.raises(GradbookError, match=f"through {ATTEMPTS} attempts; nothing was written") as raised:
        await things.transact(work)
    assert raised.value.code == "DATABASE_BUSY"
    assert attempts == ATTEMPTS


async def test_other_errors_are_not_tried_again(things: Database) -> None:
    await things.transact(add, "a")
    attempts = 0

    def work(uow: UnitOfWork) -> None:
        nonlocal attempts
        attempts += 1
        uow.connection.execute(insert(Thing).values(id=uow.new_id(), name="a"))

    with pytest.raises(IntegrityError):
        await things.transact(work)
    assert attempts == 1


@pytest.mark.parametrize("way", ["fetch", "core", "orm"])
async def test_a_collision_of_ids_takes_another_worker_number(
    things: Database, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process with our worker number drew our next id first."""

    def work(uow: UnitOfWork) -> int:
        new = uow.new_id()
        if way == "fetch":
            uow.fetch(placed("INSERT INTO thing (id, name) VALUES (?, 'x')", uow.dialect_name), (new,))
        elif way == "core":
            uow.connection.execute(insert(Thing).values(id=new, name="x"))
        else:
            uow.session.add(Thing(id=new, name="x"))
        return new

    taken = await things.transact(add, "other")
    workers: list[int] = []
    draw = IdGenerator.new_id

    def colliding(self: IdGenerator) -> int:
        workers.append(self.worker)
        return taken if len(workers) == 1 else draw(self)

    monkeypatch.setattr(IdGenerator, "new_id", colliding)
    new = await things.transact(work)
    assert new != taken
    assert await names(things) == ["other", "x"]
    assert len(workers) == 2
    assert workers[0] != workers[1]


async def test_a_collision_that_stays_is_reported_as_it_is(things: Database) -> None:
    await things.transact(add, "a")

    def work(uow: UnitOfWork) -> None:
        uow.connection.execute(insert(Thing).from_select(["id", "name"], select(Thing.id, Thing.name + "2")))

    with pytest.raises(IntegrityError):
        await things.transact(work)


async def test_two_writers_of_one_row_lose_nothing(database_url: str, things: Database) -> None:
    """Read, think, write, from two openings of the database: on SQLite two writer threads."""

    def make(uow: UnitOfWork) -> None:
        uow.connection.execute(insert(Thing).values(id=1, count=0))

    attempts = 0

    def increase(uow: UnitOfWork) -> None:
        nonlocal attempts
        attempts += 1
        lock = " FOR NO KEY UPDATE" if uow.dialect_name == "postgresql" else ""
        [(count,)] = uow.fetch(f"SELECT count FROM thing WHERE id = 1{lock}")
        uow.fetch(placed("UPDATE thing SET count = ? WHERE id = 1", uow.dialect_name), (count + 1,))

    await things.transact(make)
    async with await Database.open(database_url) as other:
        await asyncio.gather(*(database.transact(increase) for database in (things, other) for _ in range(40)))
    assert await things.read("SELECT count FROM thing") == [(80,)]
    assert attempts == 80, "who waits for the lock first need not try again"


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)  # SQLite has one writer: nothing to deadlock with
async def test_deadlocks_are_tried_again(things: Database) -> None:
    """Two transactions that take two rows in opposite order, at the same moment, both succeed in the end."""

    def make(uow: UnitOfWork) -> None:
        uow.connection.execute(insert(Thing), [{"id": 1, "count": 0}, {"id": 2, "count": 0}])

    attempts = 0

    def cross(uow: UnitOfWork, first: int, second: int) -> None:
        nonlocal attempts
        attempts += 1
        uow.fetch("UPDATE thing SET count = count + 1 WHERE id = $1", (first,))
        uow.fetch("SELECT pg_sleep(0.1)")
        uow.fetch("UPDATE thing SET count = count + 1 WHERE id = $1", (second,))

    await things.transact(make)
    await asyncio.gather(things.transact(cross, 1, 2), things.transact(cross, 2, 1))
    assert await things.read("SELECT count FROM thing") == [(2,), (2,)]
    assert attempts >= 3


async def test_a_lock_held_too_long_is_database_busy(database_url: str, things: Database) -> None:
    await things.transact(add, "a")
    held, release = threading.Event(), threading.Event()

    def hold(uow: UnitOfWork) -> None:
        uow.fetch("UPDATE thing SET count = 1")
        held.set()
        if uow.dialect_name == "sqlite":
            release.wait(10)
        else:
            uow.fetch("SELECT pg_sleep(2)")

    def write(uow: UnitOfWork) -> None:
        uow.fetch("UPDATE thing SET count = 2")

    async with await Database.open(database_url, options=Options(busy_timeout=0.05)) as impatient:
        holding = asyncio.create_task(things.transact(hold))
        await asyncio.to_thread(held.wait, 10)
        with pytest.raises(GradbookError, match="nothing was written, try again") as raised:
            await impatient.transact(write)
        release.set()
        await holding
    assert raised.value.code == "DATABASE_BUSY"
    assert await things.read("SELECT count FROM thing") == [(1,)]


# Cancellation


async def test_a_cancelled_caller_leaves_a_whole_transaction(things: Database) -> None:
    started = threading.Event()
    published: list[frozenset[str]] = []
    things.on_commit = published.append

    def work(uow: UnitOfWork) -> None:
        add(uow, "first")
        started.set()
        uow.fetch(SLEEP[uow.dialect_name])
        add(uow, "second")
        uow.publish("t")

    task = asyncio.create_task(things.transact(work))
    await asyncio.to_thread(started.wait, 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await names(things) == [], "not yet committed"
    await things.transact(add, "after") if things.dialect_name == "sqlite" else await asyncio.sleep(0.5)
    assert {"first", "second"} <= set(await names(things))
    assert published == [frozenset({"t"})]


async def test_a_cancelled_caller_of_a_failing_transaction_leaves_nothing(things: Database) -> None:
    started = threading.Event()

    def work(uow: UnitOfWork) -> None:
        add(uow, "first")
        started.set()
        uow.fetch(SLEEP[uow.dialect_name])
        raise KeyError("no")

    task = asyncio.create_task(things.transact(work))
    await asyncio.to_thread(started.wait, 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.sleep(0.5)
    assert await names(things) == []


async def test_closing_lets_running_transactions_end(things: Database, database_url: str) -> None:
    started = threading.Event()

    def work(uow: UnitOfWork) -> None:
        started.set()
        uow.fetch(SLEEP[uow.dialect_name])
        add(uow, "x")

    other = await Database.open(database_url)
    task = asyncio.create_task(other.transact(work))
    await asyncio.to_thread(started.wait, 10)
    await other.close()
    await task
    assert await names(things) == ["x"]
    with pytest.raises(RuntimeError, match="was closed"):
        await other.transact(add, "y")


async def test_closing_lets_a_transaction_be_tried_again(things: Database, database_url: str) -> None:
    attempts = 0

    def work(uow: UnitOfWork) -> None:
        nonlocal attempts
        attempts += 1
        add(uow, "x")
        if attempts < 4:
            raise transient_error(things)

    other = await Database.open(database_url)
    task = asyncio.create_task(other.transact(work))
    await asyncio.sleep(0)
    await other.close()
    await task
    assert await names(things) == ["x"]


# 0.3 s on PostgreSQL, about that on SQLite.
SLEEP = {
    "postgresql": "SELECT pg_sleep(0.3)",
    "sqlite": "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000000) SELECT max(i) FROM n",
}


async def test_errors_of_the_driver_come_through(things: Database) -> None:
    def raw(uow: UnitOfWork) -> None:
        uow.fetch("SELECT nonsense")

    def core(uow: UnitOfWork) -> None:
        uow.connection.exec_driver_sql("SELECT nonsense")

    with pytest.raises(Exception, match="nonsense") as raised:
        await things.transact(raw)
    assert not isinstance(raised.value, DBAPIError)
    with pytest.raises(DBAPIError, match="nonsense"):
        await things.transact(core)
