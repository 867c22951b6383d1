"""What training publishes after a commit."""

from __future__ import annotations

from app.db.unit_of_work import UnitOfWork

TASKS = "tasks"
"""A task was made, changed, deleted, restored or purged."""


def task_topic(task_id: int) -> str:
    """The task changed, or points of it arrived."""
    return f"task:{task_id}"


def publish_task(uow: UnitOfWork, task_id: int) -> None:
    """Tell, after the commit, whoever watches the task, or all tasks."""
    uow.publish(task_topic(task_id))
    uow.publish(TASKS)
