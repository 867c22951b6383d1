"""Who may do what in accounts: one table, asked by every function that writes.

An OWNER may do everything. For the others each action says which subjects it is allowed on. What an actor cannot see
is NOT_FOUND before this table is asked (`app.accounts.access`); what it refuses is FORBIDDEN and says who may.

A role and a key hold in every workspace of their user. So an ADMIN manages an ANNOTATOR only when all the
annotator's workspaces are the admin's own: a key made for somebody who is also elsewhere would open that elsewhere.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass

from app.accounts.tables import Role
from app.accounts.viewer import RANK
from app.errors import Code, GradbookError


@dataclass(frozen=True, slots=True)
class Account:
    """A user who acts or is acted upon, with the role and the workspaces of now, or those that they are to get."""

    id: int
    username: str
    role: Role
    workspaces: frozenset[int]


class Action(enum.Enum):
    """What can be done in accounts; the value completes "may ..."."""

    CREATE_WORKSPACE = "create a workspace"
    CREATE_USER = "create this user"
    RENAME_USER = "rename this user"
    SET_ROLE = "change a user's role"
    SET_PASSWORD = "set this user's password"
    REMOVE_USER = "remove this user"
    CREATE_KEY = "create a key for this user"
    CREATE_LINK = "make a sign-in link for this user"
    REVOKE_KEY = "revoke this key"
    ADD_MEMBER = "add this user to the workspace"
    REMOVE_MEMBER = "remove this user from the workspace"


Test = Callable[[Account, Account], bool]


def _never(_actor: Account, _subject: Account) -> bool:
    return False


def _oneself(actor: Account, subject: Account) -> bool:
    return subject.id == actor.id


def _their_annotator(actor: Account, subject: Account) -> bool:
    return subject.role is Role.ANNOTATOR and bool(subject.workspaces) and subject.workspaces.issubset(actor.workspaces)


def _oneself_or_their_annotator(actor: Account, subject: Account) -> bool:
    return _oneself(actor, subject) or _their_annotator(actor, subject)


def _not_above(actor: Account, subject: Account) -> bool:
    return RANK[subject.role] <= RANK[actor.role]


_OWNER = "an OWNER"
_MANAGER = "an OWNER, or an ADMIN of all the workspaces of an ANNOTATOR,"
_ONESELF = f"the user themself, {_MANAGER}"
_MEMBERS = "an OWNER, or an ADMIN of the workspace for users not above them,"

# action: (an ANNOTATOR may, an ADMIN may, who may in words)
TABLE: dict[Action, tuple[Test, Test, str]] = {
    Action.CREATE_WORKSPACE: (_never, _never, _OWNER),
    Action.CREATE_USER: (_never, _their_annotator, _MANAGER),
    Action.RENAME_USER: (_never, _their_annotator, _MANAGER),
    Action.SET_ROLE: (_never, _never, _OWNER),
    Action.SET_PASSWORD: (_oneself, _oneself_or_their_annotator, _ONESELF),
    Action.REMOVE_USER: (_never, _their_annotator, _MANAGER),
    Action.CREATE_KEY: (_oneself, _oneself_or_their_annotator, _ONESELF),
    Action.CREATE_LINK: (_oneself, _oneself_or_their_annotator, _ONESELF),
    Action.REVOKE_KEY: (_oneself, _oneself_or_their_annotator, _ONESELF),
    Action.ADD_MEMBER: (_never, _not_above, _MEMBERS),
    Action.REMOVE_MEMBER: (_never, _not_above, _MEMBERS),
}


def permits(actor: Account, action: Action, subject: Account) -> bool:
    """Whether the table allows it. The subject is visible to the actor."""
    if actor.role is Role.OWNER:
        return True
    annotator, admin, _ = TABLE[action]
    return (admin if actor.role is Role.ADMIN else annotator)(actor, subject)


def demand(actor: Account, action: Action, subject: Account, *path: str | int) -> None:
    """Raise FORBIDDEN, with who may, unless the table allows it."""
    if not permits(actor, action, subject):
        who = TABLE[action][2]
        raise GradbookError(Code.FORBIDDEN, f"Only {who} may {action.value}; you are {actor.role.name}.", path)
