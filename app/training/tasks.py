"""Tasks as people enter them: made, changed, cloned, deleted, restored, purged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from sqlalchemy import and_, delete, insert, select, update

from app.accounts.audit import Event, audit
from app.accounts.tables import AuditAction, Role
from app.accounts.workspaces import chosen_workspace
from app.annotation import scope as annotation_scope
from app.annotation.checks import invalid, raise_errors
from app.annotation.tables import Dataset, Snapshot
from app.db.changes import change_number
from app.db.unit_of_work import UnitOfWork
from app.errors import Code, GradbookError
from app.training.departures import note_departure, note_departures
from app.training.lifecycle import visible, visible_task
from app.training.tables import Metric, MetricChunk, MetricSource, TaskStatus, TrainTask
from app.training.task_names import TaskName, is_named, shown_name
from app.training.task_values import (
    ALWAYS,
    COLUMNS,
    TaskValues,
    changed_tags,
    derived,
    redacted_value,
    stored_inputs,
    tag_problems,
    task_values,
    whole,
)
from app.training.topics import publish_task

_task = TrainTask.__table__
_INPUT_COLUMNS = [_task.c[column] for column in COLUMNS.values()]


@dataclass(frozen=True, slots=True)
class WrittenTask:
    """A task that was written, and where secrets were in what was given."""

    id: int
    redacted: list[str]


@dataclass(frozen=True, slots=True)
class GivenInputs:
    """Inputs of a task by their names; a workspace that is None is not given. `path` is where they stand."""

    values: Mapping[str, Any]
    workspace_id: int | None = None
    path: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class UpdateTrainTask:
    """What is to be changed of a task. With `if_version` only if it still is that version."""

    task: TaskName
    set: GivenInputs = field(default_factory=lambda: GivenInputs({}))
    add_tags: Sequence[str] = ()
    remove_tags: Sequence[str] = ()
    if_version: int | None = None


def create_train_task(uow: UnitOfWork, given: GivenInputs) -> WrittenTask:
    """Enter a task, PENDING, in the viewer's only workspace if none is named.

    Raises INVALID_INPUT with all that is wrong, WORKSPACE_REQUIRED, NOT_FOUND for the workspace or snapshot.
    """
    checked = task_values({"modelName": None, **given.values}, *given.path)
    workspace_id = _workspace(uow, given, None)
    return _insert(uow, workspace_id, checked, given.path)


def clone_train_task(uow: UnitOfWork, task: TaskName, overrides: GivenInputs) -> WrittenTask:
    """Enter a task with the inputs of another one, but for some. It is the viewer's.

    Raises NOT_FOUND, INVALID_INPUT.
    """
    inputs = select(_task.c.id, _task.c.workspace_id, *_INPUT_COLUMNS).where(is_named(_task, task), visible(uow))
    # It is not purged while the clone comes to refer to it.
    held = inputs.with_for_update(read=True, key_share=True)
    row = uow.connection.execute(held, {"viewer_id": uow.viewer.id}).first()
    if row is None:
        raise _missing(task)
    checked = task_values(overrides.values, *overrides.path)
    values = stored_inputs(row._asdict()) | checked.values
    workspace_id = _workspace(uow, overrides, row.workspace_id)
    return _insert(uow, workspace_id, TaskValues(values, checked.redacted), overrides.path, cloned_from_id=row.id)


def update_train_task(uow: UnitOfWork, change: UpdateTrainTask) -> WrittenTask:
    """Change inputs, tags and notes; null clears. Inputs only while the task is PENDING.

    The state and the version stand in the UPDATE's WHERE. Raises NOT_FOUND, CONFLICT, INVALID_INPUT.
    """
    checked = task_values(change.set.values, *change.set.path)
    moved = change.set.workspace_id is not None
    add, remove, redacted = _tag_changes(change)
    if not (checked.values or moved or change.add_tags or change.remove_tags):
        raise invalid("Nothing is to be changed: say what by set, addTags or removeTags.")
    values = checked.columns()
    if moved:
        values["workspace_id"] = _workspace(uow, change.set, None)
    _demand_snapshot(uow, checked, change.set.path)
    inputs = [name for name in checked.values if name not in ALWAYS] + ["workspaceId"] * moved
    conditions = [is_named(_task, change.task), visible(uow)]
    if inputs:
        conditions.append(_task.c.status == TaskStatus.PENDING)
    if change.if_version is not None:
        conditions.append(_task.c.version == change.if_version)
    if moved:
        note_departure(uow, *conditions, _task.c.workspace_id != values["workspace_id"])
    write = (
        update(TrainTask)
        .where(*conditions)
        .values(version=_task.c.version + 1, updated_at=uow.now, changed=change_number(), **values)
        .returning(_task.c.id, *_INPUT_COLUMNS)
    )
    row = uow.connection.execute(write, {"viewer_id": uow.viewer.id}).first()
    if row is None:
        raise _why_unchanged(uow, change, inputs)
    # What follows from the whole is known now that the row is ours.
    stored = stored_inputs(row._asdict())
    found = changed_tags(stored["tags"], add, remove)
    uow.connection.execute(
        update(TrainTask).where(TrainTask.id == row.id).values(tags=found, **derived({**stored, "tags": found}))
    )
    publish_task(uow, row.id)
    return WrittenTask(row.id, [*checked.redacted, *redacted])


def delete_train_task(uow: UnitOfWork, task: TaskName) -> int:
    """Put a task aside: lists leave it out unless they ask for `deletedAt`. Raises NOT_FOUND."""
    return _set_deleted(uow, task, deleted=True)


def restore_train_task(uow: UnitOfWork, task: TaskName) -> int:
    """Take a deleted task back. Raises NOT_FOUND."""
    return _set_deleted(uow, task, deleted=False)


def purge_train_task(uow: UnitOfWork, task: TaskName) -> int:
    """Remove a task with its points and metrics, for ever, and return which it was.

    Clones and attempts of it stay, and point to nothing. Raises NOT_FOUND, and FORBIDDEN for ANNOTATORs.
    """
    state = visible_task(uow, task, remove=True)
    if uow.viewer.role is Role.ANNOTATOR:
        message = "Only an ADMIN of the workspace or an OWNER may purge this task; you are ANNOTATOR: delete it."
        raise GradbookError(Code.FORBIDDEN, message, ("id",))
    purge_train_tasks(uow, [state.id])
    return state.id


def purge_train_tasks(uow: UnitOfWork, task_ids: Sequence[int]) -> None:
    """Remove these tasks, whose rows are locked, whoever asks: by as many statements however many they are."""
    note_departures(uow, task_ids)
    for table in (MetricChunk, Metric, MetricSource):
        uow.connection.execute(delete(table).where(table.__table__.c.task_id.in_(task_ids)))
    for column in (_task.c.cloned_from_id, _task.c.retry_of_id):
        write = update(TrainTask).where(column.in_(task_ids)).values({column.name: None, "changed": change_number()})
        for row in uow.connection.execute(write.returning(_task.c.id)):
            publish_task(uow, row.id)
    purged = delete(TrainTask).where(_task.c.id.in_(task_ids))
    gone = uow.connection.execute(purged.returning(_task.c.id, _task.c.model_name, _task.c.workspace_id)).all()
    audit(uow, *[_event(AuditAction.TASK_PURGED, *row) for row in gone])
    for task_id in task_ids:
        publish_task(uow, task_id)


def _set_deleted(uow: UnitOfWork, task: TaskName, *, deleted: bool) -> int:
    is_other = _task.c.deleted_at.is_(None) if deleted else _task.c.deleted_at.is_not(None)
    write = (
        update(TrainTask)
        .where(is_named(_task, task), visible(uow), is_other)
        .values(deleted_at=uow.now if deleted else None, updated_at=uow.now, changed=change_number())
        .returning(_task.c.id, _task.c.model_name, _task.c.workspace_id)
    )
    row = uow.connection.execute(write, {"viewer_id": uow.viewer.id}).first()
    if row is None:
        return visible_task(uow, task).id  # it is so already
    audit(uow, _event(AuditAction.TASK_DELETED if deleted else AuditAction.TASK_RESTORED, *row))
    publish_task(uow, row.id)
    return int(row.id)


def _event(action: AuditAction, task_id: int, model_name: str, workspace_id: int) -> Event:
    return Event(action, f"tsk_{task_id}", model_name, {"workspace": f"wsp_{workspace_id}"})


def _insert(
    uow: UnitOfWork,
    workspace_id: int,
    checked: TaskValues,
    path: tuple[str, ...],
    cloned_from_id: int | None = None,
) -> WrittenTask:
    _demand_snapshot(uow, checked, path)
    values = whole(checked.values)
    task_id = uow.new_id()
    uow.connection.execute(
        insert(TrainTask).values(
            id=task_id,
            task_uuid=str(uuid4()),
            workspace_id=workspace_id,
            user_id=uow.viewer.id,
            **{COLUMNS[name]: value for name, value in values.items()},
            **derived(values),
            version=1,
            status=TaskStatus.PENDING,
            lost=False,
            stop_requested=False,
            attempt=1,
            cloned_from_id=cloned_from_id,
            next_arrival=0,
            created_at=uow.now,
            updated_at=uow.now,
            changed=change_number(),
        )
    )
    publish_task(uow, task_id)
    return WrittenTask(task_id, checked.redacted)


def _workspace(uow: UnitOfWork, given: GivenInputs, otherwise: int | None) -> int:
    if given.workspace_id is None and otherwise is not None:
        return otherwise
    try:
        return chosen_workspace(uow, given.workspace_id)
    except GradbookError as error:
        raise error.below(*given.path) from None


def _demand_snapshot(uow: UnitOfWork, checked: TaskValues, path: tuple[str, ...]) -> None:
    number = checked.values.get("snapshotId")
    if number is None:
        return
    snapshot, dataset = Snapshot.__table__, Dataset.__table__
    found = uow.connection.execute(
        select(snapshot.c.id)
        .join_from(snapshot, dataset, and_(dataset.c.id == snapshot.c.dataset_id))
        .where(snapshot.c.id == number, annotation_scope.dataset(dataset, uow.viewer.kind)),
        {"viewer_id": uow.viewer.id},
    ).first()
    if found is None:
        message = f"There is no snapshot snp_{number} that you can see."
        raise GradbookError(Code.NOT_FOUND, message, (*path, "snapshotId"))


def _tag_changes(change: UpdateTrainTask) -> tuple[list[str], list[str], list[str]]:
    """The tags to add and to remove, as they are stored, and where secrets were."""
    raise_errors([*tag_problems(change.add_tags, "addTags"), *tag_problems(change.remove_tags, "removeTags")])
    given, redacted = redacted_value({"addTags": list(change.add_tags), "removeTags": list(change.remove_tags)})
    return given["addTags"], given["removeTags"], redacted


def _why_unchanged(uow: UnitOfWork, change: UpdateTrainTask, inputs: Sequence[str]) -> GradbookError:
    state = visible_task(uow, change.task)
    name = shown_name(change.task)
    if change.if_version is not None and state.version != change.if_version:
        message = f"{name} is at version {state.version}, not {change.if_version}: read it again, then change that."
        return GradbookError(Code.CONFLICT, message, ("ifVersion",))
    message = (
        f"{name} is {state.status.name}: inputs can be changed while a task is PENDING, tags and notes always."
        " cloneTrainTask makes a new task with other inputs."
    )
    return GradbookError(Code.CONFLICT, message, (*change.set.path, inputs[0]))


def _missing(task: TaskName) -> GradbookError:
    return GradbookError(Code.NOT_FOUND, f"There is no training task {shown_name(task)} that you can see.", ("id",))
