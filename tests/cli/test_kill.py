"""An import that is killed in the middle, and run again."""

import time

import orjson

from app.annotation.transfer.importing import BATCH_LINES
from app.db import Database
from tests.cli.conftest import Gradbook

LINES = 12 * BATCH_LINES
SECONDS = 60


async def test_kill_9_in_the_middle_of_an_import(gradbook: Gradbook) -> None:
    gradbook.ok("workspace", "add", "default")
    with (gradbook.folder / "many.jsonl").open("wb") as file:
        for n in range(LINES):
            answers = {"user": f"user-{n % 7}", "values": {"comment": "good"}, "status": "SUBMITTED"}
            # Every third line has no key but its content.
            key = {} if n % 3 else {"externalId": f"x{n}"}
            file.write(orjson.dumps({**key, "fields": {"text": f"Text {n}"}, "responses": [answers]}) + b"\n")
    schema = {"fields": [{"name": "text"}], "questions": [{"name": "comment", "settings": {"text": {}}}]}
    (gradbook.folder / "schema.json").write_bytes(orjson.dumps(schema))
    command = ("import", "many.jsonl", "--dataset", "d", "--schema", "schema.json", "--create-users")

    async with await Database.open(gradbook.url) as database:

        async def records() -> int:
            return int((await database.read("SELECT count(*) FROM record"))[0][0])

        killed_at = []
        for _ in range(3):
            before = await records()
            with gradbook.start(*command) as process:
                deadline = time.monotonic() + SECONDS
                while await records() < before + BATCH_LINES:
                    assert process.poll() is None, process.stderr and process.stderr.read()
                    assert time.monotonic() < deadline
                process.kill()
            killed_at.append(await records())
            assert gradbook.ok("verify").out == "Every status is what its responses make it.\n"
        assert killed_at == sorted(killed_at)
        assert 0 < killed_at[0] < LINES
        assert all(count % BATCH_LINES == 0 for count in killed_at), "a batch is there, or it is not"

        last = gradbook.ok(*command)
        assert f"{LINES - killed_at[-1]:,} added, 0 updated, {killed_at[-1]:,} there already, 0 bad" in last.out
        assert await records() == LINES
    lines = [orjson.loads(line) for line in gradbook.ok("export", "--dataset", "d").out.splitlines()]
    assert [line["fields"]["text"] for line in lines] == [f"Text {n}" for n in range(LINES)]
    assert {len(line["responses"]) for line in lines} == {1}
    gradbook.ok("verify")
