"""People who work on one book at the same time: as tasks of one process, or as processes.

`python -m tests.annotation.actors` reads jobs, a line of JSON each: {url, book, actors}. It opens the database, says
`ready`, waits for a line, lets the actors act side by side, and prints {said, retries}.
"""

import asyncio
import datetime
import itertools
import json
import random
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from sqlalchemy import delete, select, update

from app.accounts.tables import Role
from app.accounts.users import remove_user
from app.annotation.datasets import UpdateDatasetInput, delete_dataset, update_dataset
from app.annotation.queue import next_records
from app.annotation.record_items import UserAnswers
from app.annotation.records import AddRecordsInput, OnConflict, add_records
from app.annotation.responses import (
    Answers,
    delete_response,
    delete_responses_of_user,
    discard_response,
    save_draft,
    submit_response,
    submit_responses,
)
from app.annotation.status import PROTECTED, StatusSession
from app.annotation.tables import Response, ResponseStatus
from app.db import Database, Options, UnitOfWork
from app.errors import GradbookError
from tests.annotation.book import GOOD, Book, record

# Every actor has a connection of its own.
OPTIONS = Options(writers=24, busy_timeout=20)


def delete_own(uow: UnitOfWork, record_id: int) -> None:
    """Delete the viewer's response, if there is one."""
    own = select(Response.id).where(Response.record_id == record_id, Response.user_id == uow.viewer.id)
    response_id = uow.connection.scalar(own)
    if response_id is not None:
        try:
            delete_response(uow, response_id)
        except GradbookError as error:
            if error.code != "NOT_FOUND":  # somebody was faster
                raise


async def write(book: Book, who: str, records: list[int], rounds: int, seed: int) -> dict[int, str | None]:
    """Submit, save, discard, delete, one by one and in bulk; the last acknowledged status of each record."""
    draw = random.Random(seed)
    last: dict[int, str | None] = {}
    for _ in range(rounds):
        record_id = draw.choice(records)
        kind = draw.randrange(5)
        if kind == 0:
            await book.act(who, delete_own, record_id)
            last[record_id] = None
        elif kind == 1:
            chosen = draw.sample(records, draw.randint(1, len(records)))
            answers = [Answers(one, GOOD, draw.choice(list(ResponseStatus))) for one in chosen]
            results = await book.act(who, submit_responses, answers)
            assert not any(result.errors for result in results)
            last |= {answer.record_id: answer.status.name for answer in answers}
        else:
            fn, status = [(submit_response, "SUBMITTED"), (save_draft, "DRAFT"), (discard_response, "DISCARDED")][
                kind - 2
            ]
            await book.act(who, fn, record_id, GOOD)
            last[record_id] = status
    return last


async def submit(book: Book, who: str, records: list[int]) -> dict[int, str | None]:
    """Submit each record once; the records that were taken."""
    taken: dict[int, str | None] = {}
    for record_id in records:
        try:
            await book.submit(who, record_id)
            taken[record_id] = "SUBMITTED"
        except GradbookError as error:
            if error.code != "NOT_FOUND":  # the user was removed
                raise
    return taken


async def unwrite(book: Book, who: str, records: list[int], rounds: int) -> None:
    """Delete own responses, again and again, by the domain's function."""
    for _ in range(rounds):
        for record_id in records:
            await book.act(who, delete_own, record_id)


async def turn(book: Book, rounds: int, seed: int, after: float = 0) -> None:
    """Change the threshold, and at times the name."""
    draw = random.Random(seed)
    await asyncio.sleep(after)
    for n in range(rounds):
        changes = UpdateDatasetInput(
            book.dataset, f"{seed}-{n}" if n % 3 == 0 else None, min_submitted=draw.randint(1, 4)
        )
        await book.act("owner", update_dataset, changes)


