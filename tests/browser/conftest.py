"""A real browser before a real server. It is the system's Chromium: nothing is downloaded.

Without one, or without the pages that `make web` builds, these tests are skipped and say so;
GRADBOOK_TEST_BROWSER=require, which `.ci/run` sets, makes that a failure.
"""

import os
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, Request, async_playwright

from app import web
from tests.support.server import Server

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
FLAGS = [
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    # Chromium's own calls to its maker are not the pages', and nothing is to leave the machine.
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]
SECONDS = 60


def _missing(what: str) -> None:
    if os.environ.get("GRADBOOK_TEST_BROWSER") == "require":
        pytest.fail(what)
    pytest.skip(what)


@pytest.fixture(scope="session")
def chromium() -> str:
    """The browser's program."""
    if not web.is_built():
        _missing("The pages are not built: run `make web`.")
    path = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if path is None:
        _missing("There is no Chromium: `apt-get install chromium`, or your system's package of it.")
    return str(path)


@pytest.fixture(scope="session")
async def browser(chromium: str) -> AsyncIterator[Browser]:
    as_root = ["--no-sandbox"] if os.geteuid() == 0 else []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=[*FLAGS, *as_root])
        yield browser
        await browser.close()


@pytest.fixture
def server(chromium: str, tmp_path: Path) -> Iterator[Server]:
    """A server on its first start."""
    with Server(f"sqlite:///{tmp_path}/book.db", tmp_path) as server:
        yield server


class Visitor:
    """Somebody with a browser of their own, and what they should never see.

    `complaints` are errors on the console (what the content security policy refuses is among them) and of scripts;
    `strays` are requests to anywhere else than the server.
    """

    def __init__(self, context: BrowserContext, address: str) -> None:
        self.context = context
        self.address = address
        self.complaints: list[str] = []
        self.strays: list[str] = []
        context.on("console", self._console)
        context.on("weberror", lambda error: self.complaints.append(str(error.error)))
        context.on("request", self._request)

    async def open(self, path: str) -> Page:
        """A new tab."""
        page = await self.context.new_page()
        await page.goto(path if "://" in path else self.address + path)
        return page

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.complaints.append(message.text)

    def _request(self, request: Request) -> None:
        if not request.url.startswith((f"{self.address}/", "data:", "blob:")):
            self.strays.append(request.url)


@pytest.fixture
async def visitor(browser: Browser, server: Server) -> AsyncIterator[Visitor]:
    context = await browser.new_context(viewport={"width": 1440, "height": 900})
    context.set_default_timeout(SECONDS * 1000)
    yield Visitor(context, server.address)
    await context.close()
