"""What people call things on the command line, and which things those are."""

from collections.abc import Iterable

from app.accounts.bootstrap import WORKSPACE
from app.accounts.credentials import KeyRow, list_keys
from app.accounts.users import UserRow, list_users, users_by_name
from app.accounts.workspaces import list_workspaces
from app.db import UnitOfWork
from app.errors import Code, GradbookError

_NAMED = 10


def workspace_id(uow: UnitOfWork, name: str | None) -> int:
    """The workspace of this name; without one the only workspace, or `default`.

    Raises NOT_FOUND, WORKSPACE_REQUIRED.
    """
    ids = {row.name: row.id for row in list_workspaces(uow)}
    if name is not None:
        if name not in ids:
            raise _unknown("workspace", name, ids, "gradbook workspace add NAME")
        return ids[name]
    if len(ids) == 1:
        return next(iter(ids.values()))
    if WORKSPACE in ids:
        return ids[WORKSPACE]
    message = f"Say by --workspace which is meant: there is {_listed(ids)}."
    raise GradbookError(Code.WORKSPACE_REQUIRED, message)


def user_id(uow: UnitOfWork, name: str) -> int:
    """The user of this name. Raises NOT_FOUND."""
    found = users_by_name(uow, [name])
    if name not in found:
        raise _unknown("user", name, [row.username for row in list_users(uow)], "gradbook user add NAME")
    return found[name]


def user(uow: UnitOfWork, name: str) -> UserRow:
    """The user of this name. Raises NOT_FOUND."""
    return user_of_id(uow, user_id(uow, name))


def user_of_id(uow: UnitOfWork, number: int) -> UserRow:
    """The user of this id, who must be there."""
    return next(row for row in list_users(uow) if row.id == number)


def key(uow: UnitOfWork, text: str) -> KeyRow:
    """The key that has this id, this prefix or, among those that are not revoked, this name.

    Raises NOT_FOUND, and CONFLICT when several have it.
    """
    keys = list_keys(uow)
    found = [row for row in keys if text in {f"key_{row.id}", row.prefix}]
    found = found or [row for row in keys if row.name == text and row.revoked_at is None]
    if len(found) == 1:
        return found[0]
    if found:
        ids = ", ".join(f"key_{row.id} (of {row.username})" for row in found)
        raise GradbookError(Code.CONFLICT, f"{len(found)} keys are called {text!r}: name one by its id: {ids}.")
    raise _unknown("key", text, [row.name for row in keys if row.revoked_at is None], "gradbook key list")


def _unknown(kind: str, name: str, known: Iterable[str], command: str) -> GradbookError:
    names = list(known)
    message = f"There is no {kind} {name!r}; there is {_listed(names)}. See `{command}`."
    return GradbookError(Code.NOT_FOUND, message)


def _listed(names: Iterable[str]) -> str:
    shown = [repr(name) for name in names]
    more = f" and {len(shown) - _NAMED} more" if len(shown) > _NAMED else ""
    return ", ".join(shown[:_NAMED]) + more if shown else "none"
