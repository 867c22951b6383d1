"""Files in and out over HTTP: who may, what is refused, and that nothing else is stored."""

import asyncio
import io
import sys
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import orjson
import pytest
from pyarrow import parquet
from starlette.applications import Starlette
from starlette.requests import Request

from app.accounts.viewer import Viewer
from app.annotation import http
from app.annotation.http import UploadLimits, routes
from app.annotation.transfer import importing
from tests.annotation.book import GOOD, Book, record
from tests.annotation.transfer import as_file, claiming, passages

JSONL = {"content-type": "application/x-ndjson"}
LIMIT = 500_000


def client_of(book: Book, seconds: float) -> httpx2.AsyncClient:
    """The header `as` says who calls; an upload may take so long."""

    async def identify(request: Request) -> Viewer | None:
        return book.users.get(request.headers.get("as", ""))

    app = Starlette(routes=routes(lambda _: book.database, identify, UploadLimits(LIMIT, seconds)))
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://test")


@pytest.fixture
async def client(book: Book) -> AsyncIterator[httpx2.AsyncClient]:
    async with client_of(book, seconds=60) as client:
        yield client


def path(book: Book, what: str) -> str:
    return f"/datasets/dst_{book.dataset}/{what}"


def said(response: httpx2.Response) -> tuple[int, str, str]:
    [error] = response.json()["errors"]
    assert error.keys() == {"message", "extensions"}
    return response.status_code, error["extensions"]["code"], error["message"]


async def count(book: Book) -> int:
    return int((await book.rows("SELECT count(*) FROM record"))[0][0])


@pytest.mark.parametrize("format", ["jsonl", "csv", "parquet"])
async def test_what_goes_out_comes_in_again(client: httpx2.AsyncClient, book: Book, format: str) -> None:
    answered = {"responses": [{"user": "ada", "values": GOOD, "status": "SUBMITTED"}]}
    suggested = {"suggestions": [{"question": "topic", "value": "war", "score": 0.5, "agent": "m"}]}
    lines = [{**line, **suggested, **answered} for line in passages(1200)]
    given = await client.post(path(book, "import"), content=as_file(lines), headers={"as": "admin", **JSONL})
    assert given.json() == {"lines": 1200, "added": 1200, "updated": 0, "skipped": 0, "bad": 0, "errors": []}

    out = await client.get(path(book, "export"), params={"format": format}, headers={"as": "admin"})
    assert out.status_code == 200
    assert out.headers["content-disposition"] == f"attachment; filename*=UTF-8''speeches.{format}"
    again = await client.post(
        path(book, "import"),
        params={"onConflict": "UPDATE"},
        content=out.content,
        headers={"as": "owner", "content-type": "application/octet-stream"},
    )
    assert again.status_code == 200, again.text
    assert (again.json()["updated"], again.json()["errors"]) == (1200, [])
    jsonl = await client.get(path(book, "export"), headers={"as": "owner"})
    assert [orjson.loads(line) for line in jsonl.content.splitlines()] == lines
    if format == "parquet":
        assert parquet.ParquetFile(io.BytesIO(out.content)).metadata.num_rows == 1200


async def test_bad_records_are_told_and_the_others_kept(client: httpx2.AsyncClient, book: Book) -> None:
    content = "externalId,text,topic.suggestion\na,one,war\nb,two,wra\nc,,\nd,four,peace,five\n"
    answer = await client.post(
        path(book, "import"), content=content, headers={"as": "admin", "content-type": "text/csv"}
    )
    assert answer.status_code == 200
    told = answer.json()
    assert {**told, "errors": 0} == {"lines": 4, "added": 1, "updated": 0, "skipped": 0, "bad": 3, "errors": 0}
    assert [error["line"] for error in told["errors"]] == [3, 4, 5]
    assert '"wra" is not an option' in told["errors"][0]["message"]
    assert "text: the field is required" in told["errors"][1]["message"]
    assert "The row has 4 cells, the header 3 columns" in told["errors"][2]["message"]
    many = await client.post(path(book, "import"), content=b"{}\n" * 150, headers={"as": "admin", **JSONL})
    assert (many.json()["bad"], len(many.json()["errors"])) == (150, 100)


