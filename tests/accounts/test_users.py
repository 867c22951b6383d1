from typing import Any

import pytest
from sqlalchemy import select

from app.accounts.access import OPERATOR, access_clock
from app.accounts.bootstrap import ensure_owner, ensure_workspace
from app.accounts.credentials import authenticate, create_key
from app.accounts.tables import Credential, Membership, Role, User
from app.accounts.users import (
    NewUser,
    UserChanges,
    create_user,
    ensure_annotators,
    first_owner,
    list_users,
    remove_user,
    update_user,
    users_by_name,
)
from app.accounts.viewer import Viewer
from app.accounts.workspaces import add_member, chosen_workspace, create_workspace, list_workspaces, remove_member
from app.db import Database, UnitOfWork
from app.errors import GradbookError
from tests.accounts.conftest import LIFETIME, PASSWORD, Company, sign_in
from tests.support.postgres import PostgresServer


async def rows(company: Company, *columns: Any, **of: Any) -> list[tuple[Any, ...]]:
    def read(uow: UnitOfWork) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in uow.connection.execute(select(*columns).filter_by(**of))]

    return await company.database.transact(read)


async def refused(company: Company, who: str, *call: Any) -> tuple[str, str, tuple[str | int, ...]]:
    with pytest.raises(GradbookError) as caught:
        await company.act(who, *call)
    return caught.value.code, caught.value.message, caught.value.path


async def test_a_removed_user_leaves_a_row_and_nothing_else(company: Company, password_hash: str) -> None:
    ann = company.id("ann")
    await company.act("ann", update_user, ann, UserChanges(password_hash=password_hash))
    _, secret = await company.act("ann", create_key, "laptop")
    session = await sign_in(company.database, "ann", PASSWORD, LIFETIME)
    assert session is not None

    await company.act("admin", remove_user, ann)

    [(username, stored, deleted_at)] = await rows(company, User.username, User.password_hash, User.deleted_at, id=ann)
    assert (username, stored) == (f"deleted-{ann}", None)
    assert deleted_at is not None
    assert await rows(company, Credential.id, user_id=ann) == []
    assert await rows(company, Membership.workspace_id, user_id=ann) == []
    assert [await authenticate(company.database, shown) for shown in (secret, session)] == [None, None]
    assert await sign_in(company.database, "ann", PASSWORD, LIFETIME) is None
    assert await sign_in(company.database, f"deleted-{ann}", PASSWORD, LIFETIME) is None

    again = await company.act("admin", create_user, NewUser("ann", Role.ANNOTATOR, None, (company.workspaces["here"],)))
    assert again != ann, "the username is free, the person is new"


async def test_a_removed_user_can_be_touched_no_more(company: Company) -> None:
    await company.act("owner", remove_user, company.id("ann"))

    gone = ("NOT_FOUND", f"There is no user usr_{company.id('ann')} that you can see.")
    assert (await refused(company, "owner", remove_user, company.id("ann")))[:2] == gone
    assert (await refused(company, "owner", update_user, company.id("ann"), UserChanges(username="x")))[:2] == gone
    assert (await refused(company, "owner", create_key, "key", company.id("ann")))[:2] == gone
    assert (await refused(company, "owner", add_member, company.workspaces["here"], company.id("ann")))[:2] == gone
    assert "ann" not in [user.username for user in await company.act("owner", list_users)]


@pytest.mark.parametrize(("who", "where"), [("owner", None), ("admin", {"here", "also"})])
async def test_responses_go_where_the_actor_rules(company: Company, who: str, where: set[str] | None) -> None:
    asked = []

    def delete_responses(_uow: UnitOfWork, user_id: int, workspaces: frozenset[int] | None) -> int:
        asked.append((user_id, workspaces))
        return 0

    await company.act(who, remove_user, company.id("ann"), delete_responses)

    expected = None if where is None else {company.workspaces[name] for name in where}
    assert asked == [(company.id("ann"), expected)]


