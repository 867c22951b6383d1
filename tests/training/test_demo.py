"""The demo's tasks: real runs as they were, and gone without a trace."""

import datetime
from itertools import accumulate, pairwise
from statistics import fmean

from app.training.demo.tasks import demo_tasks, make_demo_tasks, remove_demo_tasks, runs
from app.training.lifecycle import retry_train_task
from app.training.tasks import GivenInputs, clone_train_task
from tests.annotation.book import Book
from tests.support.traced import Count
from tests.training.runs import row, task
from tests.training.tasks import Run

TABLES = ("train_task", "metric", "metric_chunk", "metric_source")


async def counted(book: Book) -> dict[str, int]:
    return {table: (await book.rows(f"SELECT count(*) FROM {table}"))[0][0] for table in TABLES}


async def test_they_come_whole_and_go_whole(book: Book) -> None:
    kept = await task(book)
    before = await counted(book)
    made = await book.act("operator", make_demo_tasks, book.workspace)
    assert await book.act("operator", demo_tasks, book.workspace) == made
    assert await book.act("operator", demo_tasks, book.elsewhere) == []
    clone = (await book.act("owner", clone_train_task, made[-1], GivenInputs({}))).id
    # An attempt more of the failed one is the demo's, too: it belongs to who made that.
    again = await book.act("operator", retry_train_task, made[0])
    found = await book.act("operator", demo_tasks, book.workspace)
    assert found == [*made, again]
    await book.act("operator", remove_demo_tasks, found)
    assert await book.act("operator", demo_tasks, book.workspace) == []
    assert await counted(book) == before | {"train_task": before["train_task"] + 1}
    assert [await row(book, one, "status") for one in (kept, clone)] == ["PENDING"] * 2
    assert len(await book.act("operator", make_demo_tasks, book.workspace)) == len(made)


async def test_they_go_by_as_many_statements_however_many_there_are(book: Book, statements: Count) -> None:
    counts = []
    for times in (1, 3):
        for _ in range(times):
            await book.act("operator", make_demo_tasks, book.workspace)
        found = await book.act("operator", demo_tasks, book.workspace)
        assert len(found) == times * len(runs())
        for one in found[:times]:
            await book.act("owner", clone_train_task, one, GivenInputs({}))
        counts.append(len(await statements(book.act("operator", remove_demo_tasks, found))))
    assert counts[0] == counts[1]


async def test_every_run_is_as_it_was(book: Book) -> None:
    made = await book.act("operator", make_demo_tasks, book.workspace)
    for number, run in zip(made, runs(), strict=True):
        stored = Run(book.database, number, book.users["owner"], book.workspace)
        task = await stored.row()
        assert (task.status.name, task.lora_rank, task.learning_rate, task.error) == (
            run["status"],
            run["inputs"]["loraRank"],
            run["inputs"]["learningRate"],
            run.get("error"),
        )
        assert [instant(task.start_time), instant(task.end_time)] == [run["began"], run["ended"]]
        assert (task.total_steps, task.summary, task.tags) == (run["totalSteps"], run.get("summary"), ["demo"])
        points = await stored.points()
        for metric, one in run["metrics"].items():
            steps, values, times, _ = zip(*points.pop(metric), strict=True)
            assert (steps[0], list(values)) == (one["first"], one["values"])
            assert {later - earlier for earlier, later in pairwise(steps)} <= {one["every"]}
            assert list(times) == list(accumulate(one["waits"], initial=run["began"]))[1:]
            assert times[-1] <= run["ended"]
        assert points == {}
        assert task.step == max(
            one["first"] + one["every"] * (len(one["values"]) - 1) for one in run["metrics"].values()
        )


def instant(time: datetime.datetime) -> int:
    return round(time.timestamp() * 1000)


async def test_they_belong_to_the_people_of_the_demo(book: Book) -> None:
    await book.act("operator", make_demo_tasks, book.workspace)
    owners = await book.rows(
        "SELECT username, count(*) FROM train_task JOIN user_account ON user_account.id = user_id"
        " GROUP BY username ORDER BY username"
    )
    assert owners == [("demo-mei", 7), ("demo-raj", 5)]


def test_the_runs_differ_as_runs_do() -> None:
    by_status: dict[str, list[dict[str, list[float]]]] = {}
    for run in runs():
        values = {metric: one["values"] for metric, one in run["metrics"].items()}
        by_status.setdefault(run["status"], []).append(values)
    assert {status: len(found) for status, found in by_status.items()} == {"SUCCESS": 10, "FAILED": 1, "CANCELED": 1}
    learned = by_status["SUCCESS"]
    assert all(values["accuracy"][-1] > values["accuracy"][0] for values in learned)
    assert all(fmean(values["loss"][-50:]) < fmean(values["loss"][:50]) for values in learned)
    assert len({values["accuracy"][-1] for values in learned}) > 5
    (failed,), (canceled,) = by_status["FAILED"], by_status["CANCELED"]
    assert failed["loss"][-1] > 1000
    assert len(canceled["loss"]) < len(learned[0]["loss"]) / 2
