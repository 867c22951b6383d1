"""GraphQL inputs of training, and what they mean to the domain."""

import dataclasses
import datetime
from typing import TYPE_CHECKING, Any

import strawberry

from app.graphql.entity import camel
from app.graphql.scalars import JSON, SafeInt, Steps, Times, Values, decode_id
from app.graphql.schema import where_field
from app.training.enums import ConfigFormat, Goal
from app.training.lifecycle import StartTrainTask
from app.training.task_names import TaskName, task_name
from app.training.tasks import GivenInputs, UpdateTrainTask

if TYPE_CHECKING:
    from app.training.report_content import Report

UNSET = strawberry.UNSET


@strawberry.input(description="What a training task is given. Secrets are replaced before anything is stored.")
class CreateTrainTaskInput:
    """Input of createTrainTask."""

    model_name: str = strawberry.field(description="What is trained.")
    workspace_id: strawberry.ID | None = strawberry.field(
        description="Where it belongs; without one the viewer's only workspace.", default=None
    )
    model_path: str | None = strawberry.field(description="The base model.", default=None)
    lora_rank: int | None = strawberry.field(description="The rank of the low-rank update.", default=None)
    lora_alpha: float | None = strawberry.field(description="The scale of the low-rank update.", default=None)
    learning_rate: float | None = strawberry.field(description="The learning rate.", default=None)
    batch_size: int | None = strawberry.field(description="Examples a step.", default=None)
    epochs: int | None = strawberry.field(description="How often the data are gone through.", default=None)
    train_data_dir: str | None = strawberry.field(description="Where the training data are.", default=None)
    metadata_path: str | None = strawberry.field(description="Where the data's metadata are.", default=None)
    output_path: str | None = strawberry.field(description="Where the result is to be.", default=None)
    log_path: str | None = strawberry.field(description="Where the log is to be.", default=None)
    extra_params: JSON | None = strawberry.field(description="All other parameters: an object.", default=None)
    snapshot_id: strawberry.ID | None = strawberry.field(
        description="The snapshot of records that it is trained on.", default=None
    )
    tags: list[str] | None = strawberry.field(description="Up to 50 words to find it by.", default=None)
    notes: str | None = strawberry.field(description="What people say about it.", default=None)
    command: str | None = strawberry.field(description="What starts it.", default=None)
    launcher: str | None = strawberry.field(description="Who starts it.", default=None)
    max_attempts: int = strawberry.field(
        description="How often it is tried in all: after a failure the next attempt is made while there are fewer.",
        default=1,
    )
    hourly_cost: float | None = strawberry.field(description="What an hour costs.", default=None)

    def to_domain(self) -> GivenInputs:
        """The domain's inputs. Raises INVALID_ID."""
        return _given(self)


@strawberry.input(description="Inputs of a training task that are to be others. What is left out stays; null clears.")
class TrainTaskChangesInput:
    """Some inputs of a task."""

    model_name: str | None = strawberry.field(description="What is trained.", default=UNSET)
    workspace_id: strawberry.ID | None = strawberry.field(description="Where it belongs.", default=UNSET)
    model_path: str | None = strawberry.field(description="The base model.", default=UNSET)
    lora_rank: int | None = strawberry.field(description="The rank of the low-rank update.", default=UNSET)
    lora_alpha: float | None = strawberry.field(description="The scale of the low-rank update.", default=UNSET)
    learning_rate: float | None = strawberry.field(description="The learning rate.", default=UNSET)
    batch_size: int | None = strawberry.field(description="Examples a step.", default=UNSET)
    epochs: int | None = strawberry.field(description="How often the data are gone through.", default=UNSET)
    train_data_dir: str | None = strawberry.field(description="Where the training data are.", default=UNSET)
    metadata_path: str | None = strawberry.field(description="Where the data's metadata are.", default=UNSET)
    output_path: str | None = strawberry.field(description="Where the result is to be.", default=UNSET)
    log_path: str | None = strawberry.field(description="Where the log is to be.", default=UNSET)
    extra_params: JSON | None = strawberry.field(description="All other parameters: an object.", default=UNSET)
    snapshot_id: strawberry.ID | None = strawberry.field(
        description="The snapshot of records that it is trained on.", default=UNSET
    )
    tags: list[str] | None = strawberry.field(description="Up to 50 words to find it by.", default=UNSET)
    notes: str | None = strawberry.field(description="What people say about it.", default=UNSET)
    command: str | None = strawberry.field(description="What starts it.", default=UNSET)
    launcher: str | None = strawberry.field(description="Who starts it.", default=UNSET)
    max_attempts: int | None = strawberry.field(description="How often it is tried in all; 1 if null.", default=UNSET)
    hourly_cost: float | None = strawberry.field(description="What an hour costs.", default=UNSET)

    def to_domain(self, *path: str) -> GivenInputs:
        """The domain's inputs, which stand at `path`. Raises INVALID_ID."""
        return _given(self, *path)


