"""The example operations run as written."""

from pathlib import Path
from typing import Any

import pytest
from graphql import build_schema, parse, validate

from app.graphql.operations import RequestError
from tests.annotation.transfer import Transfer
from tests.api.conftest import EXAMPLES, Book, operation

SCHEMA = build_schema((Path(__file__).parents[2] / "schema.graphql").read_text())

ACCOUNTS = [
    "Viewer", "CreateUser", "CreateApiKey", "RevokeApiKey", "DeleteUser", "UpdateUser", "CreateWorkspace", "AddMember",
    "RemoveMember",
]  # fmt: skip
ANNOTATION = [
    "CreateDataset", "UpdateDataset", "DeleteDataset", "AddRecords", "RecordPage", "SubmitResponse", "SubmitResponses",
    "SaveDraft", "DiscardResponse", "DeleteResponse", "RecordChanged", "NextRecords", "Agreement",
]  # fmt: skip
TRAINING = [
    "CreateTrainTask", "ImportTrainConfig", "StartTrainTask", "FinishTrainTask", "FailTrainTask", "UpdateTrainTask",
    "CancelTrainTask", "RetryTrainTask", "CloneTrainTask", "DeleteTrainTask", "PurgeTrainTask", "RestoreTrainTask",
    "TrainTasks", "TrainTask", "ReportProgress", "Curves", "TrainProgress", "TrainTaskChanged", "CompareTrainTasks",
    "TrainStatistics", "RecommendParameters",
]  # fmt: skip
STILL_TO_COME = ["CreateSnapshot"]


@pytest.mark.parametrize("name", [*ACCOUNTS, *ANNOTATION, *TRAINING])
def test_an_example_is_valid(name: str) -> None:
    assert validate(SCHEMA, parse(operation(name))) == []


def test_no_example_is_forgotten() -> None:
    written = {
        line.split("(")[0].split()[1]
        for file in EXAMPLES.glob("*.graphql")
        for line in file.read_text().splitlines()
        if line.startswith(("query ", "mutation ", "subscription "))
    }
    assert written == {*ACCOUNTS, *ANNOTATION, *TRAINING, *STILL_TO_COME}


async def test_accounts(empty_book: Book) -> None:
    book = empty_book
    workspace = (await book.mutate("owner", "CreateWorkspace", {"name": "team"}))["workspace"]
    assert workspace == {"id": workspace["id"], "name": "team"}
    made = await book.mutate(
        "owner",
        "CreateUser",
        {"username": "ada", "role": "ANNOTATOR", "password": "a long password", "workspaceIds": [workspace["id"]]},
    )
    user = made["user"]
    assert (user["username"], user["role"]) == ("ada", "ANNOTATOR")
    key = await book.mutate("owner", "CreateApiKey", {"name": "script", "userId": user["id"]})
    assert key["secret"].startswith(key["apiKey"]["prefix"])
    revoked = await book.mutate("owner", "RevokeApiKey", {"id": key["apiKey"]["id"]})
    assert revoked["apiKey"]["revokedAt"] is not None
    changed = await book.mutate("owner", "UpdateUser", {"id": user["id"], "role": "ADMIN", "username": "ada.l"})
    assert changed["user"] == {"id": user["id"], "username": "ada.l", "role": "ADMIN"}
    members = await book.mutate("owner", "RemoveMember", {"workspaceId": workspace["id"], "userId": user["id"]})
    assert members["workspace"]["members"]["nodes"] == []
    members = await book.mutate("owner", "AddMember", {"workspaceId": workspace["id"], "userId": user["id"]})
    assert members["workspace"]["members"]["nodes"] == [{"id": user["id"], "username": "ada.l", "role": "ADMIN"}]
    viewer = (await book.data("owner", operation("Viewer")))["viewer"]
    assert (viewer["username"], viewer["role"]) == ("owner", "OWNER")
    removed = await book.mutate("owner", "DeleteUser", {"id": user["id"], "responses": "KEEP"})
    assert removed["user"] == {"id": user["id"], "username": "ada.l"}


