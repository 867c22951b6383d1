"""Whatever the ORM does, the status follows, or the ORM is refused."""

from collections.abc import Callable, Iterable
from typing import Any

import pytest
from sqlalchemy import delete, insert, select, text, update
from sqlalchemy.dialects import sqlite
from sqlalchemy.exc import IntegrityError
from sqlalchemy.util import await_only

from app.annotation import status as status_module
from app.annotation.datasets import UpdateDatasetInput, update_dataset
from app.annotation.responses import save_draft
from app.annotation.status import StatusRuleError
from app.annotation.tables import Dataset, Record, RecordStatus, Response, ResponseStatus
from app.annotation.topics import dataset_topic
from app.db import UnitOfWork
from app.db.guard import UnmarkedWriteError
from tests.annotation.book import GOOD, Book

DRAFT, SUBMITTED, DISCARDED = ResponseStatus.DRAFT, ResponseStatus.SUBMITTED, ResponseStatus.DISCARDED
RESPONSE: Any = Response.__table__
COMPLETED, PENDING = ("COMPLETED", 1), ("PENDING", 0)


def response(uow: UnitOfWork, book: Book, record_id: int, who: str = "ada", **more: Any) -> dict[str, Any]:
    """A good row."""
    return {
        "id": uow.new_id(),
        "dataset_id": book.dataset,
        "record_id": record_id,
        "user_id": book.users[who].id,
        "status": SUBMITTED,
        "values": {"topic": "war"},
        "inserted_at": uow.now,
        "updated_at": uow.now,
    } | more


def new_record(uow: UnitOfWork, book: Book, **more: Any) -> Record:
    values = {
        "id": uow.new_id(),
        "dataset_id": book.dataset,
        "fields": {"text": "by the ORM"},
        "inserted_at": uow.now,
        "updated_at": uow.now,
    }
    return Record(**values | more)


async def write(book: Book, work: Callable[[UnitOfWork], Any]) -> Any:
    """Run `work`, after which all must be well."""
    result = await book.database.transact(work)
    assert await book.drift() == []
    return result


async def test_a_response_is_added_changed_and_deleted(book: Book) -> None:
    (record_id,) = await book.add(1)
    await write(book, lambda uow: uow.session.add(Response(**response(uow, book, record_id))))
    assert await book.state(record_id) == COMPLETED

    def change(uow: UnitOfWork) -> None:
        uow.session.scalars(select(Response)).one().status = DRAFT

    await write(book, change)
    assert await book.state(record_id) == PENDING
    await book.submit("ada", record_id)
    assert await book.state(record_id) == COMPLETED
    await write(book, lambda uow: uow.session.delete(uow.session.scalars(select(Response)).one()))
    assert await book.state(record_id) == PENDING


async def test_the_change_is_marked_and_told(book: Book) -> None:
    (record_id,) = await book.add(1)
    before = await book.rows("SELECT changed, updated_at FROM record")
    told: list[frozenset[str]] = []
    book.database.on_commit = told.append
    await write(book, lambda uow: uow.session.add(Response(**response(uow, book, record_id))))
    after = await book.rows("SELECT changed, updated_at FROM record")
    assert after[0][0] > before[0][0]
    assert after[0][1] > before[0][1]
    assert told == [frozenset({dataset_topic(book.dataset)})]


async def test_a_record_in_the_session_reads_its_new_status(book: Book) -> None:
    (record_id,) = await book.add(1)

    def work(uow: UnitOfWork) -> list[tuple[RecordStatus, int]]:
        record = uow.session.get_one(Record, record_id)
        seen = [(record.status, record.submitted_count)]
        uow.session.add(Response(**response(uow, book, record_id)))
        uow.session.flush()
        seen.append((record.status, record.submitted_count))
        uow.session.execute(update(Response).values(status=DRAFT))
        seen.append((record.status, record.submitted_count))
        return seen

    assert await write(book, work) == [
        (RecordStatus.PENDING, 0),
        (RecordStatus.COMPLETED, 1),
        (RecordStatus.PENDING, 0),
    ]


