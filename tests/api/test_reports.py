"""Points go in and curves come out through GraphQL, as columns."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.conftest import Book, operation

QUERY = """query ($id: ID!) { trainTask(id: $id) {
  step metrics { name last points }
  curves(metrics: ["loss", "none"], maxPoints: 10, toStep: 2) { metric points steps values nonFinite task { id } }
} }"""


async def _started(book: Book) -> dict[str, Any]:
    made = await book.mutate("ben", "CreateTrainTask", {"modelName": "m"})
    await book.mutate("ben", "StartTrainTask", {"id": made["task"]["id"]})
    return dict(made["task"])


async def test_a_report_and_its_curves(book: Book) -> None:
    task = await _started(book)
    report = {
        "id": task["taskId"],
        "sequence": 0,
        "step": 3,
        "series": [
            {"metric": "loss", "steps": [1, 2, 3], "values": [0.5, "NaN", 0.25], "times": [1, 2, 3]},
            {"metric": "lr", "steps": [1], "values": [1e-4]},
        ],
    }
    answer = await book.mutate("ben", "ReportProgress", report)
    assert answer == {"accepted": 4, "nextSequence": 1, "stopRequested": False, "errors": []}
    again = await book.mutate("ben", "ReportProgress", report)
    assert (again["accepted"], again["nextSequence"]) == (0, 1)
    found = (await book.data("ben", QUERY, {"id": task["id"]}))["trainTask"]
    assert found["step"] == 3
    assert found["metrics"] == [{"name": "loss", "last": 0.25, "points": 3}, {"name": "lr", "last": 1e-4, "points": 1}]
    columns = {"steps": [1, 2], "values": [0.5, "NaN"], "nonFinite": [0, 1], "task": {"id": task["id"]}}
    assert found["curves"] == [{"metric": "loss", "points": 2, **columns}]


async def test_runs_on_one_grid(book: Book) -> None:
    tasks = [await _started(book) for _ in range(2)]
    for task in tasks:
        series = [{"metric": "loss", "steps": list(range(100)), "values": [n / 2 for n in range(100)]}]
        await book.mutate("ben", "ReportProgress", {"id": task["id"], "sequence": 0, "series": series})
    asked = {"tasks": [tasks[1]["taskId"], tasks[0]["id"]], "metrics": ["loss"], "maxPoints": 4}
    for who in ("ben", "admin"):
        curves = (await book.data(who, operation("Curves"), asked))["curves"]
        assert [curve["task"]["id"] for curve in curves] == [tasks[1]["id"], tasks[0]["id"]]
        assert [curve["steps"] for curve in curves] == [[0, 32, 64, 96]] * 2
        assert [curve["maximums"] for curve in curves] == [[15.5, 31.5, 47.5, 49.5]] * 2
    for who in ("ann", "other_admin"):
        assert (await book.data(who, operation("Curves"), asked))["curves"] == []


FAR = 2**53 - 1
LATE_STEPS = """query ($id: ID!, $range: StepRange, $where: TrainTaskWhere) {
  trainTask(id: $id) {
    step totalSteps progress metrics { lastStep minStep maxStep points }
    curves(metrics: ["loss"], maxPoints: 10, range: $range) { points steps values }
  }
  trainTasks(where: $where) { totalCount }
}"""


async def test_steps_are_whole_numbers_of_up_to_53_bits(book: Book) -> None:
    task = (await book.mutate("ben", "CreateTrainTask", {"modelName": "m"}))["task"]
    await book.mutate("ben", "StartTrainTask", {"id": task["id"], "totalSteps": FAR})
    series = [{"metric": "loss", "steps": [-FAR, 2**31, FAR - 1, FAR], "values": [3, 2, 1, 0.5]}]
    report = {"id": task["id"], "sequence": 0, "step": FAR, "series": series}
    assert (await book.mutate("ben", "ReportProgress", report))["accepted"] == 4
    of_metric = {"name": "loss", "minStep": {"eq": FAR}, "maxStep": {"lt": -(2**40)}}
    where = {"and": [{"step": {"gte": FAR}}, {"totalSteps": {"in": [FAR]}}, {"metrics": of_metric}]}
    asked = {"id": task["id"], "where": where}
    found = await book.data("ben", LATE_STEPS, {**asked, "range": {"from": 2**31, "to": FAR - 1}})
    metric = {"lastStep": FAR, "minStep": FAR, "maxStep": -FAR, "points": 4}
    curve = {"points": 2, "steps": [2**31, FAR - 1], "values": [2, 1]}
    expected = {"step": FAR, "totalSteps": FAR, "progress": 1, "metrics": [metric], "curves": [curve]}
    assert found == {"trainTask": expected, "trainTasks": {"totalCount": 1}}
    # Whatever is said of the steps holds: Int variables go where they went before.
    both = 'query ($id: ID!, $from: Int) { trainTask(id: $id) { curves(metrics: ["loss"], maxPoints: 10,'
    both += f" fromStep: $from, range: {{from: {2**31}}}) {{ steps }} }} }}"
    for start, steps in ((-1, [2**31, FAR - 1, FAR]), (2**31 - 1, [2**31, FAR - 1, FAR])):
        found = await book.data("ben", both, {"id": task["id"], "from": start})
        assert found["trainTask"]["curves"] == [{"steps": steps}]


@pytest.mark.parametrize("step", [FAR + 1, -FAR - 1, 1.5, "3", True, [1]])
async def test_what_is_no_step_is_refused_before_anything_is_done(book: Book, step: Any) -> None:
    task = await _started(book)
    result = await book.run(
        "ben", operation("ReportProgress"), {"input": {"id": task["id"], "sequence": 0, "step": step}}
    )
    assert "is no whole number from -9007199254740991 to 9007199254740991." in result["errors"][0]["message"]
    await book.mutate("ben", "ReportProgress", {"id": task["id"], "sequence": 0, "step": 3.0})


async def test_what_is_wrong_has_its_path(book: Book) -> None:
    task = await _started(book)
    series = [{"metric": "loss", "steps": [1, 2], "values": [0.5, "nan"]}]
    given = {"input": {"id": task["id"], "sequence": 0, "series": series}}
    payload = (await book.data("ben", operation("ReportProgress"), given))["reportProgress"]
    assert [(error["code"], error["path"]) for error in payload["errors"]] == [
        ("INVALID_INPUT", ["series", "0", "values", "1"])
    ]
    assert (payload["accepted"], payload["nextSequence"]) == (0, None)
