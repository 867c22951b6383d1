"""What training publishes after a commit."""

from __future__ import annotations

from app.db.unit_of_work import UnitOfWork


def task_topic(task_id: int) -> str:
    """The task changed, or points of it arrived."""
    return f"task:{task_id}"


def tasks_topic(workspace_id: int) -> str:
    """A task of the workspace was made, changed, deleted, restored or purged."""
    return f"tasks:{workspace_id}"


def publish_task(uow: UnitOfWork, task_id: int, workspace_id: int) -> None:
    """Tell, after the commit, whoever watches the task or its workspace's tasks."""
    uow.publish(task_topic(task_id))
    uow.publish(tasks_topic(workspace_id))
