"""Many at once, on real connections: no interleaving leaves a wrong status.

Each race is run by one process and by two. (With one writer a process of its own cannot race on SQLite.)
"""

import asyncio
import json
import sys
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from app.annotation.datasets import UpdateDatasetInput, update_dataset
from app.db import Database
from tests.annotation.actors import act, open_database
from tests.annotation.book import Book, record

ROOT = Path(__file__).parents[2]

Actor = dict[str, Any]


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with await open_database(database_url) as database:
        yield database


@pytest.fixture(scope="module")
async def processes() -> AsyncIterator[list[asyncio.subprocess.Process]]:
    """Two, which take jobs until their input ends."""
    command = [sys.executable, "-m", "tests.annotation.actors"]
    pipe = asyncio.subprocess.PIPE
    started = [await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdin=pipe, stdout=pipe) for _ in range(2)]
    yield started
    for process in started:
        await process.communicate(b"")
    assert [process.returncode for process in started] == [0, 0]


class Race:
    """Runs actors in this process, or dealt out to several."""

    def __init__(self, url: str, processes: list[asyncio.subprocess.Process]) -> None:
        self._url = url
        self._processes = processes

    async def run(self, book: Book, actors: list[Actor]) -> list[Any]:
        """What the actors say, in their order. Afterwards every status is right."""
        if self._processes:
            said, retries = await self._run_processes(book, actors)
        else:
            said, retries = await act(book, actors)
        assert await book.drift() == []
        assert retries == []  # locks are taken in one order: nobody waited in a circle
        return said

    async def _run_processes(self, book: Book, actors: list[Actor]) -> tuple[list[Any], list[str]]:
        for n, process in enumerate(self._processes):
            job = {"url": self._url, "book": book.tell(), "actors": actors[n :: len(self._processes)]}
            _send(process, json.dumps(job))
        for process in self._processes:
            assert await _line(process) == "ready\n"
        for process in self._processes:
            _send(process, "go")
        answers = [json.loads(await _line(process), object_pairs_hook=_with_ids) for process in self._processes]
        said = [answers[n % len(answers)]["said"][n // len(answers)] for n in range(len(actors))]
        return said, [error for answer in answers for error in answer["retries"]]


def _send(process: asyncio.subprocess.Process, line: str) -> None:
    assert process.stdin is not None
    process.stdin.write(line.encode() + b"\n")


async def _line(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    return (await process.stdout.readline()).decode()


def _with_ids(pairs: list[tuple[str, Any]]) -> dict[Any, Any]:
    return {int(key) if key.isdigit() else key: value for key, value in pairs}


@pytest.fixture(params=[1, 2], ids=["one process", "two processes"])
def race(request: pytest.FixtureRequest, database_url: str) -> Race:
    return Race(database_url, request.getfixturevalue("processes") if request.param == 2 else [])


async def check_against(book: Book, said: dict[str, dict[int, str | None]]) -> None:
    """The database holds what the writers were last told, and the counts are those of what they were told."""
    stored = {
        (record_id, user_id): status
        for record_id, user_id, status in await book.rows("SELECT record_id, user_id, status FROM response")
    }
    told = {
        (record_id, book.users[who].id): status
        for who, records in said.items()
        for record_id, status in records.items()
        if status is not None
    }
    assert stored == told
    submitted = Counter(record_id for (record_id, _), status in told.items() if status == "SUBMITTED")
    for record_id in {record_id for records in said.values() for record_id in records}:
        assert (await book.state(record_id))[1] == submitted[record_id]


async def test_sixteen_writers_on_one_record(book: Book, race: Race) -> None:
    people = await book.annotators(16)
    (hot,) = await book.add(1)
    said = await race.run(
        book, [{"do": "write", "who": who, "records": [hot], "rounds": 12, "seed": n} for n, who in enumerate(people)]
    )
    await check_against(book, dict(zip(people, said, strict=True)))


async def test_sixteen_people_answer_one_record_after_another(book: Book, race: Race) -> None:
    # What is counted wrong is not mended by a later write, as it may be where people go on writing.
    people = await book.annotators(16)
    records = await book.add(12)
    await book.act("owner", update_dataset, UpdateDatasetInput(book.dataset, min_submitted=16))
    await race.run(book, [{"do": "submit", "who": who, "records": records} for who in people])
    assert [await book.state(record_id) for record_id in records] == [("COMPLETED", 16)] * len(records)


async def test_writers_on_several_records_one_by_one_and_in_bulk(book: Book, race: Race) -> None:
    people = await book.annotators(8)
    records = await book.add(5)
    said = await race.run(
        book, [{"do": "write", "who": who, "records": records, "rounds": 15, "seed": n} for n, who in enumerate(people)]
    )
    await check_against(book, dict(zip(people, said, strict=True)))


async def test_submit_against_delete(book: Book, race: Race) -> None:
    people = await book.annotators(4)
    records = await book.add(3)
    rivals = [
        actor
        for n, who in enumerate(people)
        for actor in (
            {"do": "submit", "who": who, "records": records * 8},
            {"do": "unwrite", "who": who, "records": records, "rounds": 8},
            {"do": "write", "who": who, "records": records, "rounds": 20, "seed": n},
        )
    ]
    await race.run(book, rivals)


async def test_two_first_answers_by_one_user(book: Book, race: Race) -> None:
    records = await book.add(25)
    await race.run(book, [{"do": "submit", "who": "ada", "records": records}] * 4)
    assert [await book.state(record_id) for record_id in records] == [("COMPLETED", 1)] * len(records)


async def test_the_threshold_changes_while_people_submit(book: Book, race: Race) -> None:
    people = await book.annotators(6)
    records = await book.add(8)
    actors = [{"do": "write", "who": who, "records": records, "rounds": 15, "seed": n} for n, who in enumerate(people)]
    turns = [{"do": "turn", "rounds": 12, "seed": seed} for seed in (1, 2)]
    said = await race.run(book, [*actors, *turns])
    await check_against(book, dict(zip(people, said, strict=False)))


async def test_the_threshold_changes_once_while_records_are_added_and_answered(book: Book, race: Race) -> None:
    # Once: another change would mend what this one missed.
    for n in range(8):
        new = await book.add([record(-20 * n - k) for k in range(20)])
        adder = {"do": "add", "first": 100 * n, "rounds": 1, "size": 60, "who": ["ada", "ben", "cyd"]}
        people = [{"do": "submit", "who": who, "records": new} for who in ("ada", "ben")]
        await race.run(book, [adder, {"do": "turn", "rounds": 1, "seed": n, "after": 0.004 * n}, *people])


async def test_records_are_added_by_several_at_once(book: Book, race: Race) -> None:
    people = await book.annotators(2)
    adders = [
        {"do": "add", "first": first, "rounds": 6, "size": 10, "who": ["ada", "ben", "cyd"]} for first in (0, 5, 9)
    ]
    known = await book.add(12)
    turns = [{"do": "turn", "rounds": 10, "seed": seed} for seed in (1, 2)]
    writers = [{"do": "write", "who": who, "records": known, "rounds": 10, "seed": n} for n, who in enumerate(people)]
    await race.run(book, [*adders, *turns, *writers])


async def test_a_user_is_removed_in_the_middle(book: Book, race: Race) -> None:
    people = await book.annotators(3)
    records = await book.add(30)
    await book.submit(people[0], records[0])
    actors: list[Actor] = [
        {"do": "remove", "who": people[0], "after": 0.05},
        {"do": "submit", "who": people[0], "records": records[:15] * 3},
        {"do": "submit", "who": people[0], "records": records[15:] * 3},
        *({"do": "write", "who": who, "records": records, "rounds": 20, "seed": 1} for who in people[1:]),
    ]
    await race.run(book, actors)
    gone = book.users[people[0]].id
    assert await book.rows("SELECT count(*) FROM response WHERE user_id = :id", id=gone) == [(0,)]
    assert (await book.rows("SELECT username FROM user_account WHERE id = :id", id=gone))[0][0] == f"deleted-{gone}"


async def test_the_orm_beside_the_others(book: Book, race: Race) -> None:
    people = await book.annotators(6)
    records = await book.add(4)
    actors: list[Actor] = [
        {"do": "use_orm" if n % 2 else "write", "who": who, "records": records, "rounds": 15, "seed": n}
        for n, who in enumerate(people)
    ]
    await race.run(book, [*actors, {"do": "turn", "rounds": 8, "seed": 1}])


async def test_nobody_is_given_a_record_that_enough_others_were_given(book: Book, race: Race) -> None:
    people = await book.annotators(16)
    await book.act("owner", update_dataset, UpdateDatasetInput(book.dataset, min_submitted=2))
    records = await book.add(10)
    said = await race.run(book, [{"do": "ask", "who": who, "first": 3} for who in people])
    assert Counter(record_id for ids in said for record_id in ids) == dict.fromkeys(records, 2)


async def test_people_work_through_the_queue(book: Book, race: Race) -> None:
    people = await book.annotators(8)
    await book.act("owner", update_dataset, UpdateDatasetInput(book.dataset, min_submitted=3))
    records = await book.add(60)
    said = await race.run(book, [{"do": "work_through", "who": who, "seed": n} for n, who in enumerate(people)])
    assert [await book.state(record_id) for record_id in records] == [("COMPLETED", 3)] * len(records)
    assert sum(said) == 180


@pytest.mark.parametrize("after", [0.1, 0.3])
async def test_a_dataset_goes_while_everybody_is_at_it(book: Book, race: Race, after: float) -> None:
    people = [*await book.annotators(10), "admin"]
    await book.act("owner", update_dataset, UpdateDatasetInput(book.dataset, min_submitted=9))
    records = await book.add(1000)
    use = [{"do": "use_until_gone", "who": who, "records": records, "seed": n} for n, who in enumerate(people)]
    await race.run(book, [*use, {"do": "raze", "after": after}])
    for table in ("record", "response", "reservation", "record_search", "dataset"):
        assert await book.rows(f"SELECT count(*) FROM {table}") == [(0,)], table
