"""Datasets by the names that people call them, and who may put records in or take them out."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import select

from app.accounts.tables import Workspace
from app.annotation import scope
from app.annotation.checks import listed, shown
from app.annotation.datasets import lock_dataset
from app.annotation.record_items import Shape
from app.annotation.records import read_shape
from app.annotation.tables import Dataset
from app.db import UnitOfWork
from app.errors import Code, GradbookError


@dataclass(frozen=True, slots=True)
class Place:
    """A dataset and the workspace that it is in."""

    dataset_id: int
    workspace_id: int


def find_dataset(uow: UnitOfWork, name: str, workspace: str | None = None) -> Place | None:
    """The dataset of this name, in that workspace or in any; whoever asks.

    Raises CONFLICT when several workspaces have one of this name and none is given.
    """
    named = (
        select(Dataset.id, Dataset.workspace_id, Workspace.name)
        .join_from(Dataset, Workspace, Dataset.workspace_id == Workspace.id)
        .where(Dataset.name == name)
        .order_by(Workspace.name)
        .limit(100)
    )
    found = uow.connection.execute(named if workspace is None else named.where(Workspace.name == workspace)).all()
    if len(found) > 1:
        message = (
            f"Several workspaces have a dataset {shown(name)}: {listed(row.name for row in found)}. Say by --workspace "
            "which is meant."
        )
        raise GradbookError(Code.CONFLICT, message)
    return Place(found[0].id, found[0].workspace_id) if found else None


def dataset_to_import(uow: UnitOfWork, dataset_id: int) -> tuple[Place, Shape]:
    """A dataset that the viewer may add records to, and what those consist of. Raises NOT_FOUND, FORBIDDEN."""
    lock_dataset(uow, dataset_id, share=True)
    workspace_id = uow.connection.execute(select(Dataset.workspace_id).where(Dataset.id == dataset_id)).scalar_one()
    return Place(dataset_id, workspace_id), read_shape(uow, dataset_id)


def dataset_to_export(uow: UnitOfWork, dataset_id: int) -> tuple[str, Shape]:
    """The name of a dataset that the viewer sees, and what its records consist of. Raises NOT_FOUND."""
    table = Dataset.__table__
    visible = select(table.c.name).where(table.c.id == dataset_id, scope.dataset(table, uow.viewer.kind))
    name = uow.connection.scalar(visible, {"viewer_id": uow.viewer.id})
    if name is None:
        raise GradbookError(Code.NOT_FOUND, f"There is no dataset dst_{dataset_id} that you can see.")
    return name, read_shape(uow, dataset_id)


def dataset_names(uow: UnitOfWork) -> list[str]:
    """Names of datasets for a message, the newest first; up to 100."""
    return list(uow.connection.scalars(select(Dataset.name).order_by(Dataset.id.desc()).limit(100)))
