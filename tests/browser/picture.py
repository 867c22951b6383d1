"""Makes docs/graphiql.png: GraphiQL at work (`make picture`)."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from pathlib import Path
from typing import Any

from playwright.async_api import async_playwright, expect

from tests.browser.conftest import CHROMIUM, FLAGS
from tests.browser.graphiql import GraphiQL
from tests.support.server import Client, Server

OUT = Path(__file__).parents[2] / "docs/graphiql.png"
SIZE = {"width": 1440, "height": 900}

TOPICS = [{"value": "learning", "text": "Learning"}, {"value": "war", "text": "War and peace"}, {"value": "law"}]
DATASET = {
    "name": "classics",
    "minSubmitted": 2,
    "fields": [{"name": "text"}],
    "questions": [
        {"name": "topic", "title": "What is it about?", "settings": {"label": {"options": TOPICS}}},
        {"name": "clarity", "title": "How clear is it?", "settings": {"rating": {"min": 1, "max": 5}}},
    ],
}
# Lincoln's second inaugural address; the Analects of Confucius.
RECORDS = [
    (
        "With malice toward none; with charity for all; let us strive on to finish the work we are in.",
        "war",
        {"ann": ("war", 5), "ben": ("law", 4)},
    ),
    (
        "學而時習之，不亦說乎？有朋自遠方來，不亦樂乎？",
        "learning",
        {"ann": ("learning", 4), "ben": ("learning", 5)},
    ),
]
CREATE = "mutation ($input: CreateDatasetInput!) { createDataset(input: $input) { dataset { id } errors { message } } }"
ADD = """mutation ($input: AddRecordsInput!) {
  addRecords(input: $input) { results { record { id } } errors { message } }
}"""
USER = "mutation ($input: CreateUserInput!) { createUser(input: $input) { user { id } errors { message } } }"
KEY = "mutation ($input: CreateApiKeyInput!) { createApiKey(input: $input) { secret errors { message } } }"
JOIN = "mutation ($input: AddMemberInput!) { addMember(input: $input) { errors { message } } }"
SUBMIT = "mutation ($input: SubmitResponseInput!) { submitResponse(input: $input) { errors { message } } }"


async def fill(server: Server) -> None:
    """A dataset that two people answered about."""
    async with Client(server, server.key) as owner:
        (workspace,) = (await owner.run("{ workspaces { nodes { id } } }"))["workspaces"]["nodes"]
        made = await owner.mutate(CREATE, DATASET)
        records = [
            {
                "fields": {"text": text},
                "suggestions": [{"question": "topic", "value": guess, "score": 0.83, "agent": "keywords"}],
            }
            for text, guess, _ in RECORDS
        ]
        added = await owner.mutate(ADD, {"datasetId": made["dataset"]["id"], "onConflict": "ERROR", "records": records})
        for name in ("ann", "ben"):
            user = await owner.mutate(USER, {"username": name, "role": "ANNOTATOR", "workspaceIds": [workspace["id"]]})
            key = await owner.mutate(KEY, {"name": "picture", "userId": user["user"]["id"]})
            async with Client(server, key["secret"]) as annotator:
                for result, (_, _, answers) in zip(added["results"], RECORDS, strict=True):
                    topic, clarity = answers[name]
                    values: dict[str, Any] = {"topic": topic, "clarity": clarity}
                    await annotator.mutate(SUBMIT, {"recordId": result["record"]["id"], "values": values})


async def take(server: Server, browser_path: str) -> None:
    """Sign in by the link, run the first example, and look."""
    assert server.link is not None
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=browser_path, args=[*FLAGS, "--no-sandbox"])
        page = await browser.new_page(viewport=SIZE, color_scheme="light")  # type: ignore[arg-type]  # a plain dict
        await page.goto(server.link)
        graphiql = GraphiQL(page)
        await graphiql.ready()
        await graphiql.run()
        await graphiql.shows('"name": "classics"')
        await expect(page.get_by_title("Signed in as owner, OWNER")).to_be_visible()
        await page.mouse.move(700, 880)
        await page.wait_for_timeout(1000)  # colours come after the text
        await page.screenshot(path=OUT)
        await browser.close()


async def main() -> None:
    """Make the picture."""
    browser_path = next(filter(None, map(shutil.which, CHROMIUM)))
    with tempfile.TemporaryDirectory() as folder, Server(f"sqlite:///{folder}/book.db", Path(folder)) as server:
        await fill(server)
        await take(server, str(browser_path))


if __name__ == "__main__":
    asyncio.run(main())
