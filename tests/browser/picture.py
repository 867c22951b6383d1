"""Makes docs/graphiql.png and docs/training.png: GraphiQL at work on the demo (`make picture`)."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.async_api import Page, ViewportSize, async_playwright, expect

from tests.browser.conftest import CHROMIUM, FLAGS
from tests.browser.graphiql import GraphiQL
from tests.support.server import Server

DOCS = Path(__file__).parents[2] / "docs"
SIZE = ViewportSize(width=1440, height=900)


async def take(link: str, browser_path: str) -> None:
    """Sign in by the link, run the first example, and look; then watch a training."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=browser_path, args=[*FLAGS, "--no-sandbox"])
        page = await browser.new_page(viewport=SIZE, color_scheme="light")
        await page.goto(link)
        graphiql = GraphiQL(page)
        await graphiql.ready()
        await graphiql.run()
        await graphiql.shows('"name": "demo"')
        await _save(page, "graphiql.png")
        await graphiql.tab("TrainProgress")
        await graphiql.run()
        await graphiql.shows('"status": "SUCCESS"')
        await _save(page, "training.png")
        await browser.close()


async def _save(page: Page, name: str) -> None:
    await expect(page.locator(".graphiql-response .view-lines .mtk1").first).to_be_visible()
    await page.mouse.move(700, 880)
    await page.wait_for_timeout(8_000)  # ms: colours come after the text
    await page.screenshot(path=DOCS / name)


def main() -> None:
    """Make the pictures."""
    browser_path = next(filter(None, map(shutil.which, CHROMIUM)))
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/book.db"
        with Server(url, Path(folder)) as server:
            environment = {**os.environ, "GRADBOOK_DATABASE_URL": url}
            subprocess.run([sys.executable, "-m", "app.cli", "demo"], env=environment, check=True)
            assert server.link is not None
            asyncio.run(take(server.link, str(browser_path)))


if __name__ == "__main__":
    main()
