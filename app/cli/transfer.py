"""The commands `import` and `export`."""

import asyncio
import os
import shutil
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from io import BufferedReader
from itertools import chain, islice
from pathlib import Path
from tempfile import TemporaryFile
from typing import Annotated, BinaryIO, Literal, cast

import typer

from app.accounts.access import OPERATOR
from app.annotation.checks import listed, shown
from app.annotation.datasets import CreateDatasetInput, create_dataset
from app.annotation.records import OnConflict, read_shape
from app.annotation.transfer.exporting import count_records, export_records
from app.annotation.transfer.formats import Format, Source, open_folder, open_source, recognise, written
from app.annotation.transfer.importing import BATCH_LINES, ImportOptions, Tally, import_records
from app.annotation.transfer.inferring import infer_dataset
from app.annotation.transfer.line_format import BadLine, Read
from app.annotation.transfer.places import Place, dataset_names, find_dataset
from app.cli import lookups
from app.cli.output import note, say
from app.cli.progress import Meter
from app.cli.session import DatabaseUrl, with_database
from app.db import Database, UnitOfWork
from app.errors import Code, GradbookError

STDIN = Path("-")

_SUFFIXES = {
    "": Format.JSONL,
    ".jsonl": Format.JSONL,
    ".ndjson": Format.JSONL,
    ".csv": Format.CSV,
    ".parquet": Format.PARQUET,
}

DatasetName = Annotated[str, typer.Option("--dataset", metavar="NAME", help="The dataset's name.")]
WorkspaceName = Annotated[
    str | None,
    typer.Option(
        "--workspace",
        metavar="NAME",
        help="The dataset's workspace. Without it: the one that has such a dataset; for a new one the only workspace, "
        "or `default`.",
        show_default=False,
    ),
]


def import_(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="JSON Lines, CSV, Parquet, a list of records as JSON, Argilla's or Label Studio's JSON, or a folder "
            "that Hugging Face's or Argilla's library saved; told apart by what it holds. - is standard input.",
        ),
    ],
    dataset: DatasetName,
    workspace: WorkspaceName = None,
    schema: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="What a new dataset is made of: the input of the mutation createDataset as JSON. Without it the "
            "fields are those of the records, and there is one question, a comment.",
            show_default=False,
        ),
    ] = None,
    format: Annotated[
        Literal["jsonl", "json", "csv", "parquet", "argilla", "label-studio"] | None,
        typer.Option(help="The format, if it is not to be told from what the file holds.", show_default=False),
    ] = None,
    create_users: Annotated[
        bool,
        typer.Option("--create-users", help="Make unknown users whose responses the file has, as annotators."),
    ] = False,
    on_conflict: Annotated[
        Literal["skip", "update", "error"],
        typer.Option(
            help="What becomes of a record that the dataset has already: skip leaves the stored one as it is, update "
            "replaces what the line has, error reports the line as bad.",
        ),
    ] = "skip",
    database_url: DatabaseUrl = None,
) -> None:
    """Add the records of a file to a dataset.

    The dataset is made if there is none. Of JSON Lines, each line holds one record:

    \b
    {"externalId": "a-1", "fields": {"text": "…"}, "metadata": {"year": 1900},
     "suggestions": [{"question": "tone", "value": "calm", "score": 0.9, "agent": "model-1"}],
     "responses": [{"user": "ann", "values": {"tone": "calm"}, "status": "SUBMITTED"}]}

    Only `fields` are needed; `external_id` is understood too. Bad lines are reported on standard error with their
    number and what is wrong, and the others kept; the exit code is 1 if there was one. The same file can be imported
    again, after a crash for instance: a record is known by its externalId, without one by its fields and metadata.
    """
    with _open(file, format and Format(format)) as opened:
        job = _Import(opened, str(file), dataset, workspace, create_users, OnConflict[on_conflict.upper()])
        new = None if schema is None else _read_schema(schema, dataset)
        tally = with_database(lambda database: job.run(database, new), database_url)
    if tally.bad:
        raise typer.Exit(1)


