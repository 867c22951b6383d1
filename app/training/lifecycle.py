"""The states of a task and how it gets from one to another.

A transition is one compare-and-set UPDATE: of two that race one finds the state that it wants. What is said again is no
error: a start of what runs registers its source, and the same end changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any
from uuid import uuid4

from sqlalchemy import ColumnElement, case, literal, select, true, update
from sqlalchemy.dialects import postgresql, sqlite

from app.annotation.checks import invalid, raise_errors
from app.annotation.sql import CHANGE, rows, rows_json, statement
from app.db.changes import change_number
from app.db.statement import Statement
from app.db.types import Instant
from app.db.unit_of_work import UnitOfWork
from app.errors import Code, GradbookError
from app.training import scope
from app.training.secrets import secret_in_name
from app.training.tables import MetricSource, TaskStatus, TrainTask
from app.training.task_names import TaskName, is_named, shown_name
from app.training.task_values import (
    MAX_ERROR,
    MAX_LOG_TAIL,
    MAX_SUMMARY,
    object_problem,
    redacted_value,
    report_problem,
    task_values,
)
from app.training.topics import publish_task

PENDING, RUNNING, SUCCESS = TaskStatus.PENDING, TaskStatus.RUNNING, TaskStatus.SUCCESS
FAILED, CANCELED = TaskStatus.FAILED, TaskStatus.CANCELED

TRANSITIONS: dict[TaskStatus, tuple[TaskStatus, ...]] = {
    PENDING: (RUNNING, CANCELED),
    RUNNING: (SUCCESS, FAILED, CANCELED),
    SUCCESS: (),
    FAILED: (),
    CANCELED: (),
}
"""From each state those that it can become."""

MAX_SOURCE = 200  # characters
MAX_HOST = 500
MAX_STEPS = 2**53 - 1  # what every client's numbers hold

_BY = {RUNNING: "startTrainTask", SUCCESS: "finishTrainTask", FAILED: "failTrainTask", CANCELED: "cancelTrainTask"}
_task = TrainTask.__table__


@dataclass(frozen=True, slots=True)
class Moved:
    """A task after a transition. `redacted` says where secrets were in what came with it."""

    id: int
    redacted: list[str]


@dataclass(frozen=True, slots=True)
class Started(Moved):
    """A running task, and the number that its source's next report is to have."""

    next_sequence: int


@dataclass(frozen=True, slots=True)
class StartTrainTask:
    """Who begins to run a task, and where. `source` names the process that will report."""

    task: TaskName
    source: str = ""
    host: str | None = None
    total_steps: int | None = None
    log_path: str | None = None


def start_train_task(uow: UnitOfWork, start: StartTrainTask) -> Started:
    """PENDING → RUNNING. A task that runs gets one more source, and was heard of.

    Raises NOT_FOUND, INVALID_TRANSITION, INVALID_INPUT.
    """
    raise_errors(_start_problems(start))
    given, redacted = redacted_value({"host": start.host})
    values = {"host": given["host"], "total_steps": start.total_steps}
    paths = task_values({"logPath": start.log_path})
    values |= {"log_path": paths.values["logPath"]}
    begins = _task.c.status == PENDING
    moved = _move(
        uow,
        start.task,
        RUNNING,
        {name: value for name, value in values.items() if value is not None}
        | {
            "start_time": case((begins, literal(uow.now, Instant())), else_=_task.c.start_time),
            "updated_at": case((begins, literal(uow.now, Instant())), else_=_task.c.updated_at),
            "heartbeat_at": uow.now,
        },
        again=True,
    )
    if moved is None:
        raise _refused(uow, start.task, RUNNING)
    sequence = _register(uow, moved, start.source)
    return Started(moved, [*redacted, *paths.redacted], sequence)


def finish_train_task(
    uow: UnitOfWork, task: TaskName, output_path: str | None = None, summary: Mapping[str, Any] | None = None
) -> Moved:
    """RUNNING → SUCCESS. Raises NOT_FOUND, INVALID_TRANSITION, INVALID_INPUT."""
    given, redacted = redacted_value({"summary": summary})
    raise_errors(object_problem(given["summary"], MAX_SUMMARY, "summary"))
    paths = task_values({"outputPath": output_path})
    values = {"output_path": paths.values["outputPath"], "summary": given["summary"]}
    said = {name: value for name, value in values.items() if value is not None}
    return Moved(_end(uow, task, SUCCESS, said), [*redacted, *paths.redacted])


