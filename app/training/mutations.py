"""Mutations of training."""

import asyncio
import datetime
from typing import Any

import strawberry

from app.annotation.checks import errors_of
from app.db.unit_of_work import UnitOfWork
from app.errors import GradbookError
from app.graphql.engine import ref, required_viewer
from app.graphql.payloads import Payload, mutate, remove, user_errors
from app.graphql.scalars import SafeInt
from app.training import configs, lifecycle, tasks
from app.training.enums import WarningCode
from app.training.inputs import (
    CancelTrainTaskInput,
    CloneTrainTaskInput,
    CreateTrainTaskInput,
    DeleteTrainTaskInput,
    FailTrainTaskInput,
    FinishTrainTaskInput,
    ImportTrainConfigInput,
    PurgeTrainTaskInput,
    ReportProgressInput,
    RestoreTrainTaskInput,
    RetryTrainTaskInput,
    StartTrainTaskInput,
    UpdateTrainTaskInput,
    named,
    overrides_of,
)
from app.training.types import TrainTask

Info = strawberry.Info[Any, Any]


@strawberry.type(description="Something of a config that was not taken as it stands.")
class ConfigWarning:
    """One warning of importTrainConfig."""

    code: WarningCode = strawberry.field(description="What kind of warning it is.")
    message: str = strawberry.field(description="What was read, and how.")
    path: list[str] = strawberry.field(description="Where in the config: names, and indexes as digits.")


@strawberry.type(description="The task, or what was wrong.")
class TrainTaskPayload(Payload):
    """Answer of the mutations of tasks that are given no texts."""

    task: TrainTask | None = strawberry.field(
        description="The task as it is now; a purged one as it was.", default=None
    )


@strawberry.type(description="The task, or what was wrong.")
class RedactedTrainTaskPayload(TrainTaskPayload):
    """Answer of the mutations of tasks that store what they are given."""

    redacted: list[str] = strawberry.field(
        description="Where secrets were in the input, such as `extraParams.hub_token`: `[redacted]` stands there now.",
        default_factory=list,
    )


@strawberry.type(description="The task that the config became, or what was wrong.")
class ImportTrainConfigPayload(RedactedTrainTaskPayload):
    """Answer of importTrainConfig."""

    warnings: list[ConfigWarning] = strawberry.field(
        description="What of the config was converted, doubled or unknown.", default_factory=list
    )


@strawberry.type(description="The running task, or what was wrong.")
class StartTrainTaskPayload(RedactedTrainTaskPayload):
    """Answer of startTrainTask."""

    next_sequence: SafeInt | None = strawberry.field(
        description="The number that the next report of this source is to have.", default=None
    )


