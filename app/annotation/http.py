"""Files in and out of a dataset over HTTP, for browsers and scripts: POST /datasets/{id}/import, GET …/export."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from enum import Enum
from tempfile import TemporaryFile
from typing import Any, BinaryIO, TypeVar

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from app.accounts.viewer import Viewer, signed_in
from app.annotation.records import OnConflict
from app.annotation.transfer import apart
from app.annotation.transfer.aside import aside
from app.annotation.transfer.exporting import export_records
from app.annotation.transfer.formats import MEDIA_TYPES, Format, open_source, written
from app.annotation.transfer.importing import ImportOptions, Tally, import_records
from app.annotation.transfer.line_format import BadLine
from app.annotation.transfer.places import dataset_to_export, dataset_to_import
from app.db import Database
from app.errors import Code, GradbookError
from app.graphql.bodies import demand_plain
from app.graphql.door import Door, attachment, bad, json_answer, known_options
from app.graphql.refusals import BadRequestError
from app.graphql.scalars import decode_id

E = TypeVar("E", bound=Enum)

MAX_ERRORS = 100  # that an answer lists

# What a page of another site can send without being asked first, with its visitor's cookie.
_SIMPLE_TYPES = frozenset({"", "text/plain", "multipart/form-data", "application/x-www-form-urlencoded"})
_CHUNK = 1 << 20  # bytes that are written to disk at once
_TRUTH = {"true": True, "false": False}


@dataclass(frozen=True, slots=True)
class UploadLimits:
    """What an upload may be: its bytes, and the seconds until all of it is here."""

    max_bytes: int
    seconds: float


def routes(
    database: Callable[[Request], Database],
    identify: Callable[[Request], Awaitable[Viewer | None]],
    limits: UploadLimits,
) -> list[Route]:
    """The two routes. Errors look as in GraphQL: `{"errors": [{"message", "extensions": {"code"}}]}`.

    An upload is the file itself, of any type but those that a form can send. It is kept on disk until it is read, and
    nowhere else. Who may not import is refused before.
    """

    async def post_import(request: Request) -> Response:
        viewer = signed_in(await identify(request))
        options = known_options(request, {"format", "onConflict", "createUsers"})
        given = _choice(options, "format", Format)
        on_conflict = _choice(options, "onConflict", OnConflict) or OnConflict.SKIP
        create_users = _truth(options, "createUsers")
        _demand_file_type(request)
        demand_plain(request)
        dataset_id = decode_id("dst", request.path_params["id"], "dataset")
        place, shape = await database(request).transact(dataset_to_import, dataset_id, viewer=viewer)
        to = ImportOptions(dataset_id, place.workspace_id, on_conflict, create_users, viewer, aside=True)
        with TemporaryFile() as file:  # it has no name: nothing stays of it, whatever happens
            await _receive(request, file, limits)
            source = await aside(open_source, file, given)
            await aside(apart.check, source, file)
            return await _import(database(request), source.records(shape), to, source.unit)

    async def get_export(request: Request) -> Response:
        viewer = signed_in(await identify(request))
        chosen = _choice(known_options(request, {"format"}), "format", MEDIA_TYPES) or Format.JSONL
        dataset_id = decode_id("dst", request.path_params["id"], "dataset")
        name, shape = await database(request).transact(dataset_to_export, dataset_id, viewer=viewer)
        lines = export_records(database(request), dataset_id, viewer)
        headers = attachment(f"{name}.{chosen.value}")
        return StreamingResponse(_data(written(lines, shape, chosen)), headers=headers, media_type=MEDIA_TYPES[chosen])

    return [
        Route("/datasets/{id}/import", Door(post=post_import)),
        Route("/datasets/{id}/export", Door(get=get_export)),
    ]


async def _import(database: Database, records: Iterator[Any], options: ImportOptions, unit: str) -> Response:
    errors: list[dict[str, Any]] = []
    last = Tally()

    def report(line: BadLine) -> None:
        if len(errors) < MAX_ERRORS:
            errors.append({unit: line.number, "message": line.reason})

    def advance(tally: Tally) -> None:
        nonlocal last
        last = tally

    try:
        tally = await import_records(database, records, options, report, advance)
    except GradbookError as error:
        if last.lines:
            kept = f" The first {last.lines:,} {unit}s are done: send the same file again to go on."
            raise GradbookError(Code[error.code], error.message + kept) from None
        raise
    counts = {name: count for name, count in asdict(tally).items() if name not in {"lines", "end"}}
    return json_answer(200, {f"{unit}s": tally.lines, **counts, "errors": errors})


async def _receive(request: Request, file: BinaryIO, limits: UploadLimits) -> None:
    """The body, into the file, which then stands at its beginning."""
    too_long = BadRequestError(
        413,
        f"The file is longer than {limits.max_bytes:,} bytes (GRADBOOK_MAX_IMPORT_BYTES): split it, or run "
        "`gradbook import` beside the database.",
        Code.LIMIT_EXCEEDED,
    )
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > limits.max_bytes:
        raise too_long
    size = 0
    waiting: list[bytes] = []
    held = 0
    try:
        async with asyncio.timeout(limits.seconds):
            async for chunk in request.stream():
                size, held = size + len(chunk), held + len(chunk)
                if size > limits.max_bytes:
                    raise too_long
                waiting.append(chunk)
                if held >= _CHUNK:
                    await aside(file.writelines, waiting)
                    waiting, held = [], 0
    except TimeoutError:
        message = f"The upload was not complete after {limits.seconds:g} seconds (GRADBOOK_IMPORT_SECONDS)."
        raise BadRequestError(408, f"{message} Nothing was imported.", Code.LIMIT_EXCEEDED) from None
    except ClientDisconnect:
        raise bad("The upload was broken off. Nothing was imported.") from None
    await aside(file.writelines, waiting)
    file.seek(0)


async def _data(parts: AsyncIterator[tuple[bytes, int]]) -> AsyncIterator[bytes]:
    async for data, _ in parts:
        if data:
            yield data


def _demand_file_type(request: Request) -> None:
    content_type = request.headers.get("content-type", "")
    if content_type.partition(";")[0].strip().lower() in _SIMPLE_TYPES:
        raise BadRequestError(
            415,
            f"The content type is {content_type or 'missing'!r}: send the file itself as application/octet-stream, or "
            "as what it is, such as text/csv.",
        )


def _choice(options: Mapping[str, str], name: str, kind: Iterable[E]) -> E | None:
    if name not in options:
        return None
    choices = {one.name.lower().replace("_", "-"): one for one in kind}
    if (found := choices.get(options[name].lower())) is None:
        raise bad(f"{name} is {options[name]!r}: use {', '.join(choices)}.")
    return found


def _truth(options: Mapping[str, str], name: str) -> bool:
    text = options.get(name, "false")
    if text not in _TRUTH:
        raise bad(f"{name} is {text!r}: use true or false.")
    return _TRUTH[text]