async def test_bulk_statements_are_followed(book: Book) -> None:
    ids = await book.add(3)
    people = ["ada", "ben", "cyd"]

    def rows(uow: UnitOfWork) -> list[dict[str, Any]]:
        return [response(uow, book, record_id, who) for record_id in ids for who in people]

    async def counts() -> list[int]:
        return [(await book.state(record_id))[1] for record_id in ids]

    await write(book, lambda uow: uow.session.execute(insert(Response), rows(uow)))
    assert await counts() == [3, 3, 3]
    await write(
        book, lambda uow: uow.session.execute(update(Response).where(Response.record_id == ids[0]).values(status=DRAFT))
    )
    assert await counts() == [0, 3, 3]
    ben = book.users["ben"].id
    await write(book, lambda uow: uow.session.execute(delete(Response).where(Response.user_id == ben)))
    assert await counts() == [0, 2, 2]
    await write(book, lambda uow: uow.session.execute(insert(Response).values(response(uow, book, ids[1], "ben"))))

    def two(uow: UnitOfWork) -> None:
        rows = [response(uow, book, ids[2], "ben"), response(uow, book, ids[0], "ben")]
        uow.session.execute(insert(Response).values(rows))

    await write(book, two)
    assert await counts() == [1, 3, 3]

    def by_key(uow: UnitOfWork) -> None:
        found = uow.session.scalars(select(Response.id).where(Response.record_id == ids[2])).all()
        uow.session.execute(update(Response), [{"id": one, "status": DISCARDED} for one in found])

    await write(book, by_key)
    assert await counts() == [1, 3, 0]
    other = Response.__table__.alias("other")
    await write(
        book,
        lambda uow: uow.session.execute(
            update(Response)
            .where(Response.record_id == other.c.record_id, other.c.user_id == ben, Response.status == DISCARDED)
            .values(status=SUBMITTED)
            .execution_options(synchronize_session=False)
        ),
    )
    assert await counts() == [1, 3, 3]
    await write(book, lambda uow: uow.session.execute(delete(Response)))
    assert await counts() == [0, 0, 0]


async def test_a_bulk_update_leaves_objects_of_the_session_right(book: Book) -> None:
    (record_id,) = await book.add(1)
    await book.submit("ada", record_id)

    def work(uow: UnitOfWork) -> tuple[ResponseStatus, int]:
        loaded = uow.session.scalars(select(Response)).one()
        done = uow.session.execute(update(Response).where(Response.status == SUBMITTED).values(status=DRAFT))
        return loaded.status, done.rowcount  # type: ignore[attr-defined]

    assert await write(book, work) == (DRAFT, 1)


