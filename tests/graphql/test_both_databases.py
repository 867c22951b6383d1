"""Both databases answer byte for byte the same, and what is written here."""

from __future__ import annotations

import datetime
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import orjson
import pytest

from app.db.database import Database
from app.graphql.schema import Built
from tests.graphql.asking import OWNER, Asker
from tests.graphql.conftest import fill
from tests.graphql.world import World
from tests.support.databases import PostgresDatabases, SqliteDatabases

LARGEST = 2**63 - 1

# What is stored, and how it is printed.
TEXTS = {
    "": '""',
    "plain": '"plain"',
    "\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a": r'"\u0001\u0002\u0003\u0004\u0005\u0006\u0007\b\t\n"',
    "\x0b\x0c\x0d\x0e\x0f\x10\x11\x12\x13\x14": r'"\u000b\f\r\u000e\u000f\u0010\u0011\u0012\u0013\u0014"',
    "\x15\x16\x17\x18\x19\x1a": r'"\u0015\u0016\u0017\u0018\u0019\u001a"',
    "\x1b\x1c\x1d\x1e\x1f": r'"\u001b\u001c\u001d\u001e\u001f"',
    "\x7f\x80\x85\xa0\u2028\u2029\ufeff\ufffe": '"\x7f\x80\x85\xa0\u2028\u2029\ufeff\ufffe"',
    'say "hi" \\ / it\'s': r'"say \"hi\" \\ / it' + "'" + 's"',
    "中文 日本語 한국어": '"中文 日本語 한국어"',
    "😀👩‍👩‍👧 e\u0301 ﷽": '"😀👩‍👩‍👧 e\u0301 ﷽"',
    "' OR 1=1 --; $1 ? :x %s {}": '''"' OR 1=1 --; $1 ? :x %s {}"''',
    "\\u0041 \\n null": r'"\\u0041 \\n null"',
    **{
        text: f'"{text}"'
        for text in ("a", "B", "b", "Z", "é", "É", "ß", "中文", "日本", "😀", "￿", "e\u0301", " ", "0")
    },
    **{text: f'"{text}"' for text in ("10", "9", "/", "\u007f", "\u2028", "a'b", "%", "_", "${x}", "null")},
    '"': r'"\""',
    "\\": r'"\\"',
    "\t": r'"\t"',
    "\n": r'"\n"',
    "\u0001": r'"\u0001"',
    "\u001f": r'"\u001f"',
}

FLOATS: list[tuple[float | None, str]] = [
    (0.0, "0"),
    (-0.0, "0"),  # SQLite keeps no sign of zero
    (1.0, "1"),
    (100.0, "100"),
    (0.1, "0.1"),
    (0.1 + 0.2, "0.30000000000000004"),
    (1 / 3, "0.3333333333333333"),
    (1e-4, "0.0001"),
    (1e-5, "1e-05"),
    (1e-7, "1e-07"),
    (123456789012345.0, "123456789012345"),
    (1e15, "1e+15"),
    (1e16, "1e+16"),
    (123456789012345680.0, "1.2345678901234568e+17"),
    (9007199254740993.0, "9.007199254740992e+15"),
    (1e22, "1e+22"),
    (1e23, "9.999999999999999e+22"),  # midway between two doubles; as PostgreSQL prints it
    (5e-324, "5e-324"),
    (2.2250738585072014e-308, "2.2250738585072014e-308"),
    (1.7976931348623157e308, "1.7976931348623157e+308"),
    (-1.5, "-1.5"),
    (float("inf"), '"Infinity"'),
    (float("-inf"), '"-Infinity"'),
    (None, "null"),
]

INSTANTS = {
    datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC): "2026-01-02T03:04:05.000000Z",
    datetime.datetime(2026, 1, 2, 3, 4, 5, 1, tzinfo=datetime.UTC): "2026-01-02T03:04:05.000001Z",
    datetime.datetime(
        2026, 7, 1, 1, 30, tzinfo=datetime.timezone(datetime.timedelta(hours=2))
    ): "2026-06-30T23:30:00.000000Z",
    datetime.datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=datetime.UTC): "1969-12-31T23:59:59.999999Z",
    datetime.datetime(1, 1, 2, tzinfo=datetime.UTC): "0001-01-02T00:00:00.000000Z",
    datetime.datetime(999, 1, 2, tzinfo=datetime.UTC): "0999-01-02T00:00:00.000000Z",
    datetime.datetime(9999, 12, 30, 23, 59, 59, 999_999, tzinfo=datetime.UTC): "9999-12-30T23:59:59.999999Z",
    datetime.datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=datetime.UTC): "2026-01-02T03:04:05.000006Z",
    datetime.datetime(2026, 1, 2, 3, 4, 5, 100_000, tzinfo=datetime.UTC): "2026-01-02T03:04:05.100000Z",
    datetime.datetime(2026, 1, 2, 3, 4, 5, 999_999, tzinfo=datetime.UTC): "2026-01-02T03:04:05.999999Z",
    datetime.datetime(1, 1, 2, 3, 4, 5, 6, tzinfo=datetime.UTC): "0001-01-02T03:04:05.000006Z",
    datetime.datetime(9999, 1, 2, 3, 4, 5, 6, tzinfo=datetime.UTC): "9999-01-02T03:04:05.000006Z",
}

