"""Queries of training."""

import strawberry

from app.graphql.entity import Connection
from app.graphql.schema import root_many, root_one
from app.training.types import TrainTask


@strawberry.type
class TrainingQueries:
    """Root fields of training."""

    train_task: TrainTask | None = root_one("TrainTask", "The training task with this id, if the viewer sees it.")
    train_tasks: Connection[TrainTask] = root_many("TrainTask", "The training tasks that the viewer sees.")
