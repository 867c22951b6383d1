"""The rule that cannot be forgotten: what the ORM does to responses and records keeps every status right.

`app.annotation.responses` keeps the counts by difference. Whatever else changes a response, a flush of the session or
a bulk statement of the ORM, goes through here: the records are locked first, in the order of their ids, and counted
anew by a later statement of the same transaction. What cannot be followed is refused with a StatusRuleError; and what
comes neither way is refused by the guard, to whom `PROTECTED` is given.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any, TypeVar

from sqlalchemy import BindParameter, Result, event, func, inspect, select
from sqlalchemy.orm import ORMExecuteState, Session, UOWTransaction
from sqlalchemy.sql.dml import Delete, Insert, Update
from typing_extensions import override

from app.accounts.tables import User
from app.annotation.sql import CHANGE, IDS, among_ids, statement, status
from app.annotation.tables import Dataset, Record, RecordStatus, Response
from app.annotation.topics import dataset_topic
from app.db import UnitOfWork
from app.db.guard import Protection
from app.db.statement import Statement

Entity = TypeVar("Entity")

PROTECTED = (
    Protection("response"),
    Protection("record", frozenset({"status", "submitted_count", "required"})),
    Protection("dataset", frozenset({"min_submitted"})),
)

# What the ORM must leave alone in a stored row, and what to do instead.
_DELETE_AND_ADD = "delete the response and add another"
_FOLLOWS = "it follows from the responses"
_FIXED: Mapping[type[Any], Mapping[str, str]] = {
    Response: dict.fromkeys(("id", "record_id", "user_id", "dataset_id"), _DELETE_AND_ADD),
    Record: {
        "id": "add another record",
        "dataset_id": "add another record",
        "status": _FOLLOWS,
        "submitted_count": _FOLLOWS,
        "required": "it is the dataset's min_submitted",
    },
    Dataset: {"id": "add another dataset", "min_submitted": "call update_dataset, which sets the records' statuses"},
}


class StatusRuleError(Exception):
    """The ORM was asked for what would make a status wrong: a mistake in the code."""


class StatusSession(Session):
    """The session of every unit of work: the events below listen to it."""

    @override
    def flush(self, objects: Sequence[Any] | None = None) -> None:
        # What a flush writes was looked at before, by `_before_flush`.
        with _uow(self).marked("response", "record", "dataset", flush=False):
            super().flush(objects)


@event.listens_for(StatusSession, "before_flush")
def _before_flush(session: Session, _context: UOWTransaction, _objects: Any) -> None:
    uow = _uow(session)
    for changed in session.dirty:
        _refuse_fixed(changed)
    new, changed, deleted = (_of(Response, objects) for objects in (session.new, session.dirty, session.deleted))
    touched = {response.record_id for response in (*new, *changed, *deleted)}
    _lock_users(uow, [response.user_id for response in new])
    _prepare_new_records(uow, _of(Record, session.new))
    dataset_of = _lock_records(uow, touched | {record.id for record in _of(Record, session.deleted)})
    dataset_of |= {record.id: record.dataset_id for record in _of(Record, session.new)}
    for response in new:
        _refuse_foreign_dataset(response.record_id, response.dataset_id, dataset_of)
    _refuse_answered(uow, _of(Record, session.deleted))
    for record in _of(Record, session.dirty):
        record.changed, record.updated_at = uow.change, uow.now
        uow.publish(dataset_topic(record.dataset_id))
    session.info["touched"] = {record_id: dataset_of[record_id] for record_id in touched & dataset_of.keys()}


@event.listens_for(StatusSession, "after_flush")
def _after_flush(session: Session, _context: UOWTransaction) -> None:
    touched = session.info["touched"]
    if touched:
        _recount(session, touched)


@event.listens_for(StatusSession, "after_flush_postexec")
def _after_flush_postexec(session: Session, _context: UOWTransaction) -> None:
    _forget_statuses(session, session.info.pop("touched"))


@event.listens_for(StatusSession, "do_orm_execute")
def _do_orm_execute(state: ORMExecuteState) -> Result[Any] | None:
    writes = isinstance(state.statement, Insert | Update | Delete)
    if not (writes and state.is_orm_statement and state.bind_mapper and state.bind_mapper.class_ is Response):
        return None
    session, uow = state.session, _uow(state.session)
    session.flush()
    rewritten, dataset_of = _plan(uow, state)
    with uow.marked("response", flush=False):
        result = state.invoke_statement(rewritten)
    if dataset_of:
        _recount(session, dataset_of)
        _forget_statuses(session, dataset_of)
    return result


def _plan(uow: UnitOfWork, state: ORMExecuteState) -> tuple[Insert | Update | Delete, dict[int, int]]:
    """The statement, such that it touches no others than the records that are locked now, and these records."""
    write: Any = state.statement
    rows = _given_rows(state)
    if isinstance(write, Insert):
        return write, _plan_insert(uow, write, rows)
    for name in {name for row in rows for name in row} & _FIXED[Response].keys() - (
        {"id"} if _by_key(state) else set()
    ):
        raise StatusRuleError(f"{name} of a response cannot be changed: {_FIXED[Response][name]}.")
    if _by_key(state):
        which = among_ids(Response.__table__.c.id, [row["id"] for row in rows])
        found = uow.connection.execute(select(Response.record_id).where(which).distinct())
        return write, _lock_records(uow, found.scalars())
    found = uow.connection.execute(
        select(Response.record_id).where(*write._where_criteria).distinct(), state.parameters or {}
    )
    dataset_of = _lock_records(uow, found.scalars())
    # A response that another transaction wrote meanwhile could match, too: of a record that is not locked.
    return write.where(among_ids(Response.__table__.c.record_id, list(dataset_of))), dataset_of


def _plan_insert(uow: UnitOfWork, write: Insert, rows: Sequence[Mapping[str, Any]]) -> dict[int, int]:
    ids = [row.get("record_id") for row in rows]
    if write.select is not None or write._post_values_clause is not None or not all(isinstance(i, int) for i in ids):
        raise StatusRuleError(
            "Whose responses this INSERT writes cannot be read from it: give rows with their record_id as numbers and "
            "no ON CONFLICT, or call app.annotation.responses."
        )
    dataset_of = _lock_records(uow, ids)
    for row in rows:
        _refuse_foreign_dataset(row["record_id"], row.get("dataset_id"), dataset_of)
    return dataset_of


def _given_rows(state: ORMExecuteState) -> list[dict[str, Any]]:
    """The columns that a statement sets, by name, one dict for each row of parameters."""
    write: Any = state.statement
    parameters: Any = state.parameters if isinstance(state.parameters, list) else [state.parameters or {}]
    if getattr(write, "_multi_values", None):
        return [_named(row) for rows in write._multi_values for row in rows]
    values = _named(dict(getattr(write, "_ordered_values", None) or getattr(write, "_values", None) or {}))
    return [{**values, **row} for row in parameters]


def _named(row: Mapping[Any, Any]) -> dict[str, Any]:
    return {
        getattr(column, "key", column): value.effective_value if isinstance(value, BindParameter) else value
        for column, value in row.items()
    }


def _by_key(state: ORMExecuteState) -> bool:
    """Whether this is the ORM's bulk UPDATE by primary key: a list of rows with their ids."""
    return state.is_update and isinstance(state.parameters, list)


