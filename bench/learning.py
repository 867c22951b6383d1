"""Which statements the bare handlers repeat: the product answers each operation once, and is listened to."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import orjson
from sqlalchemy import select

from app.accounts.credentials import hashed, insert_key
from app.accounts.tables import User
from app.annotation.tables import Record, Response
from app.asgi import build_app
from app.db import Database, UnitOfWork
from app.settings import load
from bench.in_process import running
from bench.operations import RECORD_PAGE, SUBMIT_RESPONSE, body, page_variables, submit_variables
from bench.recording import Repeatable, recorded

_VALUES = {"tone": "grave", "clarity": 3}


@dataclass(frozen=True, slots=True)
class LearnedPage:
    """RecordPage. What each wants: authenticate: secret_hash, now; page: viewer_id, dataset_id."""

    authenticate: Repeatable
    page: Repeatable


@dataclass(frozen=True, slots=True)
class LearnedSubmission:
    """SubmitResponse. What each wants:

    authenticate: secret_hash, now; visible: viewer_id, record_id; write: rows, now, and on PostgreSQL record_ids;
    count (SQLite): response_ids, now; response: response_id, viewer_id; record: record_id, viewer_id.
    """

    authenticate: Repeatable
    visible: Repeatable
    write: Repeatable
    count: Repeatable | None
    response: Repeatable
    record: Repeatable


@dataclass(frozen=True, slots=True)
class _Caller:
    """Somebody who asks, and the oldest record."""

    user_id: int
    key: str
    record_id: int
    dataset_id: int


async def learn_page(url: str) -> LearnedPage:
    """As an ADMIN asks for it."""
    async with _product(url) as (database, ask):
        caller = await database.transact(_caller, "admin")
        asked = body(RECORD_PAGE, page_variables(caller.dataset_id))
        with recorded(database) as said:
            await ask(caller.key, asked)
        authenticate, page = [
            one.naming(secret_hash=hashed(caller.key), viewer_id=caller.user_id, dataset_id=caller.dataset_id)
            for one in said
        ]
        return LearnedPage(authenticate, page)


async def learn_submission(url: str) -> LearnedSubmission:
    """As an ANNOTATOR submits."""
    async with _product(url) as (database, ask):
        caller = await database.transact(_caller, "annotator-0")
        asked = body(SUBMIT_RESPONSE, submit_variables(caller.record_id, _VALUES))
        await ask(caller.key, asked)
        response_id = await database.transact(_response_id, caller)
        with recorded(database) as said:
            await ask(caller.key, asked)
        # Of the given rows the id is new each time; all else in them follows from what was asked.
        rows = next(given for one in said for given in one.parameters if str(given).startswith('[{"id":'))
        authenticate, visible, write, *count, response, record = [
            one.naming(
                secret_hash=hashed(caller.key),
                viewer_id=caller.user_id,
                record_id=caller.record_id,
                response_id=response_id,
                rows=rows,
                record_ids=[caller.record_id],
                response_ids=f"[{response_id}]",
            )
            for one in said
        ]
        assert len(count) == (database.dialect_name == "sqlite")
        return LearnedSubmission(authenticate, visible, write, count[0] if count else None, response, record)


@asynccontextmanager
async def _product(url: str) -> AsyncIterator[tuple[Database, Callable[[str, bytes], Awaitable[None]]]]:
    """The running application without a server: its database, and how it is asked."""
    app = build_app(load(database_url=url))
    async with running(app) as (state, ask):

        async def ask_well(key: str, asked: bytes) -> None:
            answer = orjson.loads(await ask(key, asked))
            assert "errors" not in answer, answer

        yield state["services"].database, ask_well


def _caller(uow: UnitOfWork, username: str) -> _Caller:
    """This user, with another key."""
    user_id = uow.session.scalars(select(User.id).where(User.username == username)).one()
    record = uow.session.scalars(select(Record).order_by(Record.id).limit(1)).one()
    return _Caller(user_id, insert_key(uow, user_id, "learning")[1], record.id, record.dataset_id)


def _response_id(uow: UnitOfWork, caller: _Caller) -> int:
    which = (Response.record_id == caller.record_id, Response.user_id == caller.user_id)
    return uow.session.scalars(select(Response.id).where(*which)).one()
