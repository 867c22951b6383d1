"""The raw drivers, opened as the product opens them, for the bare handlers: nothing waits, nothing retries."""

from __future__ import annotations

import asyncio
import datetime
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from queue import SimpleQueue
from typing import Any, Protocol, TypeVar

import asyncpg
import orjson

from app.annotation.answers import check_answers
from app.annotation.questions import parse_questions
from app.annotation.tables import ResponseStatus
from app.db.changes import SQLITE_NEXT_CHANGE
from app.db.database import make_backend
from app.db.guard import Guard
from app.db.ids import IdGenerator
from app.db.options import Options
from app.db.postgresql import PostgresBackend
from app.db.sqlite_file import connect
from app.db.types import instant_text
from app.db.unit_of_work import Room
from app.db.url import parse_url
from bench.learning import LearnedSubmission

CONNECTIONS = 8
"""As many as there are clients, so that nobody waits for one."""

R = TypeVar("R")
Rows = Sequence[Sequence[Any]]


class Door(Protocol):
    """One database."""

    def now(self, instant: datetime.datetime) -> Any:
        """An instant as the driver takes it."""

    async def read(self, sql: str, parameters: Sequence[Any]) -> Rows:
        """All rows of a statement."""

    async def submit(
        self, learned: LearnedSubmission, viewer_id: int, record_id: int, values: Mapping[str, Any]
    ) -> tuple[str, str]:
        """Check and write a response in one transaction; the JSON of the response and of the record."""


@asynccontextmanager
async def open_door(url: str) -> AsyncIterator[Door]:
    """The door of the database's kind."""
    parsed = parse_url(url)
    if parsed.get_backend_name() == "sqlite":
        sqlite_door = SqliteDoor(str(parsed.database))
        try:
            yield sqlite_door
        finally:
            await sqlite_door.close()
        return
    backend = make_backend(parsed, Options(), Room(Guard((), "postgresql")))
    assert isinstance(backend, PostgresBackend)
    door = PostgresDoor(
        [await backend.connect(read_only=True) for _ in range(CONNECTIONS)],
        [await backend.connect() for _ in range(CONNECTIONS)],
    )
    try:
        yield door
    finally:
        await door.close()


class PostgresDoor:
    """asyncpg."""

    def __init__(self, readers: list[asyncpg.Connection[Any]], writers: list[asyncpg.Connection[Any]]) -> None:
        self._readers = readers
        self._writers = writers
        self._ids = IdGenerator()

    def now(self, instant: datetime.datetime) -> Any:
        return instant

    async def read(self, sql: str, parameters: Sequence[Any]) -> Rows:
        connection = self._readers.pop()
        try:
            rows: Rows = await connection.fetch(sql, *parameters)
            return rows
        finally:
            self._readers.append(connection)

    async def submit(
        self, learned: LearnedSubmission, viewer_id: int, record_id: int, values: Mapping[str, Any]
    ) -> tuple[str, str]:
        connection = self._writers.pop()

        async def say(statement: tuple[str, list[Any]]) -> Rows:
            rows: Rows = await connection.fetch(statement[0], *statement[1])
            return rows

        try:
            async with connection.transaction():
                [(_, questions)] = await say(learned.visible.on(viewer_id=viewer_id, record_id=record_id))
                rows = _rows(self._ids.new_id(), viewer_id, record_id, _checked(questions, values))
                now = datetime.datetime.now(datetime.UTC)
                [written] = await say(learned.write.on(rows=rows, record_ids=[record_id], now=now))
                [(_, response)] = await say(learned.response.on(response_id=written[0], viewer_id=viewer_id))
                [(_, record)] = await say(learned.record.on(record_id=record_id, viewer_id=viewer_id))
        finally:
            self._writers.append(connection)
        return response, record

    async def close(self) -> None:
        """Close all connections."""
        for connection in (*self._readers, *self._writers):
            await connection.close()


