"""Nonsense in every place of every operation's variables and literals: nothing unforeseen, and the mistake is named."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from app.graphql.operations import Request, RequestError
from tests.api.conftest import SETTINGS, Book, operation

INSTANT = "2026-03-20T00:00:00Z"
TASK = {
    "workspaceId": "HERE", "modelName": "m", "loraRank": 4, "learningRate": 1e-4, "extraParams": {"a": {"b": [1, "x"]}},
    "tags": ["t"], "notes": "n", "command": "c", "launcher": "l", "maxAttempts": 2, "hourlyCost": 1.5, "logPath": "l",
}  # fmt: skip
RECORD_WHERE = {
    "and": [{"id": {"in": ["RECORD"]}}, {"externalId": {"contains": "1"}}, {"insertedAt": {"gte": INSTANT}}],
    "or": [{"metadata": {"path": "a.b[0]", "float": {"gt": 0.5}, "int": {"eq": 1}, "text": {"in": ["x"]}}}],
    "responses": {"some": {"user": {"eq": "USER"}, "answers": {"question": "quality", "int": {"eq": 3}}}},
    "not": {"suggestions": {"some": {"question": {"eq": "q"}, "value": {"path": "a", "text": {"startsWith": "a"}}}}},
}  # fmt: skip
TASK_WHERE = {
    "createUser": {"eq": "ann", "in": ["ben"]}, "status": {"in": ["SUCCESS"]}, "startTime": {"gte": INSTANT},
    "tags": {"hasAny": ["a"]}, "metric": {"name": "loss", "last": {"lt": 1.0}}, "step": {"gte": 16},
    "or": [{"extraParams": {"path": "a", "float": {"gt": 0.1}}}, {"modelName": {"contains": "a"}}],
}  # fmt: skip
ORDER = [{"json": {"path": "a", "as": "INT"}}, {"metric": {"name": "loss", "value": "LAST"}}, {"field": "MODEL_NAME"}]
RECORD = {
    "externalId": "e", "fields": {"text": "Some text"}, "metadata": {"a": [1]},
    "suggestions": [{"question": "quality", "value": 3, "score": 0.5, "agent": "m"}],
}  # fmt: skip
INPUTS: dict[str, dict[str, Any]] = {
    "CreateUser": {"username": "x", "role": "ANNOTATOR", "password": "correct horse battery", "workspaceIds": ["HERE"]},
    "CreateApiKey": {"name": "k", "userId": "USER", "expiresAt": "2099-01-01T00:00:00Z"},
    "UpdateUser": {"id": "usr_1", "username": "x", "role": "ADMIN", "password": "correct horse battery"},
    "CreateWorkspace": {"name": "w"},
    "CreateDataset": {"name": "x", "workspaceId": "HERE", "guidelines": "g", "fields": [{"name": "text", "title": "T"}],
                      "questions": SETTINGS},
    "UpdateDataset": {"id": "dst_1", "name": "x", "guidelines": "g", "minSubmitted": 2},
    "AddRecords": {"datasetId": "DATASET", "onConflict": "SKIP", "records": [RECORD]},
    "NextRecords": {"datasetId": "DATASET", "first": 1},
    "SubmitResponse": {"recordId": "RECORD", "values": {"quality": 3, "topic": "war"}},
    "SubmitResponses": {"responses": [{"recordId": "RECORD", "values": {"quality": 3}, "status": "SUBMITTED"}]},
    "CreateTrainTask": TASK,
    "ImportTrainConfig": {"format": "YAML", "text": "output_name: x\na: 1e-4", "overrides": {"notes": "y"}},
    "StartTrainTask": {"id": "tsk_1", "source": "s", "host": "h", "totalSteps": 10, "logPath": "l"},
    "ReportProgress": {"id": "tsk_1", "source": "s", "sequence": 0, "step": 2, "epoch": 0.5,
                       "series": [{"metric": "loss", "steps": [5], "values": ["NaN"], "times": [1]}]},
    "UpdateTrainTask": {"id": "TASK", "set": {"notes": "n"}, "addTags": ["y"], "removeTags": ["z"], "ifVersion": 99},
    "FinishTrainTask": {"id": "tsk_1", "outputPath": "o", "summary": {"a": 1}},
    "FailTrainTask": {"id": "tsk_1", "error": "e", "logTail": "t"},
    "CloneTrainTask": {"id": "tsk_1", "overrides": {"modelName": "c"}},
    "RecommendParameters": {"modelName": "m", "metric": "loss", "goal": "MINIMIZE"},
}  # fmt: skip
QUERIES: dict[str, dict[str, Any]] = {
    "RecordPage": {"dataset": "DATASET", "first": 5, "after": "5b22", "where": RECORD_WHERE, "orderBy": ORDER[:1],
                   "search": "Passage"},
    "TrainTasks": {"where": TASK_WHERE, "orderBy": ORDER, "first": 3, "after": "5b22", "search": "m"},
    "TrainTask": {"id": "TASK", "maxPoints": 10, "from": 0, "to": 5},
    "Curves": {"tasks": ["TASK"], "metrics": ["loss"], "maxPoints": 10, "fromStep": 0, "toStep": 5},
    "CompareTrainTasks": {"ids": ["TASK"], "metric": "loss", "goal": "MINIMIZE", "threshold": 0.5},
    "TrainStatistics": {"by": "LORA_RANK", "metric": "loss", "threshold": 0.5, "bins": [0.1, 0.5]},
}  # fmt: skip

NESTED = orjson.loads(b"[" * 1000 + b"]" * 1000)
NONSENSE: tuple[Any, ...] = ("a\0b", -(2**63), NESTED)

Path = tuple[str | int, ...]


def places(value: Any, path: Path = ()) -> Iterator[Path]:
    """The paths of a value and of everything in it."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from places(item, (*path, key))


