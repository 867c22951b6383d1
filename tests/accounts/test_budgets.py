"""Budgets run out, for a key, an address, and strangers; they come back; servers share what was charged."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import func, select

from app import settings
from app.accounts import budgets as module
from app.accounts.budgets import DEBT, MAX_SHARED, WINDOW, Budgeted, Budgets
from app.accounts.shared_budgets import add_charges, share
from app.accounts.tables import RateBucket, Role
from app.accounts.viewer import Viewer
from app.db import Database, UnitOfWork
from app.graphql.budget import BudgetError
from app.origin import ORIGIN, Origin
from tests.support.traced import Count

SIZES = Budgeted(key=600, address=1200, anonymous=60)
ANN, BEN, CEM = (Viewer(number, f"user-{number}", Role.ANNOTATOR, 100 + number) for number in range(3))


class Clock:
    """The time, which passes when it is told to."""

    now = 1_900_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@contextmanager
def calling_from(address: str | None) -> Iterator[None]:
    token = ORIGIN.set(Origin("http", "a", address))
    try:
        yield
    finally:
        ORIGIN.reset(token)


def left(budgets: Budgets, viewer: Viewer | None = ANN) -> int:
    """What a caller has left: to ask for nothing costs nothing."""
    try:
        found = budgets.charge(viewer, 0)
    except BudgetError as error:
        return error.remaining
    assert found is not None
    return found


def spend(budgets: Budgets, viewer: Viewer | None, cost: int = 10) -> int:
    """How often a caller can pay so much, one time after the other."""
    for count in range(1_000):
        try:
            budgets.charge(viewer, cost)
        except BudgetError:
            return count
    raise AssertionError("There is no end.")


def test_a_key_runs_out_and_what_it_spent_comes_back(clock: Clock) -> None:
    budgets = Budgets(SIZES, clock)
    assert budgets.charge(ANN, 590) == 10
    with pytest.raises(BudgetError, match=r"costs 40, and of the 600 a minute for this key or session") as refused:
        budgets.charge(ANN, 40)
    assert "(GRADBOOK_BUDGET_PER_MINUTE) 10 are left: try again in 3 seconds." in str(refused.value)
    assert (refused.value.code, refused.value.remaining, refused.value.retry_after) == ("RATE_LIMITED", 10, 3)
    assert left(budgets) == 10, "what is refused takes nothing"
    clock.now += 2
    assert spend(budgets, ANN, 40) == 0
    clock.now += 1
    assert spend(budgets, ANN, 40) == 1
    clock.now += 10_000
    assert spend(budgets, ANN) == 60, "no more than a bucket holds"


def test_an_address_runs_out_whoever_asks_from_there(clock: Clock) -> None:
    budgets = Budgets(SIZES, clock)
    with calling_from("2001:db8::1"):
        assert [spend(budgets, who) for who in (ANN, BEN)] == [60, 60]
    with calling_from("2001:db8::2"), pytest.raises(BudgetError, match=r"all callers from 2001:db8::/64 \(") as refused:
        budgets.charge(CEM, 10)
    assert "GRADBOOK_BUDGET_PER_ADDRESS_PER_MINUTE" in str(refused.value)
    with calling_from("2001:db8:0:1::1"):
        assert spend(budgets, CEM) == 60


def test_who_is_not_signed_in_has_little_and_takes_it_from_nobody_who_is(clock: Clock) -> None:
    budgets = Budgets(SIZES, clock)
    with calling_from("192.0.2.1"):
        assert spend(budgets, None) == 6
        with pytest.raises(BudgetError, match=r"from 192.0.2.1 who are not signed in \(.*, GRADBOOK_ANONYMOUS_PERCENT"):
            budgets.charge(None, 10)
        assert spend(budgets, ANN) == 60
    with calling_from("192.0.2.2"):
        assert spend(budgets, None) == 6


def test_what_costs_more_than_a_bucket_takes_all_of_a_full_one(clock: Clock) -> None:
    budgets = Budgets(SIZES, clock)
    assert budgets.charge(ANN, 10**9) == 0
    clock.now += WINDOW - 1
    with pytest.raises(BudgetError, match="try again in 1 second"):
        budgets.charge(ANN, 10**9)
    clock.now += 1
    assert budgets.charge(ANN, 10**9) == 0


def test_what_is_owed_comes_back_before_anything_can_be_spent(clock: Clock) -> None:
    budgets = Budgets(SIZES, clock)
    budgets.charge(ANN, 600)
    for _ in range(5):
        budgets.owe(ANN, 600)
    clock.now += DEBT
    assert spend(budgets, ANN) == 0
    clock.now += 1
    assert spend(budgets, ANN) == 1


def test_a_clock_that_is_set_back_locks_nobody_out_for_long(clock: Clock) -> None:
    budgets = Budgets(SIZES, clock)
    budgets.charge(ANN, 600)
    clock.now -= 86_400
    with pytest.raises(BudgetError):
        budgets.charge(ANN, 10)
    clock.now += WINDOW + DEBT
    assert spend(budgets, ANN) == 60


def test_zero_is_without_limit() -> None:
    budgets = Budgets(Budgeted())
    assert {budgets.charge(who, 10**12) for who in (ANN, None)} == {None}
    by_address = Budgets(Budgeted(address=600))
    assert [spend(by_address, None), spend(by_address, ANN)] == [60, 0]


def test_the_settings_say_what_there_is() -> None:
    said = settings.load(budget_per_minute=1_000, budget_per_address_per_minute=0, anonymous_percent=5)
    assert Budgeted.by(said) == Budgeted(1_000, 0, 50, attention=0.1, anonymous_attention=0.005)
    assert Budgeted.by(settings.load()) == Budgeted(60_000_000, 240_000_000, 6_000_000, 0.1, 0.01)


def test_full_buckets_are_forgotten_and_memory_is_bounded(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_BUCKETS", 20)
    budgets = Budgets(Budgeted(key=600), clock)
    [kind] = budgets._known
    for number in range(100):
        budgets.charge(Viewer(number, "x", Role.ANNOTATOR, 500 + number), 60)
        budgets.charge(ANN, 1)
    assert len(kind._buckets) == 20
    assert left(budgets) == 500, "who asks often is not forgotten"
    clock.now += WINDOW
    for number in range(30):
        budgets.charge(Viewer(number, "x", Role.ANNOTATOR, 1_000 + number), 1)
        clock.now += WINDOW
    assert len(kind._buckets) <= 2


@given(st.lists(st.tuples(st.floats(0, 40), st.integers(0, 900), st.booleans()), max_size=60))
def test_nobody_gets_more_than_a_bucket_and_what_has_come_back(steps: list[tuple[float, int, bool]]) -> None:
    """`spent` is what all charges come to; those that are owed were not asked for."""
    clock = Clock()
    began = clock.now
    budgets = Budgets(Budgeted(key=600), clock)
    spent = 0.0
    for seconds, cost, is_owed in steps:
        clock.now += seconds
        could = left(budgets)
        assert 0 <= could <= 600
        if is_owed:
            budgets.owe(ANN, cost)
            continue
        try:
            budgets.charge(ANN, cost)
        except BudgetError as error:
            wait = error.retry_after or 0
        else:
            wait = 0
        assert bool(wait) == (min(cost, 600) > could) or could == 0, "it is refused where there is not so much"
        if wait:
            clock.now += wait
            budgets.charge(ANN, cost)
        spent += min(cost, 600)
        assert spent <= 600 + math.ceil((clock.now - began) * 10)
    clock.now += WINDOW + DEBT
    assert left(budgets) == 600


async def rows(database: Database) -> int:
    def count(uow: UnitOfWork) -> int:
        return uow.connection.execute(select(func.count()).select_from(RateBucket)).scalar_one()

    return await database.transact(count)


async def test_servers_share_what_was_charged(database: Database, clock: Clock) -> None:
    one, other = Budgets(SIZES, clock), Budgets(SIZES, clock)
    one.charge(ANN, 300)
    other.charge(ANN, 120)
    await share(database, one)
    await share(database, other)
    assert left(other) == 180
    one.charge(ANN, 100)
    assert left(one) == 200, "it has not heard yet"
    await share(database, one)
    assert left(one) == 80
    await share(database, other)
    assert left(other) == 80
    clock.now += 6
    for server in (other, one, other):
        await share(database, server)
    assert [left(one), left(other)] == [140, 140], "nothing is charged twice"


def test_what_is_charged_while_servers_talk_counts(clock: Clock) -> None:
    budgets = Budgets(SIZES, clock)
    budgets.charge(ANN, 300)
    shared = budgets.to_share()
    budgets.charge(ANN, 100)
    budgets.learn(dict.fromkeys(shared, clock.now + WINDOW / 2))
    assert left(budgets) == 200


async def test_what_servers_gave_too_much_comes_back_first(database: Database, clock: Clock) -> None:
    servers = [Budgets(SIZES, clock) for _ in range(3)]
    assert [spend(server, ANN) for server in servers] == [60, 60, 60], "none has heard of the others"
    for server in [*servers, *servers]:
        await share(database, server)
    assert [spend(server, ANN) for server in servers] == [0, 0, 0]
    clock.now += DEBT
    assert [spend(server, ANN) for server in servers] == [0, 0, 0]
    clock.now += 6
    given = []
    for server in servers:
        given.append(spend(server, ANN))
        await share(database, server)
    assert given[0] == 6


async def test_ordinary_callers_cause_no_statement(database: Database, clock: Clock, statements: Count) -> None:
    budgets = Budgets(SIZES, clock)
    for _ in range(100):
        budgets.charge(ANN, 50)
        clock.now += 5
        assert await statements(share(database, budgets)) == []
    budgets.charge(ANN, 100)
    await share(database, budgets)
    assert left(budgets) == 500, "what has come back is not shared"


async def test_statements_do_not_grow_with_callers(database: Database, clock: Clock, statements: Count) -> None:
    budgets = Budgets(Budgeted(key=600), clock)

    async def said(callers: int) -> list[str]:
        for number in range(callers):
            budgets.charge(Viewer(number, "x", Role.ANNOTATOR, 1 + number), 100)
        return await statements(share(database, budgets))

    await said(1)  # a driver may look up types at first
    few, many = await said(1), await said(MAX_SHARED)
    assert len(few) == len(many) <= 5
    budgets.charge(Viewer(0, "x", Role.ANNOTATOR, 10_000), 100)
    for _ in range(2):
        await share(database, budgets)
    assert await rows(database) == MAX_SHARED + 1, "whose turn it was not has it next time"


def test_so_many_are_shared_at_a_time_and_then_it_is_the_others_turn(clock: Clock) -> None:
    budgets = Budgets(Budgeted(key=600), clock)
    for number in range(MAX_SHARED + 5):
        budgets.charge(Viewer(number, "x", Role.ANNOTATOR, 1 + number), 100)
    first, second = budgets.to_share(), budgets.to_share()
    assert (len(first), len(second), len(second.keys() - first.keys())) == (MAX_SHARED, MAX_SHARED, 5)


async def test_full_buckets_have_no_row(database: Database, clock: Clock) -> None:
    budgets = Budgets(SIZES, clock)
    budgets.charge(ANN, 300)
    await share(database, budgets)
    assert await rows(database) == 2
    clock.now += WINDOW
    with calling_from("192.0.2.9"):
        budgets.charge(BEN, 600)
    await share(database, budgets)
    assert await rows(database) == 2


async def test_a_row_never_says_more_than_what_can_be_owed(database: Database, clock: Clock) -> None:
    for _ in range(5):
        await database.transact(add_charges, {"a": WINDOW}, clock.now)

    def full_at(uow: UnitOfWork) -> float:
        return uow.connection.execute(select(RateBucket.full_at)).scalar_one()

    assert await database.transact(full_at) == clock.now + WINDOW + DEBT


async def test_without_the_database_each_server_goes_by_what_it_knows(database_url: str, clock: Clock) -> None:
    budgets = Budgets(SIZES, clock)
    budgets.charge(ANN, 300)
    async with await Database.open(database_url) as database:
        pass
    with pytest.raises(Exception, match=r".+"):
        await share(database, budgets)
    assert left(budgets) == 300
    async with await Database.open(database_url) as database:
        await share(database, budgets)
        other = Budgets(SIZES, clock)
        other.charge(ANN, 100)
        await share(database, other)
        assert left(other) == 200, "what could not be told is told later"