class SqliteDoor:
    """sqlite3 in threads: readers, and one writer, which is entered once per submission."""

    def __init__(self, path: str) -> None:
        options = Options()
        self._readers = [_Thread(connect(path, options, read_only=True)) for _ in range(CONNECTIONS)]
        raw = connect(path, options)
        raw.create_function("change_number", 0, lambda: self._change)
        self._writer = _Thread(raw)
        self._change = 0
        self._ids = IdGenerator()

    def now(self, instant: datetime.datetime) -> Any:
        return instant_text(instant)

    async def read(self, sql: str, parameters: Sequence[Any]) -> Rows:
        reader = self._readers.pop()
        try:
            return await reader.call(partial(_fetch, reader.raw, (sql, parameters)))
        finally:
            self._readers.append(reader)

    async def submit(
        self, learned: LearnedSubmission, viewer_id: int, record_id: int, values: Mapping[str, Any]
    ) -> tuple[str, str]:
        return await self._writer.call(partial(self._submit, learned, viewer_id, record_id, values))

    def _submit(
        self, learned: LearnedSubmission, viewer_id: int, record_id: int, values: Mapping[str, Any]
    ) -> tuple[str, str]:
        raw = self._writer.raw
        assert learned.count is not None
        raw.execute("BEGIN IMMEDIATE")
        try:
            [(_, questions)] = _fetch(raw, learned.visible.on(viewer_id=viewer_id, record_id=record_id))
            rows = _rows(self._ids.new_id(), viewer_id, record_id, _checked(questions, values))
            now = self.now(datetime.datetime.now(datetime.UTC))
            [(response_id, _, _)] = _fetch(raw, learned.write.on(rows=rows, now=now))
            [(self._change,)] = _fetch(raw, (SQLITE_NEXT_CHANGE, ()))
            _fetch(raw, learned.count.on(response_ids=f"[{response_id}]", now=now))
            [(_, response)] = _fetch(raw, learned.response.on(response_id=response_id, viewer_id=viewer_id))
            [(_, record)] = _fetch(raw, learned.record.on(record_id=record_id, viewer_id=viewer_id))
            raw.execute("COMMIT")
        except BaseException:
            raw.rollback()
            raise
        return response, record

    async def close(self) -> None:
        """Close all connections."""
        for thread in (*self._readers, self._writer):
            await thread.call(thread.raw.close)
            thread.calls.put(None)


class _Thread:
    """A connection, and the thread that alone uses it."""

    def __init__(self, raw: sqlite3.Connection) -> None:
        self.raw = raw
        self.calls: SimpleQueue[tuple[asyncio.Future[Any], Callable[[], Any]] | None] = SimpleQueue()
        threading.Thread(target=self._run, daemon=True).start()

    def call(self, work: Callable[[], R]) -> asyncio.Future[R]:
        """Run `work` on the thread."""
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self.calls.put((future, work))
        return future

    def _run(self) -> None:
        while call := self.calls.get():
            future, work = call
            try:
                settle = partial(future.set_result, work())
            except Exception as error:  # noqa: BLE001 - it is the caller's
                settle = partial(future.set_exception, error)
            future.get_loop().call_soon_threadsafe(settle)


def _fetch(raw: sqlite3.Connection, statement: tuple[str, Sequence[Any]]) -> Rows:
    return raw.execute(*statement).fetchall()


def _checked(questions: str, values: Mapping[str, Any]) -> str:
    """The answers as JSON, after the product's own check."""
    checked, errors = check_answers(parse_questions(questions), values, ResponseStatus.SUBMITTED)
    assert not errors, errors
    return orjson.dumps(checked).decode()


def _rows(response_id: int, user_id: int, record_id: int, answers: str) -> str:
    row = {"id": response_id, "record_id": record_id, "user_id": user_id, "status": "SUBMITTED", "answers": answers}
    return orjson.dumps([row]).decode()
