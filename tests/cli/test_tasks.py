"""`gradbook task …`, on both databases."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import AsyncIterator, Callable

import pytest

from app.accounts.access import OPERATOR
from app.accounts.users import list_users
from app.accounts.viewer import Viewer
from app.db import Database
from app.training.lifecycle import (
    StartTrainTask,
    cancel_train_task,
    fail_train_task,
    finish_train_task,
    start_train_task,
)
from app.training.tasks import delete_train_task
from tests.cli.conftest import REPOSITORY, Gradbook
from tests.training.tasks import Run, series

SECONDS = 120  # of a loaded machine
TOML = """\
[model]
pretrained_model_name_or_path = "./base/model.safetensors"

[additional_network]
network_dim = 8

[optimizer]
learning_rate = "1e-4"
hub_token = "hf_0123456789012345678901234567890123"

[training]
output_name = "party"
"""


@pytest.fixture
def book(gradbook: Gradbook) -> Gradbook:
    """The command on a database with a workspace, an owner and an annotator, in a folder with `lora.toml`."""
    gradbook.ok("workspace", "add", "default")
    gradbook.ok("user", "add", "olga", "--role", "owner")
    gradbook.ok("user", "add", "ann")
    (gradbook.folder / "lora.toml").write_text(TOML)
    return gradbook


@pytest.fixture
async def database(book: Gradbook) -> AsyncIterator[Database]:
    async with await Database.open(book.url) as database:
        yield database


def imported(book: Gradbook, *options: str) -> str:
    """A new task's id."""
    return book.ok("task", "import", "lora.toml", *options).out.splitlines()[-1]


async def training(database: Database, task: str) -> Run:
    """A task as its script has it, RUNNING."""
    users = await database.transact(list_users, viewer=OPERATOR)
    [ann] = [Viewer(row.id, row.username, row.role) for row in users if row.username == "ann"]
    run = Run(database, int(task.removeprefix("tsk_")), ann, 0)
    await database.transact(start_train_task, StartTrainTask(run.task, total_steps=100), viewer=ann)
    return run


def test_a_config_becomes_a_task_and_what_was_changed_is_told(book: Gradbook) -> None:
    made = book.ok("task", "import", "lora.toml", "--user", "ann")
    assert re.fullmatch(r"Task 'party' of 'ann' was made in 'default'\.\ntsk_\d+\n", made.out)
    assert made.err.splitlines() == [
        'lora.toml: learning_rate, "1e-4", was stored as 0.0001.',
        "lora.toml: extraParams.hub_token holds a secret, which is not stored.",
    ]
    shown = json.loads(book.ok("task", "show", made.out.split()[-1], "--json").out)
    assert (shown["config"]["loraRank"], shown["config"]["learningRate"]) == (8, 0.0001)
    assert shown["config"]["extraParams"] == {"hub_token": "[redacted]"}
    assert (shown["createUser"], shown["workspace"], shown["status"]) == (
        {"username": "ann"}, {"name": "default"}, "PENDING",
    )  # fmt: skip
    book.ok("workspace", "add", "team")
    by_pipe = book.ok("task", "import", "-", "--format", "json", "--workspace", "team", stdin='{"model_name": "m"}')
    assert by_pipe.out.startswith("Task 'm' of 'olga' was made in 'team'.\n")


def test_configs_that_are_refused(book: Gradbook) -> None:
    assert book.refused("task", "import", "none.toml") == "none.toml: No such file or directory."
    assert "no format is known by this suffix" in book.refused("task", "import", "lora.cfg")
    (book.folder / "bad.toml").write_text("a = \n")
    assert book.refused("task", "import", "bad.toml").startswith("text: ")
    (book.folder / "bytes.json").write_bytes(b'{"a": "\xff"}')
    assert "bytes.json: byte 8, 0xFF, is not UTF-8" in book.refused("task", "import", "bytes.json")
    assert "There is no user 'eve'" in book.refused("task", "import", "lora.toml", "--user", "eve")
    assert "There is no workspace 'x'" in book.refused("task", "import", "lora.toml", "--workspace", "x")
    book.ok("workspace", "add", "team")
    hidden = book.refused("task", "import", "lora.toml", "--user", "ann", "--workspace", "team")
    assert "There is no workspace wsp_" in hidden
    assert book.ok("task", "list").out == ""


