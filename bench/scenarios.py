"""What is measured: RecordPage and submitResponse, each against what it is to be compared with."""

from __future__ import annotations

import itertools
import random
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from app.annotation.verify import drifted
from app.services import open_book
from app.settings import load
from bench.book import Book, answers
from bench.load import Accept, http_request, one_answer
from bench.measure import Plan, Target, measure, serving
from bench.operations import RECORD_PAGE, SUBMIT_RESPONSE, body, page_variables, submit_variables

Asked = tuple[Iterator[tuple[Any, bytes]], Accept[Any]]

OURS, PLAIN, BARE = "Gradbook", "plain Strawberry", "bare handler"

_GOALS = {
    ("RecordPage", "postgresql"): {PLAIN: 10.0, BARE: 0.5},
    ("submitResponse", "postgresql"): {BARE: 0.4},
    ("submitResponse", "sqlite"): {BARE: 0.4},
}


@dataclass(frozen=True, slots=True)
class Databases:
    """Copies of the book on one kind of database. `pid` is the database server's, None where there is none."""

    kind: str
    book: Book
    urls: Sequence[str]
    pid: int | None


@dataclass(frozen=True, slots=True)
class Figure:
    """Something else that was measured, which is to be `most` at most."""

    what: str
    found: float
    most: float


@dataclass(frozen=True, slots=True)
class Result:
    """One operation on one kind of database.

    `goals` are the least ratios that are asked for, by the name of the server that ours is compared with; `absent` are
    those servers that are not installed.
    """

    operation: str
    database: str
    targets: Sequence[Target]
    notes: dict[str, Any] = field(default_factory=dict)
    goals: Mapping[str, float] = field(default_factory=dict)
    absent: Sequence[str] = ()
    figures: Sequence[Figure] = ()

    def target(self, name: str) -> Target:
        """The one with this name."""
        return next(target for target in self.targets if target.name == name)


async def record_page(databases: Databases, plan: Plan) -> Result:
    """A page of 50 records for an ADMIN. All three answers are compared before it is measured, then each one."""
    url = databases.urls[0]
    targets = [
        Target(OURS, "bench.ours:serve", url),
        Target(PLAIN, "bench.plain:page", url),
        Target(BARE, "bench.bare:page", url),
    ]
    book = databases.book
    asked = body(RECORD_PAGE, page_variables(book.dataset_id))
    request = http_request("/graphql", book.admin.key, asked)
    with serving(targets):
        ours, plain, bare = [await one_answer(target.port, request) for target in targets]
        page = orjson.loads(ours)
        _check_page(page, book)
        if bare != ours:
            raise AssertionError(f"The bare handler answers other bytes: {_difference(bare, ours)}")
        if orjson.loads(plain) != page:
            raise AssertionError(f"Plain Strawberry answers another page: {_difference(plain, ours)}")
        expected = {OURS: ours, PLAIN: plain, BARE: bare}

        def asking(target: Target) -> Asked:
            def accept(_: Any, status: int, answer: bytes) -> None:
                if status != 200 or answer != expected[target.name]:
                    raise AssertionError(f"{target.name} answered {status}: {answer[:300]!r}")

            return itertools.repeat((None, request)), accept

        await measure(targets, asking, plan, databases.pid)
    notes = {"answer_bytes": len(ours), "records": len(book.record_ids)}
    return _result("RecordPage", databases, targets, notes)


