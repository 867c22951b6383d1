"""Pages of operations with example answers: how they are read, run and written.

A page is Markdown whose blocks are run from its first to its last, as one story over an empty book:

- `graphql`: the operation from now on;
- `json variables NAME`: what NAME sends with it (`-` for nobody);
- `json answer`: what the server answers;
- `json message`: the next message of the subscription that was last begun.

What differs from run to run stands in the page by its first appearance: ids as `rec_1`, `rec_2`, instants as minutes of
one morning, cursors as `cursor-1`, secrets as `gb_…`. A page's variables use the same names.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from app.graphql.operations import Prepared, Request
from app.graphql.sharing import Message
from tests.api.conftest import Book

PAGES = Path(__file__).parents[2] / "docs" / "operations"
WIDTH = 110
MESSAGE_SECONDS = 60

_BLOCK = re.compile(r"^```(graphql|json)(?: (\w+))?(?: ([\w.-]+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_ID = re.compile(r"\b(rec|rsp|sug|dst|qst|fld|usr|wsp|key|tsk|mtr|snp)_\d{6,}\b")
_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
_UUID = re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}\b")
_SECRET = re.compile(r"\bgb_[\w-]{43}")
_PREFIX = re.compile(r"\bgb_[\w-]{2,12}$")
_CURSORS = {"cursor", "startCursor", "endCursor", "after", "before"}


class Block(NamedTuple):
    """One block of a page: `language`, what it is, who sends it, its text and where the text stands in the page."""

    language: str
    role: str
    who: str
    text: str
    start: int
    end: int


def blocks(page: str) -> list[Block]:
    """The blocks of a page that are run, in their order."""
    found = _BLOCK.finditer(page)
    return [Block(one[1], one[2] or "", one[3] or "", one[4], one.start(4), one.end(4)) for one in found]


@dataclass
class Names:
    """What stands in the page for what the server said, both ways."""

    shown: dict[str, str] = field(default_factory=dict)
    real: dict[str, str] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    def show(self, value: Any, key: str = "") -> Any:
        """An answer as the page says it."""
        if isinstance(value, Mapping):
            return {name: self.show(item, name) for name, item in value.items()}
        if isinstance(value, list):
            return [self.show(item, key) for item in value]
        if not isinstance(value, str):
            return value
        if key in _CURSORS:
            return self._name(value, "cursor", "cursor-{}")
        text = _SECRET.sub("gb_…", value)
        if key == "prefix":
            text = _PREFIX.sub("gb_…", text)
        text = _ID.sub(lambda found: self._name(found[0], found[1], found[1] + "_{}"), text)
        text = _UUID.sub(lambda found: self._name(found[0], "uuid", "00000000-0000-4000-8000-{:012}"), text)
        return _INSTANT.sub(self._instant, text)

    def hide(self, value: Any) -> Any:
        """Variables of the page as the server takes them."""
        if isinstance(value, Mapping):
            return {name: self.hide(item) for name, item in value.items()}
        if isinstance(value, list):
            return [self.hide(item) for item in value]
        if isinstance(value, str) and _INSTANT.fullmatch(value):
            self.shown[value] = value  # what the page says itself comes back as it is
        return self.real.get(value, value) if isinstance(value, str) else value

    def _instant(self, found: re.Match[str]) -> str:
        return self._name(found[0], "instant", "2026-01-31T09:{:02}:00.000000Z")

    def _name(self, real: str, kind: str, pattern: str) -> str:
        if real not in self.shown:
            self.counts[kind] = self.counts.get(kind, 0) + 1
            self.shown[real] = pattern.format(self.counts[kind])
            self.real[self.shown[real]] = real
        return self.shown[real]


async def run(page: str, book: Book, names: Names) -> AsyncIterator[tuple[Block, Any]]:
    """Run a page: each block of JSON with what belongs there, in the page's names."""
    query, answer = "", None
    stream: Any = None
    async with AsyncExitStack() as streams:
        for block in blocks(page):
            if block.language == "graphql":
                query = block.text
            elif block.role == "variables":
                viewer = None if block.who == "-" else book.people[block.who]
                shown = json.loads(block.text)
                yield block, shown
                variables = names.hide(shown)
                prepared = book.operations.prepare(Request(query, variables or None), viewer)
                if prepared.is_subscription:
                    stream = await streams.enter_async_context(_following(book, prepared, viewer))
                else:
                    answer = await book.operations.execute(prepared, viewer)
            elif block.role == "answer":
                yield block, names.show(_plain(answer))
            elif block.role == "message":
                message = await asyncio.wait_for(stream.get(), MESSAGE_SECONDS)
                yield block, names.show(_plain(message))
            else:
                raise ValueError(f"What is a block of 'json {block.role}'?")


@asynccontextmanager
async def _following(book: Book, prepared: Prepared, viewer: Any) -> AsyncIterator[asyncio.Queue[Any]]:
    """The messages of a subscription."""
    messages: asyncio.Queue[Any] = asyncio.Queue()

    async def send(message: Message) -> None:
        messages.put_nowait(orjson.loads(message.text))

    task = asyncio.create_task(book.operations.subscribe(prepared, viewer, send))
    try:
        yield messages
    finally:
        task.cancel()
        await asyncio.wait([task])


def _plain(result: Any) -> Any:
    return orjson.loads(orjson.dumps(result))  # compiled answers are fragments, which only orjson reads


def written(value: Any, indent: str = "") -> str:
    """JSON for people: what fits into a line stands on one."""
    line = json.dumps(value, ensure_ascii=False)
    if len(indent) + len(line) <= WIDTH or not isinstance(value, Mapping | list) or not value:
        return line
    deeper = indent + "  "
    if isinstance(value, Mapping):
        items = [f"{json.dumps(name)}: {written(item, deeper)}" for name, item in value.items()]
        opening, closing = "{", "}"
    else:
        items = [written(item, deeper) for item in value]
        opening, closing = "[", "]"
    inner = ",\n".join(deeper + item for item in items)
    return f"{opening}\n{inner}\n{indent}{closing}"