def export(
    dataset: DatasetName,
    workspace: WorkspaceName = None,
    output: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Where to write; standard output without. The file is replaced when everything is written, or not at "
            "all.",
            show_default=False,
        ),
    ] = None,
    format: Annotated[
        Literal["jsonl", "csv", "parquet"] | None,
        typer.Option(
            help="The format, if it is not to be told from the suffix of FILE; JSON Lines on standard output.",
            show_default=False,
        ),
    ] = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Write the records of a dataset to a file.

    They come with their suggestions and responses, as `gradbook import` reads them, the oldest first. The same records
    always give the same bytes.
    """
    chosen = Format(format) if format else _format_of(output)

    async def write(database: Database) -> None:
        place = await database.transact(_existing, dataset, workspace, viewer=OPERATOR)
        count = await count_records(database, place.dataset_id)
        shape = await database.transact(read_shape, place.dataset_id, viewer=OPERATOR)
        done = 0
        with _replaced(output) as file, Meter("records", count) as meter:
            async for data, records in written(export_records(database, place.dataset_id), shape, chosen):
                file.write(data)
                done += records
                meter.update(done, done)
        note(f"{done:,} record{'' if done == 1 else 's'} in {meter.seconds():.1f} s, {meter.rate(done)}.")

    with_database(write, database_url)


def _format_of(output: Path | None) -> Format:
    """What the suffix says. Raises INVALID_INPUT when it is that of something else."""
    suffix = "" if output is None else output.suffix.lower()
    if suffix not in _SUFFIXES:
        message = (
            f"{output}: {suffix} is no format that is written. End it in .jsonl, .csv or .parquet, or say --format."
        )
        raise GradbookError(Code.INVALID_INPUT, message)
    return _SUFFIXES[suffix]


@dataclass(frozen=True)
class _Opened:
    """What is imported, and how many bytes it has, if that is known."""

    source: Source
    size: int | None
    read_once: bool = False


class _Import:
    """One run of `import`."""

    def __init__(
        self, opened: _Opened, shown_as: str, dataset: str, workspace: str | None, create_users: bool, on: OnConflict
    ) -> None:
        self._source, self._size = opened.source, opened.size
        self._read_once = opened.read_once
        self._shown_as = "standard input" if shown_as == "-" else shown_as
        self._dataset = dataset
        self._workspace = workspace
        self._create_users = create_users
        self._on_conflict = on

    async def run(self, database: Database, new: CreateDatasetInput | None) -> Tally:
        """Import everything, and say what became of it."""
        self._source.check()
        place = await database.transact(find_dataset, self._dataset, self._workspace, viewer=OPERATOR)
        records: Iterable[Read] | None = None
        if place is None:
            place, records = await self._make_dataset(database, new)
        elif new is not None:
            await database.transact(self._compare, place, new, viewer=OPERATOR)
        if records is None:
            records = self._source.records(await database.transact(read_shape, place.dataset_id, viewer=OPERATOR))
        options = ImportOptions(place.dataset_id, place.workspace_id, self._on_conflict, self._create_users)
        unit = self._source.unit
        with Meter(f"{unit}s", self._size) as meter:

            def report(line: BadLine) -> None:
                meter.print(f"{self._shown_as}:{line.number}: {line.reason}")

            done = 0

            def advance(tally: Tally) -> None:
                nonlocal done
                done = tally.lines
                meter.update(tally.end, done)

            try:
                tally = await import_records(database, records, options, report, advance)
            except asyncio.CancelledError:
                meter.print(f"Stopped after {done:,} {unit}s, which are kept. The same command goes on from there.")
                raise
        say(
            f"{self._shown_as} into {self._dataset!r} (dst_{place.dataset_id}): {tally.added:,} added, "
            f"{tally.updated:,} updated, {tally.skipped:,} there already, {tally.bad:,} bad; {tally.lines:,} {unit}s "
            f"in {meter.seconds():.1f} s, {meter.rate(tally.lines)}."
        )
        return tally

    async def _make_dataset(
        self, database: Database, new: CreateDatasetInput | None
    ) -> tuple[Place, Iterable[Read] | None]:
        """The new dataset, and the records if they were read for it and cannot be read again."""
        given = None if new is None else new.workspace_id
        workspace_id = given if given is not None and self._workspace is None else None
        if workspace_id is None:
            workspace_id = await database.transact(lookups.workspace_id, self._workspace, viewer=OPERATOR)
        records: Iterable[Read] | None = None
        if new is None:
            new, records = self._infer(workspace_id)
        dataset_id = await database.transact(create_dataset, replace(new, workspace_id=workspace_id), viewer=OPERATOR)
        note(
            f"Dataset {self._dataset!r} was made: its records have {listed(field.name for field in new.fields)}, "
            f"asked is {listed(question.name for question in new.questions)}."
        )
        return Place(dataset_id, workspace_id), records

    def _infer(self, workspace_id: int) -> tuple[CreateDatasetInput, Iterable[Read] | None]:
        """From all records, which are then read again; from the first 1,000 of lines that are read once."""
        records, unit = self._source.records(None), self._source.unit
        if not self._read_once:
            return infer_dataset(self._dataset, workspace_id, records, unit, self._source.questions()), None
        first = list(islice(records, BATCH_LINES))
        return infer_dataset(self._dataset, workspace_id, first, unit), chain(first, records)

    def _compare(self, uow: UnitOfWork, place: Place, new: CreateDatasetInput) -> None:
        shape = read_shape(uow, place.dataset_id)
        fields = {field.name: (field.type, field.required) for field in new.fields}
        questions = {question.name: (question.settings, question.required) for question in new.questions}
        if fields != {name: (field.type, field.required) for name, field in shape.fields.items()} or questions != {
            name: (question.settings, question.required) for name, question in shape.questions.items()
        }:
            note(
                f"The dataset {self._dataset!r} exists, with other fields or questions than the schema: it keeps its "
                "own."
            )


def _read_schema(path: Path, dataset: str) -> CreateDatasetInput:
    from app.cli.schema_file import read_schema_file  # noqa: PLC0415 - GraphQL, which takes half a second to import

    return read_schema_file(path, dataset)


def _existing(uow: UnitOfWork, name: str, workspace: str | None) -> Place:
    if workspace is not None:
        lookups.workspace_id(uow, workspace)
    place = find_dataset(uow, name, workspace)
    if place is None:
        where = "" if workspace is None else f" in the workspace {workspace!r}"
        message = f"There is no dataset {shown(name)}{where}; there is {listed(dataset_names(uow))}."
        raise GradbookError(Code.NOT_FOUND, message)
    return place


@contextmanager
def _open(path: Path, given: Format | None) -> Iterator[_Opened]:
    """The file in its format. Standard input that cannot be sought is copied first, unless it is JSON Lines."""
    with ExitStack() as stack:
        if path != STDIN and path.is_dir():
            yield _Opened(*open_folder(path, given, stack))
            return
        file: BinaryIO = sys.stdin.buffer if path == STDIN else stack.enter_context(path.open("rb"))
        if not file.seekable():
            if (given or recognise(cast("BufferedReader", file).peek())) is Format.JSONL:
                yield _Opened(open_source(file, Format.JSONL), None, read_once=True)
                return
            copy = stack.enter_context(TemporaryFile())
            shutil.copyfileobj(file, copy)
            copy.seek(0)
            file = copy
        yield _Opened(open_source(file, given), os.fstat(file.fileno()).st_size)


@contextmanager
def _replaced(path: Path | None) -> Iterator[BinaryIO]:
    """A file that takes the place of `path` at the end of the block, complete and on disk, or not at all."""
    if path is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    if not path.parent.is_dir():
        raise GradbookError(Code.NOT_FOUND, f"{path}: there is no folder {path.parent}.")
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.unfinished")
    try:
        with unfinished.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
