"""What tests of tasks do again and again."""

from __future__ import annotations

from typing import Any

from app.training.lifecycle import (
    Moved,
    StartTrainTask,
    cancel_train_task,
    fail_train_task,
    finish_train_task,
    start_train_task,
)
from app.training.tables import TaskStatus
from app.training.tasks import GivenInputs, create_train_task
from tests.annotation.book import Book

PENDING, RUNNING, SUCCESS = TaskStatus.PENDING, TaskStatus.RUNNING, TaskStatus.SUCCESS
FAILED, CANCELED = TaskStatus.FAILED, TaskStatus.CANCELED

LEADS: dict[TaskStatus, tuple[TaskStatus, ...]] = {
    PENDING: (),
    RUNNING: (RUNNING,),
    SUCCESS: (RUNNING, SUCCESS),
    FAILED: (RUNNING, FAILED),
    CANCELED: (CANCELED,),
}
"""How a new task gets into each state."""


async def task(book: Book, who: str = "ada", **inputs: Any) -> int:
    """A new task, PENDING."""
    written = await book.act(who, create_train_task, GivenInputs({"modelName": "tiny"} | inputs, book.workspace))
    return int(written.id)


async def move(book: Book, number: int, to: TaskStatus, who: str = "ada") -> Moved:
    """What brings a task into a state."""
    if to is RUNNING:
        moved: Moved = await book.act(who, start_train_task, StartTrainTask(number))
    elif to is SUCCESS:
        moved = await book.act(who, finish_train_task, number)
    elif to is FAILED:
        moved = await book.act(who, fail_train_task, number, "out of memory")
    else:
        moved = await book.act(who, cancel_train_task, number)
    return moved


async def task_in(book: Book, state: TaskStatus, who: str = "ada", **inputs: Any) -> int:
    """A new task that was brought into a state."""
    number = await task(book, who, **inputs)
    for step in LEADS[state]:
        await move(book, number, step, who)
    return number


async def row(book: Book, number: int, *columns: str) -> Any:
    """Some columns of a task as stored; of one column its value."""
    (found,) = await book.rows(f"SELECT {', '.join(columns)} FROM train_task WHERE id = :id", id=number)
    return found if len(columns) > 1 else found[0]