async def test_who_may_import(client: httpx2.AsyncClient, book: Book) -> None:
    async def refused(who: str, url: str = path(book, "import")) -> tuple[int, str]:
        asked = False

        async def body() -> AsyncIterator[bytes]:
            nonlocal asked
            asked = True
            yield as_file(passages(1))

        answer = said(await client.post(url, content=body(), headers={"as": who, **JSONL}))[:2]
        assert not asked, "refused before the file is taken"
        return answer

    assert await refused("") == (401, "UNAUTHENTICATED")
    assert await refused("ada") == (403, "FORBIDDEN")
    assert await refused("stranger") == (404, "NOT_FOUND")
    assert await refused("owner", "/datasets/dst_5/import") == (404, "NOT_FOUND")
    assert await refused("owner", f"/datasets/rec_{book.dataset}/import") == (400, "INVALID_ID")
    assert await count(book) == 0


async def test_an_export_has_what_the_viewer_sees(client: httpx2.AsyncClient, book: Book) -> None:
    [record] = await book.add(1)
    for who in ("ada", "ben"):
        await book.submit(who, record)
    await book.database.transact(
        lambda uow: uow.fetch(f"DELETE FROM membership WHERE user_id = {book.users['ben'].id}")
    )

    async def users(who: str) -> list[str]:
        response = await client.get(path(book, "export"), headers={"as": who})
        assert response.status_code == 200
        return [one["user"] for one in orjson.loads(response.content).get("responses", [])]

    assert await users("owner") == ["ada", "ben"]
    assert await users("admin") == ["ada", "hidden-1"]
    assert await users("ada") == ["ada"]
    assert await users("cyd") == []
    assert said(await client.get(path(book, "export"), headers={"as": "stranger"}))[:2] == (404, "NOT_FOUND")
    assert said(await client.get(path(book, "export"), headers={"as": "ben"}))[:2] == (404, "NOT_FOUND")
    assert said(await client.get(path(book, "export")))[:2] == (401, "UNAUTHENTICATED")


async def test_an_admin_attributes_answers_to_people_they_see(client: httpx2.AsyncClient, book: Book) -> None:
    async def load(user: str, create: str) -> str:
        line = {"externalId": user, "fields": {"text": "t"}, "responses": [{"user": user, "values": GOOD}]}
        response = await client.post(
            path(book, "import"),
            params={"createUsers": create},
            content=as_file([line]),
            headers={"as": "admin", **JSONL},
        )
        assert response.status_code == 200, response.text
        return "".join(error["message"] for error in response.json()["errors"])

    assert await load("ada", "false") == ""
    assert "there is no user 'stranger'; createUsers=true makes one." in await load("stranger", "false")
    assert "'stranger' is taken by somebody whom you cannot see" in await load("stranger", "true")
    assert "there is no user 'new'" in await load("new", "false")
    assert await load("new", "true") == ""
    assert "deleted-" in await load("deleted-77", "true")
    rows = await book.rows("SELECT username, role FROM user_account WHERE username = 'new'")
    assert [tuple(row) for row in rows] == [("new", "ANNOTATOR")]
    assert await book.drift() == []


@pytest.mark.parametrize("content_type", ["", "text/plain", "multipart/form-data; boundary=x", "Text/Plain;charset=x"])
async def test_what_a_form_of_another_site_can_send_is_refused(
    client: httpx2.AsyncClient, book: Book, content_type: str
) -> None:
    headers = {"as": "admin"} | ({"content-type": content_type} if content_type else {})
    status, _, message = said(await client.post(path(book, "import"), content=as_file(passages(1)), headers=headers))
    assert status == 415
    assert f"The content type is {content_type or 'missing'!r}" in message
    assert await count(book) == 0


