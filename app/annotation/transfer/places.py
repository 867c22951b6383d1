"""Datasets by the names that people call them."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import select

from app.accounts.tables import Workspace
from app.annotation.checks import listed, shown
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


def dataset_names(uow: UnitOfWork) -> list[str]:
    """Names of datasets for a message, the newest first; up to 100."""
    return list(uow.connection.scalars(select(Dataset.name).order_by(Dataset.id.desc()).limit(100)))
