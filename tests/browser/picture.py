"""Makes docs/graphiql.png and docs/training.png: GraphiQL at work on the demo (`make picture`)."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.async_api import Page, ViewportSize, async_playwright, expect

from tests.browser.conftest import CHROMIUM, FLAGS
from tests.browser.graphiql import GraphiQL
from tests.support.server import Server

SIZE = ViewportSize(width=1440, height=900)


ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "train_lora.py"
DOCS = ROOT / "docs"


async def take(server: Server, browser_path: str) -> None:
    """Sign in by the link, run the first example, and look; then watch a training that runs meanwhile."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=browser_path, args=[*FLAGS, "--no-sandbox"])
        page = await browser.new_page(viewport=SIZE, color_scheme="light")
        assert server.link is not None
        await page.goto(server.link)
        graphiql = GraphiQL(page)
        await graphiql.ready()
        await graphiql.run()
        await graphiql.shows('"name": "demo"')
        await _save(page, "graphiql.png")
        with _training(server):
            await page.reload()  # its tabs ask for the newest task
            await graphiql.ready()
            await graphiql.tab("TrainProgress")
            await graphiql.run()
            await graphiql.shows('"status": "RUNNING"')
            await _save(page, "training.png")
        await browser.close()


@contextmanager
def _training(server: Server) -> Iterator[None]:
    """The example trains and reports, for much longer than it would by itself."""
    config = EXAMPLE.with_suffix(".toml").read_text().replace("max_train_epochs = 60", "max_train_epochs = 6000")
    with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
        file.write(config)
        file.flush()
        assert server.key is not None
        command = [sys.executable, str(EXAMPLE), "--server", server.address, "--key", server.key, "--config", file.name]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
            assert running.stdout is not None
            while "tsk_" not in running.stdout.readline():
                assert running.poll() is None
            try:
                yield
            finally:
                running.kill()


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
            asyncio.run(take(server, str(browser_path)))


if __name__ == "__main__":
    main()
