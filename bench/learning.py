"""Which statements the bare handlers repeat: the product runs each operation once, and is listened to."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from app.accounts.authentication import identify
from app.accounts.credentials import hashed
from app.accounts.tables import User
from app.accounts.viewer import Viewer
from app.annotation.tables import Record, Response
from app.db import Database, UnitOfWork
from app.errors import GradbookError
from app.graphql.operations import Operations, Request
from app.schema import build_schema
from app.services import open_services
from app.settings import load
from bench.operations import RECORD_PAGE, SUBMIT_RESPONSE, page_variables, submit_variables
from bench.recording import Repeatable, recorded

_SECRET = "gb_" + "x" * 43
_VALUES = {"tone": "grave", "clarity": 3}


@dataclass(frozen=True, slots=True)
class LearnedPage:
    """RecordPage. `page` wants viewer_id and dataset_id."""

    authenticate: Repeatable
    page: Repeatable


@dataclass(frozen=True, slots=True)
class LearnedSubmission:
    """SubmitResponse. What each wants:

    visible: viewer_id, record_id; write: rows, now, and on PostgreSQL record_ids; count (SQLite): response_ids, now;
    response: response_id, viewer_id; record: record_id, viewer_id.
    """

    authenticate: Repeatable
    visible: Repeatable
    write: Repeatable
    count: Repeatable | None
    response: Repeatable
    record: Repeatable


async def learn_page(url: str) -> LearnedPage:
    """As an ADMIN asks for it."""
    async with _operations(url) as (database, operations):
        viewer, record = await database.transact(_first, "admin")
        prepared = operations.prepare(Request(RECORD_PAGE, page_variables(record.dataset_id)), viewer)
        with recorded(database) as said:
            _good(await operations.execute(prepared, viewer))
        [page] = said
        return LearnedPage(
            await _authenticate(database), page.naming(viewer_id=viewer.id, dataset_id=record.dataset_id)
        )


async def learn_submission(url: str) -> LearnedSubmission:
    """As an ANNOTATOR submits."""
    async with _operations(url) as (database, operations):
        viewer, record = await database.transact(_first, "annotator-0")
        prepared = operations.prepare(Request(SUBMIT_RESPONSE, submit_variables(record.id, _VALUES)), viewer)
        _good(await operations.execute(prepared, viewer))
        response_id = await database.transact(_response_id, record.id, viewer.id)
        with recorded(database) as said:
            _good(await operations.execute(prepared, viewer))
        # Of the given rows the id is new each time; all else in them follows from what was asked.
        rows = next(given for one in said for given in one.parameters if str(given).startswith('[{"id":'))
        visible, write, *count, response, record_read = [
            one.naming(
                viewer_id=viewer.id,
                record_id=record.id,
                response_id=response_id,
                rows=rows,
                record_ids=[record.id],
                response_ids=f"[{response_id}]",
            )
            for one in said
        ]
        assert len(count) == (database.dialect_name == "sqlite")
        return LearnedSubmission(
            await _authenticate(database), visible, write, count[0] if count else None, response, record_read
        )


@asynccontextmanager
async def _operations(url: str) -> AsyncIterator[tuple[Database, Operations]]:
    settings = load(database_url=url)
    async with open_services(settings) as services:
        built = build_schema(services.cursor_secret)
        yield services.database, Operations(built, services.database, services)


async def _authenticate(database: Database) -> Repeatable:
    # Nobody has this key; the first statement has asked for it.
    with recorded(database) as said, suppress(GradbookError):
        await identify(database, f"Bearer {_SECRET}")
    return said[0].naming(secret_hash=hashed(_SECRET))


def _first(uow: UnitOfWork, username: str) -> tuple[Viewer, Record]:
    """This user and the oldest record."""
    user = uow.session.scalars(select(User).where(User.username == username)).one()
    record = uow.session.scalars(select(Record).order_by(Record.id).limit(1)).one()
    return Viewer(user.id, user.username, user.role), record


def _response_id(uow: UnitOfWork, record_id: int, user_id: int) -> int:
    statement = select(Response.id).where(Response.record_id == record_id, Response.user_id == user_id)
    return uow.session.scalars(statement).one()


def _good(result: dict[str, Any]) -> None:
    assert "errors" not in result, result