JSONS: list[tuple[Any, str]] = [
    ({}, "{}"),
    ([], "[]"),
    ("text", '"text"'),
    (True, "true"),
    ({"b": 1, "a": 2, "B": 3, "10": 4, "9": 5}, '{"b":1,"a":2,"B":3,"10":4,"9":5}'),
    ({"n": [None, {"z": None, "y": [[]]}]}, '{"n":[null,{"z":null,"y":[[]]}]}'),
    ([0, -1, 2**31, 2**53 + 1], "[0,-1,2147483648,9007199254740993]"),
    ([LARGEST, -LARGEST - 1, 2**64 - 1], "[9223372036854775807,-9223372036854775808,18446744073709551615]"),
    ([0.0, -0.0, 1.0, 0.1 + 0.2], "[0.0,-0.0,1.0,0.30000000000000004]"),
    ([1e16, 1e-7, 5e-324, 1e22], "[1e+16,1e-7,5e-324,1e+22]"),
    ([float("nan"), float("inf"), float("-inf")], '["NaN","Infinity","-Infinity"]'),
    ({'k"e\\y': "\x01\n\x7f😀中"}, r'{"k\"e\\y":"\u0001\n' + '\x7f😀中"}'),
]

METADATA: list[tuple[Any, str]] = [
    (None, "null"),
    ({}, "{}"),
    ({"b": 1, "a": 2, "10": 3, "9": 4}, '{"b":1,"a":2,"10":3,"9":4}'),
    ({"n": 1}, '{"n":1}'),
    ({"n": 1.0}, '{"n":1.0}'),
    ({"n": 1e3}, '{"n":1000.0}'),
    ({"n": -0.0}, '{"n":-0.0}'),
    ({"n": 2**53 + 1}, '{"n":9007199254740993}'),
    ({"n": LARGEST}, '{"n":9223372036854775807}'),
    ({"n": "1"}, '{"n":"1"}'),
    ({"n": True}, '{"n":true}'),
    ({"n": False}, '{"n":false}'),
    ({"n": None}, '{"n":null}'),
    ({"n": [1, "x"]}, '{"n":[1,"x"]}'),
    ({"n": {"m": 0.30000000000000004}}, '{"n":{"m":0.30000000000000004}}'),
    ({"n": 1e-7}, '{"n":1e-7}'),
    ({"n": 1e22}, '{"n":1e+22}'),
    ({"n": 5e-324}, '{"n":5e-324}'),
    ({"n": "é😀\u0001"}, r'{"n":"é😀\u0001"}'),
    ({"a b": {"c.d": [{"e": 5}]}}, '{"a b":{"c.d":[{"e":5}]}}'),
]

STORED_TEXTS = list(TEXTS)
STORED_INSTANTS = list(INSTANTS)
COUNT = max(map(len, (TEXTS, FLOATS, INSTANTS, JSONS, METADATA)))


def everything() -> World:
    """A record for each text, with its other values in turn; where the texts end, records without external id."""
    world = World()
    dataset(world)
    for n in range(COUNT + 3):
        world.add(
            "record",
            id=100 + n,
            dataset_id=1,
            external_id=text(n),
            fields={"text": text(n)},
            metadata=metadata(n),
            inserted_at=STORED_INSTANTS[n % len(INSTANTS)],
        )
        values = {"score": FLOATS[n % len(FLOATS)][0], "value": JSONS[n % len(JSONS)][0]}
        world.add("suggestion", id=100 + n, dataset_id=1, record_id=100 + n, question="q", **values)
    return world


def dataset(world: World) -> int:
    world.add("workspace", id=1, name="w")
    return world.add("dataset", id=1, workspace_id=1, name="d")


def text(n: int) -> str | None:
    return STORED_TEXTS[n] if n < len(STORED_TEXTS) else None


