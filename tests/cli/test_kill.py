"""An import that is killed or stopped in the middle, and run again."""

import signal
import time

import orjson

from app.annotation.transfer.importing import BATCH_LINES
from app.db import Database
from tests.cli.conftest import Gradbook, Result

LINES = 12 * BATCH_LINES
SECONDS = 60


def write_lines(gradbook: Gradbook) -> tuple[str, ...]:
    """A file and a schema; the command that imports it."""
    gradbook.ok("workspace", "add", "default")
    with (gradbook.folder / "many.jsonl").open("wb") as file:
        for n in range(LINES):
            answers = {"user": f"user-{n % 7}", "values": {"comment": "good"}, "status": "SUBMITTED"}
            # Two of three lines have no key but their content.
            key = {} if n % 3 else {"externalId": f"x{n}"}
            file.write(orjson.dumps({**key, "fields": {"text": f"Text {n}"}, "responses": [answers]}) + b"\n")
    schema = {"fields": [{"name": "text"}], "questions": [{"name": "comment", "settings": {"text": {}}}]}
    (gradbook.folder / "schema.json").write_bytes(orjson.dumps(schema))
    return "import", "many.jsonl", "--dataset", "d", "--schema", "schema.json", "--create-users"


async def records(database: Database) -> int:
    return int((await database.read("SELECT count(*) FROM record"))[0][0])


async def stop_after_a_batch(gradbook: Gradbook, database: Database, command: tuple[str, ...], sign: int) -> Result:
    """Start it, and send the signal when it has written something."""
    before = await records(database)
    with gradbook.start(*command) as process:
        deadline = time.monotonic() + SECONDS
        while await records(database) < before + BATCH_LINES:
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
        process.send_signal(sign)
        out, err = process.communicate(timeout=SECONDS)
    return Result(process.returncode, out, err)


async def test_kill_9_in_the_middle_of_an_import(gradbook: Gradbook) -> None:
    command = write_lines(gradbook)
    async with await Database.open(gradbook.url) as database:
        killed_at = []
        for _ in range(3):
            result = await stop_after_a_batch(gradbook, database, command, signal.SIGKILL)
            assert result.code == -signal.SIGKILL
            killed_at.append(await records(database))
            assert gradbook.ok("verify").out.startswith("Every status is what its responses make it.\n")
        assert killed_at == sorted(killed_at)
        assert 0 < killed_at[0] < LINES
        assert all(count % BATCH_LINES == 0 for count in killed_at), "a batch is there, or it is not"

        last = gradbook.ok(*command)
        assert f"{LINES - killed_at[-1]:,} added, 0 updated, {killed_at[-1]:,} there already, 0 bad" in last.out
        assert await records(database) == LINES
    lines = [orjson.loads(line) for line in gradbook.ok("export", "--dataset", "d").out.splitlines()]
    assert [line["fields"]["text"] for line in lines] == [f"Text {n}" for n in range(LINES)]
    assert {len(line["responses"]) for line in lines} == {1}
    gradbook.ok("verify")


async def test_ctrl_c_in_the_middle_of_an_import(gradbook: Gradbook) -> None:
    command = write_lines(gradbook)
    async with await Database.open(gradbook.url) as database:
        result = await stop_after_a_batch(gradbook, database, command, signal.SIGINT)
        kept = await records(database)
    assert (result.code, result.out) == (130, "")
    assert "lines, which are kept. The same command goes on from there." in result.err
    assert "Traceback" not in result.err
    assert kept % BATCH_LINES == 0
    assert f"{kept:,} there already" in gradbook.ok(*command).out
    gradbook.ok("verify")