@pytest.mark.parametrize("backend", ["postgresql"])  # SQLite's one writer lets nobody in between
async def test_a_bulk_statement_leaves_alone_what_is_written_while_it_takes_its_locks(
    book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = await book.add(2)
    await book.act("ada", save_draft, first, GOOD)
    lock_records = status_module._lock_records

    def lock_and_let_ben_in(uow: UnitOfWork, record_ids: Iterable[int]) -> dict[int, int]:
        locked = lock_records(uow, record_ids)
        monkeypatch.undo()
        await_only(book.act("ben", save_draft, second, GOOD))
        return locked

    monkeypatch.setattr(status_module, "_lock_records", lock_and_let_ben_in)
    drafts = update(Response).where(Response.status == DRAFT).values(status=SUBMITTED)
    await write(book, lambda uow: uow.session.execute(drafts))
    assert [await book.state(record_id) for record_id in (first, second)] == [COMPLETED, PENDING]


async def test_a_record_and_its_response_are_added_together(book: Book) -> None:
    await book.act("owner", update_dataset, UpdateDatasetInput(book.dataset, min_submitted=2))

    def work(uow: UnitOfWork) -> int:
        record = new_record(uow, book)
        uow.session.add_all([Response(**response(uow, book, record.id, who)) for who in ("ada", "ben")])
        uow.session.add(record)
        return record.id

    record_id = await write(book, work)
    assert await book.state(record_id) == ("COMPLETED", 2)
    assert await book.rows("SELECT required FROM record") == [(2,)]


async def test_a_record_is_changed_and_deleted(book: Book) -> None:
    (record_id,) = await book.add(1)
    before = await book.rows("SELECT changed FROM record")

    def rename(uow: UnitOfWork) -> None:
        uow.session.get_one(Record, record_id).external_id = "renamed"

    await write(book, rename)
    assert await book.rows("SELECT external_id FROM record") == [("renamed",)]
    assert await book.rows("SELECT changed FROM record") > before
    await write(book, lambda uow: uow.session.delete(uow.session.get_one(Record, record_id)))
    assert await book.rows("SELECT count(*) FROM record") == [(0,)]


async def test_a_record_goes_with_its_responses_only_when_they_are_named(book: Book) -> None:
    first, second = await book.add(2)
    await book.submit("ada", first)
    await book.submit("ada", second)

    def with_response(uow: UnitOfWork) -> None:
        uow.session.delete(uow.session.scalars(select(Response).where(Response.record_id == first)).one())
        uow.session.flush()
        uow.session.delete(uow.session.get_one(Record, first))

    await write(book, with_response)
    with pytest.raises(StatusRuleError, match=f"Record {second} has 1 responses: delete them first"):
        await book.database.transact(lambda uow: uow.session.delete(uow.session.get_one(Record, second)))

    def together(uow: UnitOfWork) -> None:
        response = uow.session.scalars(select(Response)).one()
        uow.session.delete(uow.session.get_one(Record, second))
        uow.session.delete(response)

    with pytest.raises(StatusRuleError, match="has 1 responses"):
        await book.database.transact(together)
    with pytest.raises(IntegrityError):
        await book.database.transact(lambda uow: uow.session.execute(delete(Record)))
    assert await book.drift() == []


CHANGES: dict[str, Callable[[UnitOfWork, Record, Response, Dataset], None]] = {
    "status of Record": lambda uow, record, response, dataset: setattr(record, "status", RecordStatus.PENDING),
    "submitted_count of Record": lambda uow, record, response, dataset: setattr(record, "submitted_count", 7),
    "required of Record": lambda uow, record, response, dataset: setattr(record, "required", 7),
    "dataset_id of Record": lambda uow, record, response, dataset: setattr(record, "dataset_id", 7),
    "min_submitted of Dataset": lambda uow, record, response, dataset: setattr(dataset, "min_submitted", 7),
    "record_id of Response": lambda uow, record, response, dataset: setattr(response, "record_id", 7),
    "user_id of Response": lambda uow, record, response, dataset: setattr(response, "user_id", 7),
    "dataset_id of Response": lambda uow, record, response, dataset: setattr(response, "dataset_id", 7),
}


async def test_what_would_make_a_status_wrong_is_refused_at_the_flush(book: Book, subtests: pytest.Subtests) -> None:
    (record_id,) = await book.add(1)
    await book.submit("ada", record_id)

    def work(uow: UnitOfWork, change: str) -> None:
        session = uow.session
        record, response = session.get_one(Record, record_id), session.scalars(select(Response)).one()
        CHANGES[change](uow, record, response, session.get_one(Dataset, book.dataset))

    for change in CHANGES:
        with subtests.test(change=change):
            with pytest.raises(StatusRuleError, match=f"{change} .* cannot be set to"):
                await book.database.transact(work, change)
            assert await book.drift() == []


async def test_a_new_record_starts_as_the_rule_says(book: Book) -> None:
    def add(uow: UnitOfWork, wrong: dict[str, Any]) -> None:
        uow.session.add(new_record(uow, book, **wrong))

    cases: list[tuple[dict[str, Any], str]] = [
        ({"status": RecordStatus.COMPLETED}, "status is RecordStatus.PENDING"),
        ({"submitted_count": 3}, "submitted_count is 0, not 3"),
        ({"required": 5}, "required is 1, not 5"),
    ]
    for wrong, message in cases:
        with pytest.raises(StatusRuleError, match=message):
            await book.database.transact(add, wrong)
    await write(book, lambda uow: uow.session.add(new_record(uow, book, required=1, submitted_count=0)))


async def test_a_response_belongs_to_the_dataset_of_its_record(book: Book) -> None:
    (record_id,) = await book.add(1)
    with pytest.raises(StatusRuleError, match=f"has its dataset_id, {book.dataset}, not 7"):
        await book.database.transact(
            lambda uow: uow.session.add(Response(**response(uow, book, record_id, dataset_id=7)))
        )
    with pytest.raises(StatusRuleError, match=f"has its dataset_id, {book.dataset}, not 7"):
        await book.database.transact(
            lambda uow: uow.session.execute(insert(Response), [response(uow, book, record_id, dataset_id=7)])
        )


BULK: dict[str, tuple[type[Exception], Callable[[UnitOfWork, Book, int], Any]]] = {
    "set record_id": (
        StatusRuleError,
        lambda uow, book, record_id: uow.session.execute(update(Response).values(record_id=record_id)),
    ),
    "set user_id by key": (
        StatusRuleError,
        lambda uow, book, record_id: uow.session.execute(update(Response), [{"id": 1, "user_id": 2}]),
    ),
    "insert from select": (
        StatusRuleError,
        lambda uow, book, record_id: uow.session.execute(insert(Response).from_select(["id"], select(Record.id))),
    ),
    "upsert": (
        StatusRuleError,
        lambda uow, book, record_id: uow.session.execute(
            sqlite.insert(Response).values(response(uow, book, record_id)).on_conflict_do_nothing()
        ),
    ),
    "Core through the session": (
        UnmarkedWriteError,
        lambda uow, book, record_id: uow.session.execute(update(RESPONSE).values(status="DRAFT")),
    ),
    "Core on the session's connection": (
        UnmarkedWriteError,
        lambda uow, book, record_id: uow.session.connection().execute(delete(RESPONSE)),
    ),
    "text": (UnmarkedWriteError, lambda uow, book, record_id: uow.session.execute(text("DELETE FROM response"))),
    "fetch": (UnmarkedWriteError, lambda uow, book, record_id: uow.fetch("DELETE FROM response")),
    "bulk_save_objects": (
        UnmarkedWriteError,
        lambda uow, book, record_id: uow.session.bulk_save_objects([Response(**response(uow, book, record_id, "ben"))]),
    ),
    "bulk update of records": (
        UnmarkedWriteError,
        lambda uow, book, record_id: uow.session.execute(update(Record).values(status=RecordStatus.PENDING)),
    ),
    "bulk update of the threshold": (
        UnmarkedWriteError,
        lambda uow, book, record_id: uow.session.execute(update(Dataset).values(min_submitted=9)),
    ),
    "a CTE": (
        UnmarkedWriteError,
        lambda uow, book, record_id: uow.session.execute(
            select(delete(Response).returning(Response.id).cte("gone").c.id)
        ),
    ),
}


async def test_what_cannot_be_followed_is_refused(book: Book, subtests: pytest.Subtests) -> None:
    (record_id,) = await book.add(1)
    await book.submit("ada", record_id)
    for name, (kind, work) in BULK.items():
        with subtests.test(name=name):
            with pytest.raises(kind):
                await book.database.transact(work, book, record_id)
            assert await book.state(record_id) == COMPLETED
            assert await book.drift() == []


async def test_after_a_failed_flush_nothing_is_allowed_that_was_not(book: Book) -> None:
    (record_id,) = await book.add(1)

    def work(uow: UnitOfWork) -> None:
        uow.session.add(Response(**response(uow, book, record_id, values=object())))
        with pytest.raises(Exception, match="not JSON serializable"):
            uow.session.flush()
        uow.session.rollback()
        uow.session.execute(text("DELETE FROM response"))

    with pytest.raises(UnmarkedWriteError):
        await book.database.transact(work)


async def test_verify_finds_what_nobody_should_be_able_to_do(book: Book) -> None:
    first, second, third = await book.add(3)
    await book.submit("ada", first)

    def work(uow: UnitOfWork) -> None:
        with uow.marked("record", "dataset"):
            uow.connection.execute(text("UPDATE record SET status = 'COMPLETED' WHERE id = :id"), {"id": second})
            uow.connection.execute(text("UPDATE record SET submitted_count = 2 WHERE id = :id"), {"id": first})

    await book.database.transact(work)
    found = await book.drift()
    assert [(drift.record_id, drift.external_id) for drift in found] == [(first, "p0"), (second, "p1")]
    assert [drift.stored.submitted for drift in found] == [2, 0]
    assert [drift.true.submitted for drift in found] == [1, 0]
    assert [(drift.stored.status.name, drift.true.status.name) for drift in found] == [
        ("COMPLETED", "COMPLETED"),
        ("COMPLETED", "PENDING"),
    ]

    def threshold(uow: UnitOfWork) -> None:
        with uow.marked("dataset"):
            uow.connection.execute(text("UPDATE dataset SET min_submitted = 2"))

    await book.database.transact(threshold)
    assert [(drift.record_id, drift.stored.required, drift.true.required) for drift in await book.drift()] == [
        (record_id, 1, 2) for record_id in (first, second, third)
    ]
