"""The people whose responses a file holds: found by name, and made if that is wanted."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from sqlalchemy import insert, or_, select

from app.accounts import scope
from app.accounts.access import OPERATOR
from app.accounts.names import REMOVED_PREFIX, checked_username
from app.accounts.tables import Role, User
from app.accounts.users import ensure_annotators, users_by_name
from app.db import UnitOfWork
from app.db.ids import MAX_ID
from app.errors import Code, GradbookError

_NAMES_AT_ONCE = 1_000


def find_people(
    uow: UnitOfWork, names: Collection[str], workspace_id: int, *, create: bool
) -> tuple[dict[str, int], dict[str, GradbookError]]:
    """The ids by name, and what is wrong with the names that have none. With `create` most of those are made.

    Somebody whom the viewer cannot see is unknown to them.
    """
    found: dict[str, int] = {}
    errors: dict[str, GradbookError] = {}
    for some in _portions(sorted(names)):
        taken = users_by_name(uow, some)
        found |= _visible(uow, taken)
        errors |= {name: _taken(name) if create else _unknown(uow, name) for name in taken if name not in found}
        if uow.viewer.role is Role.OWNER:
            found |= _removed(uow, [name for name in some if name not in found], create=create)
        missing = [name for name in some if name not in found and name not in taken]
        if create:
            errors |= {name: error for name in missing if (error := _why_not(name)) is not None}
            found |= ensure_annotators(uow, [name for name in missing if name not in errors], workspace_id)
        else:
            errors |= {name: _unknown(uow, name) for name in missing}
    return found, errors


def _portions(names: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(names), _NAMES_AT_ONCE):
        yield names[start : start + _NAMES_AT_ONCE]


def _visible(uow: UnitOfWork, ids: dict[str, int]) -> dict[str, int]:
    if uow.viewer.role is Role.OWNER or not ids:
        return ids
    user = User.__table__
    seen = uow.connection.scalars(
        select(user.c.id).where(user.c.id.in_(ids.values()), scope.user(user, uow.viewer.kind)),
        {"viewer_id": uow.viewer.id},
    ).all()
    return {name: user_id for name, user_id in ids.items() if user_id in set(seen)}


def _removed(uow: UnitOfWork, names: Collection[str], *, create: bool) -> dict[str, int]:
    """Those who were removed after they had answered: `deleted-<id>`. They are made as they were, id and all."""
    ids = {name: user_id for name in names if (user_id := _id_of_removed(name)) is not None}
    if not ids:
        return {}
    rows = uow.connection.execute(
        select(User.id, User.username).where(or_(User.id.in_(ids.values()), User.username.in_(ids)))
    ).all()
    found = {row.username: row.id for row in rows if row.username in ids}
    taken = {row.id for row in rows}
    missing = {name: user_id for name, user_id in ids.items() if name not in found and user_id not in taken}
    if not create or not missing:
        return found
    row = {"role": Role.ANNOTATOR, "created_at": uow.now, "updated_at": uow.now, "deleted_at": uow.now}
    uow.connection.execute(
        insert(User).values([{"id": user_id, "username": name, **row} for name, user_id in missing.items()])
    )
    return found | missing


def _id_of_removed(name: str) -> int | None:
    digits = name.removeprefix(REMOVED_PREFIX)
    if name == digits or not (digits.isascii() and digits.isdecimal()) or digits.startswith("0"):
        return None
    return int(digits) if len(digits) <= 19 and int(digits) <= MAX_ID else None


def _why_not(name: str) -> GradbookError | None:
    try:
        checked_username(name)
    except GradbookError as error:
        return GradbookError(Code[error.code], error.message)
    return None


def _unknown(uow: UnitOfWork, name: str) -> GradbookError:
    option = "--create-users" if uow.viewer is OPERATOR else "createUsers=true"
    return GradbookError(Code.NOT_FOUND, f"there is no user {name!r}; {option} makes one.")


def _taken(name: str) -> GradbookError:
    return GradbookError(Code.DUPLICATE, f"the username {name!r} is taken by somebody whom you cannot see.")
