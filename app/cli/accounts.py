"""The commands for workspaces, users and keys. Whoever can open the database may do everything."""

import asyncio
import datetime
import getpass
import sys
from typing import Annotated, Literal

import typer

from app.accounts import credentials, links, users, workspaces
from app.accounts.passwords import hash_password
from app.accounts.tables import Role
from app.annotation.responses import delete_responses_of_user
from app.cli import lookups
from app.cli.output import note, say, show_table
from app.cli.session import DatabaseUrl, as_operator, page_address
from app.db import UnitOfWork
from app.errors import Code, GradbookError
from app.settings import load

RoleName = Literal["annotator", "admin", "owner"]
Responses = Literal["keep", "delete"]


def workspace_add(
    name: Annotated[str, typer.Argument(help="Its name; unique.")], database_url: DatabaseUrl = None
) -> None:
    """Make a workspace: a group of people and what they work on. It begins without members."""
    workspace_id = as_operator(database_url, workspaces.create_workspace, name)
    say(f"Workspace {name!r} was made (wsp_{workspace_id}).")


def workspace_list(database_url: DatabaseUrl = None) -> None:
    """List all workspaces."""
    rows = as_operator(database_url, workspaces.list_workspaces)
    show_table(["id", "name", "created"], [(f"wsp_{row.id}", row.name, _instant(row.created_at)) for row in rows])


def user_add(
    name: Annotated[str, typer.Argument(help="The username; unique.")],
    role: Annotated[
        RoleName,
        typer.Option(
            help="annotator: answers in their workspaces. admin: manages their workspaces. owner: everything.",
        ),
    ] = "annotator",
    workspace: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="A workspace that they belong to; may be given several times. Annotators and admins get the only "
            "workspace, or `default`, without.",
            show_default=False,
        ),
    ] = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Make a user.

    They get in with a key (`gradbook key create`), in a browser by a link (`gradbook user link`) or with a password
    (`gradbook user passwd`).
    """
    chosen = Role[role.upper()]
    user_id = as_operator(database_url, _add_user, name, chosen, workspace or [])
    say(f"User {name!r} was made, {_article(chosen)} (usr_{user_id}).")


def user_list(database_url: DatabaseUrl = None) -> None:
    """List all users; removed ones are left out."""
    rows = as_operator(database_url, users.list_users)
    show_table(
        ["id", "username", "role", "created"],
        [(f"usr_{row.id}", row.username, row.role.name, _instant(row.created_at)) for row in rows],
    )


def user_passwd(name: Annotated[str, typer.Argument(help="The username.")], database_url: DatabaseUrl = None) -> None:
    """Set a user's password, and end the sessions that they opened with an earlier one.

    The password is asked for twice. From a pipe it is one line: `echo "$PASSWORD" | gradbook user passwd NAME`.
    """
    user = as_operator(database_url, lookups.user, name)  # an unknown name is told before anybody types
    password_hash = asyncio.run(hash_password(_read_password(name)))
    changes = users.UserChanges(password_hash=password_hash)
    as_operator(database_url, users.update_user, user.id, changes)
    say(f"The password of {name!r} was set.")


def user_link(
    name: Annotated[str, typer.Argument(help="The username.")],
    hours: Annotated[float, typer.Option(min=0.01, max=168, help="How long it can be used.")] = 1,
    database_url: DatabaseUrl = None,
) -> None:
    """Make a link that signs a user in in the browser, once.

    Whoever opens it is that user: send it on a way that nobody else reads. It stands alone on the last line.
    """
    secret = as_operator(database_url, _create_link, name, datetime.timedelta(hours=hours))
    address = page_address(load(), "sign-in")
    say(f"This link signs {name!r} in, once, within {_hours(hours)}:\n{address}#{secret}")


def user_remove(
    name: Annotated[str, typer.Argument(help="The username.")],
    responses: Annotated[
        Responses,
        typer.Option(
            help="keep: their responses stay, as those of a removed user. delete: they go, and the statuses of the "
            "records follow.",
        ),
    ],
    database_url: DatabaseUrl = None,
) -> None:
    """Remove a user: keys, sessions and memberships go, open connections end, the username is free again."""
    deleted = as_operator(database_url, _remove_user, name, responses)
    kept = "" if responses == "keep" else f", with {deleted:,} response{'' if deleted == 1 else 's'}"
    say(f"User {name!r} was removed{kept}.")


def key_create(
    name: Annotated[str, typer.Argument(help="What it is for, as in `laptop` or `nightly import`.")],
    user: Annotated[
        str | None, typer.Option(metavar="NAME", help="Whose key it is; the first owner's without.", show_default=False)
    ] = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Make an API key and show its secret.

    It is shown this once: the database keeps only a hash. It stands alone on the last line, as for
    `KEY=$(gradbook key create laptop | tail -n 1)`.
    """
    key_id, username, secret = as_operator(database_url, _create_key, name, user)
    say(f"Key {name!r} of {username!r} was made (key_{key_id}). Its secret is shown only here:\n{secret}")


