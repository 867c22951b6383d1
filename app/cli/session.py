"""What the commands share: the database they work on, and how one is run on it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, TypeVar, TypeVarTuple

import typer

from app.accounts.access import OPERATOR
from app.db import Database, UnitOfWork
from app.errors import Code, GradbookError
from app.services import open_book
from app.settings import PREFIX, Settings, load

R = TypeVar("R")
Ts = TypeVarTuple("Ts")


def setting_option(name: str, *flags: str, metavar: str | None = None) -> Any:
    """An option that is also a setting, described by it."""
    field = Settings.model_fields[name]
    default = "" if field.default == "" else f"; {field.default} without"
    return typer.Option(
        *flags, metavar=metavar, help=f"{field.description} ({PREFIX}{name.upper()}{default})", show_default=False
    )


DatabaseUrl = Annotated[
    str | None,
    typer.Option(
        "--database-url",
        metavar="URL",
        help="The database, if not that of the setting GRADBOOK_DATABASE_URL.",
        show_default=False,
    ),
]


def with_database(work: Callable[[Database], Awaitable[R]], database_url: str | None) -> R:
    """Open the database, do the work on it, and close it."""
    settings = load(database_url=database_url)

    async def run() -> R:
        async with await open_book(settings) as database:
            return await work(database)

    return asyncio.run(run())


def as_operator(database_url: str | None, fn: Callable[[UnitOfWork, *Ts], R], *args: *Ts) -> R:
    """Run one domain function in a transaction, as whoever has the machine."""
    return with_database(lambda database: database.transact(fn, *args, viewer=OPERATOR), database_url)


def database_failure(error: BaseException) -> GradbookError | None:
    """What a driver raised (the disk is full, the server went away) as an error for people; None for other errors."""
    if type(error).__module__.partition(".")[0] not in {"sqlite3", "asyncpg", "sqlalchemy"}:
        return None
    said = str(getattr(error, "orig", None) or error).strip() or type(error).__name__
    return GradbookError(Code.DATABASE_UNAVAILABLE, f"The database failed: {said}.")


def page_address(settings: Settings, page: str, port: int | None = None) -> str:
    """Where browsers find a page: a one-time link is that of `sign-in`, `#` and its secret. `port` was taken."""
    if settings.public_url:
        return f"{settings.public_url}/{page}"
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)  # "all" is no place to go to
    return f"http://{f'[{host}]' if ':' in host else host}:{port or settings.port}/{page}"
