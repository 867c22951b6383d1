"""The command `demo`."""

import sys
from typing import Annotated

import typer

from app.accounts.bootstrap import ensure_workspace
from app.annotation.demo.dataset import NAME, USERNAMES, Demo, find_demo, make_demo, remove_demo
from app.cli import lookups
from app.cli.output import say
from app.cli.session import DatabaseUrl, as_operator, page_address
from app.db import UnitOfWork
from app.errors import Code, GradbookError
from app.settings import load

QUERY = """\
  {
    datasets(where: {name: {eq: "demo"}}) {
      nodes {
        progress { total completed pending }
        records(first: 5) {
          nodes {
            status
            fields
            responses { nodes { status values user { username } } }
            suggestions { question value score }
          }
        }
      }
    }
  }"""


def demo(
    remove: Annotated[
        bool, typer.Option("--remove", help="Remove it again: the dataset, its annotators, and all answers about it.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Remove it without asking.")] = False,
    database_url: DatabaseUrl = None,
) -> None:
    """Make a dataset to try things on.

    The dataset `demo` holds real passages in English and Chinese, with questions of every type, suggestions, and the
    answers of five simulated annotators who do not always agree. `--remove` takes all of it away again. A server may
    run meanwhile.
    """
    if remove:
        _remove(yes, database_url)
        return
    made, demo = as_operator(database_url, _make)
    if not made:
        say(f"The demo is there already: {_described(demo)}. `gradbook demo --remove` removes it.")
        return
    settings = load(database_url=database_url)
    say(
        f"The demo was made: {_described(demo)}.\n"
        f"The answers are simulated; they are those of {', '.join(USERNAMES)}.\n"
        f"Next, with the server running (`gradbook serve`), open {page_address(settings, 'graphiql')}, or where else "
        f"it says it is, and try\n\n"
        f"{QUERY}\n"
    )


def _make(uow: UnitOfWork) -> tuple[bool, Demo]:
    """Whether the demo was made just now, and what it is."""
    ensure_workspace(uow)
    workspace_id = lookups.workspace_id(uow, None)
    found = find_demo(uow, workspace_id)
    return found is None, found or make_demo(uow, workspace_id)


def _remove(yes: bool, database_url: str | None) -> None:
    found = as_operator(database_url, _find)
    if found is None:
        say("There is no demo.")
        return
    if not yes:
        _confirm(found)
    as_operator(database_url, remove_demo, found)
    say(f"Removed: {_described(found)}; and the users {', '.join(USERNAMES)}.")


def _find(uow: UnitOfWork) -> Demo | None:
    return find_demo(uow, lookups.workspace_id(uow, None))


def _confirm(found: Demo) -> None:
    others = (
        f"{found.of_others:,} of these by other people than the demo's" if found.of_others else "none by other people"
    )
    if not sys.stdin.isatty():
        message = f"This removes {_described(found)}, {others}. Say --yes to do it without being asked."
        raise GradbookError(Code.CONFLICT, message)
    typer.confirm(f"Remove {_described(found)}, {others}?", abort=True)


def _described(found: Demo) -> str:
    return (
        f"dataset {NAME!r} (dst_{found.dataset_id}) in the workspace {found.workspace!r} with {found.records:,} "
        f"records, {found.completed:,} of them completed, and {found.responses:,} responses"
    )
