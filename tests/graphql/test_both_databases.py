"""Both databases answer byte for byte the same, and what is written here."""

from __future__ import annotations

import datetime
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import orjson
import pytest
from sqlalchemy import insert

from app.accounts import tables as accounts
from app.accounts.tables import Role
from app.accounts.viewer import Viewer
from app.annotation import tables
from app.db import Database, UnitOfWork
from app.graphql.operations import Operations, Request
from app.schema import build_schema
from tests.support.databases import PostgresDatabases, SqliteDatabases

OWNER = Viewer(1, "owner", Role.OWNER)
BEGAN = datetime.datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=datetime.UTC)

TEXTS = [
    "a", "B", "b", "Z", "é", "É", "ß", "中文", "日本", "😀", "￿", "e\u0301", " ", "", "0", "10", "9", '"',
    "\\", "/", "\t", "\n", "\u0001", "\u001f", "\u007f", "\u2028", "a'b", "%", "_", "${x}", "null",
]  # fmt: skip
FLOATS: list[float | None] = [
    0.0,
    -0.0,
    1.0,
    100.0,
    0.1,
    0.1 + 0.2,
    1 / 3,
    1e15,
    1e16,
    123456789012345680.0,
    1e22,
    1e23,
    1e-4,
    1e-5,
    1e-7,
]
FLOATS += [5e-324, 2.2250738585072014e-308, 1.7976931348623157e308, -1.5, None]
JSONS: list[Any] = [
    None, {}, {"b": 1, "a": 2, "10": 3, "9": 4}, {"n": 1}, {"n": 1.0}, {"n": 1e3}, {"n": -0.0}, {"n": 2**53 + 1},
    {"n": 9223372036854775807}, {"n": "1"}, {"n": True}, {"n": False}, {"n": None}, {"n": [1, "x"]},
    {"n": {"m": 0.30000000000000004}}, {"n": 1e-7}, {"n": 1e22}, {"n": 5e-324}, {"n": "é😀\u0001"},
    {"a b": {"c.d": [{"e": 5}]}},
]  # fmt: skip
INSTANTS = [
    BEGAN, BEGAN.replace(microsecond=0), BEGAN.replace(microsecond=999_999), BEGAN.replace(year=1),
    BEGAN.replace(year=9999), BEGAN.replace(microsecond=100_000),
]  # fmt: skip


def _fill(uow: UnitOfWork) -> None:
    """One record per text, JSON value and instant; one suggestion per number. Ids are the same everywhere."""
    run = uow.connection.execute
    run(insert(accounts.User).values(id=1, username="owner", role=Role.OWNER, created_at=BEGAN, updated_at=BEGAN))
    run(insert(accounts.Workspace).values(id=10, name="w", created_at=BEGAN))
    dataset = {"id": 20, "workspace_id": 10, "name": "d", "guidelines": None, "min_submitted": 1}
    with uow.marked("dataset", "record", "response"):
        run(insert(tables.Dataset).values(**dataset, created_at=BEGAN, updated_at=BEGAN))
        count = max(len(TEXTS), len(JSONS), len(INSTANTS), len(FLOATS))
        for n in range(count):
            record: Any = tables.Record.__table__
            run(
                insert(record).values(
                    id=100 + n,
                    dataset_id=20,
                    external_id=TEXTS[n] if n < len(TEXTS) else None,
                    content_hash=None,
                    fields={"text": TEXTS[n % len(TEXTS)]},
                    metadata=JSONS[n % len(JSONS)],
                    status=tables.RecordStatus.PENDING,
                    submitted_count=0,
                    required=1,
                    inserted_at=INSTANTS[n % len(INSTANTS)],
                    updated_at=BEGAN,
                    changed=1,
                )
            )
            score = FLOATS[n % len(FLOATS)]
            row = {"id": 1000 + n, "dataset_id": 20, "record_id": 100 + n, "question": "q", "score": score}
            run(insert(tables.Suggestion).values(**row, value=[JSONS[n % len(JSONS)]], agent=None))