@strawberry.input(description="A config of a training tool that becomes a task.")
class ImportTrainConfigInput:
    """Input of importTrainConfig."""

    format: ConfigFormat = strawberry.field(description="How the config is written.")
    text: str = strawberry.field(description="The config: up to 1,000,000 characters.")
    overrides: TrainTaskChangesInput | None = strawberry.field(
        description="Inputs that win over the config's; `extraParams` are merged key by key.", default=None
    )


@strawberry.input(description="A task that begins to run.")
class StartTrainTaskInput:
    """Input of startTrainTask."""

    id: strawberry.ID = strawberry.field(description="The task: `tsk_…` or its UUID.")
    source: str = strawberry.field(description="The name of the process that will report.", default="")
    host: str | None = strawberry.field(description="Where it runs.", default=None)
    total_steps: SafeInt | None = strawberry.field(description="How many steps it will take.", default=None)
    log_path: str | None = strawberry.field(description="Where its log is.", default=None)

    def to_domain(self) -> StartTrainTask:
        """The domain's input. Raises INVALID_ID."""
        return StartTrainTask(named(self.id), self.source, self.host, self.total_steps, self.log_path)


@strawberry.input(description="A task that ended well.")
class FinishTrainTaskInput:
    """Input of finishTrainTask."""

    id: strawberry.ID = strawberry.field(description="The task: `tsk_…` or its UUID.")
    output_path: str | None = strawberry.field(description="Where the result is.", default=None)
    summary: JSON | None = strawberry.field(description="What there is to say of the result: an object.", default=None)


@strawberry.input(description="A task that ended with an error.")
class FailTrainTaskInput:
    """Input of failTrainTask."""

    id: strawberry.ID = strawberry.field(description="The task: `tsk_…` or its UUID.")
    error: str = strawberry.field(description="What went wrong.")
    log_tail: str | None = strawberry.field(description="The last lines of its log.", default=None)


@strawberry.input(description="What is to be changed of a task.")
class UpdateTrainTaskInput:
    """Input of updateTrainTask."""

    id: strawberry.ID = strawberry.field(description="The task: `tsk_…` or its UUID.")
    set: TrainTaskChangesInput | None = strawberry.field(
        description="Inputs, while it is PENDING; tags and notes at any time.", default=None
    )
    add_tags: list[str] | None = strawberry.field(description="Tags that it is to have, too.", default=None)
    remove_tags: list[str] | None = strawberry.field(description="Tags that it is to have no more.", default=None)
    if_version: int | None = strawberry.field(
        description="Change it only if it still is this version; else CONFLICT.", default=None
    )

    def to_domain(self) -> UpdateTrainTask:
        """The domain's input. Raises INVALID_ID."""
        given = GivenInputs({}) if self.set is None else self.set.to_domain("set")
        return UpdateTrainTask(named(self.id), given, self.add_tags or (), self.remove_tags or (), self.if_version)


@strawberry.input(description="A task that is to be canceled.")
class CancelTrainTaskInput:
    """Input of cancelTrainTask."""

    id: strawberry.ID = strawberry.field(description="The task: `tsk_…` or its UUID.")


@strawberry.input(description="A failed task that is to be tried again.")
class RetryTrainTaskInput:
    """Input of retryTrainTask."""

    id: strawberry.ID = strawberry.field(description="The task: `tsk_…` or its UUID.")


