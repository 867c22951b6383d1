"""The command `gradbook`: a module for each group of commands, put together in `build_cli`."""

import sys
from collections.abc import Callable

import typer

from app.cli import accounts, demo, maintenance, output, registered, serve, tasks, transfer
from app.cli.session import database_failure
from app.errors import GradbookError

_HELP = """
What people say about data and what models learn from it, in one GraphQL server.

Begin with `gradbook serve`. Every command works on the database of the setting GRADBOOK_DATABASE_URL, which is the file
gradbook.db in this folder unless it is set (`gradbook settings`).
"""


def build_cli() -> typer.Typer:
    """All commands."""
    cli = _group(_HELP)
    _add(cli, serve.serve, demo.demo, maintenance.migrate)
    cli.add_typer(
        _add(
            _group("Workspaces: groups of people and what they work on."),
            accounts.workspace_add,
            accounts.workspace_list,
        ),
        name="workspace",
    )
    cli.add_typer(
        _add(
            _group("Users: people and programs."),
            accounts.user_add,
            accounts.user_list,
            accounts.user_passwd,
            accounts.user_link,
            accounts.user_remove,
        ),
        name="user",
    )
    cli.add_typer(
        _add(
            _group("API keys, by which programs are recognised."),
            accounts.key_create,
            accounts.key_list,
            accounts.key_revoke,
        ),
        name="key",
    )
    cli.add_typer(
        _add(
            _group("Training tasks: what went in, how they go, what came out."),
            tasks.task_import,
            tasks.task_list,
            tasks.task_show,
            tasks.task_watch,
        ),
        name="task",
    )
    cli.add_typer(
        _add(
            _group("Registered operations: what production frontends send, and nothing else."),
            registered.operations_register,
            registered.operations_list,
            registered.operations_remove,
        ),
        name="operations",
    )
    return _add(
        cli,
        transfer.import_,
        transfer.export,
        maintenance.verify,
        maintenance.audit,
        maintenance.schema,
        maintenance.settings,
    )


def main() -> None:
    """Run the command; what a user can mend is one line on standard error, never a traceback."""
    try:
        build_cli()(prog_name="gradbook")
    except (GradbookError, OSError) as error:
        output.show_error(error)
        sys.exit(1)
    except Exception as error:
        if (failure := database_failure(error)) is None:
            raise
        output.show_error(failure)
        sys.exit(1)


def _group(help_text: str) -> typer.Typer:
    return typer.Typer(
        help=help_text,
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    )


def _add(group: typer.Typer, *commands: Callable[..., None]) -> typer.Typer:
    for command in commands:
        name = command.__name__.strip("_").rsplit("_", 1)[-1]
        group.command(name)(command)
    return group
