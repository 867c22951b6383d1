"""Statistics and comparisons are what plain Python computes from the same history, for each who asks."""

from __future__ import annotations

import random
from typing import Any

import pytest

from app.training.compactor import compact_waiting
from tests.api.conftest import Book, operation
from tests.api.test_statements import Count
from tests.api.test_statements import count as count
from tests.training.history import Made, draw, statistics, store

WHO = {"ann": ("ann",), "admin": ("ann", "ben", "admin"), "owner": ("ann", "ben", "admin", "other_ann")}
"""Whose tasks each sees."""
MADE = ("ann", "ben", "admin", "other_ann")
ALL = {"startTime": {"gte": "2026-01-01T00:00:00Z"}}


async def history(book: Book, made: list[Made]) -> list[Made]:
    spaces = {name: int(book.ids["there" if name == "other_ann" else "here"][4:]) for name in MADE}
    await store(book.services.database, book.people, spaces, made)
    return made


def seen(made: list[Made], who: str) -> list[Made]:
    """What somebody's statistics with `ALL` are about."""
    return [one for one in made if one.who in WHO[who] and not one.deleted and one.start is not None]


def close(found: Any, expected: Any) -> bool:
    return bool(found == expected if expected is None else found == pytest.approx(expected, rel=1e-9, abs=1e-3))


async def groups(book: Book, who: str, **variables: Any) -> list[dict[str, Any]]:
    query = operation("TrainStatistics").replace("tasks succeeded", "reached tasks succeeded")
    found = (await book.data(who, query, {"where": ALL, **variables}))["trainStatistics"]["groups"]
    assert isinstance(found, list)
    return found


def check(found: list[dict[str, Any]], expected: dict[Any, dict[str, Any]]) -> None:
    """The numbers by key; a bin's key is its edges."""
    by_key = {tuple(one["range"].values()) if one["range"] else one["key"]: one for one in found}
    assert list(by_key) == sorted(expected, key=_place)
    for key, numbers in expected.items():
        answer = by_key[key]
        best = answer["bestTask"] and int(answer["bestTask"]["id"][4:])
        assert best == numbers["bestTask"], key
        for name, number in numbers.items():
            assert name == "bestTask" or close(answer[name], number), (key, name)


def _place(key: Any) -> Any:
    if isinstance(key, tuple):
        return (False, -1e300 if key[0] is None else key[0])
    return (key is None, key if key is not None else 0)


def bins(edges: list[float], value: float | None) -> Any:
    if value is None:
        return None
    below, above = [edge for edge in edges if edge <= value], [edge for edge in edges if edge > value]
    return (max(below, default=None), min(above, default=None))


RATES = [1e-05, 2e-4, 0.3]
DIMENSIONS: list[tuple[dict[str, Any], Any]] = [
    ({"by": "MODEL_NAME"}, lambda one: [one.columns["model_name"]]),
    ({"by": "LORA_RANK"}, lambda one: [one.columns["lora_rank"]]),
    ({"by": "LORA_RANK", "bins": [8, 16]}, lambda one: [bins([8, 16], one.columns["lora_rank"])]),
    ({"by": "LEARNING_RATE"}, lambda one: [one.columns["learning_rate"]]),
    ({"by": "LEARNING_RATE", "bins": RATES}, lambda one: [bins(RATES, one.columns["learning_rate"])]),
    ({"by": "TAG"}, lambda one: one.columns["tags"] or [None]),
    ({"by": "CREATE_USER"}, lambda one: [one.who]),
    ({"by": "WORKSPACE"}, lambda one: ["there" if one.who == "other_ann" else "here"]),
    ({"by": "HOST"}, lambda one: [one.columns["host"]]),
    ({"by": "FINGERPRINT"}, lambda one: [one.columns["fingerprint"]]),
    ({"by": "DAY"}, lambda one: [one.start.strftime("%Y-%m-%d")]),
    ({"by": "WEEK"}, lambda one: [one.start.strftime("%G-W%V")]),
    ({"by": "MONTH"}, lambda one: [one.start.strftime("%Y-%m")]),
]


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_statistics_are_those_of_plain_python(book: Book, seed: int) -> None:
    chance = random.Random(seed)
    made = await history(book, draw(chance, MADE, 60))
    if seed != 1:
        assert await compact_waiting(book.services.database, set()) > 0
    for who in WHO:
        for asked, keys in DIMENSIONS:
            minimize, threshold = chance.random() < 0.5, chance.choice([None, 0.4, 1.0, 1.9])
            more = {"metric": "loss", "goal": "MINIMIZE" if minimize else "MAXIMIZE", "threshold": threshold}
            found = await groups(book, who, **asked, **more)
            check(found, statistics(seen(made, who), keys, minimize, threshold))