def fail_train_task(uow: UnitOfWork, task: TaskName, error: str, log_tail: str | None = None) -> Moved:
    """RUNNING → FAILED, and the next attempt if there are to be more. Raises NOT_FOUND, INVALID_TRANSITION."""
    given, redacted = redacted_value({"error": error, "logTail": log_tail})
    raise_errors(
        [
            *report_problem(given["error"], MAX_ERROR, "error"),
            *report_problem(given["logTail"], MAX_LOG_TAIL, "logTail"),
        ]
    )
    number = _end(uow, task, FAILED, {"error": given["error"], "log_tail": given["logTail"]})
    return Moved(number, redacted)


def cancel_train_task(uow: UnitOfWork, task: TaskName) -> Moved:
    """PENDING | RUNNING → CANCELED. Who runs it learns it from the answer to their next report."""
    return Moved(_end(uow, task, CANCELED, {"stop_requested": true()}), [])


def retry_train_task(uow: UnitOfWork, task: TaskName) -> int:
    """The next attempt of a FAILED task, with the same inputs; the one that is there already, if there is one.

    Raises NOT_FOUND, INVALID_TRANSITION.
    """
    state = visible_task(uow, task, lock=True)
    if state.status is not FAILED:
        possible = _possible(state.status)
        raise _invalid(
            f"{shown_name(task)} is {state.status.name}, and only what is FAILED is tried again: {possible}."
        )
    insert_attempts(uow, [state.id])
    number = uow.connection.execute(select(_task.c.id).where(_task.c.retry_of_id == state.id)).scalar_one()
    publish_task(uow, number)
    return int(number)


def insert_attempts(uow: UnitOfWork, task_ids: Sequence[int], *, only_if_left: bool = False) -> None:
    """Enter the next attempt of each of these tasks: once, whoever else does.

    `only_if_left`: of those of which `maxAttempts` allows it, and that are not deleted.
    """
    if not task_ids:
        return
    ids = uow.new_ids(len(task_ids))
    new = [{"old_id": old, "id": number, "task_uuid": str(uuid4())} for old, number in zip(task_ids, ids, strict=True)]
    insert = _insert_attempts(uow.dialect_name, only_if_left)
    for (number,) in uow.fetch(*insert.on(uow.dialect, rows=rows_json(new), now=uow.now)):
        publish_task(uow, number)


_NEW = {"old_id": "bigint", "id": "bigint", "task_uuid": "text"}
_FORGOTTEN = (
    *("cloned_from_id", "start_time", "end_time", "heartbeat_at", "host", "total_steps", "step", "epoch"),
    *("error", "log_tail", "summary", "deleted_at"),
)


@cache
def _insert_attempts(name: str, only_if_left: bool) -> Statement:
    values = {
        **dict.fromkeys(_FORGOTTEN, "NULL"),
        **dict.fromkeys(("lost", "stop_requested"), "false"),
        **dict.fromkeys(("created_at", "updated_at"), ":now"),
        "id": "rows.id",
        "task_uuid": "rows.task_uuid",
        "retry_of_id": "old.id",
        "attempt": "old.attempt + 1",
        "status": f"'{PENDING.name}'",
        "version": "1",
        "next_arrival": "0",
        "changed": CHANGE[name],
    }
    columns = [column.name for column in _task.c]
    values_sql = ", ".join(values.get(column, f"old.{column}") for column in columns)
    enough = "old.attempt < old.max_attempts AND old.deleted_at IS NULL" if only_if_left else "true"
    return statement(f"""
        INSERT INTO train_task ({", ".join(columns)})
        SELECT {values_sql} FROM {rows(name, _NEW)} JOIN train_task AS old ON old.id = rows.old_id
        WHERE {enough} ON CONFLICT (retry_of_id) DO NOTHING RETURNING id""")


@dataclass(frozen=True, slots=True)
class TaskState:
    """A task that the viewer sees."""

    id: int
    workspace_id: int
    status: TaskStatus
    version: int
    model_name: str