def with_value(value: Any, path: Path, new: Any) -> Any:
    """A copy with something else at a path."""
    if not path:
        return new
    copy = value.copy()
    copy[path[0]] = with_value(value[path[0]], path[1:], new)
    return copy


def asked(book: Book) -> Iterator[tuple[str, dict[str, Any]]]:
    """The examples, each with variables that are right."""
    names = {"HERE": "here", "RECORD": "record_here_1", "USER": "ann", "DATASET": "dataset_here", "TASK": "task_of_ann"}
    for name, given in [*((name, {"input": value}) for name, value in INPUTS.items()), *QUERIES.items()]:
        text = orjson.dumps(given).decode()
        for word, key in names.items():
            text = text.replace(f'"{word}"', f'"{book.ids[key]}"')
        yield operation(name), orjson.loads(text)


def messages(answer: Any) -> Iterator[str]:
    """What an answer calls wrong, at its top and in payloads."""
    if isinstance(answer, dict):
        if isinstance(answer.get("message"), str):
            yield answer["message"]
        for item in answer.values():
            yield from messages(item)
    elif isinstance(answer, list):
        for item in answer:
            yield from messages(item)


async def answer_of(book: Book, query: str, variables: dict[str, Any]) -> Any:
    try:
        return await book.run("admin", query, variables)
    except RequestError as error:
        return error.result


async def test_nonsense_in_any_place_of_the_variables_is_an_error_that_was_foreseen(book: Book) -> None:
    for query, right in asked(book):
        for path in places(right):
            if not path:
                continue
            for nonsense in NONSENSE:
                answer = await answer_of(book, query, with_value(right, path, nonsense))
                told = list(messages(answer))
                assert not any("Something went wrong" in message for message in told), (query, path, nonsense, answer)
                if nonsense == "a\0b":
                    assert told, (query, path, answer)


NUMBERS = ("1e999", "-1e999", "1" * 400, "1" * 10_000, "1" * 5000 + "e-1")
FIELDS = (
    "trainTasks(first: NUMBER) { totalCount }",
    "trainTasks(where: {learningRate: {gt: NUMBER}}) { totalCount }",
    "trainTasks(where: {step: {in: [NUMBER]}}) { totalCount }",
    'compareTrainTasks(ids: [], metric: "m", threshold: NUMBER) { tasks { stepsToReach } }',
)


@pytest.mark.parametrize("field", FIELDS)
def test_a_number_that_no_double_comes_near_to_is_refused(empty_book: Book, field: str) -> None:
    for number in NUMBERS:
        with pytest.raises(RequestError, match="is beyond the numbers of 64 bits") as error:
            empty_book.operations.prepare(
                Request(f"{{ {field.replace('NUMBER', number)} }}"), empty_book.people["owner"]
            )
        assert len(str(error.value)) < 150


