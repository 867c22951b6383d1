"""Recommendations rest on the runs that their viewer sees, and say which these are."""

from __future__ import annotations

import random
import re
import sys
from typing import Any

import pytest

from app.db import UnitOfWork
from app.training.report_content import ReportInput, check_report
from app.training.reports import report_progress
from app.training.tables import TaskStatus
from tests.api.conftest import Book, operation
from tests.api.test_statements import Count
from tests.api.test_statements import count as count
from tests.training.tasks import LATE, insert_task, series

NAMES = {"learningRate": "learning_rate", "loraRank": "lora_rank", "batchSize": "batch_size"}
ASKED = {"modelName": "tiny", "metric": "loss"}


async def runs(book: Book, who: str, number: int, seed: int = 1, **columns: Any) -> list[str]:
    """Runs of somebody's, whose loss is least at a learning rate of 1e-3; their ids."""
    chance = random.Random(seed)
    space = int(book.ids["there" if who == "other_ann" else "here"][4:])

    def write(uow: UnitOfWork) -> list[str]:
        made = []
        for _ in range(number):
            given: dict[str, Any] = {"learning_rate": chance.choice([1e-4, 1e-3, 1e-2]), "model_name": "tiny"}
            given |= {"lora_rank": chance.choice([8, 16]), "batch_size": 4, "status": TaskStatus.SUCCESS}
            given |= {"extra_params": {"seed": chance.randint(0, 99), "deep": {"flag": chance.random() < 0.5}}}
            task = insert_task(uow, book.people[who].id, space, **given | columns)
            value = 0.5 + 10 * abs(given["learning_rate"] - 1e-3) + chance.gauss(0, 0.001)
            report = ReportInput(task, 0, series=(series("loss", [1, 2, 3], [1.5, value, 1.2]),))
            report_progress(uow, check_report(report, 0), LATE)
            made.append(f"tsk_{task}")
        return made

    return await book.services.database.transact(write, viewer=book.people["owner"])


async def recommended(book: Book, who: str, **given: Any) -> Any:
    found = await book.data(who, operation("RecommendParameters"), {"input": ASKED | given})
    return found["recommendParameters"]


async def refused(book: Book, who: str, **given: Any) -> dict[str, Any]:
    [error] = (await book.run(who, operation("RecommendParameters"), {"input": ASKED | given}))["errors"]
    return {"code": error["extensions"]["code"], "message": error["message"]}


async def test_it_rests_on_what_its_viewer_sees(book: Book) -> None:
    mine = await runs(book, "ann", 12)
    await runs(book, "other_ann", 12, seed=2, learning_rate=1.0)
    await runs(book, "ben", 3, seed=3)
    for status in (TaskStatus.RUNNING, TaskStatus.FAILED):
        await runs(book, "ann", 2, status=status)
    await runs(book, "ann", 2, model_name="other")
    [deleted] = await runs(book, "ann", 1)
    await book.mutate("ann", "DeleteTrainTask", {"id": deleted})
    found = await recommended(book, "ann")
    assert [one["id"] for one in found["basedOn"]] == mine[::-1]
    by_name = {one["name"]: one for one in found["parameters"]}
    assert set(by_name) == {"learningRate", "loraRank", "extraParams.deep.flag"}
    assert found["parameters"][0]["name"] == "learningRate"
    assert by_name["learningRate"]["value"] == 1e-3
    assert by_name["loraRank"]["value"] in {8, 16}
    assert found["expectedMetric"] == pytest.approx(0.5, abs=0.01)
    note = re.fullmatch(
        r"Rests on 12 runs; all values lie within what these tried\. Of how the metric differs between runs the"
        r" parameters tell (\d+)%, each run foretold from the others; the rest is chance, or what is not among them\."
        r" The same in all of them, so that nothing is known of other values: batchSize = 4\.",
        found["note"],
    )
    assert note is not None
    assert int(note[1]) > 70
    assert await recommended(book, "ann", goal="MINIMIZE") == found
    assert (await recommended(book, "ann", goal="MAXIMIZE"))["expectedMetric"] == 1.5
    assert len((await recommended(book, "admin"))["basedOn"]) == 15
    assert len((await recommended(book, "owner"))["basedOn"]) == 27
    narrowed = await refused(book, "admin", where={"createUser": {"eq": "ben"}})
    assert narrowed["code"] == "TOO_FEW_RUNS"
    assert "3 tasks that you see are SUCCESS" in narrowed["message"]
    assert "at least 10" in narrowed["message"]
    assert (await refused(book, "ben"))["message"].startswith("3 tasks")
    assert (await refused(book, "ann", metric="accuracy"))["message"].startswith("0 tasks")
    assert (await refused(book, "ann", where={"loraRank": {"eq": None}}))["code"] == "INVALID_INPUT"


async def test_the_newest_runs_count_and_the_statements_do_not_grow(book: Book, count: Count) -> None:
    old = await runs(book, "ann", 20, lora_rank=8, extra_params=None)
    await recommended(book, "ann")
    assert await count(lambda: recommended(book, "ann")) == 2
    new = await runs(book, "ann", 190, lora_rank=8, extra_params=None)
    found = await recommended(book, "ann")
    assert [one["id"] for one in found["basedOn"]] == [*new[::-1], *old[:9:-1]]
    assert found["note"].startswith("Rests on the newest 200 runs")
    assert await count(lambda: recommended(book, "ann")) == 2


async def test_without_scikit_learn_it_says_how_to_get_it(book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    await runs(book, "ann", 12)
    for name in ("sklearn", "sklearn.gaussian_process", "threadpoolctl"):
        monkeypatch.setitem(sys.modules, name, None)  # as where it is not installed
    error = await refused(book, "ann")
    assert error["code"] == "NOT_INSTALLED"
    assert "pip install 'gradbook[recommend]'" in error["message"]
