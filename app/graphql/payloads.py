"""Mutations: one input in, one payload out, with what a user can mend in `errors`."""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Any, TypeVar, cast

import strawberry

from app.db.unit_of_work import UnitOfWork
from app.errors import Code, GradbookError
from app.graphql.engine import required_viewer
from app.graphql.operations import Context

P = TypeVar("P", bound="Payload")

_CODES = {code.name: strawberry.enum_value(code.name, description=code.description) for code in Code}

ErrorCode: Any = strawberry.enum(
    cast("type[enum.Enum]", enum.Enum("ErrorCode", _CODES)),
    description="What kind of error it is. Programs switch on this; the message is for people.",
)

UNMENDABLE = frozenset(
    code.name
    for code in (
        Code.UNAUTHENTICATED,
        Code.RATE_LIMITED,
        Code.OVERLOADED,
        Code.DATABASE_BUSY,
        Code.DATABASE_UNAVAILABLE,
        Code.OUTCOME_UNKNOWN,
        Code.INTERNAL,
    )
)
"""What no change of the input mends: a top-level error."""


@strawberry.type(description="What is wrong with an input, and what would be right.")
class UserError:
    """One error of a mutation or of one item of it."""

    code: ErrorCode = strawberry.field(description="What kind of error it is.")
    message: str = strawberry.field(description="What was wrong, with the value, and what would be right.")
    path: list[str] = strawberry.field(description="Where in the input: names, and indexes as digits.")


@strawberry.interface(description="What every mutation answers with.")
class Payload:
    """Nothing was written when `errors` is not empty; bulk mutations have errors per item, too."""

    errors: list[UserError] = strawberry.field(
        description="What was wrong with the input; empty when all went well.", default_factory=list
    )


def user_errors(errors: tuple[GradbookError, ...]) -> list[UserError]:
    """The errors as GraphQL shows them."""
    return [
        UserError(code=ErrorCode[error.code], message=error.message, path=[str(part) for part in error.path])
        for error in errors
    ]


async def mutate(info: strawberry.Info[Any, Any], payload: type[P], work: Callable[[UnitOfWork], P]) -> P:
    """Run `work` in one unit of work, read what the caller selected of its payload in it, and commit.

    Nothing is written when `work` raises.
    """
    context = cast("Context", info.context)
    raw = info._raw_info

    def whole(uow: UnitOfWork) -> P:
        made = work(uow)
        context.engine.load(raw, uow, made)
        return made

    made = await _transact(context, payload, whole)
    await context.engine.attach(raw, made)
    return made


async def remove(
    info: strawberry.Info[Any, Any],
    payload: type[P],
    find: Callable[[UnitOfWork], P],
    delete: Callable[[UnitOfWork], object],
) -> P:
    """As `mutate`, of what goes: `find` makes the payload that shows it, which is read before `delete` removes it.

    Attached fields cannot be read in a unit of work. Where some are selected there are two, and they are read between
    them; `delete` demands what it needs in either case.
    """
    context = cast("Context", info.context)
    raw = info._raw_info

    def look(uow: UnitOfWork) -> P:
        made = find(uow)
        context.engine.load(raw, uow, made)
        return made

    def whole(uow: UnitOfWork) -> P:
        made = look(uow)
        delete(uow)
        return made

    if not context.engine.has_attached(raw):
        return await _transact(context, payload, whole)
    seen = await _transact(context, payload, look)
    if seen.errors:
        return seen
    await context.engine.attach(raw, seen)

    def gone(uow: UnitOfWork) -> P:
        delete(uow)
        return seen

    return await _transact(context, payload, gone)


async def _transact(context: Context, payload: type[P], work: Callable[[UnitOfWork], P]) -> P:
    """What the work makes, or a payload with what a user can mend."""
    viewer = required_viewer(context)
    try:
        return await context.database.transact(work, viewer=viewer)
    except GradbookError as error:
        if error.code in UNMENDABLE:
            raise
        return payload(errors=user_errors(getattr(error, "errors", (error,))))