async def test_an_upload_has_bounds(client: httpx2.AsyncClient, book: Book) -> None:
    async def endless(pause: float) -> AsyncIterator[bytes]:
        while True:
            yield b'{"fields": {"text": "a"}}\n' * 100
            await asyncio.sleep(pause)

    headers = {"as": "admin", **JSONL}
    for content, length in ((endless(0), {}), (b"{}", {"content-length": str(LIMIT + 1)})):
        more = headers | length
        status, code, message = said(await client.post(path(book, "import"), content=content, headers=more))
        assert (status, code) == (413, "LIMIT_EXCEEDED")
        assert "longer than 500,000 bytes" in message
    async with client_of(book, seconds=0.5) as hurried:
        status, _, message = said(await hurried.post(path(book, "import"), content=endless(0.2), headers=headers))
    assert status == 408
    assert "not complete after 0.5 seconds" in message
    assert await count(book) == 0


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux bounds the memory of a process")
@pytest.mark.parametrize(("size", "status"), [(2_000_000, 200), (1_500_000_000, 413)])
async def test_a_page_that_unpacks_to_far_too_much_is_refused(
    client: httpx2.AsyncClient, book: Book, size: int, status: int
) -> None:
    headers = {"as": "admin", "content-type": "application/vnd.apache.parquet"}
    response = await client.post(path(book, "import"), content=claiming(size), headers=headers)
    assert response.status_code == status, response.text
    assert await count(book) == (status == 200)
    if status == 413:
        assert "takes more memory than there is for it" in said(response)[2]


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("format=xlsx", "format is 'xlsx': use jsonl, json, csv, parquet"),
        ("onConflict=REPLACE", "onConflict is 'REPLACE': use error, skip, update."),
        ("createUsers=1", "createUsers is '1': use true or false."),
        ("onconflict=skip", "There is no option 'onconflict': use createUsers, format, onConflict."),
    ],
)
async def test_options_are_checked(client: httpx2.AsyncClient, book: Book, query: str, message: str) -> None:
    answer = await client.post(f"{path(book, 'import')}?{query}", content=b"", headers={"as": "admin", **JSONL})
    assert said(answer)[0] == 400
    assert message in said(answer)[2]
    unknown = await client.get(f"{path(book, 'export')}?format=json", headers={"as": "admin"})
    assert said(unknown)[2] == "format is 'json': use jsonl, csv, parquet."


async def test_an_import_that_fails_in_the_middle_says_how_far_it_came(
    client: httpx2.AsyncClient, book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = as_file(passages(1500))
    real = importing.import_records

    async def no_admin_any_more(database: Any, records: Any, options: Any, on_bad: Any, on_batch: Any) -> Any:
        def after(tally: Any) -> None:
            on_batch(tally)
            object.__setattr__(options, "viewer", book.users["ada"])

        return await real(database, records, options, on_bad, after)

    monkeypatch.setattr(http, "import_records", no_admin_any_more)
    status, code, message = said(
        await client.post(path(book, "import"), content=lines, headers={"as": "admin", **JSONL})
    )
    assert (status, code) == (403, "FORBIDDEN")
    assert message.endswith("The first 1,000 lines are done: send the same file again to go on.")
    assert await count(book) == 1000


async def test_a_client_that_goes_away_ends_the_reading(book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    await book.add([record(n) for n in range(1000)])
    await book.add([record(n) for n in range(1000, 2000)])
    reads = 0
    real = book.database.read

    async def counted(*args: Any) -> Any:
        nonlocal reads
        reads += 1
        return await real(*args)

    monkeypatch.setattr(book.database, "read", counted)

    async def identify(_: Request) -> Viewer:
        return book.users["admin"]

    app = Starlette(routes=routes(lambda _: book.database, identify, UploadLimits(LIMIT, 1)))
    leaves = asyncio.Event()

    async def receive() -> dict[str, Any]:
        await leaves.wait()
        return {"type": "http.disconnect"}

    async def export(*, leave: bool) -> int:
        """How many statements it takes."""
        nonlocal reads
        reads = 0
        leaves.clear()

        async def send(message: Any) -> None:
            if message["type"] == "http.response.body" and leave:
                leaves.set()
                await asyncio.sleep(10)  # a full buffer, which nobody empties

        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "method": "GET",
            "path": path(book, "export"),
            "query_string": b"",
            "headers": [],
        }
        async with asyncio.timeout(9):
            await app(scope, receive, send)
        return reads

    assert await export(leave=False) == 13, "four pages of records, suggestions and responses, and an empty one"
    assert await export(leave=True) == 3
