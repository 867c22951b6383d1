"""A small company in every database test of accounts."""

import datetime
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import pytest

from app.accounts import authentication
from app.accounts.access import OPERATOR
from app.accounts.authentication import SignIn
from app.accounts.passwords import hash_password
from app.accounts.tables import Role
from app.accounts.users import NewUser, create_user
from app.accounts.viewer import Viewer
from app.accounts.workspaces import create_workspace
from app.db import Database, UnitOfWork
from app.errors import GradbookError

PASSWORD = "correct horse"
LIFETIME = datetime.timedelta(hours=1)
WORKSPACES = ["here", "also", "there"]
# username: role, workspaces. `admin` is compared with a peer, with annotators wholly, partly and not at all theirs.
PEOPLE: dict[str, tuple[Role, tuple[str, ...]]] = {
    "owner": (Role.OWNER, ()),
    "second": (Role.OWNER, ("here",)),
    "hidden": (Role.OWNER, ()),
    "admin": (Role.ADMIN, ("here", "also")),
    "peer": (Role.ADMIN, ("here",)),
    "ann": (Role.ANNOTATOR, ("here",)),
    "roamer": (Role.ANNOTATOR, ("here", "there")),
    "loner": (Role.ANNOTATOR, ()),
    "foreign": (Role.ANNOTATOR, ("there",)),
    "stranger": (Role.ADMIN, ("there",)),
}


async def sign_in(database: Database, username: str, password: str, lifetime: datetime.timedelta) -> str | None:
    """The secret of a new session."""
    signed_in = await authentication.sign_in(database, SignIn(username, password), lifetime)
    return None if signed_in is None else signed_in.secret


class _UndoneError(Exception):
    def __init__(self, result: Any) -> None:
        self.result = result


@dataclass(frozen=True)
class Company:
    """Everybody and everything by name."""

    database: Database
    users: dict[str, Viewer]
    workspaces: dict[str, int]

    def id(self, name: str) -> int:
        """A user's id."""
        return self.users[name].id

    async def act(self, who: str, fn: Callable[..., Any], *args: Any) -> Any:
        """Run a domain function as somebody."""
        return await self.database.transact(fn, *args, viewer=self.users[who])

    async def attempt(self, who: str, fn: Callable[..., Any], *args: Any) -> str:
        """What would come of it, `ok` or the error's code; nothing is kept."""

        def undone(uow: UnitOfWork) -> None:
            raise _UndoneError(fn(uow, *args))

        try:
            await self.database.transact(undone, viewer=self.users[who])
        except _UndoneError:
            return "ok"
        except GradbookError as error:
            return error.code
        raise AssertionError("unreachable")


@pytest.fixture(scope="session")
async def password_hash() -> str:
    """Of PASSWORD. Hashing takes time on purpose, so it is done once."""
    return await hash_password(PASSWORD)


@pytest.fixture
async def company(database: Database) -> Company:
    """The company in a fresh database of either kind."""

    def found(uow: UnitOfWork) -> tuple[dict[str, Viewer], dict[str, int]]:
        workspaces = {name: create_workspace(uow, name) for name in WORKSPACES}
        users = {}
        for username, (role, names) in PEOPLE.items():
            user_id = create_user(uow, NewUser(username, role, workspace_ids=tuple(workspaces[name] for name in names)))
            users[username] = Viewer(user_id, username, role)
        return users, workspaces

    users, workspaces = await database.transact(found, viewer=OPERATOR)
    return Company(database, users, workspaces)


@pytest.fixture
async def other_database(company: Company, database_url: str) -> AsyncIterator[Database]:
    """A second server on the company's database."""
    async with await Database.open(database_url) as database:
        yield database
