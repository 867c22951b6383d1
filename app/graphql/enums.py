"""Enums of the domains as GraphQL types, with a description of every member."""

from __future__ import annotations

import enum

import strawberry


def describe_enum(cls: type[enum.Enum], description: str, **members: str) -> None:
    """Offer a domain's enum in GraphQL by its members' names; `members` says what each means."""
    if set(members) != set(cls.__members__):
        raise TypeError(f"{cls.__name__} has {', '.join(cls.__members__)}; described are {', '.join(members)}.")
    strawberry.enum(cls, description=description)
    for value in cls.__strawberry_definition__.values:  # type: ignore[attr-defined]
        value.description = members[value.name]