def visible_task(uow: UnitOfWork, task: TaskName, *path: str, lock: bool = False, remove: bool = False) -> TaskState:
    """The task, if the viewer sees it; with `lock` nobody changes it meanwhile. Raises NOT_FOUND.

    With `remove` nobody refers to it meanwhile, either: whoever does, as the compactor, is waited for.
    """
    wanted = select(_task.c.id, _task.c.workspace_id, _task.c.status, _task.c.version, _task.c.model_name).where(
        is_named(_task, task), visible(uow)
    )
    if lock or remove:
        wanted = wanted.with_for_update(key_share=not remove)
    row = uow.connection.execute(wanted, {"viewer_id": uow.viewer.id}).first()
    if row is None:
        message = f"There is no training task {shown_name(task)} that you can see."
        raise GradbookError(Code.NOT_FOUND, message, path or ("id",))
    return TaskState(*row)


def visible(uow: UnitOfWork) -> ColumnElement[bool]:
    """Which tasks the viewer sees, and may write: their own, and as an ADMIN or OWNER all that they see."""
    return scope.train_task(_task, uow.viewer.kind)


def _end(uow: UnitOfWork, task: TaskName, to: TaskStatus, values: Mapping[str, Any]) -> int:
    """A transition to an end, with what follows from it. The same end again changes nothing."""
    moved = _move(uow, task, to, {"end_time": uow.now, "updated_at": uow.now, **values})
    if moved is None:
        state = visible_task(uow, task)
        if state.status is not to:
            raise _refused(uow, task, to)
        return state.id
    if to is FAILED:
        insert_attempts(uow, [moved], only_if_left=True)
    return moved


def _move(
    uow: UnitOfWork, task: TaskName, to: TaskStatus, values: Mapping[str, Any], *, again: bool = False
) -> int | None:
    """The one UPDATE; None where no visible task is in a state from which it goes. `again` takes the state itself."""
    before = [state for state, after in TRANSITIONS.items() if to in after or (again and state is to)]
    write = (
        update(TrainTask)
        .where(is_named(_task, task), visible(uow), _task.c.status.in_(before))
        .values(status=to, lost=False, changed=change_number(), **values)
        .returning(_task.c.id)
    )
    row = uow.connection.execute(write, {"viewer_id": uow.viewer.id}).first()
    if row is None:
        return None
    publish_task(uow, row.id)
    return int(row.id)


def _refused(uow: UnitOfWork, task: TaskName, to: TaskStatus) -> GradbookError:
    """Why a transition found nothing. Raises NOT_FOUND."""
    state = visible_task(uow, task)
    possible = _possible(state.status)
    return _invalid(f"{shown_name(task)} is {state.status.name} and cannot become {to.name}: {possible}.")


def _possible(status: TaskStatus) -> str:
    """What can be done with a task in this state."""
    ways = " or ".join(f"{after.name} ({_BY[after]})" for after in TRANSITIONS[status])
    if ways:
        return f"it can become {ways}"
    if status is FAILED:
        return "it has ended; retryTrainTask makes a new attempt"
    return "it has ended; cloneTrainTask makes a new task of it"


def _invalid(message: str) -> GradbookError:
    return GradbookError(Code.INVALID_TRANSITION, message, ("id",))


def _register(uow: UnitOfWork, task_id: int, source: str) -> int:
    """The source's row, made if it is new, and the number of its next report."""
    on = postgresql if uow.dialect_name == "postgresql" else sqlite
    row = {"id": uow.new_id(), "task_id": task_id, "name": source, "next_sequence": 0}
    write = on.insert(MetricSource).values(**row, created_at=uow.now, updated_at=uow.now)
    upsert = write.on_conflict_do_update(index_elements=["task_id", "name"], set_={"updated_at": uow.now})
    return int(uow.connection.execute(upsert.returning(MetricSource.next_sequence)).scalar_one())


def _start_problems(start: StartTrainTask) -> list[GradbookError]:
    errors = [*report_problem(start.source, MAX_SOURCE, "source"), *report_problem(start.host, MAX_HOST, "host")]
    if not errors and (secret := secret_in_name(start.source)):
        errors.append(invalid(secret, "source"))
    if start.total_steps is not None and not 1 <= start.total_steps <= MAX_STEPS:
        errors.append(invalid(f"{start.total_steps} is no number of steps from 1 to {MAX_STEPS:,}.", "totalSteps"))
    return errors
