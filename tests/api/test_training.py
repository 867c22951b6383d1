"""Training tasks through the operations of the examples, as written."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import text

from app.accounts.workspaces import remove_member
from tests.api.conftest import Book, operation

SECRET = "hf_" + "AbCdEfGhIjKlMnOpQrStUvWxYz01234567"[:34]


async def stored(book: Book) -> str:
    """Everything that the database holds of tasks, as one text."""
    rows = await book.services.database.transact(
        lambda uow: [tuple(row) for row in uow.connection.execute(text("SELECT * FROM train_task"))]
    )
    return repr(rows)


async def create(book: Book, who: str = "ann", **given: Any) -> str:
    made = await book.mutate(who, "CreateTrainTask", {"modelName": "tiny", **given})
    return str(made["task"]["id"])


async def errors(book: Book, who: str, name: str, given: dict[str, Any]) -> list[tuple[str, list[str]]]:
    payload = next(iter((await book.data(who, operation(name), {"input": given})).values()))
    return [(error["code"], error["path"]) for error in payload["errors"]]


async def test_a_life(book: Book) -> None:
    given = {"modelName": "tiny", "maxAttempts": 2, "hourlyCost": 3600, "extraParams": {"b": 1, "a": {"c": None}}}
    made = (await book.mutate("ann", "CreateTrainTask", given))["task"]
    assert (made["status"], made["attempt"], made["createUser"]) == ("PENDING", 1, {"username": "ann"})
    assert list(made["extraParams"]) == ["b", "a"]
    started = await book.mutate("ann", "StartTrainTask", {"id": made["taskId"], "host": "node7", "totalSteps": 100})
    assert (started["nextSequence"], started["task"]["status"], started["task"]["lost"]) == (0, "RUNNING", False)
    error = {"error": "CUDA out of memory", "logTail": "step 9"}
    failed = (await book.mutate("ann", "FailTrainTask", {"id": made["id"], **error}))["task"]
    assert (failed["status"], failed["error"]) == ("FAILED", "CUDA out of memory")
    again = failed["nextAttempt"]
    assert again == {"id": again["id"], "status": "PENDING", "attempt": 2}
    retried = await book.mutate("ann", "RetryTrainTask", {"id": made["id"]})
    assert retried["task"] == {**again, "retryOf": {"id": made["id"]}}
    await book.mutate("ann", "StartTrainTask", {"id": again["id"]})
    done = await book.mutate(
        "ann", "FinishTrainTask", {"id": again["id"], "outputPath": "/out", "summary": {"f1": 0.9}}
    )
    assert (done["task"]["status"], done["task"]["outputPath"]) == ("SUCCESS", "/out")
    assert 0 <= done["task"]["cost"] < 60
    assert await errors(book, "ann", "CancelTrainTask", {"id": again["id"]}) == [("INVALID_TRANSITION", ["id"])]
    canceled = await book.mutate("ann", "CancelTrainTask", {"id": await create(book)})
    assert canceled["task"]["status"] == "CANCELED"
    asked = "query ($ids: [ID!]!) { nodes(ids: $ids) { ... on TrainTask { logTail stopRequested } } }"
    nodes = (await book.data("ann", asked, {"ids": [made["id"], canceled["task"]["id"]]}))["nodes"]
    assert [(node["logTail"], node["stopRequested"]) for node in nodes] == [("step 9", False), (None, True)]


TIMES = "UPDATE train_task SET start_time = :start, end_time = :end, step = 5, total_steps = 8 WHERE id = :id"
COSTS = "query ($id: ID!) { trainTask(id: $id) { duration cost progress config fingerprint } }"


async def test_duration_and_cost_are_exact_and_grow_while_a_task_runs(book: Book) -> None:
    number = await create(book, hourlyCost=0.7)
    await book.mutate("ann", "StartTrainTask", {"id": number})
    before = (await book.data("ann", COSTS, {"id": number}))["trainTask"]
    after = (await book.data("ann", COSTS, {"id": number}))["trainTask"]
    assert 0 <= before["duration"] <= after["duration"] < 60
    assert after["cost"] == pytest.approx(after["duration"] / 3600 * 0.7)
    await book.mutate("ann", "FinishTrainTask", {"id": number})
    database = book.services.database
    times = ("2026-03-20T00:00:00.100001Z", "2026-03-20T01:30:00.999904Z")
    is_text = database.dialect_name == "sqlite"
    sql = TIMES if is_text else TIMES.replace(":start", f"'{times[0]}'").replace(":end", f"'{times[1]}'")
    values = {"id": int(number[4:])} | ({"start": times[0], "end": times[1]} if is_text else {})
    await database.transact(lambda uow: uow.connection.execute(text(sql), values).rowcount)
    found = (await book.data("ann", COSTS, {"id": number}))["trainTask"]
    assert found["duration"] == 5400.899903
    assert found["cost"] == 5400.899903 / 3600 * 0.7
    assert found["progress"] == 0.625
    for cost in (found["cost"], 2.0):
        where = {"and": [{"id": {"eq": number}}, {"cost": {"eq": cost}}]}
        assert (await book.data("ann", SEEN, {"id": number, "where": where}))["trainTasks"]["totalCount"] == (cost < 2)
    assert (await book.data("ann", COSTS, {"id": await create(book)}))["trainTask"] == {
        **dict.fromkeys(("duration", "cost", "progress")),
        "config": found["config"] | {"hourlyCost": None},
        "fingerprint": found["fingerprint"],
    }
    assert list(found["config"])[:2] == ["modelName", "modelPath"]


async def test_no_secret_reaches_the_database(book: Book) -> None:
    given = {
        "modelName": "tiny", "extraParams": {"wandb_api_key": "s3cr3t-a", "lr": 1, "deep": [{"hub_token": "s3cr3t-b"}]},
        "command": "train --hub_token s3cr3t-c --rank 8", "notes": f"token {SECRET}", "tags": [SECRET],
    }  # fmt: skip
    made = await book.mutate("ann", "CreateTrainTask", given)
    assert set(made["redacted"]) == {
        "extraParams.wandb_api_key", "extraParams.deep.0.hub_token", "command", "notes", "tags.0",
    }  # fmt: skip
    assert made["task"]["extraParams"]["wandb_api_key"] == "[redacted]"
    number = made["task"]["id"]
    change = {"id": number, "set": {"extraParams": {"api_key": "s3cr3t-d"}}, "addTags": [f"x{SECRET}"]}
    assert (await book.mutate("ann", "UpdateTrainTask", change))["redacted"] == ["set.extraParams.api_key", "addTags.0"]
    cloned = await book.mutate("ann", "CloneTrainTask", {"id": number, "overrides": {"notes": SECRET}})
    assert cloned["redacted"] == ["overrides.notes"]
    imported = await book.mutate(
        "ann", "ImportTrainConfig", {"format": "YAML", "text": "output_name: m\nwandb_api_key: s3cr3t-e\n"}
    )
    assert imported["redacted"] == ["extraParams.wandb_api_key"]
    start = {"id": number, "host": f"https://me:{SECRET}@node", "logPath": f"/logs?token={SECRET}"}
    await book.mutate("ann", "StartTrainTask", start)
    await book.mutate("ann", "FailTrainTask", {"id": number, "error": f"401 for {SECRET}", "logTail": f"HF={SECRET}"})
    done = {"id": cloned["task"]["id"], "summary": {"token": "s3cr3t-f"}, "outputPath": f"/out?token={SECRET}"}
    await book.mutate("ann", "StartTrainTask", {"id": done["id"]})
    await book.mutate("ann", "FinishTrainTask", done)
    everything = await stored(book)
    assert "s3cr3t" not in everything
    assert SECRET not in everything
    assert "[redacted]" in everything


async def test_what_is_too_long_to_look_for_secrets_is_refused(book: Book) -> None:
    number = await create(book)
    await book.mutate("ann", "StartTrainTask", {"id": number})
    long = "token: " * 100_000
    for said in ({"error": long}, {"error": "", "logTail": long}):
        assert await errors(book, "ann", "FailTrainTask", {"id": number, **said}) == [("LIMIT_EXCEEDED", [])]
    extras: list[dict[str, Any]] = [{"x": long}, {str(key): {"y": [0]} for key in range(200_000)}]
    for extra in extras:
        given = {"id": number, "overrides": {"extraParams": extra}}
        assert await errors(book, "ann", "CloneTrainTask", given) == [("LIMIT_EXCEEDED", ["overrides"])]
    started = {"id": number, "source": long}
    assert await errors(book, "ann", "StartTrainTask", started) == [("INVALID_INPUT", ["source"])]


async def test_an_imported_config(book: Book) -> None:
    config = 'output_name = "m"\nnetwork_dim = 16\nlearning_rate = "1e-4"\n[odd]\nx = 1\n'
    given = {"format": "TOML", "text": config, "overrides": {"epochs": 3, "extraParams": {"y": 2}}}
    made = await book.mutate("ann", "ImportTrainConfig", given)
    task = made["task"]
    assert (task["modelName"], task["loraRank"], task["learningRate"], task["epochs"]) == ("m", 16, 0.0001, 3)
    assert task["extraParams"]["y"] == 2
    assert {warning["code"] for warning in made["warnings"]} >= {"CONVERTED", "UNKNOWN_SECTION"}
    assert await errors(book, "ann", "ImportTrainConfig", {"format": "JSON", "text": "{"}) == [
        ("INVALID_INPUT", ["text"])
    ]


async def test_an_update(book: Book) -> None:
    number = await create(book, tags=["a", "b"], notes="n", extraParams={"x": 1})
    change = {"id": number, "set": {"loraRank": 8, "extraParams": None}, "addTags": ["c", "a"], "removeTags": ["b"]}
    first = (await book.mutate("ann", "UpdateTrainTask", {**change, "ifVersion": 1}))["task"]
    assert (first["version"], first["tags"], first["notes"], first["extraParams"]) == (2, ["a", "c"], "n", None)
    same = await create(book, loraRank=8, notes="other", outputPath="/x")
    other = (await book.mutate("ann", "UpdateTrainTask", {"id": same, "set": {"notes": None}}))["task"]
    assert other["fingerprint"] == first["fingerprint"]
    assert await errors(book, "ann", "UpdateTrainTask", {**change, "ifVersion": 1}) == [("CONFLICT", ["ifVersion"])]
    await book.mutate("ann", "StartTrainTask", {"id": number})
    assert await errors(book, "ann", "UpdateTrainTask", change) == [("CONFLICT", ["set", "loraRank"])]
    late = await book.mutate("ann", "UpdateTrainTask", {"id": number, "set": {"notes": "late"}, "addTags": ["z"]})
    assert (late["task"]["notes"], late["task"]["tags"]) == ("late", ["a", "c", "z"])
    wrong = {"id": number, "set": {"modelName": None, "loraRank": 0, "learningRate": -1, "extraParams": []}}
    paths = [["set", name] for name in ("modelName", "loraRank", "learningRate", "extraParams")]
    assert sorted(await errors(book, "ann", "UpdateTrainTask", wrong)) == sorted(
        ("INVALID_INPUT", path) for path in paths
    )
    assert await errors(book, "ann", "UpdateTrainTask", {"id": number}) == [("INVALID_INPUT", [])]


async def test_a_clone(book: Book) -> None:
    number = await create(book, loraRank=4, learningRate=1e-4, tags=["a"], extraParams={"x": 1})
    made = await book.mutate(
        "admin", "CloneTrainTask", {"id": number, "overrides": {"loraRank": 16, "learningRate": None}}
    )
    expected = {"status": "PENDING", "clonedFrom": {"id": number}, "loraRank": 16, "learningRate": None}
    assert made["task"] == {"id": made["task"]["id"], **expected}
    query = "query ($id: ID!) { trainTask(id: $id) { config createUser { username } } }"
    clone = (await book.data("admin", query, {"id": made["task"]["id"]}))["trainTask"]
    assert clone["createUser"] == {"username": "admin"}
    assert (clone["config"]["tags"], clone["config"]["extraParams"]) == (["a"], {"x": 1})


SEEN = "query ($id: ID!, $where: TrainTaskWhere) { trainTask(id: $id) { id clonedFrom { id } } node(id: $id) { id }"
SEEN += " trainTasks(where: $where) { totalCount nodes { id } } }"


async def test_a_deleted_task_is_shown_to_whoever_asks_for_it(book: Book) -> None:
    number = await create(book)
    clone = (await book.mutate("ann", "CloneTrainTask", {"id": number}))["task"]["id"]
    deleted = await book.mutate("ann", "DeleteTrainTask", {"id": number})
    assert deleted["task"]["deletedAt"] is not None
    assert await book.mutate("ann", "DeleteTrainTask", {"id": number}) == deleted
    found = await book.data("ann", SEEN, {"id": number})
    assert found["trainTask"]["id"] == found["node"]["id"] == number
    assert number not in [node["id"] for node in found["trainTasks"]["nodes"]]
    assert found["trainTasks"]["totalCount"] == len(found["trainTasks"]["nodes"]) == 2
    assert (await book.data("ann", SEEN, {"id": clone}))["trainTask"] == {"id": clone, "clonedFrom": None}
    for where in ({"deletedAt": {"isNull": False}}, {"and": [{"not": {"deletedAt": {"isNull": True}}}]}):
        asked = await book.data("ann", SEEN, {"id": number, "where": where})
        assert asked["trainTasks"] == {"totalCount": 1, "nodes": [{"id": number}]}
    restored = (await book.mutate("ann", "RestoreTrainTask", {"id": number}))["task"]
    assert restored == {"id": number, "deletedAt": None, "status": "PENDING"}
    assert (await book.data("ann", SEEN, {"id": clone}))["trainTask"]["clonedFrom"] == {"id": number}


async def test_a_purged_task_is_gone_with_its_metrics(book: Book) -> None:
    number = book.ids["task_of_ann"]
    clone = (await book.mutate("ann", "CloneTrainTask", {"id": number}))["task"]["id"]
    await book.mutate("ann", "StartTrainTask", {"id": number})
    assert await errors(book, "ann", "PurgeTrainTask", {"id": number}) == [("FORBIDDEN", ["id"])]
    assert (await book.mutate("admin", "PurgeTrainTask", {"id": number}))["task"] == {"id": number}
    for gone in (number, book.ids["metric_of_ann"]):
        assert (await book.data("owner", "query ($id: ID!) { node(id: $id) { id } }", {"id": gone}))["node"] is None
    assert (await book.data("ann", SEEN, {"id": clone}))["trainTask"] == {"id": clone, "clonedFrom": None}
    assert await errors(book, "admin", "PurgeTrainTask", {"id": number}) == [("NOT_FOUND", ["id"])]


PURGE = """mutation ($input: PurgeTrainTaskInput!) { purgeTrainTask(input: $input) {
  task { id config metrics { name points } curves(metrics: ["loss"], maxPoints: 10) { steps values task { id } } }
  errors { code }
} }"""


async def test_a_purged_task_is_told_once_more_with_all_that_it_had(book: Book) -> None:
    number = await create(book, loraRank=8)
    await book.mutate("ann", "StartTrainTask", {"id": number})
    series = [{"metric": "loss", "steps": [1, 2], "values": [0.5, 0.25]}]
    await book.mutate("ann", "ReportProgress", {"id": number, "sequence": 0, "series": series})
    uuid = (await book.data("ann", "query ($id: ID!) { trainTask(id: $id) { taskId } }", {"id": number}))["trainTask"]

    async def purge(who: str) -> Any:
        return (await book.data(who, PURGE, {"input": {"id": uuid["taskId"]}}))["purgeTrainTask"]

    assert await purge("ann") == {"task": None, "errors": [{"code": "FORBIDDEN"}]}
    assert await purge("ben") == {"task": None, "errors": [{"code": "NOT_FOUND"}]}
    purged = (await purge("admin"))["task"]
    assert (purged["id"], purged["config"]["loraRank"]) == (number, 8)
    assert purged["metrics"] == [{"name": "loss", "points": 2}]
    assert purged["curves"] == [{"steps": [1, 2], "values": [0.5, 0.25], "task": {"id": number}}]
    assert await purge("admin") == {"task": None, "errors": [{"code": "NOT_FOUND"}]}


async def test_a_task_by_its_uuid(book: Book) -> None:
    made = (await book.mutate("ann", "CreateTrainTask", {"modelName": "tiny"}))["task"]
    query = "query ($id: ID!) { trainTask(id: $id) { id } }"
    for name in (made["id"], made["taskId"], made["taskId"].upper()):
        assert (await book.data("ann", query, {"id": name}))["trainTask"] == {"id": made["id"]}
        assert (await book.data("ben", query, {"id": name}))["trainTask"] is None
        assert await errors(book, "ben", "StartTrainTask", {"id": name}) == [("NOT_FOUND", ["id"])]
    assert await errors(book, "ann", "StartTrainTask", {"id": "rec_1"}) == [("INVALID_ID", ["id"])]


async def test_who_left_the_workspace_writes_its_tasks_no_more(book: Book) -> None:
    here = int(book.ids["here"][4:])
    await book.services.database.transact(remove_member, here, book.people["ann"].id, viewer=book.people["owner"])
    for name in ("StartTrainTask", "CancelTrainTask", "DeleteTrainTask", "CloneTrainTask"):
        assert await errors(book, "ann", name, {"id": book.ids["task_of_ann"]}) == [("NOT_FOUND", ["id"])]


WHERE: list[tuple[dict[str, Any], str]] = [
    ({"createUser": {"eq": "ann"}}, "ann"),
    ({"createUser": {"ne": "ann"}}, "admin ben"),
    ({"createUser": {"in": ["ann", "ben", "nobody"]}}, "ann ben"),
    ({"createUser": {"notIn": ["ann", "ben"]}}, "admin"),
    ({"createUser": {"eq": "other_ann"}}, ""),
    ({"workspace": {"eq": "here"}}, "admin ann ben"),
    ({"workspace": {"ne": "here"}}, ""),
    ({"tags": {"has": "ann"}}, "ann"),
    ({"tags": {"hasAny": ["ann", "ben", "x"]}}, "ann ben"),
    ({"tags": {"hasAny": []}}, ""),
    ({"tags": {"hasAll": ["ann", "all"]}}, "ann"),
    ({"tags": {"hasAll": ["ann", "ben"]}}, ""),
    ({"tags": {"hasAll": []}}, "admin ann ben"),
    ({"not": {"tags": {"has": "ann"}}}, "admin ben"),
    ({"metrics": {"name": "loss", "last": {"lt": 0.6}}}, "admin ann ben"),
    ({"metrics": {"name": "loss", "last": {"lt": 0.1}}}, ""),
    ({"metrics": {"name": "acc"}}, ""),
    (
        {"and": [{"status": {"in": ["PENDING"]}}, {"or": [{"loraRank": {"gte": 16}}, {"modelName": {"eq": "ben"}}]}]},
        "ben",
    ),
    ({"extraParams": {"path": "x", "float": {"gt": 0.1}}}, ""),
]


async def test_tasks_are_found_and_ordered_by_what_is_asked(book: Book) -> None:
    async def found(who: str, **asked: Any) -> str:
        page = (await book.data(who, operation("TrainTasks"), {"first": 10, **asked}))["trainTasks"]
        assert page["totalCount"] == len(page["nodes"])
        return " ".join(sorted(node["modelName"] for node in page["nodes"]))

    for where, expected in WHERE:
        assert await found("admin", where=where) == expected, where
    by_id = {"createUser": {"in": [book.ids["ann"], "ben"]}}
    assert await found("admin", where=by_id) == "ann ben"
    assert await found("ann", where={"createUser": {"ne": "ann"}}) == ""
    assert await found("admin", search="ANN") == "ann"
    assert await found("admin", search="all ben") == "ben"
    assert await found("admin", search="nothing") == ""
    by_name = {"first": 2, "orderBy": [{"field": "WORKSPACE"}, {"field": "CREATE_USER", "direction": "DESC"}]}
    walked: list[str] = []
    after = None
    for _ in range(2):
        tasks = (await book.data("admin", operation("TrainTasks"), {**by_name, "after": after}))["trainTasks"]
        after = tasks["pageInfo"]["endCursor"]
        walked += [node["createUser"]["username"] for node in tasks["nodes"]]
    assert walked == ["ben", "ann", "admin"]
    page = (await book.data("ann", operation("TrainTasks"), {"first": 1, "orderBy": [{"field": "START_TIME"}]}))[
        "trainTasks"
    ]
    metrics = [{"name": "loss", "last": 0.5, "min": None, "max": None, "points": 2}]
    assert (page["nodes"][0]["tags"], page["nodes"][0]["metrics"]) == (["ann", "all"], metrics)


async def test_tasks_are_ordered_by_a_metric_and_by_a_parameter(book: Book) -> None:
    names = {}
    for loss, dropout in ((0.5, 0.1), (0.25, None), (None, 0.3), (0.75, "no number")):
        number = await create(book, modelName=f"{loss}", extraParams={"network": {"dropout": dropout}}, tags=["order"])
        names[number] = loss
        if loss is not None:
            await book.mutate("ann", "StartTrainTask", {"id": number})
            series = [{"metric": "loss", "steps": [1, 2], "values": [9, loss]}]
            await book.mutate("ann", "ReportProgress", {"id": number, "sequence": 0, "series": series})

    async def ordered(who: str, *order: dict[str, Any], **page: Any) -> list[str]:
        asked = {"where": {"tags": {"has": "order"}}, "orderBy": order, "first": 10, **page}
        found = (await book.data(who, operation("TrainTasks"), asked))["trainTasks"]
        page["after"] = found["pageInfo"]["endCursor"]
        models = [node["modelName"] for node in found["nodes"]]
        return models + (await ordered(who, *order, **page) if found["pageInfo"]["hasNextPage"] else [])

    last = {"metric": {"name": "loss", "value": "LAST"}}
    parameter = {"json": {"path": "network.dropout", "as": "FLOAT"}}
    for who in ("ann", "admin", "owner"):
        for size in (1, 3, 10):
            assert await ordered(who, last, first=size) == ["0.25", "0.5", "0.75", "None"]
            assert await ordered(who, last | {"direction": "DESC"}, first=size) == ["0.75", "0.5", "0.25", "None"]
            assert await ordered(who, parameter, last, first=size) == ["0.5", "None", "0.25", "0.75"]
    found = [number for number, loss in names.items() if loss is not None]
    for number, score in zip(found, (0.25, 0.75, 0.5), strict=True):
        await book.mutate("ann", "FinishTrainTask", {"id": number, "summary": {"test": [{"f1": score}]}})
    path = {"path": "test[0].f1"}
    assert await ordered("ann", {"summary": path | {"as": "FLOAT"}, "direction": "DESC"}) == [
        *("0.25", "0.75", "0.5", "None"),
    ]
    good = {"where": {"summary": path | {"float": {"gt": 0.4}}}, "first": 10}
    nodes = (await book.data("ann", operation("TrainTasks"), good))["trainTasks"]["nodes"]
    assert sorted(node["modelName"] for node in nodes) == ["0.25", "0.75"]


@pytest.mark.parametrize("size", [1, 10])
async def test_tasks_are_ordered_by_their_tags_and_the_beginnings_of_long_texts(book: Book, size: int) -> None:
    order = 'query ($after: String, $size: Int, $order: [TrainTaskOrder!]) { trainTasks(where: {tags: {has: "o"}},'
    order += (
        " first: $size, after: $after, orderBy: $order) { nodes { modelName } pageInfo { endCursor hasNextPage } } }"
    )
    long = "x" * 200
    texts = {"a": (["o", "b"], f"{long}b"), "b": (["o"], f"{long}a"), "c": (["a", "o"], "é"), "d": (["é", "o"], None)}
    for name, (tags, notes) in texts.items():
        await create(book, modelName=name, tags=tags, notes=notes, command=notes)

    async def ordered(field: str, direction: str) -> str:
        names, asked = "", {"size": size, "order": [{"field": field, "direction": direction}]}
        while True:
            page = (await book.data("ann", order, asked))["trainTasks"]
            names += "".join(node["modelName"] for node in page["nodes"])
            if not page["pageInfo"]["hasNextPage"]:
                return names
            asked["after"] = page["pageInfo"]["endCursor"]

    # JSON text: a comma comes before a bracket. Of the long ones the beginnings are equal, and the ids decide.
    assert await ordered("TAGS", "ASC") == "cabd"
    assert await ordered("TAGS", "DESC") == "dbac"
    for field in ("NOTES", "COMMAND"):
        assert await ordered(field, "ASC") == "abcd"
        assert await ordered(field, "DESC") == "cbad"
