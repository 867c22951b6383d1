"""The commands that look after the database and tell about the server."""

from dataclasses import asdict
from typing import Annotated

import orjson
import typer

from app.accounts.audit import list_events
from app.accounts.bootstrap import ensure_workspace
from app.annotation.search_index import unsearchable
from app.annotation.verify import Count, drifted
from app.cli.output import say, show_table
from app.cli.session import DatabaseUrl, as_operator, with_database
from app.db import Database
from app.settings import describe, load


def migrate(database_url: DatabaseUrl = None) -> None:
    """Make the database, or bring it up to this version.

    An empty database gets the workspace `default`. `gradbook serve` does the same when it starts.
    """
    from app.db import migrate as migrations  # noqa: PLC0415 - alembic, which other commands need not wait for

    settings = load(database_url=database_url)
    migrations.upgrade(settings.database_url)
    as_operator(database_url, ensure_workspace)
    say(f"The database is at revision {migrations.current(settings.database_url)}.")


def verify(database_url: DatabaseUrl = None) -> None:
    """Check every status against the responses, and the search index against the records.

    The responses are counted anew, and each record is printed whose status is not what they make it, or that searches
    do not find by what it says. Servers may run meanwhile. The exit code is 1 if any record differs.
    """
    if with_database(_print_drifted, database_url):
        raise typer.Exit(1)
    say("Every status is what its responses make it.")
    say("Every record is found by what it says.")


def audit(
    last: Annotated[int, typer.Option(min=1, max=100_000, help="How many; the newest.")] = 50,
    json: Annotated[bool, typer.Option("--json", help="One JSON object a line, with all that is stored.")] = False,
    database_url: DatabaseUrl = None,
) -> None:
    """Show the audit log: who changed what in accounts, who deleted what, who signed in. The newest come last."""
    rows = as_operator(database_url, list_events, last)
    if json:
        for row in rows:
            say(orjson.dumps(asdict(row), default=lambda value: value.name).decode())
        return
    show_table(
        ["when", "who", "what", "to whom", "details", "from"],
        [
            (
                f"{row.created_at:%Y-%m-%d %H:%M:%S}",
                row.actor_name or "",
                row.action.name,
                " ".join(filter(None, (row.subject, row.subject_name))),
                "" if row.details is None else orjson.dumps(row.details).decode(),
                row.address or row.door.name.lower(),
            )
            for row in rows
        ],
    )


def schema() -> None:
    """Print the GraphQL schema, as SDL."""
    from app.schema import sdl  # noqa: PLC0415 - half a second that other commands need not wait for

    say(sdl().rstrip("\n"))


def settings(database_url: DatabaseUrl = None) -> None:
    """List all settings.

    Each with its value, where that came from, and what it is for. A setting is a variable of the environment, or a line
    NAME=VALUE in the file .env of this folder; passwords are not shown.
    """
    loaded = load(database_url=database_url)
    show_table(["setting", "value", "source", "description"], describe(loaded, database_url=database_url))


async def _print_drifted(database: Database) -> int:
    count = 0
    async for drift in drifted(database):
        count += 1
        named = _named(drift.record_id, drift.external_id, drift.dataset_id)
        say(f"{named} is {_shown(drift.stored)}, should be {_shown(drift.true)}")
    async for wrong in unsearchable(database):
        count += 1
        say(f"{_named(wrong.record_id, wrong.external_id, wrong.dataset_id)} {wrong.reason}")
    return count


def _named(record_id: int, external_id: str | None, dataset_id: int) -> str:
    name = "" if external_id is None else f" ({external_id!r})"
    return f"rec_{record_id}{name} in dst_{dataset_id}:"


def _shown(count: Count) -> str:
    return f"{count.status.name} with {count.submitted} of {count.required}"