def metadata(n: int) -> Any:
    return METADATA[n % len(METADATA)][0]


Ask = Callable[..., Awaitable[bytes]]


@pytest.fixture(scope="module")
async def ask(
    built: Built, sqlite_databases: SqliteDatabases, postgresql_databases: PostgresDatabases
) -> AsyncIterator[Ask]:
    """The response's bytes about `everything`; asks both databases and compares."""
    urls = [(kind, await kind.create()) for kind in (sqlite_databases, postgresql_databases)]
    opened = [await Database.open(url) for _, url in urls]
    for database in opened:
        await database.transact(everything().fill)

    async def asked(query: str, variables: dict[str, Any] | None = None) -> bytes:
        sqlite, postgresql = [await Asker(built, database).bytes(OWNER, query, variables) for database in opened]
        assert sqlite == postgresql
        return sqlite

    yield asked
    for database in opened:
        await database.close()
    for kind, url in urls:
        await kind.remove(url)


PAGE = """query ($where: RecordWhere, $order: [RecordOrder!]) {
  dataset(id: "dst_1") { records(first: 100, where: $where, orderBy: $order) { %s } }
}"""


def page(items: list[str]) -> str:
    """The response that has these nodes."""
    return f'{{"data":{{"dataset":{{"records":{{"nodes":[{",".join(items)}]}}}}}}}}'


