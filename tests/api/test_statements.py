"""How many statements an operation takes does not depend on how much there is: counted by the databases themselves."""

from __future__ import annotations

import datetime
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from app.accounts.authentication import SignIn, sign_in
from tests.api.conftest import Book, operation
from tests.support.postgres import PostgresServer
from tests.support.traced import traced

Count = Callable[[Callable[[], Awaitable[object]]], Awaitable[int]]


@pytest.fixture
async def count(book: Book, database_url: str, request: pytest.FixtureRequest) -> Count:
    """Counts the statements of what is done, but for those around transactions."""
    database = book.services.database
    # The notification comes after the commit and whenever it likes: one can be about several transactions.
    borders = ("BEGIN", "COMMIT", "SELECT pg_notify")

    async def on_postgresql(work: Callable[[], Awaitable[object]]) -> int:
        postgres: PostgresServer = request.getfixturevalue("postgres")
        await postgres.forget_statement_calls()
        await work()
        calls = await postgres.statement_calls(database_url.rsplit("/", 1)[1])
        # Now and then the bus asks whether its connection is alive; the driver asks once for types on each connection.
        others = ("SELECT $1", "typeinfo_tree", "current_setting($1) AS cur")
        own = {sql: n for sql, n in calls.items() if sql != others[0] and not any(word in sql for word in others[1:])}
        return sum(number for sql, number in own.items() if not sql.startswith(borders))

    async def on_sqlite(work: Callable[[], Awaitable[object]]) -> int:
        async with traced(database, readers=True) as statements:
            await work()
            # An executed trigger or a statement of a statement shows as a comment.
            return sum(not sql.startswith((*borders, "--")) for sql in statements)

    return on_postgresql if database.dialect_name == "postgresql" else on_sqlite


async def _fill(book: Book, records: int) -> None:
    """So many records in the dataset `here`, each with the admin's answer."""
    found = await book.data("admin", "query ($id: ID!) { dataset(id: $id) { progress { total } } }", _dataset(book))
    more = range(found["dataset"]["progress"]["total"], records)
    new = [{"externalId": f"more-{n}", "fields": {"text": f"Passage {n}"}} for n in more]
    added = await book.mutate(
        "admin", "AddRecords", {"datasetId": book.ids["dataset_here"], "onConflict": "ERROR", "records": new}
    )
    answers = [{"recordId": item["record"]["id"], "values": {"quality": 1}} for item in added["results"]]
    await book.mutate("admin", "SubmitResponses", {"responses": answers})


def _dataset(book: Book) -> dict[str, Any]:
    return {"id": book.ids["dataset_here"]}


async def test_a_query_field_is_one_statement_at_any_size(book: Book, count: Count) -> None:
    variables = {"dataset": book.ids["dataset_here"], "first": 500}
    for records in (3, 50, 500):
        await _fill(book, records)

        async def page() -> None:
            found = await book.data("admin", operation("RecordPage"), variables)
            assert len(found["dataset"]["records"]["edges"]) == records  # noqa: B023 - called at once

        await page()  # PostgreSQL is asked about each connection's first
        assert await count(page) == 1


async def test_two_root_fields_are_two_statements_and_nodes_are_one_for_each_kind(book: Book, count: Count) -> None:
    two = "{ datasets { nodes { id records { nodes { id responses { nodes { id } } } } } } workspaces { totalCount } }"
    ids = [book.ids[name] for name in ("record_here_0", "record_here_1", "dataset_here", "ann", "ben")]
    nodes = "query ($ids: [ID!]!) { nodes(ids: $ids) { __typename id } }"
    for query, variables, statements in ((two, {}, 2), (nodes, {"ids": ids}, 3)):
        assert await count(lambda: book.data("owner", query, variables)) == statements  # noqa: B023 - called at once


@pytest.mark.parametrize("items", [1, 50, 500])
async def test_a_mutation_reads_once_for_each_field_of_its_payload(book: Book, count: Count, items: int) -> None:
    await _fill(book, 500)
    found = await book.data(
        "ann",
        "query ($id: ID!, $n: Int) { dataset(id: $id) { records(first: $n) { nodes { id } } } }",
        {**_dataset(book), "n": items},
    )
    answers = [{"recordId": node["id"], "values": {"quality": 2}} for node in found["dataset"]["records"]["nodes"]]
    bare = "mutation ($input: SubmitResponsesInput!) { submitResponses(input: $input) { submitted } }"
    writes = await count(lambda: book.data("ann", bare, {"input": {"responses": answers}}))
    assert writes <= 5
    whole = await count(lambda: book.mutate("ann", "SubmitResponses", {"responses": answers}))
    assert whole == writes + 2


CURVES = """query ($tasks: [ID!]!, $metrics: [String!]!) {
    curves(tasks: $tasks, metrics: $metrics, maxPoints: 5) { task { id } steps values }
    trainTasks(first: 500) { nodes {
        id config metrics { last } curves(metrics: $metrics, maxPoints: 5) { steps }
        clonedFrom { id } nextAttempt { id } createUser { username } } }
}"""


