"""Cursors: every row once in every order, both ways; and what is no cursor of the list is refused."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import delete, update

from app.annotation.tables import Record, RecordStatus
from app.db import UnitOfWork
from app.schema import build_schema
from tests.graphql.asking import OWNER, Asker
from tests.graphql.conftest import fill
from tests.graphql.oracle import number_of
from tests.graphql.world import NOW, World

ROWS = 17
STATUSES = list(RecordStatus)
METADATA: list[Any] = [None, {}, {"n": 1}, {"n": 1.5}, {"n": "a"}, {"n": True}, {"n": -3}, {"n": "B"}]

ORDERS = [
    "",
    "{field: ID, direction: DESC}",
    "{field: EXTERNAL_ID}",
    "{field: EXTERNAL_ID, direction: DESC}",
    "{field: STATUS}, {field: SUBMITTED_COUNT, direction: DESC}",
    "{field: INSERTED_AT, direction: DESC}, {field: ID}",
    "{field: SUBMITTED_COUNT}, {field: EXTERNAL_ID, direction: DESC}",
    '{json: {path: "n", as: INT}}',
    '{json: {path: "n", as: FLOAT}, direction: DESC}',
    '{json: {path: "n", as: TEXT}}, {field: STATUS, direction: DESC}',
    '{json: {path: "n", as: BOOL}, direction: DESC}, {json: {path: "n", as: FLOAT}}',
    '{field: ID}, {json: {path: "n", as: INT}}',
]

PAGE = """query ($first: Int, $after: String, $last: Int, $before: String) {
    dataset(id: "dst_1") {
        records(orderBy: [%s], first: $first, after: $after, last: $last, before: $before) {
            totalCount
            pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
            edges { cursor node { id } }
        }
    }
}"""


def rows() -> World:
    world = World()
    world.add("workspace", id=1, name="w")
    world.add("dataset", id=1, workspace_id=1, name="d")
    for number in range(1, ROWS + 1):
        world.add(
            "record",
            id=number,
            dataset_id=1,
            external_id=None if number % 5 == 0 else f"e{number * 7 % 17}",
            metadata=METADATA[number % len(METADATA)],
            status=STATUSES[number % 2],
            submitted_count=number % 3,
            inserted_at=NOW.replace(second=number % 4),
        )
    return world


@pytest.fixture
async def book(asker: Asker) -> Asker:
    await asker.database.transact(rows().fill)
    return asker


async def page(asker: Asker, order: str, **arguments: Any) -> Any:
    return (await asker.data(OWNER, PAGE % order, arguments))["dataset"]["records"]


def ids(page: Any) -> list[str]:
    return [edge["node"]["id"] for edge in page["edges"]]


@pytest.mark.parametrize("order", ORDERS)
async def test_a_walk_meets_every_row_once_and_backwards_the_same(book: Asker, order: str) -> None:
    whole = await page(book, order, first=500)
    right = ids(whole)
    assert len(set(right)) == ROWS
    assert whole["pageInfo"]["hasNextPage"] is whole["pageInfo"]["hasPreviousPage"] is False
    cursors = [edge["cursor"] for edge in whole["edges"]]
    for size in (2, 7, ROWS):
        for start in range(0, ROWS, size):
            after = cursors[start - 1] if start else None
            forward = await page(book, order, first=size, after=after)
            check(forward, right[start : start + size], cursors[start : start + size], right)
            before = cursors[ROWS - start] if start else None
            backward = await page(book, order, last=size, before=before)
            end = ROWS - start
            check(backward, right[max(end - size, 0) : end], cursors[max(end - size, 0) : end], right)


def check(found: Any, items: list[str], cursors: list[str], whole: list[str]) -> None:
    assert ids(found) == items
    assert found["totalCount"] == ROWS
    assert [edge["cursor"] for edge in found["edges"]] == cursors
    assert found["pageInfo"] == {
        "hasNextPage": items[-1] != whole[-1],
        "hasPreviousPage": items[0] != whole[0],
        "startCursor": cursors[0],
        "endCursor": cursors[-1],
    }


async def test_the_page_between_two_cursors_knows_what_lies_on_both_sides(book: Asker) -> None:
    edges = (await page(book, "", first=500))["edges"]
    between = {"after": edges[4]["cursor"], "before": edges[10]["cursor"]}
    for arguments, right, more in (
        ({"first": 500}, range(5, 10), (True, True)),
        ({"last": 500}, range(5, 10), (True, True)),
        ({"first": 2}, range(5, 7), (True, True)),
        ({"last": 2}, range(8, 10), (True, True)),
        ({"first": 0}, (), (True, True)),
    ):
        found = await page(book, "", **between, **arguments)
        assert ids(found) == [edges[place]["node"]["id"] for place in right]
        assert (found["pageInfo"]["hasPreviousPage"], found["pageInfo"]["hasNextPage"]) == more
    nothing = await page(book, "", first=0)
    assert nothing["pageInfo"] == {
        "hasNextPage": True,
        "hasPreviousPage": False,
        "startCursor": None,
        "endCursor": None,
    }


@pytest.mark.parametrize("order", ["{field: SUBMITTED_COUNT}", '{json: {path: "n", as: TEXT}, direction: DESC}'])
async def test_a_walk_meets_the_old_rows_once_while_rows_come_and_go(book: Asker, order: str) -> None:
    old = ids(await page(book, order, first=500))
    seen: list[str] = []
    cursor, number = None, 1_000
    while True:
        found = await page(book, order, first=3, after=cursor)
        seen += ids(found)
        cursor = found["pageInfo"]["endCursor"]
        if not found["pageInfo"]["hasNextPage"]:
            break
        gone = {number_of(seen[-1])}
        added = World()
        for metadata in ({"n": "0"}, {"n": "zz"}, None):
            number += 1
            added.add("record", id=number, dataset_id=1, metadata=metadata, submitted_count=number % 3)
        await book.database.transact(added.fill)
        await book.database.transact(_delete, gone)
    assert len(seen) == len(set(seen))
    assert [text for text in seen if text in old] == old


def _delete(uow: UnitOfWork, numbers: set[int]) -> None:
    uow.connection.execute(delete(Record).where(Record.id.in_(numbers)))


async def test_a_cursor_stays_good_when_its_row_changes_or_goes(book: Asker) -> None:
    order = "{field: STATUS}"
    edges = (await page(book, order, first=500))["edges"]
    number = number_of(edges[9]["node"]["id"])
    after = edges[9]["cursor"]
    right = [edge["node"]["id"] for edge in edges[10:]]
    other = STATUSES[0] if edges[9]["node"]["id"] in right else STATUSES[1]

    def change(uow: UnitOfWork) -> None:
        uow.connection.execute(update(Record).where(Record.id == number).values(status=other))

    await book.database.transact(change)
    assert [text for text in ids(await page(book, order, first=500, after=after)) if text != f"rec_{number}"] == right
    await book.database.transact(_delete, {number})
    found = await page(book, order, first=500, after=after)
    assert ids(found) == right
    assert found["pageInfo"]["hasPreviousPage"] is True


async def test_nothing_stands_before_a_cursor_whose_row_was_the_first_and_is_gone(book: Asker) -> None:
    first = (await page(book, "", first=1))["edges"][0]
    await book.database.transact(_delete, {number_of(first["node"]["id"])})
    found = await page(book, "", first=1, after=first["cursor"])
    assert found["pageInfo"]["hasPreviousPage"] is False


async def test_what_is_no_cursor_of_the_list_is_refused(book: Asker) -> None:
    good = (await page(book, "", first=1))["edges"][0]["cursor"]
    other_order = (await page(book, "{field: STATUS}", first=1))["edges"][0]["cursor"]
    other_way = (await page(book, "{field: ID, direction: DESC}", first=1))["edges"][0]["cursor"]
    other_path = (await page(book, '{json: {path: "m", as: INT}}', first=1))["edges"][0]["cursor"]
    other_type = (await book.data(OWNER, "{ datasets { edges { cursor } } }"))["datasets"]["edges"][0]["cursor"]
    foreign = "another list or to another order"
    table = [
        ("", "no cursor"),
        ("abc", "no cursor"),
        ("é", "no cursor"),
        ("0" * 16, "no cursor"),
        (good[:-1], "no cursor"),
        (good[2:], "no cursor"),
        (good[:-1] + ("0" if good[-1] != "0" else "1"), "no cursor"),
        (good.replace("31", "32", 1), "no cursor"),
        (good + "00", "no cursor"),
        ("ff" + good[2:], "no cursor"),
        (other_order, foreign),
        (other_way, foreign),
        (other_path, foreign),
        (other_type, foreign),
    ]
    for cursor, message in table:
        for name in ("after", "before"):
            error = await book.error(OWNER, PAGE % "", {name: cursor})
            assert message in error["message"], cursor
            assert error["extensions"] == {"code": "INVALID_CURSOR", "argument": [name]}
            assert error["path"] == ["dataset", "records"]


async def test_an_order_by_json_belongs_to_its_path_and_kind(book: Asker) -> None:
    cursor = (await page(book, '{json: {path: "n", as: INT}}', first=1))["edges"][0]["cursor"]
    for order in ('{json: {path: "m", as: INT}}', '{json: {path: "n", as: FLOAT}}'):
        assert "another order" in (await book.error(OWNER, PAGE % order, {"after": cursor}))["message"]


async def test_another_servers_secret_signs_other_cursors(book: Asker) -> None:
    cursor = (await page(book, "", first=1))["edges"][0]["cursor"]
    other = Asker(build_schema("another secret"), book.database)
    assert "no cursor" in (await other.error(OWNER, PAGE % "", {"after": cursor}))["message"]


async def test_a_cursor_of_one_database_is_one_of_the_other(both: dict[str, Asker]) -> None:
    await fill(both, rows())
    for order in ORDERS:
        one, other = [await page(asker, order, first=500) for asker in both.values()]
        assert one == other
        cursor = one["edges"][11]["cursor"]
        assert ids(await page(both["postgresql"], order, first=500, after=cursor)) == ids(one)[12:]


async def test_cursors_of_root_lists_and_of_nested_ones(book: Asker) -> None:
    more = World()
    for number in range(2, 6):
        more.add("workspace", id=number, name=f"w{9 - number}")
        more.add("user_account", id=number, username=f"u{number}")
        more.add("membership", workspace_id=1, user_id=number)
        more.add("membership", workspace_id=2, user_id=number)
    await book.database.transact(more.fill)
    root = "query ($after: String) { workspaces(first: 2, after: $after) { nodes { id } pageInfo { endCursor } } }"
    nested = """query ($after: String) {
        workspaces { nodes { id members(first: 3, after: $after) { nodes { id } pageInfo { endCursor hasNextPage } } } }
    }"""
    found = (await book.data(OWNER, root))["workspaces"]
    assert [node["id"] for node in found["nodes"]] == ["wsp_1", "wsp_5"]
    found = (await book.data(OWNER, root, {"after": found["pageInfo"]["endCursor"]}))["workspaces"]
    assert [node["id"] for node in found["nodes"]] == ["wsp_4", "wsp_3"]

    pages = {node["id"]: node["members"] for node in (await book.data(OWNER, nested))["workspaces"]["nodes"]}
    assert [page["pageInfo"]["hasNextPage"] for page in pages.values()] == [True, False, False, False, True]
    cursor = pages["wsp_1"]["pageInfo"]["endCursor"]
    after = (await book.data(OWNER, nested, {"after": cursor}))["workspaces"]["nodes"]
    found = {node["id"]: [user["id"] for user in node["members"]["nodes"]] for node in after}
    assert found == {"wsp_1": ["usr_5"], "wsp_2": ["usr_5"], "wsp_3": [], "wsp_4": [], "wsp_5": []}