Ask = Callable[[str, dict[str, Any]], Awaitable[bytes]]


@pytest.fixture(scope="module")
async def ask(sqlite_databases: SqliteDatabases, postgresql_databases: PostgresDatabases) -> AsyncIterator[Ask]:
    """The response's bytes; asks both databases and compares."""
    async with AsyncExitStack() as stack:
        built = build_schema("secret")
        doors: list[Operations] = []
        for databases in (sqlite_databases, postgresql_databases):
            url = await databases.create()
            database = await stack.enter_async_context(await Database.open(url))
            await database.transact(_fill)
            doors.append(Operations(built, database, None))

        async def both(query: str, variables: dict[str, Any]) -> bytes:
            request = Request(query, variables)
            answers = [orjson.dumps(await door.execute(door.prepare(request, OWNER), OWNER)) for door in doors]
            assert answers[0] == answers[1]
            return answers[0]

        yield both


PAGE = """query ($where: RecordWhere, $order: [RecordOrder!]) {
  dataset(id: "dst_20") { records(first: 100, where: $where, orderBy: $order) { %s } }
}"""
RECORDS = PAGE % (
    "totalCount edges { cursor node { id externalId fields metadata insertedAt suggestions { value score } } }"
)
IDS = PAGE % "nodes { id }"


async def _numbers(ask: Ask, where: dict[str, Any] | None, order: list[Any] | None = None) -> list[int]:
    answer = orjson.loads(await ask(IDS, {"where": where, "order": order}))
    assert "errors" not in answer, answer
    return [int(node["id"][4:]) - 100 for node in answer["data"]["dataset"]["records"]["nodes"]]


async def test_everything_is_printed_alike(ask: Ask) -> None:
    answer = await ask(RECORDS, {})
    for text in TEXTS:
        # PostgreSQL and SQLite escape alike, which is as orjson does but for control characters without a short form.
        assert orjson.dumps({"text": text}) in answer
    for value in JSONS[1:]:
        assert b'"metadata":' + orjson.dumps(value) in answer
    found = orjson.loads(answer)["data"]["dataset"]["records"]["edges"]
    scores = [edge["node"]["suggestions"][0]["score"] for edge in found]
    assert scores[: len(FLOATS)] == FLOATS  # but for the sign of zero, which is not kept
    assert found[0]["node"]["insertedAt"] == "2026-01-02T03:04:05.000006Z"
    assert {edge["node"]["insertedAt"] for edge in found} == {
        "2026-01-02T03:04:05.000006Z", "2026-01-02T03:04:05.000000Z", "2026-01-02T03:04:05.999999Z",
        "0001-01-02T03:04:05.000006Z", "9999-01-02T03:04:05.000006Z", "2026-01-02T03:04:05.100000Z",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("number", "printed"),
    [
        (0.0, "0"), (-0.0, "0"), (1.0, "1"), (100.0, "100"), (0.1 + 0.2, "0.30000000000000004"), (1e15, "1e+15"),
        (1e16, "1e+16"), (1e22, "1e+22"), (1e-4, "0.0001"), (1e-5, "1e-05"), (5e-324, "5e-324"), (None, "null"),
    ],
)  # fmt: skip
async def test_numbers_are_printed_in_their_shortest_form(ask: Ask, number: float, printed: str) -> None:
    place = next(n for n, value in enumerate(FLOATS) if repr(value) == repr(number))
    query = f'{{ node(id: "rec_{100 + place}") {{ ... on Record {{ suggestions {{ score }} }} }} }}'
    expected = f'{{"data":{{"node":{{"suggestions":[{{"score":{printed}}}]}}}}}}'
    assert (await ask(query, {})).decode() == expected


