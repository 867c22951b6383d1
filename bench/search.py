"""`make bench-search`: a page of what a search finds, among a million records beside among ten thousand.

Both books have the same 500 records with one rare word, and all their records have one common word. They are asked in
turn, within the process, for the newest 50 of one status. The exit code is 1 if the rare word's page without
`totalCount` takes more than twice as long among the million (median of the paired ratios).
"""

from __future__ import annotations

import argparse
import asyncio
import datetime
import random
import sqlite3
import statistics
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager

import asyncpg
import orjson
import uvloop

from app.accounts.access import OPERATOR
from app.accounts.bootstrap import ensure_workspace
from app.accounts.credentials import insert_key
from app.accounts.tables import Role
from app.accounts.users import NewUser, insert_user
from app.annotation.datasets import CreateDatasetInput, FieldInput, QuestionInput, create_dataset
from app.annotation.questions import RatingSettings
from app.annotation.search_text import search_text
from app.asgi import build_app
from app.db import UnitOfWork
from app.db.migrate import upgrade
from app.db.types import instant_text, json_text
from app.services import open_book
from app.settings import load
from bench.book import PASSAGES
from bench.databases import empty_databases
from bench.in_process import Ask, running
from bench.operations import body

FEW, MANY = 10_000, 1_000_000
RARE, COMMON = "zyzzyva", "republic"
RARE_RECORDS = 500
MOST = 2.0
"""The greatest ratio that is allowed."""

_FIRST_ID = 1_000_000_000
_BATCH = 20_000
_MEMORY = {"shared_buffers": "256MB", "maintenance_work_mem": "256MB"}
_COLUMNS = "id dataset_id external_id fields status submitted_count required inserted_at updated_at changed"
_QUERY = """
    query ($dataset: ID!, $search: String!) {
      dataset(id: $dataset) {
        records(first: 50, search: $search, where: {status: {eq: PENDING}},
                orderBy: [{field: ID, direction: DESC}]) {
          TOTAL nodes { id externalId status fields }
        }
      }
    }"""


def main() -> int:
    """Measure, print, and say whether the bound holds."""
    parser = argparse.ArgumentParser(prog="make bench-search", description=__doc__)
    parser.add_argument("--database", action="append", choices=("postgresql", "sqlite"), help="this one only")
    parser.add_argument("--many", type=int, default=MANY, help=f"records of the large book; {MANY:,} without")
    parser.add_argument("--rounds", type=int, default=60, help="rounds; 60 without")
    given = parser.parse_args()
    held = True
    for kind in given.database or ("postgresql", "sqlite"):
        with empty_databases(kind, ("few", "many"), _MEMORY) as databases:
            held &= uvloop.run(_measure(kind, databases.urls, given.many, given.rounds))
    return 0 if held else 1


