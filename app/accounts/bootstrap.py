"""What an empty database begins with. Safe when two processes start at once: one of them makes it."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import select

from app.accounts.access import take_turn
from app.accounts.credentials import insert_key
from app.accounts.links import insert_link
from app.accounts.tables import Role, Workspace
from app.accounts.users import NewUser, first_owner, insert_user, users_by_name
from app.accounts.workspaces import insert_workspace
from app.db.unit_of_work import UnitOfWork

WORKSPACE = "default"
OWNER = "owner"


def ensure_workspace(uow: UnitOfWork) -> int | None:
    """Make the workspace `default` when there is none at all, and return its id; else None."""
    take_turn(uow)
    if uow.connection.scalar(select(Workspace.id).limit(1)) is not None:
        return None
    return insert_workspace(uow, WORKSPACE)


class FirstOwner(NamedTuple):
    """How a new book's owner gets in; whoever starts the server shows it, once: nothing else opens the door."""

    key: str
    link: str  # the secret of a one-time sign-in link


def ensure_owner(uow: UnitOfWork) -> FirstOwner | None:
    """Make the user `owner`, without a password, when there is no OWNER, and return how they get in; else None."""
    take_turn(uow)
    if first_owner(uow) is not None:
        return None
    user_id = uow.new_id()
    taken = users_by_name(uow, [OWNER])  # an import before the first start can have made somebody of this name
    insert_user(uow, user_id, NewUser(f"{OWNER}-{user_id}" if taken else OWNER, Role.OWNER))
    _, secret = insert_key(uow, user_id, "First start")
    return FirstOwner(secret, insert_link(uow, user_id))