def key_list(database_url: DatabaseUrl = None) -> None:
    """List all keys, revoked and expired ones too."""
    rows = as_operator(database_url, credentials.list_keys)
    show_table(
        ["id", "name", "begins with", "user", "created", "state"],
        [(f"key_{row.id}", row.name, row.prefix, row.username, _instant(row.created_at), _state(row)) for row in rows],
    )


def key_revoke(
    key: Annotated[
        str, typer.Argument(help="Its id (key_…), its name, or how it begins (gb_…), as `gradbook key list` shows.")
    ],
    database_url: DatabaseUrl = None,
) -> None:
    """Make a key useless, at once: connections that it opened end too."""
    row = as_operator(database_url, _revoke_key, key)
    say(f"Key {row.name!r} of {row.username!r} (key_{row.id}) was revoked.")


def _add_user(uow: UnitOfWork, name: str, role: Role, workspace_names: list[str]) -> int:
    names: list[str | None] = [*workspace_names] or ([] if role is Role.OWNER else [None])
    ids = tuple(dict.fromkeys(lookups.workspace_id(uow, one) for one in names))
    return users.create_user(uow, users.NewUser(name, role, workspace_ids=ids))


def _create_link(uow: UnitOfWork, name: str, lifetime: datetime.timedelta) -> str:
    return links.create_link(uow, lookups.user_id(uow, name), lifetime)


def _hours(hours: float) -> str:
    return "an hour" if hours == 1 else f"{hours:g} hours"


def _remove_user(uow: UnitOfWork, name: str, responses: Responses) -> int:
    user_id = lookups.user_id(uow, name)
    deleted = 0

    def delete(uow: UnitOfWork, user_id: int, workspace_ids: frozenset[int] | None) -> int:
        nonlocal deleted
        deleted = delete_responses_of_user(uow, user_id, workspace_ids)
        return deleted

    users.remove_user(uow, user_id, delete if responses == "delete" else None)
    return deleted


def _create_key(uow: UnitOfWork, name: str, username: str | None) -> tuple[int, str, str]:
    if username is None:
        user_id = users.first_owner(uow)
        if user_id is None:
            message = (
                "There is no owner yet whose key it could be: the first `gradbook serve` makes one, or "
                "`gradbook user add NAME --role owner` does. Another user's key: --user NAME."
            )
            raise GradbookError(Code.NOT_FOUND, message)
        username = next(row.username for row in users.list_users(uow) if row.id == user_id)
    else:
        user_id = lookups.user_id(uow, username)
    key_id, secret = credentials.create_key(uow, name, user_id)
    return key_id, username, secret


def _revoke_key(uow: UnitOfWork, text: str) -> credentials.KeyRow:
    row = lookups.key(uow, text)
    credentials.revoke_key(uow, row.id)
    return row


def _read_password(name: str) -> str:
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    while True:
        password = getpass.getpass(f"New password of {name}: ")
        if password == getpass.getpass("The same again: "):
            return password
        note("The two differ; once more.")


def _state(key: credentials.KeyRow) -> str:
    now = datetime.datetime.now(datetime.UTC)
    if key.revoked_at is not None:
        return f"revoked {_instant(key.revoked_at)}"
    if key.expires_at is None:
        return "valid"
    return f"{'expired' if key.expires_at <= now else 'valid until'} {_instant(key.expires_at)}"


def _instant(value: datetime.datetime) -> str:
    return f"{value:%Y-%m-%d %H:%M}"


def _article(role: Role) -> str:
    return f"{'a' if role.name[0] not in 'AEIOU' else 'an'} {role.name}"
