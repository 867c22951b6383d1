"""The limit: bare Starlette handlers that say the product's own statements to the raw driver, and nothing more.

They authenticate by the same statement and answer the same bytes. What they leave out is what makes a server: GraphQL
with its checks and errors, scope for any selection, retries, limits, request ids, the bus.
"""

from __future__ import annotations

import datetime
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app.accounts.credentials import hashed
from bench.doors import Door, open_door
from bench.learning import learn_page, learn_submission
from bench.recording import Repeatable

Handler = Callable[[Request], Awaitable[Response]]


def page(url: str) -> Starlette:
    """RecordPage."""

    async def make(door: Door) -> Handler:
        learned = await learn_page(url)

        async def answer(request: Request) -> Response:
            variables = orjson.loads(await request.body())["variables"]
            viewer_id = await _authenticate(door, learned.authenticate, request)
            sql, parameters = learned.page.on(viewer_id=viewer_id, dataset_id=int(variables["dataset"][4:]))
            [(_, text)] = await door.read(sql, parameters)
            return _json(f'{{"data":{{"dataset":{text}}}}}')

        return answer

    return _app(url, make)


def submit(url: str) -> Starlette:
    """SubmitResponse."""

    async def make(door: Door) -> Handler:
        learned = await learn_submission(url)

        async def answer(request: Request) -> Response:
            given = orjson.loads(await request.body())["variables"]["input"]
            viewer_id = await _authenticate(door, learned.authenticate, request)
            response, record = await door.submit(learned, viewer_id, int(given["recordId"][4:]), given["values"])
            return _json(f'{{"data":{{"submitResponse":{{"response":{response},"record":{record},"errors":[]}}}}}}')

        return answer

    return _app(url, make)


def _app(url: str, make: Callable[[Door], Awaitable[Handler]]) -> Starlette:
    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[Mapping[str, Any]]:
        async with open_door(url) as door:
            yield {"answer": await make(door)}

    async def endpoint(request: Request) -> Response:
        response: Response = await request.scope["state"]["answer"](request)
        return response

    return Starlette(routes=[Route("/graphql", endpoint, methods=["POST"])], lifespan=lifespan)


async def _authenticate(door: Door, statement: Repeatable, request: Request) -> int:
    secret = request.headers["authorization"].removeprefix("Bearer ")
    sql, parameters = statement.on(now=door.now(datetime.datetime.now(datetime.UTC)), secret_hash=hashed(secret))
    [(_, user_id, *_)] = await door.read(sql, parameters)
    return int(user_id)


def _json(text: str) -> Response:
    return Response(text, media_type="application/json")