async def test_annotation(book: Book) -> None:
    record = book.ids["record_here_1"]
    assert await book.mutate("ann", "SaveDraft", {"recordId": record}) | {"response": None} == {
        "response": None, "record": {"id": record, "status": "PENDING"}, "errors": [],
    }  # fmt: skip
    first = await book.mutate("ann", "SubmitResponse", {"recordId": record, "values": {"quality": 2}})
    assert first["response"]["values"] == {"quality": 2}
    assert first["record"] == {"id": record, "status": "PENDING", "submittedCount": 1}
    second = await book.mutate("ben", "SubmitResponse", {"recordId": record, "values": {"quality": 5, "topic": "war"}})
    assert second["record"] == {"id": record, "status": "COMPLETED", "submittedCount": 2}
    discarded = await book.mutate("ben", "DiscardResponse", {"recordId": record})
    assert (discarded["response"]["id"], discarded["record"]["status"]) == (second["response"]["id"], "PENDING")
    many = await book.data(
        "ben",
        operation("SubmitResponses"),
        {"input": {"responses": [
            {"recordId": record, "values": {"quality": 1}},
            {"recordId": book.ids["record_there_0"], "values": {"quality": 1}},
            {"recordId": "dst_1", "values": {"quality": 1}},
            {"recordId": record, "values": {"quality": 2}},
            {"recordId": book.ids["record_here_2"], "values": {"quality": 9}},
        ]}},
    )  # fmt: skip
    answered = many["submitResponses"]
    assert answered["submitted"] == 1
    codes = [[error["code"] for error in item["errors"]] for item in answered["results"]]
    assert codes == [[], ["NOT_FOUND"], ["INVALID_ID"], ["DUPLICATE_ITEM"], ["INVALID_INPUT"]]
    assert answered["results"][0]["record"] == {"id": record, "status": "COMPLETED"}
    deleted = await book.mutate("ann", "DeleteResponse", {"id": first["response"]["id"]})
    assert deleted["response"] == {"id": first["response"]["id"]}
    assert deleted["record"] == {"id": record, "status": "PENDING", "submittedCount": 1}
    updated = await book.mutate("admin", "UpdateDataset", {"id": book.ids["dataset_here"], "minSubmitted": 1})
    assert updated["dataset"]["progress"] == {"total": 3, "completed": 2, "pending": 1}


async def test_the_queue(book: Book) -> None:
    dataset, (_, second, third) = book.ids["dataset_here"], [book.ids[f"record_here_{n}"] for n in range(3)]
    draft = await book.mutate("ann", "SaveDraft", {"recordId": second, "values": {"topic": "war"}})
    given = await book.mutate("ann", "NextRecords", {"datasetId": dataset})
    suggestions = [{"question": "quality", "value": 3, "score": 0.5, "agent": "model"}]
    record: dict[str, Any] = {"metadata": None, "suggestions": suggestions}
    assert given["records"] == [
        {"id": third, "fields": {"text": "Passage 2"}, "myResponse": None, **record},
        {"id": second, "fields": {"text": "Passage 1"}, "myResponse": draft["response"], **record},
    ]
    others = await book.mutate("ben", "NextRecords", {"datasetId": dataset, "first": 2})
    assert [item["myResponse"] for item in others["records"]] == [None, None]
    late = await book.mutate("admin", "NextRecords", {"datasetId": dataset, "first": 2})
    assert late == {"records": [], "reservedUntil": given["reservedUntil"], "errors": []}
    for item in given["records"]:
        await book.mutate("ann", "SubmitResponse", {"recordId": item["id"], "values": {"quality": 1}})
    done = await book.mutate("ann", "NextRecords", {"datasetId": dataset})
    assert done == {"records": [], "reservedUntil": None, "errors": []}
    wrong = await book.data("ann", operation("NextRecords"), {"input": {"datasetId": dataset, "first": 0}})
    assert [(error["code"], error["path"]) for error in wrong["nextRecords"]["errors"]] == [
        ("INVALID_INPUT", ["first"])
    ]


