"""Failed sign-ins run out, for strangers and for one address, and come back; nobody is locked out by others."""

import asyncio
import datetime
from collections.abc import AsyncIterator
from contextlib import ExitStack
from typing import Any

import pytest
from sqlalchemy import func, select

from app.accounts import authentication
from app.accounts.authentication import SignedIn, SignIn
from app.accounts.passwords import MAX_WAITING, hash_password, in_line
from app.accounts.tables import AuditAction, AuditEvent, SignInBucket
from app.accounts.throttle import (
    Charges,
    SignInLimits,
    charge,
    device_token,
    forget_full,
    known_device,
    may_note_failure,
    network,
    refund,
)
from app.accounts.users import UserChanges, update_user
from app.db import Database, UnitOfWork
from app.errors import GradbookError
from app.origin import ORIGIN, Origin
from tests.accounts.conftest import LIFETIME, PASSWORD, Company

LIMITS = SignInLimits(attempts=3, address_attempts=5, window=datetime.timedelta(minutes=5))
START = datetime.datetime(2030, 1, 1, tzinfo=datetime.UTC)


async def later(database: Database, seconds: float, fn: Any, *args: Any) -> Any:
    """What a domain function does so many seconds after START."""

    def work(uow: UnitOfWork) -> Any:
        uow.now = START + datetime.timedelta(seconds=seconds)
        return fn(uow, *args)

    return await database.transact(work)


async def tries(database: Database, seconds: float, charges: Charges) -> int:
    """How many attempts go through in a row."""
    count = 0
    while count < 100:
        try:
            await later(database, seconds, charge, charges)
        except GradbookError as error:
            if error.code != "RATE_LIMITED" or error.retry_after is None:
                raise
            return count
        count += 1
    return count


def of(username: str, address: str, device: str | None = None) -> Charges:
    return LIMITS.charges(username, address, device)


async def test_attempts_run_out_and_come_back_one_by_one(database: Database) -> None:
    ann = of("ann", "192.0.2.1")
    assert await tries(database, 0, ann) == 3
    with pytest.raises(GradbookError, match="again in 100 seconds") as refused:
        await later(database, 0, charge, ann)
    assert refused.value.retry_after == 100
    assert await tries(database, 99, ann) == 0
    assert await tries(database, 100, ann) == 1
    assert await tries(database, 300, ann) == 2
    assert await tries(database, 10_000, ann) == 3, "no more than a bucket holds"


async def test_a_username_runs_out_whatever_the_address_and_an_address_whatever_the_username(
    database: Database,
) -> None:
    assert [await tries(database, 0, of("ann", f"192.0.2.{n}")) for n in range(3)] == [3, 0, 0]
    # Refused attempts were charged to nobody.
    assert await tries(database, 0, of("ben", "192.0.2.1")) == 3
    assert [await tries(database, 0, of(f"user{n}", "192.0.2.9")) for n in range(4)] == [3, 2, 0, 0]


async def test_a_known_device_is_not_locked_out_by_others(database: Database) -> None:
    assert await tries(database, 0, of("ann", "192.0.2.1")) == 3
    assert await tries(database, 0, of("ann", "192.0.2.1", "her device")) == 3, "and not without a bound"
    assert await tries(database, 0, of("ann", "192.0.2.1", "another")) == 3


async def test_what_succeeds_is_given_back(database: Database) -> None:
    ann = of("ann", "192.0.2.1")
    for _ in range(50):
        await later(database, 0, charge, ann)
        await later(database, 0, refund, ann)
    await later(database, 0, charge, ann)
    for _ in range(5):
        await later(database, 0, charge, ann)
        await later(database, 0, refund, ann)
    assert await tries(database, 0, ann) == 2, "what failed before is not given back with it"


async def test_many_at_once_get_no_more_than_one_after_the_other(database: Database) -> None:
    ann = of("ann", "192.0.2.1")
    outcomes = await asyncio.gather(*[later(database, 0, charge, ann) for _ in range(30)], return_exceptions=True)
    assert sum(outcome is None for outcome in outcomes) == 3
    assert {outcome.code for outcome in outcomes if isinstance(outcome, GradbookError)} == {"RATE_LIMITED"}


async def test_full_buckets_are_forgotten(database: Database) -> None:
    for n in range(20):
        await later(database, n, charge, of(f"user{n}", f"192.0.2.{n}"))

    def count(uow: UnitOfWork) -> int:
        return uow.connection.scalar(select(func.count()).select_from(SignInBucket)) or 0

    assert await database.transact(count) == 40
    await later(database, 65, forget_full)
    assert await database.transact(count) == 20 + 14, "six addresses are full after a minute, and no username"
    await later(database, 1000, forget_full)
    assert await database.transact(count) == 0


