"""The owner whom the first start makes belongs to no workspace, and works in the one that it made."""

from typing import Any

from app.accounts.access import OPERATOR
from app.accounts.bootstrap import ensure_workspace
from tests.api.conftest import Book, operation

NEW = {"name": "first", "fields": [{"name": "text"}], "questions": [{"name": "comment", "settings": {"text": {}}}]}


async def create(book: Book, **more: Any) -> Any:
    """The payload."""
    return (await book.data("owner", operation("CreateDataset"), {"input": NEW | more}))["createDataset"]


async def test_the_only_workspace_is_the_first_owners_too(empty_book: Book) -> None:
    book = empty_book
    (error,) = (await create(book))["errors"]
    assert error == {
        "code": "WORKSPACE_REQUIRED",
        "message": "There is no workspace yet: make one, as by createWorkspace.",
        "path": ["workspaceId"],
    }
    await book.services.database.transact(ensure_workspace, viewer=OPERATOR)
    made = await create(book)
    assert made["errors"] == []

    names = "viewer { workspaces { name } } workspaces { nodes { name } } dataset(id: $id) { workspace { name } }"
    query = f"query ($id: ID!) {{ {names} }}"
    found = await book.data("owner", query, {"id": made["dataset"]["id"]})
    assert found == {
        "viewer": {"workspaces": []},
        "workspaces": {"nodes": [{"name": "default"}]},
        "dataset": {"workspace": {"name": "default"}},
    }


async def test_with_a_second_workspace_one_has_to_be_named(empty_book: Book) -> None:
    book = empty_book
    await book.services.database.transact(ensure_workspace, viewer=OPERATOR)
    second = await book.mutate("owner", "CreateWorkspace", {"name": "second"})
    (error,) = (await create(book))["errors"]
    assert (error["code"], error["path"]) == ("WORKSPACE_REQUIRED", ["workspaceId"])
    assert "'default' (wsp_" in error["message"]
    assert "'second' (wsp_" in error["message"]
    assert (await create(book, workspaceId=second["workspace"]["id"]))["errors"] == []
