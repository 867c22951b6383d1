"""Deep and wide selections, with scope, conditions and pages at every level."""

from __future__ import annotations

import pytest

from app.accounts.tables import Role
from app.accounts.viewer import Viewer
from app.graphql.operations import RequestError
from tests.graphql.agreement import agree, oracle_of
from tests.graphql.asking import Asker, viewer

VIEWERS = [viewer(1, Role.OWNER), viewer(2, Role.ADMIN), viewer(3, Role.ANNOTATOR)]
ANY = '{or: [{insertedAt: {gt: "2020-01-01T00:00:00Z"}}, {user: {ne: "usr_9"}}]}'


def chain(levels: int) -> str:
    """records → responses → record → responses …, with a condition, an order and a page at each list."""
    inner = "id"
    for level in reversed(range(levels)):
        where = f"where: {{not: {{status: {{eq: DISCARDED}}}}, and: [{ANY}]}}"
        order = f"orderBy: [{{field: UPDATED_AT, direction: {'DESC' if level % 2 else 'ASC'}}}]"
        inner = f"""id record {{ externalId responses({"last" if level % 3 else "first"}: 2, {where}, {order}) {{
            totalCount nodes {{ {inner} }} }} }}"""
    return f"""{{ dataset(id: "dst_20") {{
        records(first: 2, where: {{responses: {{some: {ANY}}}}}) {{
            nodes {{ responses(first: 2, where: {ANY}) {{ nodes {{ {inner} }} }} }}
        }}
    }} }}"""


@pytest.mark.parametrize("viewer", VIEWERS, ids=lambda viewer: viewer.kind)
async def test_eleven_levels_of_lists_and_rows(small_book: Asker, viewer: Viewer) -> None:
    found = await agree(small_book, await oracle_of(small_book, viewer), chain(4))
    assert len(small_book.statements) == 1
    found = found["dataset"]["records"]["nodes"][0]["responses"]["nodes"][0]
    for _ in range(4):
        found = found["record"]["responses"]["nodes"][0]
    assert found["id"].startswith("rsp_")


@pytest.mark.parametrize("viewer", VIEWERS, ids=lambda viewer: viewer.kind)
async def test_ten_levels_of_members_and_workspaces(small_book: Asker, viewer: Viewer) -> None:
    query = "username"
    where = 'where: {username: {contains: "USER"}, not: {role: {eq: OWNER}}}'
    for level in range(5):
        page = f"{'last' if level % 2 else 'first'}: 2"
        query = f"username workspaces {{ name members({where}, {page}) {{ totalCount nodes {{ {query} }} }} }}"
    oracle = await oracle_of(small_book, viewer)
    await agree(small_book, oracle, f"{{ users {{ nodes {{ {query} }} }} }}")


async def test_the_deepest_document_that_is_allowed(small_book: Asker) -> None:
    query = "id"
    for _ in range(11):
        query = f"record {{ suggestions {{ {query} }} }}"
    oracle = await oracle_of(small_book, VIEWERS[1])
    await agree(small_book, oracle, f'{{ record(id: "rec_100") {{ suggestions {{ {query} }} }} }}')
    too_deep = query.replace("suggestions { id }", "suggestions { record { id } }")
    with pytest.raises(RequestError, match="26 levels"):
        await small_book.ask(VIEWERS[1], f'{{ record(id: "rec_100") {{ suggestions {{ {too_deep} }} }} }}')


async def test_two_hundred_aliases_of_a_root_field(small_book: Asker) -> None:
    fields = " ".join(f'a{n}: record(id: "rec_{100 + n % 12}") {{ id a{n}: externalId }}' for n in range(200))
    await agree(small_book, await oracle_of(small_book, VIEWERS[2]), f"{{ {fields} }}")
    assert len(small_book.statements) == 200


async def test_two_hundred_aliases_of_one_relation(small_book: Asker) -> None:
    lists = " ".join(
        f"a{n}: records(first: {n % 5}, where: {{submittedCount: {{gte: {n % 2}}}}}) {{ totalCount nodes {{ id }} }}"
        for n in range(200)
    )
    await agree(small_book, await oracle_of(small_book, VIEWERS[1]), f'{{ dataset(id: "dst_20") {{ {lists} name }} }}')
    assert len(small_book.statements) == 1


async def test_two_hundred_aliases_of_relations_that_lead_to_one_row(small_book: Asker) -> None:
    rows = " ".join(f"a{n}: dataset {{ id a{n}: name }} p{n}: dataset {{ progress {{ total }} }}" for n in range(100))
    query = f'{{ dataset(id: "dst_20") {{ records(first: 2) {{ nodes {{ {rows} }} }} }} }}'
    await agree(small_book, await oracle_of(small_book, VIEWERS[1]), query)
    assert len(small_book.statements) == 1


async def test_many_edges_nodes_and_page_infos_of_one_connection(small_book: Asker) -> None:
    parts = " ".join(
        f"""e{n}: edges {{ c{n}: cursor
                a: node {{ id responses(first: {n}) {{ totalCount }} }}
                b: node {{ n{n}: id dataset {{ name }} }} }}
            n{n}: nodes {{ dataset {{ name }} suggestions {{ a{n}: score }} responses(last: {n}) {{ nodes {{ id }} }} }}
            p{n}: pageInfo {{ hasNextPage e{n}: endCursor }} t{n}: totalCount"""
        for n in range(14)  # with more joins than one SELECT takes
    )
    query = f'{{ dataset(id: "dst_20") {{ records(first: 3, orderBy: [{{field: UPDATED_AT}}]) {{ {parts} }} }} }}'
    await agree(small_book, await oracle_of(small_book, VIEWERS[2]), query)
    assert len(small_book.statements) == 1


async def test_a_hundred_aliases_of_a_column(small_book: Asker) -> None:
    columns = " ".join(f"a{n}: status b{n}: __typename c{n}: fields" for n in range(100))
    await agree(small_book, await oracle_of(small_book, VIEWERS[0]), f'{{ record(id: "rec_100") {{ {columns} }} }}')