async def test_text_orders_bytewise_and_missing_values_come_last(ask: Ask) -> None:
    expected = sorted(range(len(TEXTS)), key=lambda n: TEXTS[n].encode())
    missing = list(range(len(TEXTS), max(len(TEXTS), len(JSONS), len(FLOATS))))
    for direction, places in (("ASC", expected), ("DESC", expected[::-1])):
        found = await _numbers(ask, None, [{"field": "EXTERNAL_ID", "direction": direction}])
        assert found == places + (missing if direction == "ASC" else missing[::-1])


async def test_instants_order_as_instants(ask: Ask) -> None:
    found = await _numbers(ask, None, [{"field": "INSERTED_AT"}])
    assert found == sorted(found, key=lambda n: (INSTANTS[n % len(INSTANTS)], n))


def _metadata(n: int) -> Any:
    return JSONS[n % len(JSONS)] or {}


TESTS: list[tuple[dict[str, Any], Callable[[int], bool]]] = [
    ({"externalId": {"contains": "B"}}, lambda n: "b" in (TEXTS[n : n + 1] or [""])[0].lower()),
    ({"externalId": {"contains": "É"}}, lambda n: "É" in (TEXTS[n : n + 1] or [""])[0]),
    ({"externalId": {"contains": "%"}}, lambda n: "%" in (TEXTS[n : n + 1] or [""])[0]),
    ({"externalId": {"startsWith": "_"}}, lambda n: TEXTS[n : n + 1] == ["_"]),
    ({"externalId": {"startsWith": "中"}}, lambda n: TEXTS[n : n + 1] == ["中文"]),
    ({"externalId": {"gt": "Z"}}, lambda n: n < len(TEXTS) and TEXTS[n].encode() > b"Z"),
    ({"externalId": {"eq": ""}}, lambda n: TEXTS[n : n + 1] == [""]),
    ({"externalId": {"ne": "a"}}, lambda n: TEXTS[n : n + 1] != ["a"]),
    ({"externalId": {"isNull": True}}, lambda n: n >= len(TEXTS)),
    ({"not": {"externalId": {"in": ["a", "b"]}}}, lambda n: TEXTS[n : n + 1] not in (["a"], ["b"])),
    ({"metadata": {"path": "n", "int": {"eq": 1}}}, lambda n: repr(_metadata(n).get("n")) == "1"),
    ({"metadata": {"path": "n", "float": {"eq": 1}}}, lambda n: repr(_metadata(n).get("n")) in ("1", "1.0")),
    (
        {"metadata": {"path": "n", "float": {"lt": 1e-6}}},
        lambda n: _is_number(_metadata(n).get("n"), lambda x: x < 1e-6),
    ),
    ({"metadata": {"path": "n", "text": {"eq": "1"}}}, lambda n: _metadata(n).get("n") == "1"),
    ({"metadata": {"path": "n", "bool": {"eq": True}}}, lambda n: _metadata(n).get("n") is True),
    ({"metadata": {"path": "n", "isNull": True}}, lambda n: _metadata(n).get("n") is None),
    ({"metadata": {"path": "n[1]", "text": {"eq": "x"}}}, lambda n: _metadata(n).get("n") == [1, "x"]),
    ({"metadata": {"path": '"a b"."c.d"[0].e', "int": {"gte": 5}}}, lambda n: "a b" in _metadata(n)),
]


def _is_number(value: Any, test: Callable[[float], bool]) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and test(value)


@pytest.mark.parametrize("place", range(len(TESTS)))
async def test_conditions_mean_the_same(ask: Ask, place: int) -> None:
    where, holds = TESTS[place]
    everything = range(max(len(TEXTS), len(JSONS), len(FLOATS)))
    assert await _numbers(ask, where) == [n for n in everything if holds(n)]
    assert await _numbers(ask, {"not": where}) == [n for n in everything if not holds(n)]


async def test_json_numbers_order_as_numbers(ask: Ask) -> None:
    found = await _numbers(ask, None, [{"json": {"path": "n", "as": "FLOAT"}}])
    numbers = [_metadata(n).get("n") for n in found]
    real = [x for x in numbers if _is_number(x, lambda _: True)]
    assert real == sorted(real)
    assert numbers[: len(real)] == real
