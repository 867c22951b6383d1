"""GraphQL types of accounts."""

import datetime

from sqlalchemy import select

from app.accounts import scope, tables
from app.accounts.tables import AuditAction, AuditDoor, Role
from app.graphql.entity import Condition, Connection, Node, Rows, column, entity, many, one
from app.graphql.enums import describe_enum
from app.graphql.scalars import JSON

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


describe_enum(
    AuditAction,
    "What was done. `subject` is what it was done to.",
    USER_CREATED="A user was made, with this role, in these workspaces.",
    USER_RENAMED="A user was given another name.",
    ROLE_CHANGED="A user was given another role.",
    PASSWORD_CHANGED="A user was given a password; sessions and sign-in links ended.",
    USER_DELETED="A user was removed, and so many of their responses deleted.",
    KEY_CREATED="An API key was made for `user`.",
    KEY_REVOKED="An API key of `user` was revoked.",
    LINK_CREATED="A one-time sign-in link was made for the user.",
    SIGNED_IN="The user opened a session, by password or link.",
    SIGN_IN_FAILED="Somebody gave a wrong password for the user; without a subject, a username that nobody has. At most"
    " 100 of these are noted in ten minutes.",
    SIGNED_OUT="The user ended their session.",
    WORKSPACE_CREATED="A workspace was made.",
    MEMBER_ADDED="The user was let into a workspace.",
    MEMBER_REMOVED="The user was taken a workspace.",
    THRESHOLD_CHANGED="A dataset was given another `minSubmitted`, and its records the statuses that follow.",
    DATASET_DELETED="A dataset was deleted with its records and everybody's answers.",
    RESPONSE_DELETED="Somebody else's response was deleted.",
    TASK_DELETED="A training task was put aside.",
    TASK_RESTORED="A deleted training task was taken back.",
    TASK_PURGED="A training task was removed for ever, with its points.",
    OPERATION_REGISTERED="An operation was registered under this id, or another text for it.",
    OPERATION_REMOVED="A registered operation was removed.",
)
describe_enum(
    AuditDoor,
    "Which way it was asked for.",
    HTTP="By a request over HTTP.",
    WEBSOCKET="Over a socket.",
    COMMAND="By a command on a machine that reaches the database, or by the server itself.",
)


@entity("aud", tables.AuditEvent, own=scope.audit_event)
class AuditEvent(Node):
    """Something that somebody did: written with what it tells of, and never changed. It holds no secrets."""

    created_at: datetime.datetime = column("When it was done.")
    action: AuditAction = column("What was done.")
    actor: User | None = one(
        "User", "actor_id", "Who did it; null for a command, and for who is not known.", named="username"
    )
    actor_name: str | None = column("What they were called then; `operator` is whoever has the machine.")
    api_key: ApiKey | None = one("ApiKey", "credential_id", "The key that they showed; null for a session.")
    door: AuditDoor = column("Which way they came.")
    address: str | None = column("From which network address; null for a command.")
    request_id: str | None = column("The request, as the answer's X-Request-Id and the server's log have it.")
    subject: str | None = column("The id of what it was done to: a user, a workspace, a dataset, a task, an operation.")
    subject_name: str | None = column("What that was called then.")
    details: JSON | None = column("What else there is to know: values before and after, ids of what took part.")


ENTITIES: tuple[type, ...] = (Workspace, User, ApiKey, AuditEvent)
