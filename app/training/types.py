"""GraphQL types of training."""

import datetime
from typing import Optional

import strawberry

from app.accounts.types import User, Workspace
from app.annotation.search_text import search_terms
from app.annotation.types import Snapshot
from app.graphql.entity import Node, TermSearch, Within, attached, column, entity, many, one, own
from app.graphql.scalars import JSON, Counts, SafeInt, Steps, Times, Values
from app.training import scope, sql, tables
from app.training.config_json import load_configs
from app.training.curve_fields import attach_curves
from app.training.enums import TaskStatus, ValueState

SEARCH = TermSearch(
    text="search_text",
    terms=search_terms,
    description="Only those with all these words in their inputs, tags or notes; whole words count, without regard to"
    " case and accents. Chinese, Japanese and Korean are searched by characters and their pairs.",
)


@strawberry.input(description="Steps from one to another, both included.")
class StepRange:
    """A part of a curve."""

    start: SafeInt | None = strawberry.field(
        name="from", description="The first step; without it, the first there is.", default=None
    )
    end: SafeInt | None = strawberry.field(
        name="to", description="The last step; without it, the last there is.", default=None
    )


GRID = (
    ("maxPoints", int, "At most so many points or buckets a curve, 2 to 10,000."),
    ("fromStep", int | None, "The first step; without it, the first there is. Beyond 2^31 - 1, use `range`."),
    ("toStep", int | None, "The last step; without it, the last there is. Beyond 2^31 - 1, use `range`."),
    ("range", StepRange | None, "The steps to show, if they may lie beyond 2^31 - 1."),
)
"""Arguments of the fields that show curves."""


@strawberry.type(
    description="One metric of one task over its steps, as parallel columns by ascending step. All curves of a request"
    " share one grid. If each has at most `maxPoints` points in the range, these are the points themselves; otherwise"
    " they are buckets of some power of two of steps each."
)
class Curve:
    """A series of a chart."""

    task: Optional["TrainTask"] = strawberry.field(description="The task.")
    metric: str = strawberry.field(description="The metric's name.")
    points: SafeInt = strawberry.field(description="How many points there are in the range.")
    steps: Steps = strawberry.field(description="The step of each point, or the first step of each bucket.")
    values: Values = strawberry.field(description="The value of each point, or of each bucket's last to arrive.")
    minimums: Values = strawberry.field(
        description="The least finite value of each bucket; where it has none, what `values` says."
    )
    maximums: Values = strawberry.field(
        description="The greatest finite value of each bucket; where it has none, what `values` says."
    )
    times: Times = strawberry.field(description="When each of `values` was measured.")
    non_finite: Counts = strawberry.field(description="How many values of each bucket are no finite number.")


