"""What a request is charged: before it is read, for what it may cost, and for what turned out to be dear."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from app.graphql import engine, plans
from app.graphql.arguments import Binder
from app.graphql.budget import CHARACTER, PLAN, REQUEST, BudgetError
from app.graphql.executor import FragmentExecutor
from app.graphql.operations import MAX_MESSAGE, Operations, Request, RequestError
from app.graphql.plans import Plan
from app.graphql.spent import Spent
from app.schema import build_schema
from tests.api.conftest import Book

NAMES = "{ datasets(first: 10) { nodes { name } } }"
NAMES_COST = 22


class Purse:
    """Notes what is charged and owed. It pays until `most` is spent."""

    def __init__(self) -> None:
        self.charged: list[int] = []
        self.owed: list[int] = []
        self.held: list[float] = []
        self.most = 1_000_000

    def charge(self, viewer: Any, cost: int) -> int:
        left = self.most - sum(self.charged)
        if cost > left:
            raise BudgetError("That is too much.", remaining=left, retry_after=7)
        self.charged.append(cost)
        return left - cost

    def owe(self, viewer: Any, cost: int) -> None:
        self.owed.append(cost)

    async def admit(self, viewer: Any) -> None:
        """Everybody is admitted."""

    def hold(self, viewer: Any, spent: Spent) -> None:
        self.held.append(spent.busy)


@pytest.fixture
def purse(book: Book) -> Purse:
    purse = Purse()
    services = book.services
    book.operations = Operations(build_schema(services.cursor_secret), services.database, services, budget=purse)
    return purse


async def test_a_document_is_paid_for_before_it_is_read_and_what_it_asks_before_it_is_done(
    book: Book, purse: Purse
) -> None:
    for _ in range(2):
        answer = await book.run("owner", NAMES)
        assert answer["extensions"] == {
            "cost": {"requested": NAMES_COST, "limit": 1_000_000, "remaining": purse.most - sum(purse.charged)}
        }
    assert purse.charged == [REQUEST + CHARACTER * len(NAMES), NAMES_COST, REQUEST + NAMES_COST]
    assert purse.owed == [2 * PLAN], "one statement with one list, compiled once"


async def test_conditions_that_make_another_statement_are_paid_for(book: Book, purse: Purse) -> None:
    query = "query ($where: DatasetWhere) { datasets(where: $where) { nodes { name } } }"
    for where in (None, {"name": {"eq": "a"}}, {"name": {"eq": "b"}}, {"not": {"name": {"eq": "a"}}}):
        await book.run("owner", query, {"where": where})
    assert purse.owed == [2 * PLAN] * 3, "another value is the same statement"
    purse.owed.clear()
    for name in ("one", "two"):
        await book.mutate("owner", "CreateWorkspace", {"name": name})
    assert purse.owed == [PLAN], "that of the payload"


async def test_nothing_is_read_or_done_that_cannot_be_paid(book: Book, purse: Purse) -> None:
    create = 'mutation { createWorkspace(input: {name: "never"}) { errors { message } } }'
    purse.most = REQUEST + CHARACTER * len(create)
    with pytest.raises(BudgetError) as refused:
        await book.run("owner", create)
    assert refused.value.cost is not None
    assert refused.value.cost["remaining"] == 0
    assert refused.value.cost["requested"] > 0
    with pytest.raises(BudgetError) as unread:
        await book.run("owner", "{ nothing }")
    assert unread.value.cost == {"requested": 0, "limit": 1_000_000, "remaining": 0}
    purse.most = 1_000_000
    assert "never" not in str(await book.data("owner", "{ workspaces { nodes { name } } }"))


REFUSED = {
    "an unknown field": Request("{ nothing }"),
    "no syntax": Request("{"),
    "no operation of that name": Request("{ __typename }", None, "Other"),
    "an unknown hash": Request("", extensions={"persistedQuery": {"version": 1, "sha256Hash": "0" * 64}}),
    "a wrong hash": Request("{ __typename }", extensions={"persistedQuery": {"version": 1, "sha256Hash": "0" * 64}}),
}


@pytest.mark.parametrize("request_", REFUSED.values(), ids=REFUSED)
async def test_what_is_refused_is_paid_for_each_time(book: Book, purse: Purse, request_: Request) -> None:
    for _ in range(2):
        with pytest.raises(RequestError) as refused:
            book.operations.prepare(request_, book.people["owner"])
        left = purse.most - sum(purse.charged)
        assert refused.value.result["extensions"]["cost"] == {"requested": 0, "limit": 1_000_000, "remaining": left}
    assert sum(purse.charged) - 2 * REQUEST in (0, CHARACTER * len(request_.query))
    assert len(purse.charged) == 2


async def test_what_costs_too_much_says_what_it_costs(book: Book, purse: Purse) -> None:
    purse.most = 10_000
    query = "{ datasets(first: 500) { nodes { records(first: 500) { nodes { id externalId status } } } } }"
    with pytest.raises(RequestError) as refused:
        book.operations.prepare(Request(query), book.people["owner"])
    [error] = refused.value.result["errors"]
    assert error["extensions"]["code"] == "LIMIT_EXCEEDED"
    assert refused.value.result["extensions"]["cost"] == {"requested": 1_001_002, "limit": 1_000_000}
    assert purse.charged == [REQUEST + CHARACTER * len(query)], "what is not done is not paid for"


async def test_a_subscription_is_paid_for_when_it_begins_and_tells_nothing(book: Book, purse: Purse) -> None:
    query = "subscription ($id: ID!) { recordChanged(datasetId: $id) { cursor } }"
    async with book.follow("admin", query, id=book.ids["dataset_here"]) as messages:
        assert (await anext(messages)).keys() == {"data"}
    assert len(purse.charged) == 2
    assert purse.charged[1] > 0


async def test_commands_pay_nothing_and_are_told_nothing(book: Book) -> None:
    assert (await book.run("owner", NAMES)).keys() == {"data"}


BUSY = 0.02


def busy(what: Callable[..., Any]) -> Callable[..., Any]:
    """The same, and the thread computes for BUSY seconds more."""

    def slow(*args: Any, **named: Any) -> Any:
        until = time.thread_time() + BUSY
        while time.thread_time() < until:
            pass
        return what(*args, **named)

    return slow


NODES = "query ($ids: [ID!]!) { nodes(ids: $ids) { id ... on Dataset { records { totalCount } } } }"


async def test_what_resolvers_take_of_the_thread_is_counted(
    book: Book, purse: Purse, monkeypatch: pytest.MonkeyPatch
) -> None:
    kinds = [book.ids[name] for name in ("dataset_here", "record_here_0", "response_of_ann")]
    monkeypatch.setattr(Binder, "bind", busy(Binder.bind))
    for query, variables, times in (
        (NAMES, {}, 1),
        ("{ a: datasets { totalCount } b: workspaces { totalCount } }", {}, 2),
        (NODES, {"ids": kinds}, 3),
    ):
        purse.held.clear()
        await book.data("owner", query, variables)
        assert max(purse.held) >= times * BUSY, query


async def test_what_is_compiled_in_another_thread_is_counted(
    book: Book, purse: Purse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "make_plan", busy(plans.make_plan))
    for _ in range(2):
        await book.data("owner", NAMES)
    assert max(purse.held[:2]) >= BUSY > max(purse.held[2:]), "once"
    purse.held.clear()
    await book.mutate("owner", "CreateWorkspace", {"name": "one"})
    assert max(purse.held) >= BUSY, "that of the payload"


async def test_who_goes_away_has_taken_the_time_of_what_is_compiled(
    book: Book, purse: Purse, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = threading.Event()

    def make_plan(*args: Any) -> Plan:
        begun.set()
        made: Plan = busy(plans.make_plan)(*args)
        return made

    monkeypatch.setattr(engine, "make_plan", make_plan)
    asking = asyncio.create_task(book.data("owner", NAMES))
    await asyncio.to_thread(begun.wait, 10)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert max(purse.held) >= BUSY


async def test_of_a_subscription_its_beginning_is_counted_and_no_message(
    book: Book, purse: Purse, monkeypatch: pytest.MonkeyPatch
) -> None:
    query = "subscription ($id: ID!) { recordChanged(datasetId: $id) { cursor records { id } } }"
    monkeypatch.setattr(Binder, "bind", busy(Binder.bind))
    monkeypatch.setattr(FragmentExecutor, "build", busy(FragmentExecutor.build))
    async with book.follow("admin", query, id=book.ids["dataset_here"]) as messages:
        await anext(messages)
        begun = list(purse.held)
        await book.mutate("ann", "SubmitResponse", {"recordId": book.ids["record_here_1"], "values": {"quality": 4}})
        purse.held.clear()
        assert (await anext(messages))["data"]["recordChanged"]["records"]
    assert max(begun) >= BUSY
    assert max(purse.held, default=0) < BUSY


async def test_a_long_word_is_not_said_again(book: Book) -> None:
    with pytest.raises(RequestError) as refused:
        book.operations.prepare(Request("{ " + "x" * 50_000 + " }"), book.people["owner"])
    [error] = refused.value.result["errors"]
    assert len(error["message"]) < MAX_MESSAGE + 50
    assert error["message"].startswith("Cannot query field 'xxx")
    assert "characters more" in error["message"]
