"""The commands for registered operations: documents that callers name by an id."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import orjson
import typer

from app.accounts import registered
from app.accounts.registered import Document, Registration
from app.annotation.checks import raise_errors
from app.cli.manifests import Found, read_files
from app.cli.output import note, say, show_table
from app.cli.session import DatabaseUrl, as_operator
from app.errors import Code, GradbookError
from app.settings import Settings, load

Files = Annotated[
    list[Path],
    typer.Argument(
        metavar="FILE...",
        help="Manifests of Apollo, Relay or GraphQL Code Generator; .graphql files, or folders of them; - is a "
        "manifest on standard input.",
    ),
]


def operations_register(
    files: Files,
    replace: Annotated[
        bool, typer.Option("--replace", help="Remove whatever else is registered: these files hold everything.")
    ] = False,
    database_url: DatabaseUrl = None,
) -> None:
    """Register the operations that frontends send, for servers with GRADBOOK_REGISTERED_ONLY and others.

    Each is checked against the schema and the limits first; if one is wrong, none is registered. An id is what the
    manifest says, and of a .graphql file its SHA-256. Servers that run know new ones at once, and leave removed ones
    within seconds.
    """
    settings = load(database_url=database_url)
    documents = _checked(read_files(files), settings)
    done = as_operator(database_url, lambda uow: registered.register_operations(uow, documents, replace=replace))
    say(_told(done))
    if not settings.registered_only:
        note("Other operations are run too, unless GRADBOOK_REGISTERED_ONLY=true is set where the server starts.")


def operations_list(
    json: Annotated[bool, typer.Option("--json", help="One JSON object a line, with the text.")] = False,
    database_url: DatabaseUrl = None,
) -> None:
    """List the registered operations."""
    rows = as_operator(database_url, registered.list_operations)
    if json:
        for row in rows:
            say(orjson.dumps(asdict(row)).decode())
        return
    show_table(
        ["name", "id", "characters", "registered"],
        [(row.name or "", row.id, f"{len(row.document):,}", f"{row.created_at:%Y-%m-%d %H:%M}") for row in rows],
    )


def operations_remove(
    operations: Annotated[list[str], typer.Argument(metavar="ID...", help="Ids, or names that only one has.")],
    database_url: DatabaseUrl = None,
) -> None:
    """Remove registered operations. Frontends that still send them are refused, where nothing else is run."""
    rows = as_operator(database_url, registered.remove_operations, operations)
    for row in rows:
        say(f"Operation {row.name or row.id!r} was removed ({row.id}).")


def _checked(found: Iterable[Found], settings: Settings) -> list[Document]:
    """The documents, each once. Raises INVALID_INPUT with all that is wrong."""
    from app.graphql.documents import Documents  # noqa: PLC0415 - the schema: half a second
    from app.graphql.limits import limits_of  # noqa: PLC0415
    from app.schema import build_schema  # noqa: PLC0415

    documents = Documents(build_schema(""), limits_of(settings))
    checked: dict[str, Document] = {}
    wrong: list[str] = []
    for one in found:
        document = documents.get(one.text)
        names = [operation.name for operation in document.operations if operation.name]
        before = checked.get(one.id)
        if before is not None and before.text != one.text:
            wrong.append(f"{one.place}: another document of these files has the same id")
        elif document.errors:
            wrong += [f"{one.place}: {error.message}{_at(error.locations)}" for error in document.errors]
        elif not document.operations:
            wrong.append(f"{one.place}: it holds fragments and no operation, as the manifest of a build has them")
        elif "\0" in one.text:
            wrong.append(f"{one.place}: it has a NUL character, which databases cannot hold")
        else:
            checked[one.id] = Document(one.id, ", ".join(names) or None, one.text)
    raise_errors([GradbookError(Code.INVALID_INPUT, message) for message in wrong])
    return list(checked.values())


def _at(locations: Sequence[object] | None) -> str:
    places = [f"{place.line}:{place.column}" for place in locations or ()]  # type: ignore[attr-defined]
    return f" ({', '.join(places)})" if places else ""


def _told(done: Registration) -> str:
    parts = {
        "new": done.new,
        "changed": done.changed,
        "as before": done.unchanged,
        "removed": done.removed,
    }
    return "Operations: " + (", ".join(f"{count:,} {what}" for what, count in parts.items() if count) or "none") + "."