async def _measure(kind: str, urls: Sequence[str], many: int, rounds: int) -> bool:
    began = time.monotonic()
    books = [await _fill(url, count) for url, count in zip(urls, (FEW, many), strict=True)]
    print(f"{kind}: {FEW:,} and {many:,} records, filled in {time.monotonic() - began:.0f} s")
    held = True
    async with _asked(urls[0]) as few, _asked(urls[1]) as much:
        for word, name in ((RARE, f"a word of {RARE_RECORDS} records"), (COMMON, "a word of all records")):
            for total in ("", "totalCount"):
                query = _QUERY.replace("TOTAL", total)
                times: list[tuple[float, float]] = []
                for number in range(-5, rounds if not total or word == RARE else max(rounds // 10, 3)):
                    pair = [await _time(ask, book, query, word) for ask, book in zip((few, much), books, strict=True)]
                    if number >= 0:
                        times.append((pair[0], pair[1]))
                ratios = sorted(large / small for small, large in times)
                small, large = (1000 * statistics.median(one[side] for one in times) for side in (0, 1))
                ratio = statistics.median(ratios)
                bound = f"; at most {MOST:g}" if word == RARE and not total else ""
                print(
                    f"  {name}{', with totalCount' if total else ''}: {small:.2f} ms and {large:.2f} ms, "
                    f"ratio {ratio:.2f} ({ratios[len(ratios) // 4]:.2f}–{ratios[3 * len(ratios) // 4]:.2f}{bound})",
                    flush=True,
                )
                held &= not bound or ratio <= MOST
    return held


async def _time(ask: Ask, book: tuple[int, str], query: str, word: str) -> float:
    dataset_id, key = book
    asked = body(query, {"dataset": f"dst_{dataset_id}", "search": word})
    began = time.perf_counter()
    answer = await ask(key, asked)
    took = time.perf_counter() - began
    assert answer.count(b'"externalId"') == 50, answer[:500]
    return took


@asynccontextmanager
async def _asked(url: str) -> AsyncIterator[Ask]:
    async with running(build_app(load(database_url=url))) as (_, ask):
        yield ask


async def _fill(url: str, count: int) -> tuple[int, str]:
    """A dataset of so many records: its id, and a key to ask with."""
    await asyncio.to_thread(upgrade, url)
    async with await open_book(load(database_url=url)) as database:
        dataset_id, key = await database.transact(_found, viewer=OPERATOR)
    if url.startswith("sqlite"):
        await asyncio.to_thread(_insert, url.removeprefix("sqlite:///"), dataset_id, count)
    else:
        await _copy(url, dataset_id, count)
    return dataset_id, key


def _found(uow: UnitOfWork) -> tuple[int, str]:
    workspace = ensure_workspace(uow)
    assert workspace is not None
    user_id = insert_user(uow, uow.new_id(), NewUser("owner", Role.OWNER))
    new = CreateDatasetInput("all", [FieldInput("text")], [QuestionInput("tone", RatingSettings(1, 5))], workspace)
    return create_dataset(uow, new), insert_key(uow, user_id, "bench")[1]


def _texts(count: int) -> Iterator[list[tuple[int, str]]]:
    """(number, text) in batches: two stretches of real passages, so that no two records say the same."""
    chance = random.Random(3)
    passages = [orjson.loads(line)["fields"]["text"].split() for line in PASSAGES.read_bytes().splitlines()]
    every = count // RARE_RECORDS
    batch: list[tuple[int, str]] = []
    for number in range(count):
        words = [COMMON]
        for passage in chance.choices(passages, k=2):
            start = chance.randrange(max(len(passage) - 10, 1))
            words += passage[start : start + 10]
        if number % every == 0:
            words.append(RARE)
        batch.append((number, " ".join(words)))
        if len(batch) == _BATCH or number == count - 1:
            yield batch
            batch = []


def _status(number: int, every: int) -> str:
    # The rare word's records are PENDING, and of the others every second one.
    return "PENDING" if number % every == 0 or number % 2 else "COMPLETED"


def _insert(path: str, dataset_id: int, count: int) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA synchronous = OFF")
    now = instant_text(_now())
    for batch in _texts(count):
        connection.execute("BEGIN")
        connection.executemany(
            f"INSERT INTO record ({_COLUMNS.replace(' ', ', ')}) VALUES (?, ?, ?, ?, ?, 0, 1, ?, ?, 1)",
            (
                (
                    _FIRST_ID + number,
                    dataset_id,
                    f"r{number}",
                    json_text({"text": said}),
                    _status(number, count // RARE_RECORDS),
                    now,
                    now,
                )
                for number, said in batch
            ),
        )
        rows = json_text([[_FIRST_ID + number, search_text(dataset_id, [said])] for number, said in batch])
        connection.execute(
            "INSERT INTO record_search SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]')"
            " FROM json_each(?)",
            (rows,),
        )
        connection.execute("COMMIT")
    connection.close()


async def _copy(url: str, dataset_id: int, count: int) -> None:
    connection = await asyncpg.connect(url.replace("+asyncpg", ""))
    [(index,)] = await connection.fetch("SELECT indexdef FROM pg_indexes WHERE indexname = 'ix_record_search_terms'")
    await connection.execute("DROP INDEX ix_record_search_terms")
    now = _now()
    for batch in _texts(count):
        records = [
            (
                _FIRST_ID + number,
                dataset_id,
                f"r{number}",
                json_text({"text": said}),
                _status(number, count // RARE_RECORDS),
                0,
                1,
                now,
                now,
                1,
            )
            for number, said in batch
        ]
        await connection.copy_records_to_table("record", records=records, columns=_COLUMNS.split())
        texts = [(_FIRST_ID + number, search_text(dataset_id, [said])) for number, said in batch]
        await connection.copy_records_to_table("record_search", records=texts)
    await connection.execute(index)
    await connection.execute("VACUUM ANALYZE")
    await connection.close()


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


if __name__ == "__main__":
    sys.exit(main())