async def test_tasks_are_listed_and_shown(book: Gradbook, database: Database) -> None:
    older, newer = imported(book, "--user", "ann"), imported(book)
    run = await training(database, older)
    await run.report(0, series("loss", [1, 2], [0.5, "NaN"]), series("accuracy", [2], [0.75]), step=40)
    assert [row[0] for row in book.ok("task", "list").rows] == [newer, older]
    [[number, model, status, user, started, took, metrics]] = book.ok("task", "list", "--status", "running").rows
    assert (number, model, status, user) == (older, "party", "RUNNING 40%", "ann")
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", started)
    assert re.fullmatch(r"(\d+ min )?\d+ s", took)
    assert metrics == "accuracy 0.75, loss NaN"

    def listed(*options: str) -> list[str]:
        return [row[0] for row in book.ok("task", "list", *options).rows]

    assert listed("--limit", "1") == [newer]
    assert listed("--user", "ann") == listed("--status", "RUNNING", "--model", "ART") == [older]
    assert listed("--status", "failed", "--status", "pending") == [newer]
    assert listed("--model", "x") == []
    assert listed("--workspace", "default") == [newer, older]
    assert [one["id"] for one in json.loads(book.ok("task", "list", "--json").out)] == [newer, older]
    assert "There is no user 'eve'" in book.refused("task", "list", "--user", "eve")

    await database.transact(fail_train_task, run.task, "out of memory", viewer=run.viewer)
    uuid = json.loads(book.ok("task", "show", older, "--json").out)["taskId"]
    said = book.ok("task", "show", uuid).rows
    facts = {row[0]: row[1] for row in said if len(row) == 2}
    assert facts.items() >= {
        "taskId": uuid, "status": "FAILED", "user": "ann", "workspace": "default", "step": "40 of 100",
        "error": "out of memory", "modelName": "party", "loraRank": "8", "extraParams.hub_token": "[redacted]",
    }.items()  # fmt: skip
    assert said[-2:] == [
        ["accuracy", "0.75", "2", "0.75", "2", "0.75", "2", "1"],
        ["loss", "0.5", "2", "0.5", "1", "0.5", "1", "2"],
    ]
    await database.transact(delete_train_task, run.task, viewer=run.viewer)
    assert listed() == [newer]
    assert "deleted" in {row[0] for row in book.ok("task", "show", older).rows}
    assert book.refused("task", "show", "tsk_5") == "There is no training task tsk_5. See `gradbook task list`."
    assert book.refused("task", "show", "x").startswith("'x' is not the id of a training task")


def read_until(pattern: str, read: Callable[[], str]) -> str:
    """What comes until it matches."""
    text, until = "", time.monotonic() + SECONDS
    while not re.search(pattern, text):
        assert time.monotonic() < until, f"no {pattern!r} in {text[-2000:]!r}"
        more = read()
        assert more, f"it ended without {pattern!r}: {text[-2000:]!r}"
        text += more
    return text


async def test_watching_without_a_terminal_prints_what_is_new_until_the_end(book: Gradbook, database: Database) -> None:
    task = imported(book, "--user", "ann")
    with book.start("task", "watch", task) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == "PENDING\n"
        run = await training(database, task)
        read_until(r"RUNNING, \d+ s\n", process.stdout.readline)
        await run.report(0, series("loss", [1], [0.5]), step=10)
        read_until(r"RUNNING 10%, step 10 of 100, \d+ s: loss 0\.5\n", process.stdout.readline)
        await database.transact(finish_train_task, run.task, viewer=run.viewer)
        read_until(r"SUCCESS, step 10 of 100, \d+ s: loss 0\.5\n", process.stdout.readline)
        assert process.stdout.read() == ""
        assert process.stderr.read() == ""
    assert process.returncode == 0
    assert book.refused("task", "watch", "tsk_5") == "There is no training task tsk_5. See `gradbook task list`."