def _prepare_new_records(uow: UnitOfWork, records: Sequence[Record]) -> None:
    """Nothing submitted, and as many responses required as the dataset wants, which stays while this lasts."""
    if not records:
        return
    ids = sorted({record.dataset_id for record in records})
    _execute(uow, _SHARE_DATASETS, ids=ids)
    required = dict(_execute(uow, _REQUIRED, ids=ids))
    for record in records:
        start = {"status": RecordStatus.PENDING, "submitted_count": 0, "required": required.get(record.dataset_id)}
        for name, value in start.items():
            if getattr(record, name) not in {None, value}:
                raise StatusRuleError(
                    f"A new record's {name} is {value}, not {getattr(record, name)}: {_FIXED[Record][name]}."
                )
            setattr(record, name, value)
        record.changed = uow.change
        uow.publish(dataset_topic(record.dataset_id))


def _refuse_fixed(changed: Any) -> None:
    for name, instead in _FIXED.get(type(changed), {}).items():
        history = inspect(changed).attrs[name].history
        if history.has_changes() and history.added != history.deleted:
            raise StatusRuleError(
                f"{name} of {type(changed).__name__} {changed.id} cannot be set to {history.added[0]}: {instead}."
            )


def _refuse_foreign_dataset(record_id: int, dataset_id: int | None, dataset_of: Mapping[int, int]) -> None:
    if record_id in dataset_of and dataset_id != dataset_of[record_id]:
        raise StatusRuleError(
            f"A response to record {record_id} has its dataset_id, {dataset_of[record_id]}, not {dataset_id}."
        )


