"""Subscriptions of training."""

from __future__ import annotations

import strawberry

from app.graphql.schema import Where, root
from app.training.live_fields import TrainProgress, TrainTaskChanges, resolve_changes, resolve_progress

_AFTER = ("after", str | None, "Go on after this message's `cursor`.")


@strawberry.type
class TrainingSubscriptions:
    """Root fields of training."""

    train_progress: TrainProgress = root(
        "A task's points, each once and those of a metric in the order in which they arrived, and the task whenever it"
        " changes. Without `after` all that there is comes first, at once; what does not fit into one message of some"
        " 10,000 points comes metric by metric.",
        resolve_progress,
        ("taskId", strawberry.ID, "The task to watch, `tsk_…` or its UUID."),
        ("metrics", list[str] | None, "Only points of these metrics, up to 100, be they there yet or not."),
        _AFTER,
    )
    train_task_changed: TrainTaskChanges = root(
        "Training tasks whenever they change, each at least once and as it is by then. Without `after` the first"
        " message comes at once, with the present cursor and no tasks.",
        resolve_changes,
        ("where", Where("TrainTask"), "Only tasks for which this holds; deleted ones only if it mentions `deletedAt`."),
        _AFTER,
    )
