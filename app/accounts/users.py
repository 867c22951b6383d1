"""Users: make, change, remove. Who may is in `app.accounts.policy`."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Collection
from dataclasses import dataclass

from sqlalchemy import delete, func, insert, select, update

from app.accounts import scope
from app.accounts.access import acting, only_workspace, visible_user, visible_workspace, visible_workspaces
from app.accounts.audit import Event, audit, change
from app.accounts.names import REMOVED_PREFIX, checked_username, normalized_name
from app.accounts.policy import Account, Action, demand
from app.accounts.tables import AuditAction, Credential, CredentialKind, Membership, Role, User
from app.db.unit_of_work import UnitOfWork
from app.errors import Code, GradbookError

# Deletes a removed user's responses in these workspaces (None: in all), so that the statuses follow, and returns how
# many they were. The domain that keeps responses provides it, for accounts lies below.
DeleteResponses = Callable[[UnitOfWork, int, frozenset[int] | None], int]


@dataclass(frozen=True, slots=True)
class NewUser:
    """What a new user is made of; the password comes hashed (`app.accounts.passwords`)."""

    username: str
    role: Role
    password_hash: str | None = None
    workspace_ids: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class UserChanges:
    """What is to be changed; None leaves a thing as it is."""

    username: str | None = None
    role: Role | None = None
    password_hash: str | None = None


@dataclass(frozen=True, slots=True)
class UserRow:
    """A user as a list shows them."""

    id: int
    username: str
    role: Role
    created_at: datetime.datetime


def create_user(uow: UnitOfWork, new: NewUser) -> int:
    """Make a user, a member of the given workspaces, and return the id.

    An ADMIN who names no workspace means their only one. Raises INVALID_INPUT for the username, DUPLICATE when it is
    taken, NOT_FOUND for a workspace, WORKSPACE_REQUIRED, FORBIDDEN.
    """
    actor = acting(uow)
    workspace_ids = _workspaces_of(uow, actor, new.workspace_ids)
    user_id = uow.new_id()
    demand(actor, Action.CREATE_USER, Account(user_id, new.username, new.role, frozenset(workspace_ids)))
    username = checked_username(new.username)
    _demand_free(uow, username)
    return insert_user(uow, user_id, NewUser(username, new.role, new.password_hash, workspace_ids))


def insert_user(uow: UnitOfWork, user_id: int, new: NewUser) -> int:
    """Write a user, whoever asks: the caller has checked everything, in its turn."""
    row = {"id": user_id, "username": new.username, "role": new.role, "password_hash": new.password_hash}
    uow.connection.execute(insert(User).values(**row, created_at=uow.now, updated_at=uow.now))
    _insert_members(uow, new.workspace_ids or (), [user_id])
    audit(uow, _created(user_id, new.username, new.role, new.workspace_ids or ()))
    return user_id


def ensure_annotators(uow: UnitOfWork, usernames: Collection[str], workspace_id: int) -> dict[str, int]:
    """The ids of up to 1,000 users by name; those that do not exist are made, as ANNOTATORs of the workspace.

    For imports: the number of statements does not grow with the names.
    Raises INVALID_INPUT for a name, NOT_FOUND for the workspace, FORBIDDEN.
    """
    ids = users_by_name(uow, usernames)
    if missing := {given: checked_username(given) for given in usernames if given not in ids}:
        made = _make_annotators(uow, set(missing.values()), workspace_id)
        ids |= {given: made[username] for given, username in missing.items()}
    return ids


def update_user(uow: UnitOfWork, user_id: int, changes: UserChanges) -> None:
    """Change a user. A new password ends the user's sessions, except the one that asks, and their sign-in links.

    Raises NOT_FOUND, FORBIDDEN, INVALID_INPUT, DUPLICATE, and CONFLICT when no OWNER would be left.
    """
    actor = acting(uow)
    user = visible_user(uow, actor, user_id, "id")
    values: dict[str, object] = {}
    events: list[Event] = []
    subject = f"usr_{user.id}"
    username = None if changes.username is None else checked_username(changes.username)
    if username is not None and username != user.username:
        demand(actor, Action.RENAME_USER, user, "username")
        _demand_free(uow, username)
        values["username"] = username
        events.append(
            Event(AuditAction.USER_RENAMED, subject, user.username, {"name": change(user.username, username)})
        )
    if changes.role is not None and changes.role is not user.role:
        demand(actor, Action.SET_ROLE, user, "role")
        _demand_another_owner(uow, user, "role")
        values["role"] = changes.role
        roles = change(user.role.name, changes.role.name)
        events.append(Event(AuditAction.ROLE_CHANGED, subject, user.username, {"role": roles}))
    if changes.password_hash is not None:
        demand(actor, Action.SET_PASSWORD, user, "password")
        values["password_hash"] = changes.password_hash
        events.append(Event(AuditAction.PASSWORD_CHANGED, subject, user.username))
    if values:
        uow.connection.execute(update(User).where(User.id == user.id).values(updated_at=uow.now, **values))
    if changes.password_hash is not None:
        # Only now, with the user's row locked: a sign-in by the old password either is seen here or sees the new one.
        _end_sessions_and_links(uow, user.id)
    audit(uow, *events)


def remove_user(uow: UnitOfWork, user_id: int, delete_responses: DeleteResponses | None = None) -> None:
    """Remove a user: keys, sessions and memberships go, the username is freed, the row stays as `deleted-<id>`.

    Without `delete_responses` the responses stay. With it, those in the actor's workspaces go (an OWNER's are all).
    Raises NOT_FOUND, FORBIDDEN, and CONFLICT for the last OWNER.
    """
    actor = acting(uow)
    user = visible_user(uow, actor, user_id, "id")
    demand(actor, Action.REMOVE_USER, user, "id")
    _demand_another_owner(uow, user, "id")
    # First of all: a new username locks the row against responses that are being written and refer to it. Those that
    # were first are waited for, and deleted below with the others.
    uow.connection.execute(
        update(User)
        .where(User.id == user.id)
        .values(username=f"{REMOVED_PREFIX}{user.id}", password_hash=None, updated_at=uow.now, deleted_at=uow.now)
    )
    uow.connection.execute(delete(Credential).where(Credential.user_id == user.id))
    uow.connection.execute(delete(Membership).where(Membership.user_id == user.id))
    deleted = 0
    if delete_responses is not None:
        deleted = delete_responses(uow, user.id, None if actor.role is Role.OWNER else actor.workspaces)
    gone = {"role": user.role.name, "workspaces": _ids(user.workspaces), "responsesDeleted": deleted}
    audit(uow, Event(AuditAction.USER_DELETED, f"usr_{user.id}", user.username, gone))


def users_by_name(uow: UnitOfWork, usernames: Collection[str]) -> dict[str, int]:
    """The ids of those (up to 1,000) that exist and are not removed, by the name as given; whoever asks."""
    names = {given: normalized_name(given) for given in usernames if "\0" not in given}
    rows = uow.connection.execute(
        select(User.username, User.id).where(User.username.in_(set(names.values())), User.deleted_at.is_(None))
    )
    ids = {row.username: row.id for row in rows}
    return {given: ids[name] for given, name in names.items() if name in ids}


def list_users(uow: UnitOfWork) -> list[UserRow]:
    """The users that the viewer can see, without removed ones, the oldest first."""
    rows = uow.connection.execute(
        select(User.id, User.username, User.role, User.created_at)
        .where(scope.user(User.__table__, uow.viewer.kind), User.deleted_at.is_(None))
        .order_by(User.id),
        {"viewer_id": uow.viewer.id},
    )
    return [UserRow(row.id, row.username, row.role, row.created_at) for row in rows]


def first_owner(uow: UnitOfWork) -> int | None:
    """The id of the OWNER who was made first; None before the first start."""
    return uow.connection.scalar(select(func.min(User.id)).where(User.role == Role.OWNER, User.deleted_at.is_(None)))


def _make_annotators(uow: UnitOfWork, usernames: set[str], workspace_id: int) -> dict[str, int]:
    actor = acting(uow)
    visible_workspace(uow, actor, workspace_id)
    found = users_by_name(uow, usernames)  # somebody else may have made them before it was our turn
    missing = sorted(usernames - found.keys())
    made = dict(zip(missing, uow.new_ids(len(missing)), strict=True))
    for username, user_id in made.items():
        demand(actor, Action.CREATE_USER, Account(user_id, username, Role.ANNOTATOR, frozenset({workspace_id})))
    if made:
        row = {"role": Role.ANNOTATOR, "created_at": uow.now, "updated_at": uow.now}
        # `values` of a list is one statement, `execute` with a list would be one for each.
        uow.connection.execute(insert(User).values([{"id": made[name], "username": name, **row} for name in missing]))
        _insert_members(uow, [workspace_id], made.values())
        audit(uow, *(_created(made[name], name, Role.ANNOTATOR, [workspace_id]) for name in missing))
    return found | made


def _created(user_id: int, username: str, role: Role, workspace_ids: Collection[int]) -> Event:
    details = {"role": role.name, "workspaces": _ids(workspace_ids)}
    return Event(AuditAction.USER_CREATED, f"usr_{user_id}", username, details)


def _ids(workspace_ids: Collection[int]) -> list[str]:
    return [f"wsp_{workspace_id}" for workspace_id in sorted(workspace_ids)]


def _workspaces_of(uow: UnitOfWork, actor: Account, given: tuple[int, ...] | None) -> tuple[int, ...]:
    if given:
        visible_workspaces(uow, actor, given, "workspaceIds")
        return tuple(dict.fromkeys(given))
    return (only_workspace(uow, actor, "workspaceIds"),) if actor.role is Role.ADMIN else ()


def _insert_members(uow: UnitOfWork, workspace_ids: Collection[int], user_ids: Collection[int]) -> None:
    rows = [
        {"workspace_id": workspace_id, "user_id": user_id, "created_at": uow.now}
        for workspace_id in workspace_ids
        for user_id in user_ids
    ]
    if rows:
        uow.connection.execute(insert(Membership).values(rows))


def _demand_free(uow: UnitOfWork, username: str) -> None:
    if users_by_name(uow, [username]):
        raise GradbookError(Code.DUPLICATE, f"The username {username!r} is taken.", ("username",))


def _demand_another_owner(uow: UnitOfWork, user: Account, path: str) -> None:
    """Raise CONFLICT when the user is the last OWNER: nobody could make another."""
    if user.role is not Role.OWNER:
        return
    others = select(func.count()).where(User.role == Role.OWNER, User.deleted_at.is_(None), User.id != user.id)
    if not uow.connection.scalar(others):
        message = f"{user.username!r} is the only OWNER, and somebody must be: make another user OWNER first."
        raise GradbookError(Code.CONFLICT, message, (path,))


def _end_sessions_and_links(uow: UnitOfWork, user_id: int) -> None:
    uow.connection.execute(
        delete(Credential).where(
            Credential.user_id == user_id,
            Credential.kind.in_((CredentialKind.SESSION, CredentialKind.LINK)),
            Credential.id != (uow.viewer.credential_id or 0),
        )
    )
