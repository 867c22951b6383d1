"""Things in the order of a field of the mark that they have under a name, and of the name of their parent."""

from __future__ import annotations

import random
from functools import cmp_to_key
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.graphql.asking import Asker
from tests.graphql.things import ALL, Shade, Someone, mark, things, write, write_marks

PAGE = """query ($order: [ThingOrder!], $first: Int, $after: String, $last: Int, $before: String, $where: ThingWhere) {
    things(orderBy: $order, first: $first, after: $after, last: $last, before: $before, where: $where) {
        totalCount
        pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
        edges { cursor node { id marks { name size } } }
    }
}"""
COUNT = 17
PARENTS = [None, 1, 17, 3, 1, 17, 2, None, 4, 4, 9, 17, 5, 2, 6, 17, 3]
FIELDS = {"SIZE": "size", "COUNT": "count", "SHADE": "shade", "NAME": "name"}
SHADES = list(Shade)


def rows() -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Things of which some have marks under one name or two, with equal values, none, and some of somebody else's.

    Some stand below others, of which the last is somebody else's.
    """
    chance = random.Random(7)
    found = [{"name": f"n{n % 3}", "data": {"x": n % 4}, "owner_id": 1, "parent_id": PARENTS[n]} for n in range(COUNT)]
    found[-1] |= {"name": "m", "owner_id": 2}
    marks = []
    for thing in range(1, COUNT + 1):
        for name in ("loss", "acc", 'a "name"'):
            if chance.random() < 0.7:
                size = chance.choice([None, 0.1 + 0.2, -1.5, 1e-9, 3.0])
                values = {"size": size, "count": chance.randint(0, 3), "shade": chance.choice(SHADES)}
                marks.append(mark(thing, name, **values))
        marks.append(mark(thing, "hidden", size=float(-thing), owner_id=2 if thing % 2 else 1))
    return found, marks


@pytest.fixture
async def marked(asker: Asker) -> Asker:
    return await _marked(asker)


async def _marked(asker: Asker) -> Asker:
    found, marks = rows()
    made = await things(asker, *found)
    await made.database.transact(write_marks(*marks))
    return made


async def page(asker: Asker, order: list[dict[str, Any]], **arguments: Any) -> Any:
    return (await asker.data(ALL, PAGE, {"order": order, **arguments}))["things"]


def ids(page: Any) -> list[int]:
    return [int(edge["node"]["id"][4:]) for edge in page["edges"]]


def expected(order: list[dict[str, Any]], owner: int | None = None) -> list[int]:
    """The things in order, in plain Python."""
    found, marks = rows()

    def value(thing: int, item: dict[str, Any]) -> Any:
        if "mark" not in item:
            at = thing if item["field"] == "NAME" else found[thing - 1]["parent_id"]
            return found[at - 1]["name"] if at is not None and owner in (None, found[at - 1]["owner_id"]) else None
        wanted = item["mark"]
        for one in marks:
            if (one["thing_id"], one["name"]) == (thing, wanted["name"]) and owner in (None, one["owner_id"]):
                held = one[FIELDS[wanted["value"]]]
                return held.name if isinstance(held, Shade) else held
        return None

    def compare(one: int, other: int) -> int:
        for item in order:
            a, b = value(one, item), value(other, item)
            if a == b:
                continue
            if a is None or b is None:
                return 1 if a is None else -1
            return (1 if a > b else -1) * (-1 if item["direction"] == "DESC" else 1)
        return (one - other) * (-1 if order and order[-1]["direction"] == "DESC" else 1)

    seen = [thing for thing, row in enumerate(found, 1) if owner in (None, row["owner_id"])]
    return sorted(seen, key=cmp_to_key(compare))


def by(name: str, field: str, direction: str = "ASC") -> dict[str, Any]:
    return {"mark": {"name": name, "value": field}, "direction": direction}


def by_field(field: str, direction: str = "ASC") -> dict[str, Any]:
    return {"field": field, "direction": direction}


ORDERS = st.lists(
    st.builds(by, st.sampled_from(["loss", "acc", 'a "name"', "nobody's", "hidden"]), st.sampled_from(list(FIELDS)),
              st.sampled_from(["ASC", "DESC"]))
    | st.builds(by_field, st.sampled_from(["NAME", "PARENT"]), st.sampled_from(["ASC", "DESC"])),
    min_size=1, max_size=3,
)  # fmt: skip


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=ORDERS, size=st.sampled_from([1, 4, COUNT]), start=st.integers(0, COUNT))
async def test_a_walk_in_any_order_meets_every_row_once_both_ways(
    marked: Asker, order: list[dict[str, Any]], size: int, start: int
) -> None:
    whole = await page(marked, order, first=500)
    right = expected(order)
    assert ids(whole) == right
    cursors = [edge["cursor"] for edge in whole["edges"]]
    after = {} if start == 0 else {"after": cursors[start - 1]}
    forward = await page(marked, order, first=size, **after)
    assert ids(forward) == right[start : start + size]
    assert forward["pageInfo"]["hasNextPage"] == (start + size < COUNT)
    before = {} if start == COUNT else {"before": cursors[start]}
    backward = await page(marked, order, last=size, **before)
    assert ids(backward) == right[max(start - size, 0) : start]
    assert backward["pageInfo"]["hasPreviousPage"] == (start - size > 0)


async def test_what_is_hidden_orders_as_what_is_not_there(marked: Asker) -> None:
    somebody = Someone(1, "OWN")
    for order in ([by("hidden", "SIZE")], [by_field("PARENT")]):
        found = (await marked.data(somebody, PAGE, {"order": order, "first": 500}))["things"]
        all_seen = [thing for thing in expected(order) if thing != COUNT]
        assert ids(found) == expected(order, owner=1) != all_seen


async def test_names_are_values_of_one_plan(marked: Asker) -> None:
    texts = set()
    for name in ("loss", "acc", "'; DROP TABLE thing; --"):
        await page(marked, [by(name, "SIZE")], first=3)
        texts.update(marked.statements)
    assert len(texts) == 1
    assert len(marked.built.engine.plans) == 1


async def test_a_cursor_belongs_to_its_name_and_field(marked: Asker) -> None:
    cursor = (await page(marked, [by("loss", "SIZE")], first=1))["edges"][0]["cursor"]
    for order in ([by("acc", "SIZE")], [by("loss", "COUNT")], [by("loss", "SIZE", "DESC")]):
        error = await marked.error(ALL, PAGE, {"order": order, "after": cursor})
        assert "another order" in error["message"]


async def test_an_order_is_by_one_thing_and_by_a_name_that_can_be(marked: Asker) -> None:
    for item in ({}, {"field": "NAME", "mark": {"name": "loss", "value": "SIZE"}}):
        error = await marked.error(ALL, PAGE, {"order": [item]})
        assert error["message"] == "Order by either 'field' or 'json' or 'mark'."
        assert error["extensions"]["argument"] == ["orderBy", 0]
    error = await marked.error(ALL, PAGE, {"order": [by("a\0", "SIZE")]})
    assert error["extensions"] == {"code": "INVALID_INPUT", "argument": ["orderBy", 0, "mark", "name"]}


async def test_nested_lists_under_conditions_are_ordered_so_too(marked: Asker) -> None:
    """At every level: what SQLite's parser has to hold."""
    below = [{"id": 100 + n, "parent_id": n, "name": "c"} for n in range(1, COUNT + 1)]
    below += [{"id": 200 + n, "parent_id": 100 + n, "name": "c"} for n in range(1, COUNT + 1)]
    await marked.database.transact(write(*below))
    where = """where: {and: [{or: [{marks: {name: "loss", size: {gt: -2}}}, {name: {isNull: false}}]}]}"""
    order = """orderBy: [{mark: {name: "loss", value: SIZE}, direction: DESC}, {mark: {name: "acc", value: COUNT}},
        {json: {path: "x.y[0]", as: FLOAT}}, {mark: {name: "acc", value: SIZE}}, {field: PARENT}]"""
    inner = "id"
    for _ in range(3):
        inner = f"""id children(first: 2, {where}, {order}) {{
            totalCount pageInfo {{ hasNextPage endCursor }} nodes {{ {inner} }} }}"""
    found = await marked.data(ALL, f"{{ things(first: 5, {where}, {order}) {{ nodes {{ {inner} }} }} }}")
    nodes = found["things"]["nodes"]
    assert len(nodes) == 5
    assert len(marked.statements) == 1
    first = next(node for node in nodes if node["children"]["nodes"])
    child = first["children"]["nodes"][0]
    number = int(child["id"][4:])
    assert child["children"]["totalCount"] == PARENTS.count(number) + (number < 200)


async def test_both_databases_say_the_same(both: dict[str, Asker]) -> None:
    askers = [await _marked(asker) for asker in both.values()]
    orders = ([by("loss", "SIZE")], [by("acc", "SHADE", "DESC"), by("loss", "COUNT")], [by("hidden", "SIZE")])
    for order in (*orders, [by_field("PARENT", "DESC")]):
        one, other = [await asker.bytes(ALL, PAGE, {"order": order, "first": 9}) for asker in askers]
        assert one == other
