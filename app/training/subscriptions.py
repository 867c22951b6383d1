"""Subscriptions of training."""

from collections.abc import AsyncIterable, Sequence
from typing import TYPE_CHECKING, Annotated, Any, cast

import strawberry

from app.accounts.viewer import Viewer
from app.errors import Code, GradbookError
from app.graphql.engine import ref, required_viewer
from app.graphql.operations import Context
from app.graphql.scalars import Steps, Times, Values
from app.live.access import ACCESS
from app.live.cursors import decode_cursor, encode_cursor
from app.live.feeds import Batch, feed
from app.training.queries import task_number
from app.training.task_names import TaskName, shown_name, task_name
from app.training.topics import task_topic
from app.training.types import TrainTask

if TYPE_CHECKING:  # numpy comes with the first subscriber
    from app.training.progress import Arrived

MAX_METRICS = 100


@strawberry.type(description="New points of one metric, as parallel columns in the order in which they arrived.")
class MetricPoints:
    """A series of trainProgress."""

    metric: str = strawberry.field(description="The metric's name.")
    steps: Steps = strawberry.field(description="The step of each point.")
    values: Values = strawberry.field(description="The value of each point.")
    times: Times = strawberry.field(description="When each was measured.")


@strawberry.type(description="What is new of a training task.")
class TrainProgress:
    """One message of trainProgress."""

    cursor: str = strawberry.field(description="Pass it as `after` to go on from here, on any server.")
    task: TrainTask = strawberry.field(description="The task as it is now.")
    series: list[MetricPoints] = strawberry.field(
        description="The points that arrived, by metric; none where only the task changed."
    )


@strawberry.type
class TrainingSubscriptions:
    """Root fields of training."""

    @strawberry.subscription(
        description="A task's points, each once and those of a metric in the order in which they arrived, and the task"
        " whenever it changes. Without `after` all that there is comes first, at once; what does not fit into one"
        " message of some 10,000 points comes metric by metric."
    )
    async def train_progress(
        self,
        info: strawberry.Info[Any, Any],
        task_id: Annotated[strawberry.ID, strawberry.argument(description="The task to watch, `tsk_…` or its UUID.")],
        metrics: Annotated[
            list[str] | None,
            strawberry.argument(description="Only points of these metrics, also of those that do not exist yet."),
        ] = None,
        after: Annotated[str | None, strawberry.argument(description="Go on after this message's `cursor`.")] = None,
    ) -> AsyncIterable[TrainProgress]:
        """See app.live.feeds.feed."""
        from app.training.progress import Place  # noqa: PLC0415 - numpy comes with the first subscriber

        context = cast("Context", info.context)
        viewer = cast("Viewer", required_viewer(context))
        name = task_name(task_id, "taskId")
        _check_metrics(metrics)
        number = await task_number(context, name)
        if number is None:
            raise _missing(name)
        watched = _Watched(context, viewer, name, number, metrics)

        async def read(position: tuple[int, ...] | None) -> Batch[TrainProgress]:
            batch = await watched.read(Place(*position or ()))
            if batch.payload is not None:
                await context.engine.read(info._raw_info, batch.payload)
                if None in batch.payload.task.found.values():  # type: ignore[attr-defined]
                    raise _missing(name)  # it was hidden between the two statements
            return batch

        topic = task_topic(number)
        position = None if after is None else decode_cursor(topic, after)
        return feed(context.services.bus, (topic, ACCESS), position, read)


class _Watched:
    """A task as one viewer follows it."""

    def __init__(
        self, context: Context, viewer: Viewer, name: TaskName, number: int, metrics: Sequence[str] | None
    ) -> None:
        self.context = context
        self.viewer = viewer
        self.name = name
        self.number = number
        self.metrics = metrics

    async def read(self, place: Any) -> Batch[TrainProgress]:
        """What is new after a place; the task is yet to be read."""
        from app.training.progress import read_progress  # noqa: PLC0415 - numpy comes with the first subscriber

        found = await read_progress(self.context.database, self.viewer, self.number, self.metrics, place)
        if found is None:
            raise _missing(self.name)
        payload = None
        if found.is_news:
            payload = TrainProgress(
                cursor=encode_cursor(task_topic(self.number), found.place),
                task=ref("TrainTask", self.number),
                series=[_shown(one) for one in found.series],
            )
        return Batch(payload, found.place, found.more)


def _shown(points: "Arrived") -> MetricPoints:
    return MetricPoints(**points._asdict())


def _check_metrics(metrics: Sequence[str] | None) -> None:
    if metrics is not None and len(metrics) > MAX_METRICS:
        message = f"{len(metrics):,} metrics; at most {MAX_METRICS:,} are allowed. Without any, all are watched."
        raise GradbookError(Code.LIMIT_EXCEEDED, message, ("metrics",))


def _missing(task: TaskName) -> GradbookError:
    message = f"There is no training task {shown_name(task)} that you can see."
    return GradbookError(Code.NOT_FOUND, message, ("taskId",))