async def test_an_exact_threshold_is_reached(book: Book) -> None:
    """The best value itself, as it is told, is reached by the point that had it."""
    made = await history(book, draw(random.Random(7), ["ann"], 60))
    for one in seen(made, "ann"):
        for goal, best in (("MINIMIZE", min), ("MAXIMIZE", max)) if one.finite else ():
            given = {"ids": [f"tsk_{one.id}"], "metric": "loss", "goal": goal, "threshold": best(one.finite)}
            [found] = (await book.data("ann", operation("CompareTrainTasks"), given))["compareTrainTasks"]["tasks"]
            assert found["best"]["value"] == best(one.finite)
            assert found["stepsToReach"] == found["best"]["step"]


async def test_where_narrows_and_brings_deleted_tasks_back(book: Book) -> None:
    made = await history(book, draw(random.Random(4), MADE, 60))

    async def counted(where: dict[str, Any] | None) -> int:
        return sum(one["tasks"] for one in await groups(book, "admin", by="STATUS", where=where))

    mine = [one for one in made if one.who in WHO["admin"]]
    assert await counted(None) == sum(not one.deleted for one in mine) + 3  # and those of the book itself
    assert await counted({"deletedAt": {"isNull": False}}) == sum(one.deleted for one in mine) > 0
    either = {"or": [{"loraRank": {"gte": 16}}, {"learningRate": {"lt": 1e-4}}], **ALL}
    expected = [
        one
        for one in seen(made, "admin")
        if (one.columns["lora_rank"] or 0) >= 16 or (one.columns["learning_rate"] or 1) < 1e-4
    ]
    assert await counted(either) == len(expected) > 0


async def test_who_is_not_seen_has_no_name(book: Book) -> None:
    await history(book, draw(random.Random(5), ["ann", "ben"], 30))
    names = [one["key"] for one in await groups(book, "admin", by="CREATE_USER")]
    assert names == ["ann", "ben"]
    members = {"workspaceId": book.ids["here"], "userId": book.ids["ben"]}
    await book.mutate("owner", "RemoveMember", members)
    assert [one["key"] for one in await groups(book, "admin", by="CREATE_USER")] == ["ann", None]
    assert [one["key"] for one in await groups(book, "other_ann", by="CREATE_USER")] == []


WRONG: list[tuple[dict[str, Any], list[Any], str]] = [
    ({"by": "MODEL_NAME", "bins": [1]}, ["bins"], "MODEL_NAME has no bins"),
    ({"by": "LORA_RANK", "bins": []}, ["bins"], "0 edges: give 1 to 100"),
    ({"by": "LORA_RANK", "bins": list(range(101))}, ["bins"], "101 edges"),
    ({"by": "LORA_RANK", "bins": [1, 3, 2]}, ["bins", 2], "The edge 2.0 comes after 3.0"),
    ({"by": "LORA_RANK", "bins": [1, 1]}, ["bins", 1], "each edge once"),
    ({"by": "LORA_RANK", "threshold": 1}, ["threshold"], "say by `metric`"),
    ({"by": "TAG", "where": {"loraRank": {"eq": None}}}, ["where", "loraRank", "eq"], "isNull"),
]


async def test_what_cannot_be_computed_says_why(book: Book) -> None:
    for given, path, words in WRONG:
        [error] = (await book.run("ann", operation("TrainStatistics"), given))["errors"]
        assert (error["extensions"]["code"], error["extensions"]["argument"]) == ("INVALID_INPUT", path)
        assert words in error["message"]


async def compared(book: Book, who: str, ids: list[str], **more: Any) -> Any:
    given = {"ids": ids, "metric": "loss", **more}
    return (await book.data(who, operation("CompareTrainTasks"), given))["compareTrainTasks"]