@pytest.mark.parametrize(
    ("selection", "printed"),
    [
        ("externalId", lambda n: f'"externalId":{TEXTS[STORED_TEXTS[n]] if n < len(TEXTS) else "null"}'),
        ("fields", lambda n: f'"fields":{{"text":{TEXTS[STORED_TEXTS[n]] if n < len(TEXTS) else "null"}}}'),
        ("metadata", lambda n: f'"metadata":{METADATA[n % len(METADATA)][1]}'),
        ("insertedAt", lambda n: f'"insertedAt":"{INSTANTS[STORED_INSTANTS[n % len(INSTANTS)]]}"'),
        ("suggestions { score }", lambda n: f'"suggestions":[{{"score":{FLOATS[n % len(FLOATS)][1]}}}]'),
        ("suggestions { value }", lambda n: f'"suggestions":[{{"value":{JSONS[n % len(JSONS)][1]}}}]'),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_values_are_printed(ask: Ask, selection: str, printed: Callable[[int], str]) -> None:
    found = (await ask(PAGE % f"nodes {{ {selection} }}")).decode()
    assert found == page([f"{{{printed(n)}}}" for n in range(COUNT + 3)])


@pytest.mark.parametrize(("value", "printed"), FLOATS)
async def test_a_number_by_its_id(ask: Ask, value: float | None, printed: str) -> None:
    place = next(n for n, (other, _) in enumerate(FLOATS) if repr(other) == repr(value))
    found = await ask(f'{{ node(id: "rec_{100 + place}") {{ ... on Record {{ suggestions {{ score }} }} }} }}')
    assert found.decode() == f'{{"data":{{"node":{{"suggestions":[{{"score":{printed}}}]}}}}}}'


async def test_a_whole_page_is_the_same(ask: Ask) -> None:
    node = "id externalId fields metadata insertedAt suggestions { value score }"
    answer = orjson.loads(await ask(PAGE % f"totalCount edges {{ cursor node {{ {node} }} }}"))
    assert answer["data"]["dataset"]["records"]["totalCount"] == COUNT + 3


async def numbers(ask: Ask, where: dict[str, Any] | None, order: list[Any] | None = None) -> list[int]:
    """The places of the records that are found."""
    answer = orjson.loads(await ask(PAGE % "nodes { id }", {"where": where, "order": order}))
    assert "errors" not in answer, answer
    return [int(node["id"][4:]) - 100 for node in answer["data"]["dataset"]["records"]["nodes"]]


async def test_text_orders_bytewise_and_missing_values_come_last(ask: Ask) -> None:
    expected = sorted(range(len(TEXTS)), key=lambda n: STORED_TEXTS[n].encode())
    missing = list(range(len(TEXTS), COUNT + 3))
    assert missing
    found = await numbers(ask, None, [{"field": "EXTERNAL_ID"}])
    assert found == expected + missing
    found = await numbers(ask, None, [{"field": "EXTERNAL_ID", "direction": "DESC"}])
    assert found == expected[::-1] + missing[::-1]


async def test_instants_order_as_instants(ask: Ask) -> None:
    found = await numbers(ask, None, [{"field": "INSERTED_AT"}])
    assert found == sorted(range(COUNT + 3), key=lambda n: (STORED_INSTANTS[n % len(INSTANTS)], n))


async def test_json_numbers_order_as_numbers(ask: Ask) -> None:
    found = await numbers(ask, None, [{"json": {"path": "n", "as": "FLOAT"}}])
    held = [n_of(n) for n in found]
    real = [x for x in held if is_number(x)]
    assert real == sorted(real)
    assert held[: len(real)] == real


def n_of(n: int) -> Any:
    return (metadata(n) or {}).get("n")


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


CONDITIONS: list[tuple[dict[str, Any], Callable[[int], bool]]] = [
    ({"externalId": {"contains": "B"}}, lambda n: "b" in (text(n) or "").lower()),
    ({"externalId": {"contains": "É"}}, lambda n: "É" in (text(n) or "")),
    ({"externalId": {"contains": "%"}}, lambda n: "%" in (text(n) or "")),
    ({"externalId": {"startsWith": "_"}}, lambda n: (text(n) or "").startswith("_")),
    ({"externalId": {"startsWith": "中"}}, lambda n: (text(n) or "").startswith("中")),
    ({"externalId": {"gt": "Z"}}, lambda n: (text(n) or "").encode() > b"Z"),
    ({"externalId": {"eq": ""}}, lambda n: text(n) == ""),
    ({"externalId": {"ne": "a"}}, lambda n: text(n) != "a"),
    ({"externalId": {"isNull": True}}, lambda n: text(n) is None),
    ({"not": {"externalId": {"in": ["a", "b"]}}}, lambda n: text(n) not in {"a", "b"}),
    ({"metadata": {"path": "n", "int": {"eq": 1}}}, lambda n: repr(n_of(n)) == "1"),
    ({"metadata": {"path": "n", "float": {"eq": 1}}}, lambda n: repr(n_of(n)) in {"1", "1.0"}),
    ({"metadata": {"path": "n", "float": {"lt": 1e-6}}}, lambda n: is_number(n_of(n)) and n_of(n) < 1e-6),
    ({"metadata": {"path": "n", "text": {"eq": "1"}}}, lambda n: n_of(n) == "1"),
    ({"metadata": {"path": "n", "bool": {"eq": True}}}, lambda n: n_of(n) is True),
    ({"metadata": {"path": "n", "isNull": True}}, lambda n: n_of(n) is None),
    ({"metadata": {"path": "n[1]", "text": {"eq": "x"}}}, lambda n: n_of(n) == [1, "x"]),
    ({"metadata": {"path": '"a b"."c.d"[0].e', "int": {"gte": 5}}}, lambda n: "a b" in (metadata(n) or {})),
]


@pytest.mark.parametrize(("where", "holds"), CONDITIONS, ids=[orjson.dumps(where).decode() for where, _ in CONDITIONS])
async def test_conditions_mean_the_same(ask: Ask, where: dict[str, Any], holds: Callable[[int], bool]) -> None:
    right = [n for n in range(COUNT + 3) if holds(n)]
    assert right
    assert await numbers(ask, where) == right
    assert await numbers(ask, {"not": where}) == [n for n in range(COUNT + 3) if not holds(n)]


async def same(both: dict[str, Asker], world: World, query: str, right: str) -> None:
    """Both databases answer these bytes."""
    await fill(both, world)
    for name, asker in both.items():
        assert (await asker.bytes(OWNER, query)).decode() == right, name


async def test_the_largest_ids(both: dict[str, Asker]) -> None:
    world = World()
    for number, instant in enumerate(INSTANTS):
        world.add("workspace", id=LARGEST - number, name=f"{number:02}", created_at=instant)
    items = ",".join(
        f'{{"id":"wsp_{LARGEST - number}","createdAt":"{text}"}}' for number, text in enumerate(INSTANTS.values())
    )
    await same(
        both, world, "{ workspaces { nodes { id createdAt } } }", f'{{"data":{{"workspaces":{{"nodes":[{items}]}}}}}}'
    )


async def test_booleans_enums_nulls_and_empty_lists(both: dict[str, Asker]) -> None:
    world = World()
    dataset(world)
    world.add("field", id=1, dataset_id=1, name="f", required=False)
    world.add("question", id=1, dataset_id=1, name="q", settings={"b": 1, "a": None})
    query = """{ dataset(id: "dst_1") {
        fields { required type } questions { required description settings } guidelines
        records(last: 3) { totalCount pageInfo { hasNextPage hasPreviousPage startCursor endCursor } edges { cursor }
            nodes { id } }
        progress { total completed pending }
        none: records @include(if: false) { totalCount }
        empty: progress { total @skip(if: true) } name: progress { __typename }
    } hidden: dataset(id: "dst_2") { id } __typename }"""
    right = (
        '{"data":{"dataset":{"fields":[{"required":false,"type":"TEXT"}],"questions":[{"required":true,"description":null,'
        '"settings":{"b":1,"a":null}}],"guidelines":null,"records":{"totalCount":0,"pageInfo":{"hasNextPage":false,'
        '"hasPreviousPage":false,"startCursor":null,"endCursor":null},"edges":[],"nodes":[]},"progress":{"total":0,'
        '"completed":0,"pending":0},"empty":{},"name":{"__typename":"Progress"}},"hidden":null,"__typename":"Query"}}'
    )
    await same(both, world, query, right)


WORDS = {1: "b", 2: "B", 3: "é", 4: None, 5: "a", 6: "ab", 7: "中", 8: "a b", 9: "😀", 10: "", 11: None, 12: "É"}
NUMBERS: dict[int, Any] = {1: 2, 2: 10, 3: -1, 4: "2", 5: 2.5, 6: True, 7: None, 8: 10**17, 9: 0.5, 10: [1], 11: 1e300}

ORDERS = {
    "{field: EXTERNAL_ID}": [10, 2, 5, 8, 6, 1, 12, 3, 7, 9, 4, 11],
    "{field: EXTERNAL_ID, direction: DESC}": [9, 7, 3, 12, 1, 6, 8, 5, 2, 10, 11, 4],
    '{json: {path: "n", as: FLOAT}}': [3, 9, 1, 5, 2, 8, 11, 4, 6, 7, 10, 12],
    '{json: {path: "n", as: INT}}': [3, 1, 2, 8, 4, 5, 6, 7, 9, 10, 11, 12],
    '{json: {path: "n", as: TEXT}, direction: DESC}': [4, 12, 11, 10, 9, 8, 7, 6, 5, 3, 2, 1],
    '{json: {path: "n", as: BOOL}}, {field: ID, direction: DESC}': [6, 12, 11, 10, 9, 8, 7, 5, 4, 3, 2, 1],
    "{field: STATUS}, {field: ID, direction: DESC}": [12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1],
}

FILTERS = {
    '{externalId: {contains: "A"}}': [5, 6, 8],
    '{externalId: {contains: "É"}}': [12],
    '{externalId: {contains: ""}}': [1, 2, 3, 5, 6, 7, 8, 9, 10, 12],
    '{externalId: {startsWith: "a"}}': [5, 6, 8],
    '{externalId: {startsWith: "A"}}': [],
    '{externalId: {gt: "a", lt: "b"}}': [6, 8],
    '{externalId: {ne: "b"}}': [2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12],
    "{externalId: {isNull: true}}": [4, 11],
    '{not: {externalId: {contains: "a"}}}': [1, 2, 3, 4, 7, 9, 10, 11, 12],
    '{metadata: {path: "n", float: {gte: 2}}}': [1, 2, 5, 8, 11],
    '{metadata: {path: "n", int: {gte: 2}}}': [1, 2, 8],
    '{metadata: {path: "n", text: {eq: "2"}}}': [4],
    '{metadata: {path: "n", bool: {eq: true}}}': [6],
    '{metadata: {path: "n", isNull: true}}': [7, 12],
    '{metadata: {path: "n[0]", int: {eq: 1}}}': [10],
    '{not: {metadata: {path: "n", float: {lt: 100}}}}': [4, 6, 7, 8, 10, 11, 12],
}


def words() -> World:
    world = World()
    dataset(world)
    for number, word in WORDS.items():
        metadata = {"n": NUMBERS[number]} if number in NUMBERS else None
        world.add("record", id=number, dataset_id=1, external_id=word, metadata=metadata)
    return world


async def test_orders_and_filters(both: dict[str, Asker]) -> None:
    await fill(both, words())
    asked = [(f"orderBy: [{order}]", right) for order, right in ORDERS.items()]
    asked += [(f"where: {where}", right) for where, right in FILTERS.items()]
    for arguments, right in asked:
        query = f'{{ dataset(id: "dst_1") {{ records({arguments}) {{ nodes {{ id }} }} }} }}'
        items = ",".join(f'{{"id":"rec_{number}"}}' for number in right)
        for name, asker in both.items():
            found = (await asker.bytes(OWNER, query)).decode()
            assert found == f'{{"data":{{"dataset":{{"records":{{"nodes":[{items}]}}}}}}}}', (name, arguments)
