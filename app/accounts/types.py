"""GraphQL types of accounts."""

import datetime

from sqlalchemy import select

from app.accounts import scope, tables
from app.accounts.tables import Role
from app.graphql.entity import Condition, Connection, Node, Rows, column, entity, many, one
from app.graphql.enums import describe_enum

describe_enum(
    Role,
    "What a user may do.",
    ANNOTATOR="Answers records of their workspaces, and sees their own answers only.",
    ADMIN="Runs their workspaces: datasets, records, annotators, and everybody's answers.",
    OWNER="Runs everything.",
)


# Written so that the database starts from the parent's memberships, not from all users or workspaces.


def _is_member(user: Rows, workspace: Rows) -> Condition:
    membership = tables.Membership.__table__.alias("member")
    members = select(membership.c.user_id).where(membership.c.workspace_id == workspace.c.id)
    return user.c.id.in_(members.correlate(workspace))


def _is_joined(workspace: Rows, user: Rows) -> Condition:
    membership = tables.Membership.__table__.alias("joined")
    joined = select(membership.c.workspace_id).where(membership.c.user_id == user.c.id)
    return workspace.c.id.in_(joined.correlate(user))


@entity("wsp", tables.Workspace, own=scope.workspace)
class Workspace(Node):
    """A group of people and what they work on. Nothing in it is seen from outside, but by owners."""

    name: str = column("Unique.")
    created_at: datetime.datetime = column("When it was made.")
    members: Connection["User"] = many(
        "User", None, "Who belongs to it, as far as the viewer sees them.", on=_is_member
    )


@entity("usr", tables.User, own=scope.user)
class User(Node):
    """A person or a program that signs in. A removed user stays as `deleted-…`, for the answers that they gave."""

    username: str = column("Unique.")
    role: Role = column("What the user may do.")
    created_at: datetime.datetime = column("When the user was made.")
    deleted_at: datetime.datetime | None = column("When the user was removed; null for a user who is there.")
    workspaces: list[Workspace] = many(
        "Workspace",
        None,
        "The workspaces they belong to, as far as the viewer sees them.",
        on=_is_joined,
        paged=False,
        order=("name",),
    )
    api_keys: Connection["ApiKey"] = many("ApiKey", "user_id", "The user's keys, as far as the viewer sees them.")


@entity("key", tables.Credential, own=scope.api_key)
class ApiKey(Node):
    """A key that a program shows to act as its user. The secret itself is shown once, when it is made."""

    name: str = column("What it is for.")
    prefix: str = column("The secret's first characters, to recognise it by.")
    created_at: datetime.datetime = column("When it was made.")
    expires_at: datetime.datetime | None = column("When it ends by itself; null means never.")
    revoked_at: datetime.datetime | None = column("When it was revoked; null while it is good.")
    user: User | None = one("User", "user_id", "Whose key it is.")


ENTITIES: tuple[type, ...] = (Workspace, User, ApiKey)