async def test_an_owner_remains(company: Company) -> None:
    for name in ("owner", "hidden"):
        await company.act("second", update_user, company.id(name), UserChanges(role=Role.ADMIN))

    demoted = await refused(company, "second", update_user, company.id("second"), UserChanges(role=Role.ADMIN))
    removed = await refused(company, "second", remove_user, company.id("second"))

    message = "'second' is the only OWNER, and somebody must be: make another user OWNER first."
    assert demoted == ("CONFLICT", message, ("role",))
    assert removed == ("CONFLICT", message, ("id",))
    await company.act("second", update_user, company.id("ann"), UserChanges(role=Role.OWNER))
    await company.act("second", remove_user, company.id("second"))
    assert await company.database.transact(first_owner) == company.id("ann")


async def test_usernames_and_workspaces_are_unique(company: Company) -> None:
    taken = ("DUPLICATE", "The username 'peer' is taken.", ("username",))
    assert await refused(company, "owner", create_user, NewUser("peer", Role.ADMIN)) == taken
    assert await refused(company, "owner", update_user, company.id("ann"), UserChanges(username="peer")) == taken
    assert await refused(company, "owner", create_workspace, "here") == (
        "DUPLICATE",
        "There is a workspace 'here' already.",
        ("name",),
    )


async def test_a_user_is_changed_in_all_ways_at_once(company: Company) -> None:
    changes = UserChanges(username="Anna", role=Role.ADMIN, password_hash="hashed")

    await company.act("owner", update_user, company.id("ann"), changes)

    [changed] = await rows(company, User.username, User.role, User.password_hash, id=company.id("ann"))
    assert changed == ("Anna", Role.ADMIN, "hashed")
    [(created, updated)] = await rows(company, User.created_at, User.updated_at, id=company.id("ann"))
    assert updated > created


async def test_one_refused_change_changes_nothing(company: Company) -> None:
    changes = UserChanges(username="Anna", role=Role.OWNER)

    assert (await refused(company, "admin", update_user, company.id("ann"), changes))[0] == "FORBIDDEN"

    assert await rows(company, User.username, User.role, id=company.id("ann")) == [("ann", Role.ANNOTATOR)]


async def test_a_member_loses_the_workspace_at_once(company: Company) -> None:
    here = company.workspaces["here"]
    assert "here" in [row.name for row in await company.act("ann", list_workspaces)]

    await company.act("admin", remove_member, here, company.id("ann"))

    assert await company.act("ann", list_workspaces) == []
    assert (await refused(company, "ann", chosen_workspace, here))[0] == "NOT_FOUND"


async def test_joining_twice_and_leaving_twice_is_once(company: Company) -> None:
    also = company.workspaces["also"]

    for _ in range(2):
        await company.act("admin", add_member, also, company.id("ann"))
        assert await rows(company, Membership.user_id, workspace_id=also, user_id=company.id("ann")) != []
    for _ in range(2):
        await company.act("admin", remove_member, also, company.id("ann"))
        assert await rows(company, Membership.user_id, workspace_id=also, user_id=company.id("ann")) == []


async def test_which_workspace_is_meant(company: Company) -> None:
    here, there = company.workspaces["here"], company.workspaces["there"]

    assert await company.act("ann", chosen_workspace, None) == here
    assert await company.act("ann", chosen_workspace, here) == here
    assert (await refused(company, "ann", chosen_workspace, there))[0] == "NOT_FOUND"
    assert await refused(company, "roamer", chosen_workspace, None) == (
        "WORKSPACE_REQUIRED",
        f"You see 'here' (wsp_{here}), 'there' (wsp_{there}): say by workspaceId which is meant.",
        ("workspaceId",),
    )
    assert await refused(company, "loner", chosen_workspace, None) == (
        "WORKSPACE_REQUIRED",
        "You belong to no workspace: say by workspaceId which is meant.",
        ("workspaceId",),
    )


