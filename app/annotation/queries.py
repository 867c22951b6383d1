"""Queries of annotation."""

import strawberry

from app.annotation.types import Dataset, Record
from app.graphql.entity import Connection
from app.graphql.schema import root_many, root_one


@strawberry.type
class AnnotationQueries:
    """Root fields of annotation."""

    dataset: Dataset | None = root_one("Dataset", "The dataset with this id, if the viewer sees it.")
    datasets: Connection[Dataset] = root_many("Dataset", "The datasets that the viewer sees.")
    record: Record | None = root_one("Record", "The record with this id, if the viewer sees it.")
