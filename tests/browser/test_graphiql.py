"""GraphiQL in a browser: signing in by the link of the first start, and all three kinds of operations."""

from collections.abc import AsyncIterator

import pytest
from playwright.async_api import expect

from tests.browser.conftest import Visitor
from tests.browser.graphiql import GraphiQL
from tests.support.server import Client, Server

CREATE = "mutation ($input: CreateDatasetInput!) { createDataset(input: $input) { dataset { id } errors { message } } }"
ADD = "mutation ($input: AddRecordsInput!) { addRecords(input: $input) { added errors { message } } }"
SUBMIT = """mutation ($input: SubmitResponseInput!) {
  submitResponse(input: $input) { record { id } errors { message } }
}"""
RECORDS = "{ datasets { nodes { records { nodes { id } } } } }"
DATASET = {
    "name": "weather",
    "fields": [{"name": "text"}],
    "questions": [
        {"name": "sky", "settings": {"label": {"options": [{"value": "grey"}, {"value": "blue"}]}}},
        {"name": "wind", "settings": {"rating": {"min": 2, "max": 7}}},
    ],
}
TEXTS = ["It rains in the north.", "南方有陽光。"]


@pytest.fixture
async def owner(server: Server) -> AsyncIterator[Client]:
    """The owner by their key, and a dataset of two records."""
    client = Client(server, server.key)
    made = await client.mutate(CREATE, DATASET)
    records = [{"fields": {"text": text}} for text in TEXTS]
    await client.mutate(ADD, {"datasetId": made["dataset"]["id"], "onConflict": "ERROR", "records": records})
    yield client
    await client.http.aclose()


async def test_the_link_signs_in_and_graphiql_works(server: Server, owner: Client, visitor: Visitor) -> None:
    assert server.link is not None
    page = await visitor.open(server.link)
    await page.wait_for_url(f"{server.address}/graphiql")
    await expect(page.get_by_title("Signed in as owner, OWNER")).to_be_visible()
    (cookie,) = await visitor.context.cookies()
    assert (cookie["name"], cookie["httpOnly"], cookie["sameSite"]) == ("gradbook_session", True, "Strict")
    graphiql = GraphiQL(page)
    await graphiql.ready()

    await graphiql.run()
    await graphiql.shows('"name": "weather"')
    await graphiql.shows(TEXTS[1])
    await graphiql.has_variables('"records": 3')

    await graphiql.tab("SubmitResponse")
    await graphiql.run()
    await graphiql.shows('"sky": "grey"')
    await graphiql.shows('"wind": 2')
    await graphiql.shows('"submittedCount": 1')

    await graphiql.run_at_once("RecordChanged")  # what the editor shows is what runs, and by a socket
    await graphiql.shows('"pending": 1')
    ((_, other),) = [
        [record["id"] for record in dataset["records"]["nodes"]]
        for dataset in (await owner.run(RECORDS))["datasets"]["nodes"]
    ]
    await owner.mutate(SUBMIT, {"recordId": other, "values": {"sky": "blue", "wind": 7}})
    await graphiql.shows(f'"id": "{other}"')
    await graphiql.shows('"completed": 2')
    await graphiql.run()  # ends the subscription

    await graphiql.keeps("RecordChanged")
    await page.reload()  # everything is as it was, with a record that is not answered yet
    await graphiql.ready()
    await expect(page.get_by_role("tab")).to_have_count(9)
    await graphiql.has_variables('"dataset": "dst_')

    await page.get_by_role("button", name="Show Documentation Explorer").click()
    await page.get_by_role("link", name="Query", exact=True).click()
    await expect(page.get_by_text("The datasets that the viewer sees.")).to_be_visible()

    assert visitor.complaints == []
    assert visitor.strays == []


async def test_a_training_arrives_in_its_tab(server: Server, owner: Client, visitor: Visitor) -> None:
    create = (
        "mutation ($input: CreateTrainTaskInput!) { createTrainTask(input: $input) { task { id } errors { code } } }"
    )
    report = "mutation ($input: ReportProgressInput!) { reportProgress(input: $input) { accepted errors { code } } }"
    task = (await owner.mutate(create, {"modelName": "tiny"}))["task"]["id"]
    points = {"metric": "loss", "steps": [1, 2], "values": [0.75, 0.625]}
    await owner.mutate(report, {"id": task, "sequence": 0, "series": [points]})
    assert server.link is not None
    graphiql = GraphiQL(await visitor.open(server.link))
    await graphiql.ready()
    await graphiql.run_at_once("TrainProgress")
    await graphiql.shows("0.625")
    await owner.mutate(report, {"id": task, "sequence": 1, "series": [points | {"values": [0.5, 0.4375]}]})
    await graphiql.shows("0.4375")
    await graphiql.run()  # ends the subscription
    await graphiql.run_at_once("Curves")
    await graphiql.shows('"modelName": "tiny"')
    assert visitor.complaints == []
    assert visitor.strays == []


async def test_the_link_works_once_and_signing_out_ends_the_session(
    server: Server, owner: Client, visitor: Visitor
) -> None:
    assert server.link is not None
    page = await visitor.open(server.link)
    await page.wait_for_url("**/graphiql")
    await page.get_by_role("button", name="Sign out").click()

    await expect(page.get_by_text("You are not signed in.")).to_be_visible()
    assert await visitor.context.cookies() == []
    assert visitor.complaints == [], "a visitor who is not signed in sees no errors"

    await page.get_by_role("link", name="Sign in").click()
    await page.wait_for_url("**/sign-in")
    again = await visitor.open(server.link)
    await expect(again.get_by_role("status")).to_contain_text("This link has been used, and works only once")
    await expect(again.get_by_role("status")).to_contain_text("gradbook user link NAME")
    assert "#" not in again.url
    assert await visitor.context.cookies() == []
    assert visitor.strays == []


async def test_a_key_under_headers_and_a_password(server: Server, owner: Client, visitor: Visitor) -> None:
    page = await visitor.open("/graphiql")
    graphiql = GraphiQL(page)
    await graphiql.ready()
    await graphiql.type_headers(f'{{"Authorization": "Bearer {server.key}"}}')
    await graphiql.run()
    await graphiql.shows('"name": "weather"')
    assert visitor.complaints == []

    viewer = "mutation ($input: UpdateUserInput!) { updateUser(input: $input) { errors { message } } }"
    me = (await owner.run("{ viewer { id } }"))["viewer"]["id"]
    await owner.mutate(viewer, {"id": me, "password": "correct horse"})
    await page.goto(f"{server.address}/sign-in")
    for password in ("wrong horse", "correct horse"):
        await page.get_by_label("Username").fill("owner")
        await page.get_by_label("Password", exact=True).fill(password)
        await page.keyboard.press("Enter")
        if password == "wrong horse":
            await expect(page.get_by_role("status")).to_contain_text("The username or the password is wrong")
    await page.wait_for_url("**/graphiql")
    await expect(page.get_by_title("Signed in as owner, OWNER")).to_be_visible()
    assert visitor.strays == []