async def add(book: Book, first: int, rounds: int, size: int, who: list[str]) -> None:
    """Add batches that overlap, backwards and forwards, with answers of several people."""
    for n in range(rounds):
        numbers = list(range(first + n * size // 2, first + n * size // 2 + size))
        items = [record(number, responses=[UserAnswers(book.users[one].id, GOOD) for one in who]) for number in numbers]
        batch = AddRecordsInput(book.dataset, items if n % 2 else items[::-1], OnConflict.UPDATE)
        results = await book.act("owner", add_records, batch)
        assert not any(result.errors for result in results)


async def remove(book: Book, who: str, after: float) -> None:
    """Remove a user with all responses."""
    await asyncio.sleep(after)
    await book.act("owner", remove_user, book.users[who].id, delete_responses_of_user)


async def use_orm(book: Book, who: str, records: list[int], rounds: int, seed: int) -> None:
    """Change responses of anybody through the ORM."""
    draw = random.Random(seed)

    def work(uow: UnitOfWork, record_id: int, kind: int) -> None:
        own = (Response.record_id == record_id, Response.user_id == book.users[who].id)
        if kind == 0:
            found = uow.session.scalars(select(Response).where(*own)).first()
            if found is not None:
                found.status = draw.choice(list(ResponseStatus))
        elif kind == 1:
            uow.session.execute(delete(Response).where(*own))
        elif kind == 2:
            uow.session.execute(
                update(Response).where(Response.status == ResponseStatus.DRAFT).values(status=ResponseStatus.SUBMITTED)
            )
        else:
            submit_response(uow, record_id, GOOD)

    for _ in range(rounds):
        await book.act(who, work, draw.choice(records), draw.randrange(4))


async def ask(book: Book, who: str, first: int) -> list[int]:
    """Ask for records once; those that were reserved."""
    reserved = await book.act(who, next_records, book.dataset, first, datetime.timedelta(minutes=1))
    ids: list[int] = reserved.record_ids
    return ids


async def work_through(book: Book, who: str, seed: int) -> int:
    """Answer what the queue gives, one by one and in bulk, until nothing is left; how many answers that were."""
    draw = random.Random(seed)
    answers = 0
    while True:
        reserved = await book.act(who, next_records, book.dataset, draw.randint(1, 6), datetime.timedelta(minutes=1))
        ids = reserved.record_ids
        if not ids and reserved.until is None:
            return answers
        if draw.random() < 0.5:
            await book.act(who, submit_responses, [Answers(record_id, GOOD) for record_id in ids])
        else:
            await asyncio.gather(*(book.submit(who, record_id) for record_id in ids))
        answers += len(ids)
        if not ids:
            await asyncio.sleep(0.01)


async def use_until_gone(book: Book, who: str, records: list[int], seed: int) -> int:
    """Ask, answer and, as somebody who may, add and update, until the dataset is not there; how often it was."""
    draw = random.Random(seed)
    for done in itertools.count():
        try:
            reserved = await book.act(
                who, next_records, book.dataset, draw.randint(1, 9), datetime.timedelta(minutes=1)
            )
            ids = draw.sample(records, 3) + reserved.record_ids
            for one in ids:
                await book.submit(who, one)
            if book.users[who].role is not Role.ANNOTATOR:
                numbers = [draw.randrange(1000) for _ in range(5)]
                batch = AddRecordsInput(book.dataset, [record(n) for n in {*numbers}], OnConflict.UPDATE)
                await book.act(who, add_records, batch)
        except GradbookError as error:
            if error.code != "NOT_FOUND":
                raise
            return done
    raise AssertionError("it counts for ever")


async def raze(book: Book, after: float) -> None:
    """Delete the dataset."""
    await asyncio.sleep(after)
    await book.act("owner", delete_dataset, book.dataset)


ACTORS: dict[str, Callable[..., Awaitable[Any]]] = {
    "write": write,
    "submit": submit,
    "unwrite": unwrite,
    "turn": turn,
    "add": add,
    "remove": remove,
    "use_orm": use_orm,
    "ask": ask,
    "use_until_gone": use_until_gone,
    "raze": raze,
    "work_through": work_through,
}


async def act(book: Book, actors: list[dict[str, Any]]) -> tuple[list[Any], list[str]]:
    """Let all act at once; what each says, and the errors after which transactions were tried again.

    An actor is {do: name in ACTORS, and its arguments}.
    """
    retries: list[str] = []
    backend = book.database.backend
    is_transient = backend.is_transient

    def noted(error: BaseException) -> bool:
        transient = is_transient(error)
        retries.extend([repr(error)] * transient)
        return transient

    backend.is_transient = noted  # type: ignore[method-assign]
    parts = [dict(actor) for actor in actors]
    said = await asyncio.gather(*(ACTORS[part.pop("do")](book, **part) for part in parts))
    return said, retries


def open_database(url: str) -> Awaitable[Database]:
    """As the product opens it, with a connection for every writer."""
    return Database.open(url, options=OPTIONS, protect=PROTECTED, session_class=StatusSession)


async def work(job: dict[str, Any]) -> None:
    async with await open_database(job["url"]) as database:
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        sys.stdin.readline()
        said, retries = await act(Book.read(database, job["book"]), job["actors"])
    sys.stdout.write(json.dumps({"said": said, "retries": retries}) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    for line in sys.stdin:
        asyncio.run(work(json.loads(line)))
