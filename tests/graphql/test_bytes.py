"""SQLite and PostgreSQL answer byte for byte the same, and what is written here."""

from __future__ import annotations

import datetime
from typing import Any

from tests.graphql.asking import OWNER, Asker
from tests.graphql.conftest import fill
from tests.graphql.world import World

LARGEST = 2**63 - 1

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
}

FLOATS = [
    (0.0, "0"),
    (-0.0, "0"),  # SQLite keeps no sign of zero
    (1.0, "1"),
    (100.0, "100"),
    (0.1 + 0.2, "0.30000000000000004"),
    (1 / 3, "0.3333333333333333"),
    (1e-5, "1e-05"),
    (1e-7, "1e-07"),
    (123456789012345.0, "123456789012345"),
    (1e15, "1e+15"),
    (1e16, "1e+16"),
    (9007199254740993.0, "9.007199254740992e+15"),
    (1e22, "1e+22"),
    (1e23, "9.999999999999999e+22"),  # midway between two doubles; as PostgreSQL prints it
    (5e-324, "5e-324"),
    (2.2250738585072014e-308, "2.2250738585072014e-308"),
    (1.7976931348623157e308, "1.7976931348623157e+308"),
    (-1.5, "-1.5"),
    (float("inf"), '"Infinity"'),
    (float("-inf"), '"-Infinity"'),
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


async def same(both: dict[str, Asker], world: World, query: str, right: str) -> None:
    """Both databases answer these bytes."""
    await fill(both, world)
    for name, asker in both.items():
        assert (await asker.bytes(OWNER, query)).decode() == right, name


def dataset(world: World) -> int:
    world.add("workspace", id=1, name="w")
    return world.add("dataset", id=1, workspace_id=1, name="d")


def suggested(world: World, **suggestion: Any) -> None:
    """A record of its own with one suggestion."""
    number = len(world.rows.get("record", ())) + 1
    world.add("record", id=number, dataset_id=1)
    world.add("suggestion", id=number, dataset_id=1, record_id=number, question="q", **suggestion)


async def test_texts(both: dict[str, Asker]) -> None:
    world = World()
    for number, text in enumerate(TEXTS, 1):
        world.add("record", id=number, dataset_id=dataset(world) if number == 1 else 1, external_id=text)
    items = ",".join(f'{{"externalId":{text}}}' for text in TEXTS.values())
    query = '{ dataset(id: "dst_1") { records { nodes { externalId } } } }'
    await same(both, world, query, f'{{"data":{{"dataset":{{"records":{{"nodes":[{items}]}}}}}}}}')


async def test_floats(both: dict[str, Asker]) -> None:
    world = World()
    dataset(world)
    for value, _ in FLOATS:
        suggested(world, score=value)
    suggested(world, score=None)
    items = ",".join(f'{{"suggestions":[{{"score":{text}}}]}}' for text in [*(text for _, text in FLOATS), "null"])
    query = '{ dataset(id: "dst_1") { records { nodes { suggestions { score } } } } }'
    await same(both, world, query, f'{{"data":{{"dataset":{{"records":{{"nodes":[{items}]}}}}}}}}')


async def test_json(both: dict[str, Asker]) -> None:
    world = World()
    dataset(world)
    for value, _ in JSONS:
        suggested(world, value=value)
    items = ",".join(f'{{"suggestions":[{{"value":{text}}}]}}' for _, text in JSONS)
    query = '{ dataset(id: "dst_1") { records { nodes { suggestions { value } } } } }'
    await same(both, world, query, f'{{"data":{{"dataset":{{"records":{{"nodes":[{items}]}}}}}}}}')


async def test_instants_and_ids(both: dict[str, Asker]) -> None:
    world = World()
    for number, instant in enumerate(INSTANTS):
        world.add("workspace", id=LARGEST - number, name=str(number), created_at=instant)
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
