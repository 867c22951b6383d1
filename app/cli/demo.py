"""The command `demo`."""

import sys
from typing import Annotated, NamedTuple

import typer

from app.accounts.bootstrap import ensure_workspace
from app.annotation.demo.dataset import NAME, USERNAMES, Demo, find_demo, make_demo, remove_demo
from app.cli import lookups
from app.cli.output import say
from app.cli.session import DatabaseUrl, as_operator, page_address
from app.db import UnitOfWork
from app.errors import Code, GradbookError
from app.settings import load
from app.training.demo.tasks import demo_tasks, make_demo_tasks, remove_demo_tasks

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


class Found(NamedTuple):
    """The demo as it is: the dataset, and the ids of the tasks."""

    dataset: Demo
    tasks: list[int]


def demo(
    remove: Annotated[
        bool,
        typer.Option(
            "--remove",
            help="Remove it again: the dataset, its annotators, all answers about it, and their training tasks.",
        ),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Remove it without asking.")] = False,
    database_url: DatabaseUrl = None,
) -> None:
    """Make a dataset and training tasks to try things on.

    The dataset `demo` holds real passages in English and Chinese, with questions of every type, suggestions, and the
    answers of five simulated annotators who do not always agree. Two of them have training tasks: real runs of a small
    model with several ranks and learning rates. `--remove` takes all of it away again. A server may run meanwhile.
    """
    if remove:
        _remove(yes, database_url)
        return
    made, found = as_operator(database_url, _make)
    if not made:
        say(f"The demo is there already: {_described(found)}. `gradbook demo --remove` removes it.")
        return
    settings = load(database_url=database_url)
    say(
        f"The demo was made: {_described(found)}.\n"
        f"The answers are simulated; they are those of {', '.join(USERNAMES)}. The training tasks are recordings.\n"
        f"Next, with the server running (`gradbook serve`), open {page_address(settings, 'graphiql')}, or where else "
        f"it says it is, and try\n\n"
        f"{QUERY}\n"
    )


def _make(uow: UnitOfWork) -> tuple[bool, Found]:
    """Whether something of the demo was made just now, and what it is. What is missing is made."""
    ensure_workspace(uow)
    workspace_id = lookups.workspace_id(uow, None)
    dataset, tasks = find_demo(uow, workspace_id), demo_tasks(uow, workspace_id)
    made = dataset is None or not tasks
    dataset = dataset or make_demo(uow, workspace_id)
    return made, Found(dataset, tasks or make_demo_tasks(uow, workspace_id))


def _remove(yes: bool, database_url: str | None) -> None:
    found = as_operator(database_url, _find)
    if found is None:
        say("There is no demo.")
        return
    if not yes:
        _confirm(found)
    as_operator(database_url, _delete, found)
    say(f"Removed: {_described(found)}; and the users {', '.join(USERNAMES)}.")


def _find(uow: UnitOfWork) -> Found | None:
    workspace_id = lookups.workspace_id(uow, None)
    dataset = find_demo(uow, workspace_id)
    return None if dataset is None else Found(dataset, demo_tasks(uow, workspace_id))


def _delete(uow: UnitOfWork, found: Found) -> None:
    remove_demo_tasks(uow, found.tasks)
    remove_demo(uow, found.dataset)


def _confirm(found: Found) -> None:
    of_others = found.dataset.of_others
    others = f"{of_others:,} of the responses by other people" if of_others else "no responses by other people"
    if not sys.stdin.isatty():
        message = f"This removes {_described(found)}, {others}. Say --yes to do it without being asked."
        raise GradbookError(Code.CONFLICT, message)
    typer.confirm(f"Remove {_described(found)}, {others}?", abort=True)


def _described(found: Found) -> str:
    dataset = found.dataset
    return (
        f"dataset {NAME!r} (dst_{dataset.dataset_id}) in the workspace {dataset.workspace!r} with "
        f"{dataset.records:,} records, {dataset.completed:,} of them completed, and {dataset.responses:,} responses; "
        f"{len(found.tasks):,} training tasks"
    )
