"""Who may do what to whom, asked of the functions themselves on real databases."""

import datetime
from collections.abc import Callable
from typing import Any

import pytest

from app.accounts.credentials import create_key, list_keys, revoke_key
from app.accounts.links import create_link
from app.accounts.policy import TABLE, Action
from app.accounts.tables import Role
from app.accounts.users import NewUser, UserChanges, create_user, list_users, remove_user, update_user
from app.accounts.workspaces import add_member, create_workspace, list_workspaces, remove_member
from app.db import UnitOfWork
from tests.accounts.conftest import PEOPLE, Company

SUBJECTS = list(PEOPLE)
OTHER_ROLE = {Role.OWNER: Role.ANNOTATOR, Role.ADMIN: Role.ANNOTATOR, Role.ANNOTATOR: Role.ADMIN}
VISIBLE_TO_ADMIN = {"admin", "peer", "second", "ann", "roamer"}

Act = Callable[[UnitOfWork, Company, str], Any]


def rename(uow: UnitOfWork, company: Company, subject: str) -> None:
    update_user(uow, company.id(subject), UserChanges(username="renamed"))


def set_role(uow: UnitOfWork, company: Company, subject: str) -> None:
    update_user(uow, company.id(subject), UserChanges(role=OTHER_ROLE[PEOPLE[subject][0]]))


def keep_role(uow: UnitOfWork, company: Company, subject: str) -> None:
    update_user(uow, company.id(subject), UserChanges(role=PEOPLE[subject][0], username=subject))


def set_password(uow: UnitOfWork, company: Company, subject: str) -> None:
    update_user(uow, company.id(subject), UserChanges(password_hash="hashed"))


def remove(uow: UnitOfWork, company: Company, subject: str) -> None:
    remove_user(uow, company.id(subject))


def make_key(uow: UnitOfWork, company: Company, subject: str) -> None:
    create_key(uow, "a key", company.id(subject))


def make_link(uow: UnitOfWork, company: Company, subject: str) -> None:
    create_link(uow, company.id(subject))


def add_to_also(uow: UnitOfWork, company: Company, subject: str) -> None:
    add_member(uow, company.workspaces["also"], company.id(subject))


def add_to_there(uow: UnitOfWork, company: Company, subject: str) -> None:
    add_member(uow, company.workspaces["there"], company.id(subject))


def take_from_here(uow: UnitOfWork, company: Company, subject: str) -> None:
    remove_member(uow, company.workspaces["here"], company.id(subject))


# For an ADMIN and an ANNOTATOR: the subjects on whom it is "ok". All other visible ones are FORBIDDEN, the hidden ones
# NOT_FOUND. An OWNER may do everything to everybody.
ALLOWED: list[tuple[Act, set[str], set[str]]] = [
    (rename, {"ann"}, set()),
    (set_role, set(), set()),
    (keep_role, VISIBLE_TO_ADMIN, {"ann"}),
    (set_password, {"ann", "admin"}, {"ann"}),
    (remove, {"ann"}, set()),
    (make_key, {"ann", "admin"}, {"ann"}),
    (make_link, {"ann", "admin"}, {"ann"}),
    (add_to_also, VISIBLE_TO_ADMIN - {"second"}, set()),
    (take_from_here, VISIBLE_TO_ADMIN - {"second"}, set()),
]


@pytest.mark.parametrize(("act", "admin_may", "annotator_may"), ALLOWED, ids=[row[0].__name__ for row in ALLOWED])
async def test_the_table(company: Company, act: Act, admin_may: set[str], annotator_may: set[str]) -> None:
    got = {
        (actor, subject): await company.attempt(actor, act, company, subject)
        for actor in ("owner", "admin", "ann")
        for subject in SUBJECTS
    }

    annotator_sees_workspace = act is not add_to_also
    expected = {}
    for subject in SUBJECTS:
        expected["owner", subject] = "ok"
        expected["admin", subject] = (
            "ok" if subject in admin_may else "FORBIDDEN" if subject in VISIBLE_TO_ADMIN else "NOT_FOUND"
        )
        expected["ann", subject] = (
            "ok"
            if subject in annotator_may
            else "FORBIDDEN"
            if subject == "ann" and annotator_sees_workspace
            else "NOT_FOUND"
        )
    assert got == expected


async def test_a_workspace_of_others_is_not_found(company: Company) -> None:
    got = {subject: await company.attempt("admin", add_to_there, company, subject) for subject in SUBJECTS}

    assert got == dict.fromkeys(SUBJECTS, "NOT_FOUND")


async def test_who_makes_workspaces(company: Company) -> None:
    got = {actor: await company.attempt(actor, create_workspace, "new") for actor in ("owner", "admin", "ann")}

    assert got == {"owner": "ok", "admin": "FORBIDDEN", "ann": "FORBIDDEN"}