async def test_tasks_side_by_side(book: Book) -> None:
    first: dict[str, Any] = {"modelName": "tiny", "loraRank": 8, "learningRate": 1e-4, "notes": "first", "tags": ["x"]}
    first["extraParams"] = {"optimizer": {"name": "adam", "betas": [0.9, 1]}, "flag": True, "a.b": 1, "same": 1}
    other: dict[str, Any] = {"modelName": "tiny", "loraRank": 16, "learningRate": 1e-4}
    other["extraParams"] = {"same": 1.0, "flag": 1, "optimizer": {"betas": [0.9, 1.0]}}
    made = [(await book.mutate("ann", "CreateTrainTask", given))["task"] for given in (first, other)]
    reported: list[list[Any]] = [[0.5, 0.25, "NaN"], [0.75]]
    for task, values in zip(made, reported, strict=True):
        await book.mutate("ann", "StartTrainTask", {"id": task["id"]})
        lists = {"steps": [2**40 + n for n in range(len(values))], "values": values}
        report = {"id": task["id"], "sequence": 0, "series": [{"metric": "loss", **lists}]}
        await book.mutate("ann", "ReportProgress", report)
    ids = [made[1]["id"], made[0]["taskId"], book.ids["task_of_ben"], made[0]["id"]]
    found = await compared(book, "ann", ids, threshold=0.5)
    parameters = {one["name"]: (one["values"], one["differs"]) for one in found["parameters"]}
    assert list(parameters)[:4] == ["modelName", "modelPath", "loraRank", "loraAlpha"]
    assert parameters["modelName"] == (["tiny", "tiny"], False)
    assert parameters["loraRank"] == ([16, 8], True)
    assert parameters["batchSize"] == ([None, None], False)
    extra = {name[12:]: value for name, value in parameters.items() if name.startswith("extraParams.")}
    assert extra == {
        "same": ([1.0, 1], False),
        "flag": ([1, True], True),
        "optimizer.betas": ([[0.9, 1.0], [0.9, 1]], False),
        "optimizer.name": ([None, "adam"], True),
        '"a.b"': ([None, 1], True),
    }
    assert not {"notes", "tags", "extraParams"} & set(parameters)
    two, one = found["tasks"]
    assert one["task"] == {"id": made[0]["id"], "modelName": "tiny"}
    assert (one["best"], one["last"]) == ({"step": 2**40 + 1, "value": 0.25}, {"step": 2**40 + 2, "value": None})
    assert one["stepsToReach"] == 2**40
    assert 0 <= one["secondsToReach"] < 60
    assert (two["best"], two["last"]) == ({"step": 2**40, "value": 0.75},) * 2
    assert (two["stepsToReach"], two["secondsToReach"]) == (None, None)
    top = (await compared(book, "ann", ids[:2], goal="MAXIMIZE", threshold=0.75))["tasks"]
    assert [(task["best"]["value"], task["stepsToReach"]) for task in top] == [(0.75, 2**40), (0.5, None)]
    await book.mutate("ann", "DeleteTrainTask", {"id": made[0]["id"]})
    assert [task["task"]["id"] for task in (await compared(book, "ann", ids))["tasks"]] == [made[1]["id"]]
    assert await compared(book, "other_ann", ids) == {
        "parameters": [],
        "tasks": [],
    }


async def test_a_comparison_is_bounded(book: Book) -> None:
    given: dict[str, Any] = {"ids": [f"tsk_{n}" for n in range(101)], "metric": "loss"}
    [error] = (await book.run("ann", operation("CompareTrainTasks"), given))["errors"]
    assert (error["extensions"]["code"], error["message"]) == (
        "LIMIT_EXCEEDED",
        "101 tasks; at most 100 are compared.",
    )
    extra = {f"p{n}": n for n in range(1_001)}
    made = await book.mutate("ann", "CreateTrainTask", {"modelName": "wide", "extraParams": extra})
    given = {"ids": [made["task"]["id"]], "metric": "loss"}
    [error] = (await book.run("ann", operation("CompareTrainTasks"), given))["errors"]
    assert "1,017 parameters; at most 1,000" in error["message"]


@pytest.mark.parametrize("tasks", [3, 90])
async def test_the_number_of_statements_is_constant(book: Book, count: Count, tasks: int) -> None:
    made = [one for one in draw(random.Random(6), ["ann"], 200) if one.points and not one.deleted][:tasks]
    await history(book, made)
    for by, more in (("MODEL_NAME", {}), ("TAG", {}), ("LORA_RANK", {"bins": [8]}), ("CREATE_USER", {})):
        given: dict[str, Any] = {"by": by, "metric": "loss", **more}
        await groups(book, "ann", threshold=5, **given)  # PostgreSQL is asked about each connection's first
        assert await count(lambda: groups(book, "ann", **given)) == 2  # noqa: B023 - called at once
        assert await count(lambda: groups(book, "ann", threshold=5, **given)) == 3  # noqa: B023 - called at once
    ids = [f"tsk_{one.id}" for one in made]
    await compared(book, "ann", ids, threshold=5)
    assert await count(lambda: compared(book, "ann", ids)) == 2
    assert await count(lambda: compared(book, "ann", ids, threshold=5)) == 3