async def test_many_workspaces_are_not_all_listed(company: Company) -> None:
    for number in range(20):
        await company.act("owner", create_workspace, f"number {number}")

    _, message, _ = await refused(company, "owner", chosen_workspace, None)

    assert message.count("wsp_") == 10
    assert " and more: say by workspaceId" in message


async def test_importing_users(company: Company) -> None:
    names = ["ann", "Zoë", "Zoe\u0308", "new"]

    ids = await company.act("admin", ensure_annotators, names, company.workspaces["here"])

    assert ids["ann"] == company.id("ann")
    assert ids["Zoë"] == ids["Zoe\u0308"], "written in two ways, one person"
    assert await company.database.transact(users_by_name, [*names, "nobody", "\0"]) == ids
    assert await rows(company, User.role, id=ids["new"]) == [(Role.ANNOTATOR,)]
    assert await rows(company, Membership.workspace_id, user_id=ids["new"]) == [(company.workspaces["here"],)]
    assert (await refused(company, "ann", ensure_annotators, ["newer"], company.workspaces["here"]))[0] == "FORBIDDEN"
    assert (await refused(company, "admin", ensure_annotators, ["x"], company.workspaces["there"]))[0] == "NOT_FOUND"
    assert await company.act("ann", ensure_annotators, ["new"], company.workspaces["here"]) == {"new": ids["new"]}


async def test_importing_users_takes_the_same_statements_for_one_and_for_many(
    postgres: PostgresServer, postgresql_databases: Any
) -> None:
    url = await postgresql_databases.create()

    async def statements(count: int) -> int:
        async with await Database.open(url) as database:
            workspace = await database.transact(create_workspace, f"for {count}", viewer=OPERATOR)
            names = [f"{count}-{number}" for number in range(count)]
            await postgres.forget_statement_calls()
            made = await database.transact(ensure_annotators, names, workspace, viewer=OPERATOR)
            calls = await postgres.statement_calls(url.rsplit("/", 1)[1])
        assert len(made) == count
        return sum(calls.values())

    assert await statements(1000) == await statements(1)
    await postgresql_databases.remove(url)


async def test_changes_are_told_and_counted(company: Company) -> None:
    told: list[frozenset[str]] = []
    company.database.on_commit = told.append
    before = await access_clock(company.database)

    await company.act("admin", remove_member, company.workspaces["here"], company.id("ann"))
    await company.act("owner", remove_user, company.id("roamer"))
    await refused(company, "admin", remove_user, company.id("owner"))

    assert told == [frozenset({"access"})] * 2
    assert await access_clock(company.database) == before + 2


async def test_an_empty_database_gets_a_workspace_and_an_owner_once(database: Database) -> None:
    assert await access_clock(database) == 0
    workspace = await database.transact(ensure_workspace)
    first = await database.transact(ensure_owner)

    assert workspace is not None
    assert first is not None
    viewer = await authenticate(database, first.key)
    assert isinstance(viewer, Viewer)
    assert (viewer.username, viewer.role) == ("owner", Role.OWNER)
    assert await database.transact(list_workspaces, viewer=viewer)
    assert await sign_in(database, "owner", "", LIFETIME) is None, "there is no password"
    assert await database.transact(ensure_workspace) is None
    assert await database.transact(ensure_owner) is None


async def test_the_first_owner_when_the_name_is_taken(database: Database) -> None:
    await database.transact(create_user, NewUser("owner", Role.ANNOTATOR), viewer=OPERATOR)

    first = await database.transact(ensure_owner)

    assert first is not None
    viewer = await authenticate(database, first.key)
    assert viewer is not None
    assert viewer.username == f"owner-{viewer.id}"


async def test_no_owner_is_made_beside_another(database: Database) -> None:
    """`gradbook user add NAME --role owner` before the first start."""
    await database.transact(create_user, NewUser("boss", Role.OWNER), viewer=OPERATOR)

    assert await database.transact(ensure_owner) is None