async def submit_response(databases: Databases, plan: Plan) -> Result:
    """New responses of 24 annotators, for each server on a database of its own, which is checked at the end."""
    targets = [
        Target(OURS, "bench.ours:serve", databases.urls[1]),
        Target(BARE, "bench.bare:submit", databases.urls[2]),
    ]
    acknowledged: dict[str, dict[tuple[int, int], bytes]] = {target.name: {} for target in targets}

    def asking(target: Target) -> Asked:
        kept = acknowledged[target.name]

        def accept(submission: _Submission, status: int, answer: bytes) -> None:
            good = answer.startswith(submission.answer_begins) and answer.endswith(submission.answer_ends)
            if status != 200 or not good or submission.record not in answer:
                raise AssertionError(f"{target.name} answered {status}: {answer[:300]!r}")
            kept[submission.key] = submission.values

        return _submissions(databases.book), accept

    with serving(targets):
        await measure(targets, asking, plan, databases.pid)
    for target in targets:
        await _check_written(target, acknowledged[target.name])
    notes = {target.name: f"{len(acknowledged[target.name]):,} acknowledged, all there" for target in targets}
    return _result("submitResponse", databases, targets, notes)


def _result(operation: str, databases: Databases, targets: Sequence[Target], notes: dict[str, Any]) -> Result:
    return Result(operation, databases.kind, targets, notes, _GOALS.get((operation, databases.kind), {}))


@dataclass(frozen=True, slots=True)
class _Submission:
    """One request's content, and what its answer has to hold."""

    key: tuple[int, int]
    values: bytes
    record: bytes
    answer_begins = b'{"data":{"submitResponse":{"response":{"id":"rsp_'
    answer_ends = b'"errors":[]}}}'


def _submissions(book: Book) -> Iterator[tuple[_Submission, bytes]]:
    """Every pair of an annotator and a record once, in a mixed order, then again."""
    chance = random.Random(4)
    pairs = [(record, person) for person in book.annotators for record in book.record_ids]
    chance.shuffle(pairs)
    for record_id, person in itertools.cycle(pairs):
        values = answers(chance)
        asked = body(SUBMIT_RESPONSE, submit_variables(record_id, values))
        submission = _Submission(
            (record_id, person.id), orjson.dumps(values), b'"record":{"id":"rec_%d","status":"' % record_id
        )
        yield submission, http_request("/graphql", person.key, asked)


def _check_page(page: Any, book: Book) -> None:
    """The page is what it should be: 50 real records with all their responses."""
    records = page["data"]["dataset"]["records"]
    nodes = [edge["node"] for edge in records["edges"]]
    ok = (
        records["totalCount"] == len(book.record_ids)
        and [node["id"] for node in nodes] == [f"rec_{number}" for number in book.record_ids[:50]]
        and all(node["fields"]["text"] and len(node["suggestions"]) == 1 for node in nodes)
        and all(len({response["user"]["id"] for response in node["responses"]["nodes"]}) == 3 for node in nodes)
    )
    if not ok:
        raise AssertionError(f"This is not the page that was asked for: {orjson.dumps(page)[:500]!r}")


def _difference(one: bytes, other: bytes) -> str:
    at = next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    return f"from byte {at} on {one[at : at + 80]!r}, not {other[at : at + 80]!r}"


async def _check_written(target: Target, acknowledged: dict[tuple[int, int], bytes]) -> None:
    """What was acknowledged is in the database as it was sent, and every status is right."""
    async with await open_book(load(database_url=target.url)) as database:
        rows = await database.read('SELECT record_id, user_id, CAST("values" AS text), status FROM response')
        stored = {(record, user): (values, status) for record, user, values, status in rows}
        for key, values in acknowledged.items():
            if stored.get(key) != (values.decode(), "SUBMITTED"):
                raise AssertionError(f"{target.name}: {key} was acknowledged with {values!r}, not {stored.get(key)}")
        async for drift in drifted(database):
            raise AssertionError(f"{target.name}: {drift}")


async def run(databases: Databases, plan: Plan, operations: Sequence[str]) -> list[Result]:
    """The operations that were asked for."""
    known = {"RecordPage": record_page, "submitResponse": submit_response}
    results = []
    for name in operations:
        print(f"{name} on {databases.kind} ...", file=sys.stderr, flush=True)
        results.append(await known[name](databases, plan))
    return results