async def test_agreement(book: Book) -> None:
    dataset = {"dataset": book.ids["dataset_here"]}
    second = book.ids["record_here_1"]
    await book.mutate("ann", "SubmitResponse", {"recordId": second, "values": {"quality": 2}})
    await book.mutate("ben", "SubmitResponse", {"recordId": second, "values": {"quality": 3, "topic": "war"}})
    await book.mutate("ben", "SaveDraft", {"recordId": book.ids["record_here_2"]})
    found = (await book.data("admin", operation("Agreement"), dataset))["dataset"]
    assert [(item["question"]["name"], item["measure"], item["records"]) for item in found["agreement"]] == [
        ("quality", "PERCENTAGE", 2), ("quality", "COHENS_KAPPA", 0), ("quality", "FLEISS_KAPPA", 1),
        ("quality", "KRIPPENDORFFS_ALPHA", 2), ("topic", "PERCENTAGE", 0), ("topic", "COHENS_KAPPA", 0),
        ("topic", "FLEISS_KAPPA", 0), ("topic", "KRIPPENDORFFS_ALPHA", 0),
    ]  # fmt: skip
    values = [item["value"] for item in found["agreement"]]
    # Alpha of 4 4 4 | 2 3: observed 2 / 5, expected 2 (3 x 4 + 3 x 1 + 1) / (5 x 4)
    assert values[0] == 0.5
    assert values[1:3] == [None, None]
    assert values[3] == pytest.approx(1 - 0.4 / 1.6)
    assert values[4:] == [None] * 4
    assert found["annotators"] == [
        {"user": {"id": book.ids[name], "username": name}, "submitted": submitted, "draft": draft, "discarded": 0}
        for name, submitted, draft in (("admin", 1, 0), ("ann", 2, 0), ("ben", 2, 1))
    ]
    mine = (await book.data("ann", operation("Agreement"), dataset))["dataset"]
    assert {(item["value"], item["records"]) for item in mine["agreement"]} == {(None, 0)}
    me = {"id": book.ids["ann"], "username": "ann"}
    assert mine["annotators"] == [{"user": me, "submitted": 2, "draft": 0, "discarded": 0}]


MINE = "query ($id: ID!) { dataset(id: $id) { records { nodes { id myResponse { id status record { id } } } } } }"


async def test_everybody_sees_their_own_response(book: Book) -> None:
    first = book.ids["record_here_0"]
    for who in ("ann", "ben", "admin", "owner"):
        nodes = (await book.data(who, MINE, {"id": book.ids["dataset_here"]}))["dataset"]["records"]["nodes"]
        mine = {"id": book.ids.get(f"response_of_{who}"), "status": "SUBMITTED", "record": {"id": first}}
        assert [node["myResponse"] for node in nodes] == [None if who == "owner" else mine, None, None]


async def test_a_deleted_dataset_is_told_once_more(book: Book) -> None:
    dataset = book.ids["dataset_here"]
    deleted = await book.mutate("admin", "DeleteDataset", {"id": dataset})
    progress = {"total": 3, "completed": 1, "pending": 2}
    assert deleted == {"dataset": {"id": dataset, "name": "here", "progress": progress}, "errors": []}
    for name in ("dataset_here", "record_here_0", "response_of_ann", "suggestion_here", "field_here", "question_here"):
        assert (await book.data("owner", "query ($id: ID!) { node(id: $id) { id } }", {"id": book.ids[name]})) == {
            "node": None
        }, name
    again = await book.data("admin", operation("DeleteDataset"), {"input": {"id": dataset}})
    assert [error["code"] for error in again["deleteDataset"]["errors"]] == ["NOT_FOUND"]
    assert again["deleteDataset"]["dataset"] is None


DELETE = """mutation ($input: DeleteDatasetInput!) { deleteDataset(input: $input) {
  dataset { id progress { total } agreement { measure question { name } } annotators { user { username } submitted } }
  errors { code path message }
} }"""


async def test_a_deleted_dataset_tells_who_answered_and_how_they_agreed(book: Book) -> None:
    fields = "{ agreement { measure question { name } } annotators { user { username } submitted } }"
    dataset = {"id": book.ids["dataset_here"]}
    before = (await book.data("admin", f"query ($id: ID!) {{ dataset(id: $id) {fields} }}", dataset))["dataset"]
    assert len(before["annotators"]) == 3
    forbidden = (await book.data("ann", DELETE, {"input": dataset}))["deleteDataset"]
    assert (forbidden["dataset"], forbidden["errors"][0]["code"]) == (None, "FORBIDDEN")
    deleted = (await book.data("admin", DELETE, {"input": dataset}))["deleteDataset"]
    assert deleted == {"dataset": {**dataset, "progress": {"total": 3}, **before}, "errors": []}


async def test_a_dataset_with_snapshots_stays(book: Book) -> None:
    dataset = {"id": book.ids["dataset_frozen_here"]}
    refused = (await book.data("admin", DELETE, {"input": dataset}))["deleteDataset"]
    assert refused["dataset"] is None
    assert [(error["code"], error["path"]) for error in refused["errors"]] == [("CONFLICT", ["id"])]
    assert "1 snapshots" in refused["errors"][0]["message"]
    kept = await book.data("admin", "query ($id: ID!) { dataset(id: $id) { fields { name } } }", dataset)
    assert kept["dataset"]["fields"] == [{"name": "text"}]