@strawberry.input(description="A task of which another is to be made.")
class CloneTrainTaskInput:
    """Input of cloneTrainTask."""

    id: strawberry.ID = strawberry.field(description="The task: `tsk_…` or its UUID.")
    overrides: TrainTaskChangesInput | None = strawberry.field(
        description="Inputs that are to be others; null clears.", default=None
    )


@strawberry.input(description="A task that is to be put aside.")
class DeleteTrainTaskInput:
    """Input of deleteTrainTask."""

    id: strawberry.ID = strawberry.field(description="The task: `tsk_…` or its UUID.")


@strawberry.input(description="A deleted task that is to be taken back.")
class RestoreTrainTaskInput:
    """Input of restoreTrainTask."""

    id: strawberry.ID = strawberry.field(description="The task: `tsk_…` or its UUID.")


@strawberry.input(description="A task that is to be removed for ever.")
class PurgeTrainTaskInput:
    """Input of purgeTrainTask."""

    id: strawberry.ID = strawberry.field(description="The task: `tsk_…` or its UUID.")


def named(text: Any) -> TaskName:
    """The task that an input's `id` means. Raises INVALID_ID."""
    return task_name(text, "id")


def overrides_of(input: ImportTrainConfigInput | CloneTrainTaskInput) -> GivenInputs:
    """What an input overrides. Raises INVALID_ID."""
    return GivenInputs({}, path=("overrides",)) if input.overrides is None else input.overrides.to_domain("overrides")


def _given(input: Any, *path: str) -> GivenInputs:
    values: dict[str, Any] = {}
    for item in dataclasses.fields(input):
        value = getattr(input, item.name)
        if value is not UNSET:
            values[camel(item.name)] = value
    workspace = values.pop("workspaceId", None)
    if values.get("snapshotId") is not None:
        values["snapshotId"] = decode_id("snp", values["snapshotId"], "snapshot", (*path, "snapshotId"))
    workspace_id = None if workspace is None else decode_id("wsp", workspace, "workspace", (*path, "workspaceId"))
    return GivenInputs(values, workspace_id, path)


@strawberry.input(description="Points of one metric, as parallel lists.")
class SeriesInput:
    """One metric's part of a report."""

    metric: str = strawberry.field(description="Its name; a report has one series for a metric.")
    steps: Steps = strawberry.field(description="The points' steps. They may repeat and go back.")
    values: Values = strawberry.field(description="The points' values.")
    times: Times | None = strawberry.field(
        description="When they were measured; without it, when the report arrives.", default=None
    )


@strawberry.input(description="What a training process tells of its progress. Without series it says that it runs.")
class ReportProgressInput:
    """Input of reportProgress."""

    id: strawberry.ID = strawberry.field(description="The task's id or UUID.")
    source: str = strawberry.field(
        description="Which of the task's reporting processes sends this; each numbers its reports.", default=""
    )
    sequence: SafeInt = strawberry.field(
        description="The report's number: 0 for the source's first, then one more each. The same report may be sent"
        " again under the same number, and is stored once."
    )
    step: SafeInt | None = strawberry.field(description="The step that the training is at.", default=None)
    epoch: float | None = strawberry.field(description="The epoch that the training is in.", default=None)
    series: list[SeriesInput] = strawberry.field(
        description="New points, at most 10,000 altogether.", default_factory=list
    )

    def to_domain(self, now: datetime.datetime) -> "Report":
        """The report, checked; its points are of the given time where they do not say theirs."""
        from app.training.report_content import ReportInput, check_report  # noqa: PLC0415 - numpy comes later

        series = [
            {"metric": one.metric, "steps": one.steps, "values": one.values, "times": one.times} for one in self.series
        ]
        given = ReportInput(task_name(self.id, "id"), self.sequence, self.source, self.step, self.epoch, series)
        return check_report(given, int(now.timestamp() * 1000))


@strawberry.input(description="From which tasks parameters are recommended, and by which metric.")
class RecommendParametersInput:
    """Input of recommendParameters."""

    model_name: str = strawberry.field(description="The `modelName` of the tasks to learn from.")
    metric: str = strawberry.field(description="The metric that counts; of a task its best finite value.")
    goal: Goal = strawberry.field(description="Which way the metric gets better.", default=Goal.MINIMIZE)
    where: JSON | None = where_field("TrainTask", "Only tasks for which this holds.")