async def test_numbers_in_json_are_kept_or_refused_never_changed_into_another(book: Book) -> None:
    create = (
        'mutation { createTrainTask(input: {modelName: "m", extraParams: {n: NUMBER}})'
        " { task { extraParams } errors { message } } }"
    )
    kept = {
        "-0.0": "-0.0",
        "18446744073709551615": "18446744073709551615",
        "1.50": "1.5",
        "1e-400": "0.0",
        "1e300": "1e+300",
    }
    for written, stored in kept.items():
        answer = await book.run("ann", create.replace("NUMBER", written))
        text = orjson.dumps(answer["data"]["createTrainTask"]["task"]).decode()
        assert text == f'{{"extraParams":{{"n":{stored}}}}}', written
    for beyond in ("18446744073709551616", "1" * 300):
        answer = await book.run("ann", create.replace("NUMBER", beyond))
        [error] = answer["data"]["createTrainTask"]["errors"]
        assert "64-bit" in error["message"], error
    with pytest.raises(RequestError, match="is beyond the numbers of 64 bits"):
        await book.run("ann", create.replace("NUMBER", "1e999"))


async def test_the_values_of_all_lists_of_a_field_are_bounded(book: Book) -> None:
    query = """query ($id: ID!, $w: RecordWhere) {
      dataset(id: $id) { records(first: 2, where: $w) { totalCount nodes { id } } more: records { totalCount } }
    }"""

    def lists(number: int) -> dict[str, Any]:
        lists = [{"externalId": {"notIn": [f"{one}-{n}" for n in range(1000)]}} for one in range(number)]
        return {"id": book.ids["dataset_here"], "w": {"and": lists}}

    found = await book.data("admin", query, lists(4))
    assert found["dataset"]["records"]["totalCount"] == 3
    for number in (5, 40):
        [error] = (await book.run("admin", query, lists(number)))["errors"]
        assert error["extensions"]["code"] == "LIMIT_EXCEEDED"
        assert error["extensions"]["argument"] == ["where", "and", 4, "externalId", "notIn"]
        assert "may hold 4,096 values" in error["message"]


LISTS: tuple[tuple[str, str, Any], ...] = (
    ("query ($ids: [ID!]!) { nodes(ids: $ids) { id } }", "ids", ["x"]),
    ("query ($w: TrainTaskWhere) { trainTasks(where: $w) { totalCount } }", "w", {"and": [{"zz": 1}]}),
    ("query ($w: TrainTaskWhere) { trainTasks(where: $w) { totalCount } }", "w", {"tags": {"hasAny": ["x"]}}),
    (operation("AddRecords"), "input", {"records": [{"suggestions": [{}]}]}),
    ("query ($w: TrainTaskWhere) { trainTasks(where: $w) { totalCount } }", "w", {"and": {"or": [{"zz": 1}]}}),
)


def multiplied(value: Any, times: int) -> Any:
    """The value with its innermost lists so many times as long."""
    if isinstance(value, list):
        inner = [multiplied(item, times) for item in value]
        return inner if inner != value else value * times
    if isinstance(value, dict):
        return {name: multiplied(item, times) for name, item in value.items()}
    return value


@pytest.mark.parametrize(("query", "name", "value"), LISTS)
def test_lists_in_variables_are_bounded_before_their_items_are_looked_at(
    empty_book: Book, query: str, name: str, value: Any
) -> None:
    def refusal(who: str | None, times: int) -> str:
        viewer = None if who is None else empty_book.people[who]
        with pytest.raises(RequestError) as error:
            empty_book.operations.prepare(Request(query, {name: multiplied(value, times)}), viewer)
        return str(error.value)

    assert "values or more; at most 100,000 are allowed" in refusal("owner", 300_000)
    assert "values or more; at most 10,000 are allowed" in refusal(None, 10_001)
    json = {name: {"extraParams": [0] * 100_001}}
    create = operation("CreateTrainTask").replace("$input", f"${name}")
    empty_book.operations.prepare(Request(create, json), empty_book.people["owner"])


def test_fields_of_objects_in_variables_count_as_values(empty_book: Book) -> None:
    """A list of as many objects as it may have items takes three times as long to be looked at."""
    query = "query ($w: TrainTaskWhere) { trainTasks(where: $w) { totalCount } }"
    wide = {"w": {"or": [{"modelName": {"eq": "x"}}] * 50_000}}
    with pytest.raises(RequestError, match="values or more; at most 100,000 are allowed"):
        empty_book.operations.prepare(Request(query, wide), empty_book.people["owner"])
