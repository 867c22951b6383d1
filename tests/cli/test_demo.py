"""The command `demo`, as people run it."""

from app.cli import lookups
from app.cli.session import as_operator
from app.db import UnitOfWork
from app.training.demo.tasks import demo_tasks, remove_demo_tasks
from tests.cli.conftest import Gradbook


def test_the_demo_comes_and_goes(gradbook: Gradbook) -> None:
    made = gradbook.ok("demo").out
    assert "The demo was made: dataset 'demo' (dst_" in made
    assert "http://127.0.0.1:8000/graphiql" in made
    assert gradbook.ok("demo").out.startswith("The demo is there already: dataset 'demo' (dst_")
    assert "Every status is what its responses make it." in gradbook.ok("verify").out
    listed = gradbook.ok("task", "list", "--limit", "20").out
    assert (listed.count("SUCCESS"), listed.count("FAILED"), listed.count("CANCELED")) == (10, 1, 1)
    assert {"demo-ann", "demo-zoe"} <= {row[1] for row in gradbook.ok("user", "list").rows}
    assert "12 training tasks, no responses by other people. Say --yes" in gradbook.refused("demo", "--remove")
    assert gradbook.ok("demo", "--remove", "--yes").out.startswith("Removed: dataset 'demo' (dst_")
    assert gradbook.ok("demo", "--remove").out == "There is no demo.\n"
    assert gradbook.ok("user", "list").out == ""
    assert "tsk_" not in gradbook.ok("task", "list").out


def test_what_is_missing_of_the_demo_is_made(gradbook: Gradbook) -> None:
    gradbook.ok("demo")

    def forget(uow: UnitOfWork) -> None:
        remove_demo_tasks(uow, demo_tasks(uow, lookups.workspace_id(uow, None)))

    as_operator(gradbook.url, forget)
    assert "and 240 responses; 12 training tasks" in gradbook.ok("demo").out
    assert "The demo is there already" in gradbook.ok("demo").out