async def test_the_exit_code_says_how_a_task_ended(book: Gradbook, database: Database) -> None:
    failed, canceled = imported(book, "--user", "ann"), imported(book, "--user", "ann")
    run = await training(database, failed)
    await run.report(0, series("a", [1], [1]), series("b", [1], ["Infinity"]))
    await database.transact(fail_train_task, run.task, "out of memory", viewer=run.viewer)
    await database.transact(cancel_train_task, int(canceled[4:]), viewer=run.viewer)
    ended = book.run("task", "watch", failed, "--metric", "b", "--metric", "c")
    assert (ended.code, ended.err) == (3, "out of memory\n")
    assert re.fullmatch(r"FAILED, \d+ s: b infinite\n", ended.out)
    assert book.run("task", "watch", canceled).code == 4


async def test_ctrl_c_ends_the_watching_and_not_the_task(book: Gradbook, database: Database) -> None:
    task = imported(book, "--user", "ann")
    with book.start("task", "watch", task) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        said = process.stderr.read()
    assert process.returncode == 130
    assert "Traceback" not in said
    assert json.loads(book.ok("task", "show", task, "--json").out)["status"] == "PENDING"


class Terminal:
    """A command on a terminal of its own."""

    def __init__(self, book: Gradbook, *arguments: str) -> None:
        self._parent, child = pty.openpty()
        self.resize(24, 80)
        environment = {name: value for name, value in book.environment.items() if name not in {"COLUMNS", "LINES"}}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "app.cli", *arguments],
            cwd=book.folder,
            env={**environment, "PYTHONPATH": str(REPOSITORY), "TERM": "xterm"},
            stdin=child, stdout=child, stderr=child, start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - takes no lock
        )  # fmt: skip
        os.close(child)

    def resize(self, rows: int, columns: int) -> None:
        """As a window manager does: the size, then the signal."""
        fcntl.ioctl(self._parent, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        if hasattr(self, "process"):
            self.process.send_signal(signal.SIGWINCH)

    def read(self) -> str:
        """What it says next; nothing when it has ended."""
        ready, _, _ = select.select([self._parent], [], [], SECONDS)
        try:
            return os.read(self._parent, 100_000).decode(errors="replace") if ready else ""
        except OSError:  # Linux says so when the other side of a terminal is closed
            return ""

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait(SECONDS)
        os.close(self._parent)


def rest(terminal: Terminal) -> str:
    text = ""
    while more := terminal.read():
        text += more
    return text


def widest(screen: str) -> int:
    """The longest line of dots."""
    return max(map(len, re.findall("[⠀-⣿]+", screen)))


async def test_on_a_terminal_a_chart_grows_and_fits(book: Gradbook, database: Database) -> None:
    task = imported(book, "--user", "ann")
    with Terminal(book, "task", "watch", task) as terminal:
        read_until("Nothing is reported yet", terminal.read)
        run = await training(database, task)
        await run.report(0, series("loss", range(50), [1 / (n + 1) for n in range(50)]), step=50)
        first = read_until("[⠁-⣿]{20}", terminal.read)
        assert "RUNNING 50%" in first
        assert 40 < widest(first) <= 80
        terminal.resize(40, 140)
        read_until("[⠀-⣿]{100}", terminal.read)
        await run.report(1, series("accuracy", [99], [0.5]), step=100)
        read_until(r"accuracy 0\.5(.|\n)*loss 0\.02", terminal.read)
        await database.transact(finish_train_task, run.task, viewer=run.viewer)
        last = rest(terminal)
        assert "SUCCESS" in last
        assert last.rstrip().endswith("\x1b[?25h"), "the cursor is shown again"
        assert terminal.process.wait(SECONDS) == 0