async def _task_life(book: Book, count: Count, items: int) -> dict[str, int]:
    """How many statements each mutation of a task takes that has so many tags, sources, metrics, points, clones."""
    found: dict[str, int] = {}

    async def do(name: str, given: dict[str, Any]) -> Any:
        answers: list[Any] = []

        async def work() -> None:
            answers.append(await book.mutate("admin", name, given))

        found[name] = await count(work)
        return answers[0]

    tags = [str(n) for n in range(min(items, 49))]
    texts = {"modelName": "m", "tags": tags, "extraParams": {str(n): n for n in range(items)}, "maxAttempts": 2}
    task = {"id": (await do("CreateTrainTask", texts))["task"]["id"]}
    config = "output_name: m\n" + "".join(f"key{n}: {n}\n" for n in range(items))
    await do("ImportTrainConfig", {"format": "YAML", "text": config})
    await do("UpdateTrainTask", {**task, "addTags": ["new"], "removeTags": tags, "set": {"loraRank": 4}})
    clone = (await do("CloneTrainTask", {**task, "overrides": {"tags": tags}}))["task"]["id"]
    await do("StartTrainTask", {**task, "source": "rank0"})
    for n in range(1, items):
        await book.mutate("admin", "CloneTrainTask", task)
        await book.mutate("admin", "StartTrainTask", {**task, "source": f"rank{n}"})
    points = list(range(items))
    series = [{"metric": f"m{n}", "steps": points, "values": points} for n in range(items)]
    await do("ReportProgress", {**task, "source": "rank0", "sequence": 0, "series": series})
    found["again"] = await count(
        lambda: book.mutate("admin", "ReportProgress", {**task, "source": "rank0", "sequence": 0, "series": series})
    )
    asked = {
        "tasks": [task["id"], clone, *[book.ids["task_of_ann"]] * (items > 1)],
        "metrics": [f"m{n}" for n in points],
    }
    found["curves"] = await count(lambda: book.data("admin", CURVES, asked))
    await do("FailTrainTask", {**task, "error": "no memory", "logTail": "line\n" * items})
    await do("RetryTrainTask", task)
    await do("StartTrainTask", {"id": clone})
    await do("FinishTrainTask", {"id": clone, "summary": {str(n): n for n in range(items)}})
    await do("CancelTrainTask", {"id": (await book.mutate("admin", "RetryTrainTask", task))["task"]["id"]})
    await do("DeleteTrainTask", task)
    await do("RestoreTrainTask", task)
    await do("PurgeTrainTask", task)
    return found


async def test_mutations_of_tasks_take_as_many_statements_for_fifty_of_all_as_for_one(book: Book, count: Count) -> None:
    await _task_life(book, count, 1)  # PostgreSQL is asked about each connection's first
    one = await _task_life(book, count, 1)
    fifty = await _task_life(book, count, 50)
    assert fifty == one
    assert one["ReportProgress"] <= 7
    assert one["again"] <= 5  # it writes that it was heard of
    assert max(one.values()) <= 13, one


@pytest.mark.parametrize("metrics", [1, 50])
async def test_a_message_of_a_subscription_takes_as_many_statements_whatever_it_has(
    book: Book, count: Count, metrics: int
) -> None:
    task = book.ids["task_of_ben"]
    await book.mutate("ben", "StartTrainTask", {"id": task})

    async def first(query: str, **variables: Any) -> Any:
        async with book.follow("ben", query, **variables) as messages:
            return next(iter((await anext(messages))["data"].values()))

    progress, changed = operation("TrainProgress"), operation("TrainTaskChanged")
    cursors = (await first(progress, task=task))["cursor"], (await first(changed))["cursor"]
    points = {"steps": list(range(50)), "values": [0.5] * 50}
    for sequence in range(3):
        series = [{"metric": f"m{n}", **points} for n in range(metrics)]
        await book.mutate("ben", "ReportProgress", {"id": task, "sequence": sequence, "series": series})
    for query, variables, cursor, statements in (
        (progress, {"task": task}, cursors[0], 2),
        # The condition is tried once when it begins.
        (changed, {"where": {"status": {"eq": "RUNNING"}}}, cursors[1], 4),
    ):
        seen: list[Any] = []

        async def resume() -> None:
            seen.append(await first(query, **variables, after=cursor))  # noqa: B023 - called at once

        await resume()  # PostgreSQL is asked about each connection's first
        # The poll may still wake it for the reports of before: then it has read once more by the time it is left.
        assert min([await count(resume) for _ in range(5)]) == statements
        assert seen[0].get("series") or seen[0]["tasks"]


async def test_a_failed_sign_in_takes_the_same_statements_whoever_is_named(book: Book, count: Count) -> None:
    database = book.services.database
    await book.mutate("owner", "UpdateUser", {"id": book.ids["ann"], "password": "correct horse"})

    async def fail(username: str) -> int:
        attempt = SignIn(username, "wrong horse")
        return await count(lambda: sign_in(database, attempt, datetime.timedelta(hours=1)))

    await fail("owner")  # PostgreSQL is asked about each connection's first
    with_password, without, nobody = [await fail(name) for name in ("ann", "ben", "nobody")]
    assert with_password == without == nobody <= 6
