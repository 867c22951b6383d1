"""Queries of accounts."""

from typing import Any

import strawberry
from graphql import GraphQLResolveInfo

from app.accounts.types import AuditEvent, User, Workspace
from app.graphql.engine import Engine
from app.graphql.entity import Connection
from app.graphql.schema import root, root_many, root_one


async def _viewer(engine: Engine, info: GraphQLResolveInfo[Any], _arguments: dict[str, Any]) -> Any:
    viewer = info.context.viewer
    return None if viewer is None else await engine.one(info, "User", viewer.id)


@strawberry.type
class AccountQueries:
    """Root fields of accounts."""

    viewer: User | None = root("Who asks; null when nobody is signed in.", _viewer)
    workspace: Workspace | None = root_one("Workspace", "The workspace with this id, if the viewer sees it.")
    workspaces: Connection[Workspace] = root_many("Workspace", "The workspaces that the viewer sees.", order=("name",))
    user: User | None = root_one("User", "The user with this id, if the viewer sees them.")
    users: Connection[User] = root_many("User", "The users that the viewer sees, removed ones too.")
    audit_events: Connection[AuditEvent] = root_many(
        "AuditEvent",
        "The audit log, the oldest first: `last: 50` are the newest. For OWNERs; it is empty for others.",
    )
