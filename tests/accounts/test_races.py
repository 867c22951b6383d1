"""Two at once, on connections of their own; where one process could hide the race, from two processes."""

import asyncio
import multiprocessing
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import pytest
from sqlalchemy import select

from app.accounts.credentials import authenticate, create_key, open_session, revoke_key, still_valid
from app.accounts.passwords import hash_password
from app.accounts.tables import Membership, Role
from app.accounts.users import NewUser, UserChanges, create_user, list_users, remove_user, update_user
from app.accounts.workspaces import add_member, list_workspaces
from app.db import Database, UnitOfWork
from app.errors import GradbookError
from tests.accounts import races
from tests.accounts.conftest import LIFETIME, Company

ROUNDS = 20


@pytest.fixture(scope="module")
def processes() -> Iterator[ProcessPoolExecutor]:
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        yield pool


@pytest.fixture
def barrier() -> Iterator[Any]:
    with multiprocessing.get_context("spawn").Manager() as manager:
        yield manager.Barrier(2)


async def outcome(attempt: Awaitable[Any]) -> str:
    try:
        await attempt
    except GradbookError as error:
        return error.code
    return "ok"


async def keep_using(database: Database, secret: str) -> None:
    while True:
        await authenticate(database, secret)


async def test_the_first_start_of_two_processes_makes_one_owner(
    new_database_url: Callable[[], Awaitable[str]], processes: ProcessPoolExecutor, barrier: Any
) -> None:
    urls = [await new_database_url() for _ in range(6)]
    loop = asyncio.get_running_loop()

    both = await asyncio.gather(*[loop.run_in_executor(processes, races.start_up, urls, barrier) for _ in range(2)])

    for url, results in zip(urls, zip(*both, strict=True), strict=True):
        [workspace] = [workspace for workspace, _ in results if workspace is not None]
        [secret] = [secret for _, secret in results if secret is not None]
        async with await Database.open(url) as database:
            viewer = await authenticate(database, secret)
            assert viewer is not None
            assert [user.username for user in await database.transact(list_users, viewer=viewer)] == ["owner"]
            assert [row.id for row in await database.transact(list_workspaces, viewer=viewer)] == [workspace]


async def test_two_owners_who_demote_each_other_leave_one(
    company: Company, database_url: str, processes: ProcessPoolExecutor, barrier: Any
) -> None:
    one, two = company.users["owner"], company.users["hidden"]
    await company.act("owner", remove_user, company.id("second"))
    loop = asyncio.get_running_loop()

    results = await asyncio.gather(
        loop.run_in_executor(processes, races.demote, database_url, barrier, ROUNDS, one, two),
        loop.run_in_executor(processes, races.demote, database_url, barrier, ROUNDS, two, one),
    )

    # The loser is an ADMIN by then, without a workspace.
    assert [sorted(pair) for pair in zip(*results, strict=True)] == [["NOT_FOUND", "ok"]] * ROUNDS


async def test_two_owners_who_remove_each_other_leave_one(company: Company, other_database: Database) -> None:
    await company.act("owner", remove_user, company.id("hidden"))
    one, two = company.users["owner"], company.users["second"]

    results = await asyncio.gather(
        outcome(company.database.transact(remove_user, two.id, viewer=one)),
        outcome(other_database.transact(remove_user, one.id, viewer=two)),
    )

    assert sorted(results) == ["UNAUTHENTICATED", "ok"]


async def test_a_revoked_key_is_of_no_use_to_whoever_begins_later(company: Company, other_database: Database) -> None:
    for _ in range(ROUNDS):
        key_id, secret = await company.act("ann", create_key, "laptop")
        users = [asyncio.create_task(keep_using(other_database, secret)) for _ in range(4)]
        await company.act("ann", revoke_key, key_id)
        after = [await authenticate(other_database, secret) for _ in range(3)]
        sockets = await still_valid(other_database, [key_id])
        for user in users:
            user.cancel()
        ends = await asyncio.gather(*users, return_exceptions=True)

        assert {type(end) for end in ends} == {asyncio.CancelledError}
        assert after == [None] * 3
        assert sockets == {}


async def test_one_username_is_given_once(company: Company, other_database: Database) -> None:
    owner = company.users["owner"]

    for number in range(ROUNDS):
        new = NewUser(f"new {number}", Role.ANNOTATOR)
        results = await asyncio.gather(
            outcome(company.database.transact(create_user, new, viewer=owner)),
            outcome(other_database.transact(create_user, new, viewer=owner)),
        )
        assert sorted(results) == ["DUPLICATE", "ok"]


async def test_nothing_is_left_of_a_user_removed_while_given_things(company: Company, other_database: Database) -> None:
    owner = company.users["owner"]

    for number in range(ROUNDS):
        user_id = await company.act("owner", create_user, NewUser(f"new {number}", Role.ANNOTATOR))
        # Their tasks begin in the order of their making: every second round the removal is first.
        remove = company.database.transact(remove_user, user_id, viewer=owner)
        give = [
            other_database.transact(create_key, "key", user_id, viewer=owner),
            other_database.transact(add_member, company.workspaces["here"], user_id, viewer=owner),
        ]
        order = [remove, *give] if number % 2 else [*give, remove]
        results = await asyncio.gather(*map(outcome, order))

        assert set(results) <= {"ok", "NOT_FOUND"}

        def left(uow: UnitOfWork, user_id: int = user_id) -> list[Any]:
            return list(uow.connection.execute(select(Membership.user_id).where(Membership.user_id == user_id)))

        assert await company.database.transact(left) == []


async def test_no_session_outlives_a_change_of_its_password(
    company: Company, other_database: Database, password_hash: str
) -> None:
    hashes = [password_hash, await hash_password("another horse")]
    ann = company.id("ann")
    await company.act("owner", update_user, ann, UserChanges(password_hash=hashes[0]))

    for number in range(ROUNDS):
        old, new = hashes[number % 2], hashes[1 - number % 2]
        session, _ = await asyncio.gather(
            other_database.transact(open_session, ann, old, LIFETIME),
            company.act("owner", update_user, ann, UserChanges(password_hash=new)),
        )
        assert session is None or await authenticate(company.database, session) is None