@strawberry.type
class TrainingMutations:
    """Root fields of training."""

    @strawberry.mutation(description="Enter a training task, PENDING. It belongs to the viewer.")
    async def create_train_task(self, info: Info, input: CreateTrainTaskInput) -> RedactedTrainTaskPayload:
        """See app.training.tasks.create_train_task."""

        def work(uow: UnitOfWork) -> RedactedTrainTaskPayload:
            return _redacted(tasks.create_train_task(uow, input.to_domain()))

        return await mutate(info, RedactedTrainTaskPayload, work)

    @strawberry.mutation(
        description="Enter a task from a lora-scripts, kohya or Hugging Face config: known keys become inputs, all"
        " others `extraParams`."
    )
    async def import_train_config(self, info: Info, input: ImportTrainConfigInput) -> ImportTrainConfigPayload:
        """See app.training.configs.read_config and app.training.tasks.create_train_task."""
        required_viewer(info.context)
        try:
            overrides = overrides_of(input)
            # A long text takes seconds: others are served meanwhile, and no transaction waits.
            read = await asyncio.to_thread(configs.read_config, input.format, input.text, overrides.values)
        except GradbookError as error:
            return ImportTrainConfigPayload(errors=user_errors(errors_of(error)))
        given = tasks.GivenInputs({**read.inputs, "extraParams": read.extra_params}, overrides.workspace_id)
        warnings = [
            ConfigWarning(code=one.code, message=one.message, path=[str(part) for part in one.path])
            for one in read.warnings
        ]

        def work(uow: UnitOfWork) -> ImportTrainConfigPayload:
            written = tasks.create_train_task(uow, given)
            return ImportTrainConfigPayload(
                task=ref("TrainTask", written.id), redacted=written.redacted, warnings=warnings
            )

        return await mutate(info, ImportTrainConfigPayload, work)

    @strawberry.mutation(
        description="Say that a task runs. Each reporting process calls it with a `source` of its own; called again, it"
        " says by `nextSequence` where that source goes on."
    )
    async def start_train_task(self, info: Info, input: StartTrainTaskInput) -> StartTrainTaskPayload:
        """See app.training.lifecycle.start_train_task."""

        def work(uow: UnitOfWork) -> StartTrainTaskPayload:
            started = lifecycle.start_train_task(uow, input.to_domain())
            return StartTrainTaskPayload(
                task=ref("TrainTask", started.id), redacted=started.redacted, next_sequence=started.next_sequence
            )

        return await mutate(info, StartTrainTaskPayload, work)

    @strawberry.mutation(description="Say that a running task ended well.")
    async def finish_train_task(self, info: Info, input: FinishTrainTaskInput) -> RedactedTrainTaskPayload:
        """See app.training.lifecycle.finish_train_task."""

        def work(uow: UnitOfWork) -> RedactedTrainTaskPayload:
            return _redacted(
                lifecycle.finish_train_task(uow, named(input.id), input.output_path, input.summary)  # type: ignore[arg-type]
            )

        return await mutate(info, RedactedTrainTaskPayload, work)

    @strawberry.mutation(
        description="Say that a running task ended with an error. While `maxAttempts` allows it, the next attempt is"
        " made in the same breath."
    )
    async def fail_train_task(self, info: Info, input: FailTrainTaskInput) -> RedactedTrainTaskPayload:
        """See app.training.lifecycle.fail_train_task."""

        def work(uow: UnitOfWork) -> RedactedTrainTaskPayload:
            return _redacted(lifecycle.fail_train_task(uow, named(input.id), input.error, input.log_tail))

        return await mutate(info, RedactedTrainTaskPayload, work)

    @strawberry.mutation(
        description="Change a task: its inputs while it is PENDING, its tags and notes at any time. Null clears."
    )
    async def update_train_task(self, info: Info, input: UpdateTrainTaskInput) -> RedactedTrainTaskPayload:
        """See app.training.tasks.update_train_task."""

        def work(uow: UnitOfWork) -> RedactedTrainTaskPayload:
            return _redacted(tasks.update_train_task(uow, input.to_domain()))

        return await mutate(info, RedactedTrainTaskPayload, work)

    @strawberry.mutation(description="Stop a task, or keep it from beginning. Its script learns it by its next report.")
    async def cancel_train_task(self, info: Info, input: CancelTrainTaskInput) -> TrainTaskPayload:
        """See app.training.lifecycle.cancel_train_task."""

        def work(uow: UnitOfWork) -> TrainTaskPayload:
            return _payload(lifecycle.cancel_train_task(uow, named(input.id)).id)

        return await mutate(info, TrainTaskPayload, work)

    @strawberry.mutation(description="Try a failed task again: the next attempt is a task of its own, made once.")
    async def retry_train_task(self, info: Info, input: RetryTrainTaskInput) -> TrainTaskPayload:
        """See app.training.lifecycle.retry_train_task."""

        def work(uow: UnitOfWork) -> TrainTaskPayload:
            return _payload(lifecycle.retry_train_task(uow, named(input.id)))

        return await mutate(info, TrainTaskPayload, work)

    @strawberry.mutation(description="Enter a task with another one's inputs, but for some. It belongs to the viewer.")
    async def clone_train_task(self, info: Info, input: CloneTrainTaskInput) -> RedactedTrainTaskPayload:
        """See app.training.tasks.clone_train_task."""

        def work(uow: UnitOfWork) -> RedactedTrainTaskPayload:
            return _redacted(tasks.clone_train_task(uow, named(input.id), overrides_of(input)))

        return await mutate(info, RedactedTrainTaskPayload, work)

    @strawberry.mutation(description="Put a task aside: lists leave it out unless they ask for `deletedAt`.")
    async def delete_train_task(self, info: Info, input: DeleteTrainTaskInput) -> TrainTaskPayload:
        """See app.training.tasks.delete_train_task."""

        def work(uow: UnitOfWork) -> TrainTaskPayload:
            return _payload(tasks.delete_train_task(uow, named(input.id)))

        return await mutate(info, TrainTaskPayload, work)

    @strawberry.mutation(description="Remove a task with its points, for ever. For ADMINs of its workspace and OWNERs.")
    async def purge_train_task(self, info: Info, input: PurgeTrainTaskInput) -> TrainTaskPayload:
        """See app.training.tasks.purge_train_task."""

        def find(uow: UnitOfWork) -> TrainTaskPayload:
            return _payload(lifecycle.visible_task(uow, named(input.id)).id)

        def delete(uow: UnitOfWork) -> None:
            tasks.purge_train_task(uow, named(input.id))

        return await remove(info, TrainTaskPayload, find, delete)

    @strawberry.mutation(description="Take a deleted task back.")
    async def restore_train_task(self, info: Info, input: RestoreTrainTaskInput) -> TrainTaskPayload:
        """See app.training.tasks.restore_train_task."""

        def work(uow: UnitOfWork) -> TrainTaskPayload:
            return _payload(tasks.restore_train_task(uow, named(input.id)))

        return await mutate(info, TrainTaskPayload, work)


def _payload(task_id: int) -> TrainTaskPayload:
    return TrainTaskPayload(task=ref("TrainTask", task_id))


def _redacted(written: tasks.WrittenTask | lifecycle.Moved) -> RedactedTrainTaskPayload:
    return RedactedTrainTaskPayload(task=ref("TrainTask", written.id), redacted=written.redacted)


@strawberry.type(description="What became of a report.")
class ReportProgressPayload(Payload):
    """Answer of reportProgress."""

    accepted: int = strawberry.field(description="How many points are new; 0 for a report sent again.", default=0)
    next_sequence: SafeInt | None = strawberry.field(
        description="The number that the source's next report bears; null where there are errors.", default=None
    )
    stop_requested: bool = strawberry.field(
        description="Whether somebody asked the task to stop; the process should then end it.", default=False
    )


@strawberry.type
class ReportMutations:
    """Root fields of reports."""

    @strawberry.mutation(
        description="Report points of metrics, and where the training stands. A report is stored whole or not at all,"
        " and once however often it is sent."
    )
    async def report_progress(self, info: Info, input: ReportProgressInput) -> ReportProgressPayload:
        """See app.training.reports.report_progress."""
        from app.training import reports  # noqa: PLC0415 - numpy comes with the first report

        required_viewer(info.context)
        late = datetime.timedelta(days=info.context.services.settings.late_report_days)
        try:
            report = input.to_domain(datetime.datetime.now(datetime.UTC))
        except GradbookError as error:
            return ReportProgressPayload(errors=user_errors(errors_of(error)))

        def work(uow: UnitOfWork) -> ReportProgressPayload:
            return ReportProgressPayload(**reports.report_progress(uow, report, late)._asdict())

        return await mutate(info, ReportProgressPayload, work)