async def test_records_without_an_id_are_known_by_what_they_say(book: Book) -> None:
    dataset = book.ids["dataset_here"]
    records: list[dict[str, Any]] = [
        {"fields": {"text": "Same"}},
        {"fields": {"text": "Same"}, "metadata": {"page": 2}},
    ]

    async def add(on_conflict: str, records: list[dict[str, Any]] = records) -> Any:
        return await book.mutate(
            "admin", "AddRecords", {"datasetId": dataset, "onConflict": on_conflict, "records": records}
        )

    added = await add("ERROR")
    assert added["added"] == 2
    again = await add("ERROR")
    assert [item["errors"][0]["code"] for item in again["results"]] == ["DUPLICATE"] * 2
    assert "an externalId makes it another record" in again["results"][0]["errors"][0]["message"]
    skipped = await add("SKIP")
    assert skipped["skipped"] == 2
    assert [item["record"]["id"] for item in skipped["results"]] == [item["record"]["id"] for item in added["results"]]
    twice = await add("SKIP", [{"fields": {"text": "Twice"}}] * 2)
    assert [[error["code"] for error in item["errors"]] for item in twice["results"]] == [[], ["DUPLICATE_ITEM"]]
    assert (await add("ERROR", [{"fields": {"text": "Same"}, "externalId": "other"}]))["added"] == 1


async def test_what_was_added_is_not_doubled_by_its_export(book: Book) -> None:
    dataset = book.ids["dataset_here"]
    records = [{"fields": {"text": f"子曰 {n}"}, "metadata": {"n": n / 3, "big": 2**53 + n}} for n in range(5)]
    await book.mutate("admin", "AddRecords", {"datasetId": dataset, "records": records})
    database = book.services.database
    transfer = Transfer(database, int(dataset[4:]), int(book.ids["here"][4:]))
    exported = await transfer.dump()
    assert await transfer.load(exported) == (0, 0, 8, 0)
    assert await transfer.dump() == exported


async def test_record_page(book: Book) -> None:
    variables: dict[str, Any] = {"dataset": book.ids["dataset_here"], "first": 2}
    page = (await book.data("admin", operation("RecordPage"), variables))["dataset"]
    assert page["progress"] == {"total": 3, "completed": 1, "pending": 2}
    assert page["records"]["totalCount"] == 3
    assert page["records"]["pageInfo"]["hasNextPage"] is True
    node = page["records"]["edges"][0]["node"]
    assert node["responses"]["totalCount"] == 3
    assert [item["user"]["username"] for item in node["responses"]["nodes"]] == ["ann", "ben", "admin"]
    assert node["suggestions"] == [{"question": "quality", "value": 3, "score": 0.5, "agent": "model"}]
    variables["after"] = page["records"]["pageInfo"]["endCursor"]
    rest = (await book.data("admin", operation("RecordPage"), variables))["dataset"]["records"]
    assert [edge["node"]["externalId"] for edge in rest["edges"]] == ["here-2"]
    assert rest["pageInfo"]["hasNextPage"] is False


async def test_a_page_of_what_is_searched(book: Book) -> None:
    variables = {"dataset": book.ids["dataset_here"], "first": 2, "search": "passage 1"}
    page = (await book.data("admin", operation("RecordPage"), variables))["dataset"]["records"]
    assert [edge["node"]["externalId"] for edge in page["edges"]] == ["here-1"]
    assert page["totalCount"] == 1


async def test_a_document_that_is_too_deep_says_so(book: Book) -> None:
    nested = "{ datasets { nodes " + "{ records { nodes { dataset " * 8 + "{ id }" + " } } }" * 8 + " } }"
    with pytest.raises(RequestError, match="27 levels of fields; at most 25") as refused:
        await book.run("owner", nested)
    assert refused.value.result["errors"][0]["extensions"]["code"] == "LIMIT_EXCEEDED"
    by_fragment = (
        "{ datasets { nodes { ...a } } } fragment a on Dataset { records { nodes { dataset { ...b } } } }"
        " fragment b on Dataset { records { nodes { id } } }"
    )
    assert "data" in await book.run("owner", by_fragment)