def _refuse_answered(uow: UnitOfWork, records: Sequence[Record]) -> None:
    """A record with responses stays: deleting what people said takes saying so."""
    if not records:
        return
    record_id = Response.__table__.c.record_id
    answered = uow.connection.execute(
        select(record_id, func.count())
        .where(among_ids(record_id, [record.id for record in records]))
        .group_by(record_id)
        .order_by(record_id)
    ).first()
    if answered is not None:
        raise StatusRuleError(
            f"Record {answered[0]} has {answered[1]} responses: delete them first and flush, then the record."
        )


def _lock_users(uow: UnitOfWork, user_ids: Iterable[int]) -> None:
    _execute(uow, _LOCK_USERS, ids=sorted(set(user_ids)))


def _lock_records(uow: UnitOfWork, record_ids: Iterable[Any]) -> dict[int, int]:
    """Lock records in the order of their ids; the datasets of those that exist."""
    return dict(_execute(uow, _LOCK_RECORDS, ids=sorted(set(record_ids))))


def _recount(session: Session, dataset_of: Mapping[int, int]) -> None:
    """Count the responses of records that are locked, and set their statuses."""
    uow = _uow(session)
    with uow.marked("record", flush=False):
        _execute(uow, _count(uow.dialect_name), ids=sorted(dataset_of), now=uow.now)
    for dataset_id in set(dataset_of.values()):
        uow.publish(dataset_topic(dataset_id))


def _forget_statuses(session: Session, record_ids: Iterable[int]) -> None:
    """Objects in the session read again what was counted."""
    for record_id in record_ids:
        record = session.identity_map.get(session.identity_key(Record, record_id))
        if record is not None:
            session.expire(record, ["status", "submitted_count", "updated_at", "changed"])


def _of(entity: type[Entity], objects: Iterable[Any]) -> list[Entity]:
    return [item for item in objects if isinstance(item, entity)]


def _uow(session: Session) -> UnitOfWork:
    uow: UnitOfWork = session.info["uow"]
    return uow


def _execute(uow: UnitOfWork, sql: Statement, **values: Any) -> list[Any]:
    # Not `fetch`, which flushes: these run within a flush.
    if not values["ids"]:
        return []
    text, parameters = sql.on(uow.dialect, **values)
    result = uow.connection.exec_driver_sql(text, parameters)
    return [tuple(row) for row in result] if result.returns_rows else []


_record, _dataset, _user = Record.__table__, Dataset.__table__, User.__table__
_LOCK_RECORDS = Statement(
    select(_record.c.id, _record.c.dataset_id)
    .where(among_ids(_record.c.id))
    .order_by(_record.c.id)
    .with_for_update(key_share=True)
)
_LOCK_USERS = Statement(
    select(_user.c.id).where(among_ids(_user.c.id)).order_by(_user.c.id).with_for_update(read=True, key_share=True)
)
_SHARE_DATASETS = Statement(
    select(_dataset.c.id).where(among_ids(_dataset.c.id)).order_by(_dataset.c.id).with_for_update(read=True)
)
_REQUIRED = Statement(select(_dataset.c.id, _dataset.c.min_submitted).where(among_ids(_dataset.c.id)))


@cache
def _count(dialect_name: str) -> Statement:
    return statement(f"""
        UPDATE record SET submitted_count = counted.submitted, updated_at = :now, changed = {CHANGE[dialect_name]},
            status = {status("counted.submitted", "record.required")}
        FROM (
            SELECT r.id, (
                SELECT count(*) FROM response WHERE response.record_id = r.id AND response.status = 'SUBMITTED'
            ) AS submitted
            FROM record AS r WHERE r.id {IDS[dialect_name]}
        ) AS counted WHERE record.id = counted.id""")