async def test_the_log_takes_so_many_failures_and_then_no_more(database: Database) -> None:
    taken = [await later(database, 0, may_note_failure) for _ in range(105)]
    assert taken == [True] * 100 + [False] * 5
    assert [await later(database, 6, may_note_failure) for _ in range(2)] == [True, False]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("192.0.2.1", "::ffff:192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        (None, None, True),
    ],
)
def test_what_one_address_is(one: str | None, other: str | None, same: bool) -> None:
    assert (network(one) == network(other)) == same


def test_a_device_is_known_by_what_it_was_given() -> None:
    token = device_token("her hash", None)
    device = known_device("her hash", token)
    assert device is not None
    assert device_token("her hash", device) == token
    for stored in ("another hash", "", None):
        assert known_device(stored, token) is None
    for wrong in (None, "", ".", device, f"x{token}", f"{token}x", "é.ü", device_token("", None)):
        assert known_device("her hash", wrong) is None
        assert known_device(None, wrong) is None


# Whole sign-ins


@pytest.fixture
async def people(company: Company, password_hash: str) -> AsyncIterator[Company]:
    for name, stored in (("ann", password_hash), ("peer", await hash_password(PASSWORD))):
        await company.act("owner", update_user, company.id(name), UserChanges(password_hash=stored))
    token = ORIGIN.set(Origin("http", "request", "192.0.2.1"))
    yield company
    ORIGIN.reset(token)


async def attempt(company: Company, username: str, password: str, device: str | None = None) -> SignedIn | str | None:
    """What comes of it: a session, nothing, or an error's code."""
    limits = SignInLimits(attempts=2, address_attempts=3, window=datetime.timedelta(days=1))
    try:
        return await authentication.sign_in(company.database, SignIn(username, password, device), LIFETIME, limits)
    except GradbookError as error:
        return error.code


async def test_right_and_wrong_passwords(people: Company) -> None:
    first = await attempt(people, "ann", PASSWORD)
    assert isinstance(first, SignedIn)
    assert [await attempt(people, "ann", "wrong horse") for _ in range(3)] == [None, None, "RATE_LIMITED"]
    assert await attempt(people, "nobody", "wrong horse") is None
    assert await attempt(people, "ann", PASSWORD) == "RATE_LIMITED"
    again = await attempt(people, "ann", PASSWORD, first.device)
    assert isinstance(again, SignedIn)
    assert again.device == first.device, "a device stays the same"
    assert await attempt(people, "peer", PASSWORD) == "RATE_LIMITED", "the address has run out"
    assert await attempt(people, "peer", PASSWORD, first.device) == "RATE_LIMITED", "a device is one user's"


async def test_a_name_that_nobody_has_runs_out_as_one_that_somebody_has(people: Company) -> None:
    assert [await attempt(people, "nobody", "wrong horse") for _ in range(3)] == [None, None, "RATE_LIMITED"]


async def test_sign_ins_and_failures_are_told(people: Company) -> None:
    assert isinstance(await attempt(people, "ann", PASSWORD), SignedIn)
    assert await attempt(people, "ann", "wrong horse") is None
    assert await attempt(people, "a password typed here", "wrong horse") is None

    def read(uow: UnitOfWork) -> list[Any]:
        actions = (AuditAction.SIGNED_IN, AuditAction.SIGN_IN_FAILED)
        return list(
            uow.session.scalars(select(AuditEvent).where(AuditEvent.action.in_(actions)).order_by(AuditEvent.id))
        )

    events = await people.database.transact(read)
    ann = f"usr_{people.id('ann')}"
    assert [(event.action.name, event.actor_name, event.subject, event.subject_name) for event in events] == [
        ("SIGNED_IN", "ann", ann, "ann"),
        ("SIGN_IN_FAILED", None, ann, "ann"),
        ("SIGN_IN_FAILED", None, None, None),
    ]
    assert {(event.address, event.door.name) for event in events} == {("192.0.2.1", "HTTP")}


async def test_when_too_many_wait_the_next_is_sent_away(people: Company) -> None:
    with ExitStack() as stack:
        for _ in range(MAX_WAITING):
            stack.enter_context(in_line)
        for _ in range(5):
            assert await attempt(people, "ann", PASSWORD) == "OVERLOADED"
    assert isinstance(await attempt(people, "ann", PASSWORD), SignedIn), "and nothing was charged"


async def test_no_more_passwords_wait_than_the_line_is_long() -> None:
    outcomes = await asyncio.gather(*[hash_password(PASSWORD) for _ in range(MAX_WAITING + 3)], return_exceptions=True)
    refused = [outcome for outcome in outcomes if isinstance(outcome, GradbookError)]
    assert [(error.code, error.retry_after) for error in refused] == [("OVERLOADED", 1)] * 3
    assert (await hash_password(PASSWORD)).startswith("$argon2id$")