@entity("tsk", tables.TrainTask, own=scope.train_task, hidden="deletedAt", search=SEARCH)
class TrainTask(Node):
    """One training run: what went into it, its state, what came out of it."""

    task_id: str = column(
        "A UUID, for scripts; wherever an id of a task is asked for, it will do.", lambda t: t.c.task_uuid
    )
    model_name: str = column("What is trained.")
    model_path: str | None = column("The base model.")
    lora_rank: int | None = column("The rank of the low-rank update.")
    lora_alpha: float | None = column("The scale of the low-rank update.")
    learning_rate: float | None = column("The learning rate.")
    batch_size: int | None = column("Examples a step.")
    epochs: int | None = column("How often the data are gone through.")
    train_data_dir: str | None = column("Where the training data are.")
    metadata_path: str | None = column("Where the data's metadata are.")
    output_path: str | None = column("Where the result is, or will be.")
    log_path: str | None = column("Where the log is.")
    extra_params: JSON | None = column("All other parameters.")
    command: str | None = column("What starts it.", order=sql.beginning("command"))
    launcher: str | None = column("Who starts it.")
    max_attempts: int = column("How often it is tried in all before a failure is left alone.")
    hourly_cost: float | None = column("What an hour costs, in whatever currency the team counts in.")
    fingerprint: str = column("Of all inputs but output paths, tags and notes: equal inputs have equal ones.")
    tags: list[str] = column("Words to find it by.", order=sql.in_order("tags"))
    config: JSON | None = attached("All inputs as one object, in a fixed order; null of a purged task.", load_configs)
    notes: str | None = column("What people say about it.", order=sql.beginning("notes"))
    version: int = column("Counts the changes of inputs, tags and notes; `ifVersion` refers to it.")
    status: TaskStatus = column("Where it stands.")
    lost: bool = column("Whether it runs, as far as is known, and has not been heard of for too long.")
    attempt: int = column("1 for the first; a retry has one more than the task that it retries.")
    start_time: datetime.datetime | None = column("When it began to run.")
    end_time: datetime.datetime | None = column("When it ended.")
    heartbeat_at: datetime.datetime | None = column("When it was last heard of.")
    host: str | None = column("Where it runs, as it says.")
    total_steps: SafeInt | None = column("How many steps it will take, as it says.")
    step: SafeInt | None = column("The step it is at, as it says.")
    epoch: float | None = column("The epoch it is in, as it says.")
    progress: float | None = column("The share of its steps that are done, from 0 to 1.", sql.progress)
    duration: float | None = column("How many seconds it ran; a running one, so far.", sql.duration)
    cost: float | None = column("Hours times `hourlyCost`; of a running one, so far.", sql.cost)
    error: str | None = column("Why it failed.", order=sql.beginning("error"))
    log_tail: str | None = column(
        "The last lines of its log, as it said when it failed.", order=sql.beginning("log_tail")
    )
    stop_requested: bool = column("Whether its script is asked to stop; the answer to each report says it, too.")
    summary: JSON | None = column("What it says of its result.")
    created_at: datetime.datetime = column("When it was entered.")
    updated_at: datetime.datetime = column("When its inputs, tags, notes or state last changed.")
    deleted_at: datetime.datetime | None = column("When it was deleted; it can be restored.")
    create_user: User | None = one(
        "User", "user_id", "Who entered it; null where the viewer does not see them.", named="username"
    )
    workspace: Workspace | None = one("Workspace", "workspace_id", "The workspace it belongs to.", named="name")
    cloned_from: "TrainTask | None" = one("TrainTask", "cloned_from_id", "The task that it was cloned from.")
    retry_of: "TrainTask | None" = one("TrainTask", "retry_of_id", "The failed task that it tries again.")
    next_attempt: "TrainTask | None" = own(
        "TrainTask", "retry_of_id", "The attempt that tries it again, if there is one.", scope.every_attempt
    )
    snapshot: Snapshot | None = one("Snapshot", "snapshot_id", "The records that it is trained on.")
    metrics: list["Metric"] = many(
        "Metric", "task_id", "What it reports, by name.", paged=False, order=("name",), filter=True, named="name"
    )
    curves: list[Curve] = attached(
        "Curves of its metrics, in the order asked for; those that it does not report are left out.",
        attach_curves,
        ("metrics", list[str], "Names of metrics."),
        *GRID,
    )


@entity("mtr", tables.Metric, within=Within("TrainTask", "task_id"))
class Metric(Node):
    """One metric of a task, and what its points come to."""

    name: str = column("Its name.")
    points: SafeInt = column("How many points there are.")
    non_finite_count: SafeInt = column("How many of them are no finite number.")
    last: float | None = column("The last finite value to arrive.")
    last_state: ValueState = column("What the very last value was.")
    last_step: SafeInt = column("The step of the very last value.")
    min: float | None = column("The least finite value.")
    min_step: SafeInt | None = column("Its step.")
    max: float | None = column("The greatest finite value.")
    max_step: SafeInt | None = column("Its step.")
    task: TrainTask = one("TrainTask", "task_id", "The task that reports it.")


@strawberry.type(description="An interval of numbers. Its first edge belongs to it, its last does not.")
class NumberRange:
    """A bin."""

    from_: float | None = strawberry.field(name="from", description="The first edge; null where it has none.")
    to: float | None = strawberry.field(description="The last edge; null where it has none.")