async def test_who_makes_users(company: Company) -> None:
    here, also, there = (company.workspaces[name] for name in ("here", "also", "there"))
    expected: dict[tuple[str, Role, tuple[int, ...]], str] = {
        ("owner", Role.OWNER, ()): "ok",
        ("owner", Role.ANNOTATOR, (there,)): "ok",
        ("owner", Role.ANNOTATOR, (there + 1,)): "NOT_FOUND",
        ("admin", Role.ANNOTATOR, (here,)): "ok",
        ("admin", Role.ANNOTATOR, (here, also)): "ok",
        ("admin", Role.ANNOTATOR, (here, there)): "NOT_FOUND",
        ("admin", Role.ANNOTATOR, ()): "WORKSPACE_REQUIRED",
        ("admin", Role.ADMIN, (here,)): "FORBIDDEN",
        ("admin", Role.OWNER, (here,)): "FORBIDDEN",
        ("peer", Role.ANNOTATOR, ()): "ok",
        ("ann", Role.ANNOTATOR, (here,)): "FORBIDDEN",
        ("ann", Role.ANNOTATOR, (there,)): "NOT_FOUND",
        ("ann", Role.ANNOTATOR, ()): "FORBIDDEN",
    }

    got = {
        (actor, role, workspaces): await company.attempt(
            actor, create_user, NewUser("new", role, workspace_ids=workspaces)
        )
        for actor, role, workspaces in expected
    }

    assert got == expected


async def test_who_sees_and_revokes_keys(company: Company) -> None:
    keys = {name: (await company.act("owner", create_key, "a key", company.id(name)))[0] for name in SUBJECTS}

    got = {
        actor: {name: await company.attempt(actor, revoke_key, key_id) for name, key_id in keys.items()}
        for actor in ("owner", "admin", "ann")
    }

    assert got["owner"] == dict.fromkeys(SUBJECTS, "ok")
    seen_by_admin = {"admin": "ok", "ann": "ok", "roamer": "FORBIDDEN"}
    assert got["admin"] == {name: seen_by_admin.get(name, "NOT_FOUND") for name in SUBJECTS}
    assert got["ann"] == {name: "ok" if name == "ann" else "NOT_FOUND" for name in SUBJECTS}
    listed = {
        actor: {key.username for key in await company.act(actor, list_keys)} for actor in ("owner", "admin", "ann")
    }
    assert listed == {"owner": set(SUBJECTS), "admin": set(seen_by_admin), "ann": {"ann"}}


async def test_who_sees_whom(company: Company) -> None:
    seen = {
        actor: {user.username for user in await company.act(actor, list_users)} for actor in ("owner", "admin", "ann")
    }
    workspaces = {
        actor: [workspace.name for workspace in await company.act(actor, list_workspaces)]
        for actor in ("owner", "admin", "roamer", "loner")
    }

    assert seen == {"owner": set(SUBJECTS), "admin": VISIBLE_TO_ADMIN, "ann": {"ann"}}
    assert workspaces == {
        "owner": ["here", "also", "there"],
        "admin": ["here", "also"],
        "roamer": ["here", "there"],
        "loner": [],
    }


async def test_the_role_of_now_decides_not_that_of_the_request(company: Company) -> None:
    """A request is authenticated before its transaction begins."""
    await company.act("owner", update_user, company.id("admin"), UserChanges(role=Role.ANNOTATOR))
    await company.act("owner", remove_user, company.id("peer"))

    assert await company.attempt("admin", make_key, company, "ann") == "NOT_FOUND"
    assert await company.attempt("peer", make_key, company, "ann") == "UNAUTHENTICATED"


async def test_nobody_may_nothing(company: Company) -> None:
    with pytest.raises(Exception, match="Nobody is signed in"):
        await company.database.transact(create_workspace, "new")


async def test_a_refusal_says_who_may(company: Company) -> None:
    def message(error: Any) -> tuple[str, str, tuple[Any, ...]]:
        return error.value.code, error.value.message, error.value.path

    with pytest.raises(Exception) as forbidden:  # noqa: PT011 - its message is what is asserted
        await company.act("admin", update_user, company.id("ann"), UserChanges(role=Role.ADMIN))
    with pytest.raises(Exception) as hidden:  # noqa: PT011
        await company.act("admin", remove_user, company.id("foreign"))
    with pytest.raises(Exception) as unclear:  # noqa: PT011
        await company.act("admin", create_user, NewUser("new", Role.ANNOTATOR))

    here, also = company.workspaces["here"], company.workspaces["also"]
    assert message(forbidden) == ("FORBIDDEN", "Only an OWNER may change a user's role; you are ADMIN.", ("role",))
    assert message(hidden) == (
        "NOT_FOUND",
        f"There is no user usr_{company.id('foreign')} that you can see.",
        ("id",),
    )
    assert message(unclear) == (
        "WORKSPACE_REQUIRED",
        f"You see 'here' (wsp_{here}), 'also' (wsp_{also}): say by workspaceIds which is meant.",
        ("workspaceIds",),
    )


def test_every_action_is_in_the_table() -> None:
    assert set(TABLE) == set(Action)


async def test_keys_of_an_annotator_who_moves_elsewhere_are_out_of_reach(company: Company) -> None:
    """A key works in every workspace of its user: an ADMIN of one of them must not make it."""
    assert await company.attempt("admin", make_key, company, "ann") == "ok"

    await company.act("owner", add_member, company.workspaces["there"], company.id("ann"))

    assert await company.attempt("admin", make_key, company, "ann") == "FORBIDDEN"
    assert await company.attempt("admin", set_password, company, "ann") == "FORBIDDEN"


async def test_expiry_must_lie_ahead(company: Company) -> None:
    past = datetime.datetime(2020, 5, 17, 12, tzinfo=datetime.UTC)

    with pytest.raises(Exception, match=r"expiresAt 2020-05-17T12:00:00\+00:00 has passed"):
        await company.act("ann", create_key, "old", None, past)
    with pytest.raises(Exception, match="has no time zone"):
        await company.act("ann", create_key, "old", None, past.replace(tzinfo=None, year=2999))
