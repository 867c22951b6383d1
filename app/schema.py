"""The schema: what the domains offer, put together."""

from __future__ import annotations

from typing import Any

import strawberry
from strawberry.tools import merge_types

from app.accounts.mutations import AccountMutations
from app.accounts.queries import AccountQueries
from app.accounts.types import ENTITIES as ACCOUNTS
from app.annotation.mutations import AnnotationMutations
from app.annotation.queries import AnnotationQueries
from app.annotation.subscriptions import AnnotationSubscriptions
from app.annotation.types import ENTITIES as ANNOTATION
from app.graphql import schema
from app.graphql.entity import Node
from app.graphql.schema import Built, resolve_node, resolve_nodes, root
from app.training.mutations import ReportMutations, TrainingMutations
from app.training.queries import TrainingQueries
from app.training.subscriptions import TrainingSubscriptions
from app.training.types import ENTITIES as TRAINING


@strawberry.type
class NodeQueries:
    """Relay's root fields."""

    node: Node | None = root(
        "Anything by its id; null where nothing that the viewer sees has it.",
        resolve_node,
        ("id", strawberry.ID, "An id of any kind."),
    )
    nodes: list[Node | None] = root(
        "Things of any kinds by their ids, in that order; null for those that the viewer does not see.",
        resolve_nodes,
        ("ids", list[strawberry.ID], "Ids of any kinds."),
    )


def build_schema(secret: str) -> Built:
    """The whole schema with its read engine. `secret` signs the cursors of lists."""
    return schema.build(
        query=_merged("Query", "What can be read.", NodeQueries, AccountQueries, AnnotationQueries, TrainingQueries),
        mutation=_merged(
            "Mutation", "What can be done.", AccountMutations, AnnotationMutations, TrainingMutations, ReportMutations
        ),
        subscription=_merged("Subscription", "What can be watched.", AnnotationSubscriptions, TrainingSubscriptions),
        entities=[*ACCOUNTS, *ANNOTATION, *TRAINING],
        secret=secret,
    )


# `name` would promise a person's, and `username` is what users know: linters are told so where they read it.
_KEPT = "  # eslint-disable-next-line @graphql-eslint/no-typename-prefix -- a user is known by a username\n"


def sdl() -> str:
    """The schema as text, sorted."""
    before, user = schema.sdl(build_schema("").graphql).split("\ntype User ")
    return f"{before}\ntype User {user.replace('  username:', _KEPT + '  username:', 1)}"


def _merged(name: str, description: str, *parts: type) -> Any:
    merged = merge_types(name, parts)
    merged.__strawberry_definition__.description = description  # type: ignore[attr-defined]
    return merged