@strawberry.type(
    description="What the tasks of one group come to. A task's metric is its best finite value so far, in whatever"
    " state it is: by the goal its least or its greatest."
)
class TrainStatisticsGroup:
    """One group of trainStatistics."""

    key: JSON | None = strawberry.field(
        description="What its tasks share: a number of a numeric dimension, else a text; of a bin its edges as a text."
        " Null for tasks that have none."
    )
    range: NumberRange | None = strawberry.field(description="The bin; null where there are no bins, or no value.")
    tasks: int = strawberry.field(description="How many tasks.")
    succeeded: int = strawberry.field(description="How many of them are SUCCESS.")
    failed: int = strawberry.field(description="How many of them are FAILED; each attempt is a task.")
    success_rate: float | None = strawberry.field(
        description="The share of SUCCESS among SUCCESS and FAILED, from 0 to 1; null while there are neither. What is"
        " canceled, or has not ended, does not count."
    )
    median_duration: float | None = strawberry.field(description="Seconds that the tasks which are SUCCESS ran.")
    total_cost: float | None = strawberry.field(
        description="What all tasks with an `hourlyCost` cost, whatever became of them; running ones so far."
    )
    best_metric: float | None = strawberry.field(description="The best of the tasks' metrics.")
    median_metric: float | None = strawberry.field(description="The median of the tasks' metrics.")
    reached: int | None = strawberry.field(
        description="How many tasks reached the threshold; null where none is asked for."
    )
    median_steps_to_reach: float | None = strawberry.field(
        description="Of the tasks that reached the threshold: the step of the first point to arrive that did."
    )
    median_seconds_to_reach: float | None = strawberry.field(
        description="Of the tasks that reached the threshold: the time of that point, in seconds since `startTime`."
    )
    best_task: TrainTask | None = strawberry.field(
        description="The task with the best metric; of several the earliest entered."
    )


@strawberry.type(description="Statistics of training tasks.")
class TrainStatistics:
    """What trainStatistics answers."""

    groups: list[TrainStatisticsGroup] = strawberry.field(
        description="The groups that have tasks, by ascending key, texts bytewise; tasks without a key last."
    )


@strawberry.type(description="The value of a metric at a step.")
class MetricPoint:
    """A point of a comparison."""

    step: SafeInt = strawberry.field(description="The step.")
    value: float | None = strawberry.field(description="The value; null for what is no finite number.")


@strawberry.type(description="One parameter of the tasks that are compared.")
class ComparedParameter:
    """A row of a comparison."""

    name: str = strawberry.field(
        description="An input's name; of `extraParams` with the path that conditions take, such as"
        " `extraParams.network_dropout`."
    )
    values: list[JSON | None] = strawberry.field(
        description="Its value in each of `tasks`, in their order; null where a task has none."
    )
    differs: bool = strawberry.field(description="Whether the values are not all the same; a missing one counts.")


@strawberry.type(description="A task that is compared, and what became of the metric.")
class ComparedTrainTask:
    """A column of a comparison."""

    task: TrainTask | None = strawberry.field(description="The task.")
    best: MetricPoint | None = strawberry.field(
        description="The best finite value, by the goal the least or the greatest, where it was first reached; null"
        " where the task reports none."
    )
    last: MetricPoint | None = strawberry.field(description="The very last point to arrive.")
    steps_to_reach: SafeInt | None = strawberry.field(
        description="The step of the first point to arrive that reached the threshold; null where none did."
    )
    seconds_to_reach: float | None = strawberry.field(
        description="The time of that point, in seconds since the task's `startTime`."
    )


@strawberry.type(description="Training tasks side by side.")
class TrainComparison:
    """What compareTrainTasks answers."""

    parameters: list[ComparedParameter] = strawberry.field(
        description="All inputs but tags and notes, and what is in `extraParams`, taken apart."
    )
    tasks: list[ComparedTrainTask] = strawberry.field(
        description="The tasks, in the order asked for, each once; deleted ones and those that the viewer does not see"
        " are left out."
    )


@strawberry.type(description="A value for one parameter.")
class RecommendedParameter:
    """One parameter of a recommendation."""

    name: str = strawberry.field(
        description="An input's name; of `extraParams` with its path there, such as `extraParams.network_dropout`."
    )
    value: JSON = strawberry.field(
        description="One of the values that were tried; of a number that was tried with more than 8, one between them."
    )
    importance: float = strawberry.field(
        description="Its share, from 0 to 1, in what these parameters do to the metric, as far as the runs show it."
    )


@strawberry.type(
    description="Parameters for the next training: where a Gaussian process over the runs' parameters is most sure of a"
    " good metric. Positive numbers are looked at by their logarithms. The same runs give the same answer."
)
class Recommendation:
    """What recommendParameters answers."""

    parameters: list[RecommendedParameter] = strawberry.field(
        description="The parameters that vary among the runs, the most important first; others are named in `note`."
    )
    expected_metric: float | None = strawberry.field(
        description="What the metric is expected to be with these values; null where no parameter varies."
    )
    based_on: list[TrainTask] = strawberry.field(description="The runs that it rests on, the newest first; up to 200.")
    note: str = strawberry.field(description="What to know of it: how many runs, and what they say nothing about.")


ENTITIES: tuple[type, ...] = (TrainTask, Metric)
