"""The command `demo`, as people run it."""

from tests.cli.conftest import Gradbook


def test_the_demo_comes_and_goes(gradbook: Gradbook) -> None:
    made = gradbook.ok("demo").out
    assert "The demo was made: dataset 'demo' (dst_" in made
    assert "http://127.0.0.1:8000/graphiql" in made
    assert gradbook.ok("demo").out.startswith("The demo is there already: dataset 'demo' (dst_")
    assert "Every status is what its responses make it." in gradbook.ok("verify").out
    assert {"demo-ann", "demo-zoe"} <= {row[1] for row in gradbook.ok("user", "list").rows}
    assert "none by other people. Say --yes" in gradbook.refused("demo", "--remove")
    assert gradbook.ok("demo", "--remove", "--yes").out.startswith("Removed: dataset 'demo' (dst_")
    assert gradbook.ok("demo", "--remove").out == "There is no demo.\n"
    assert gradbook.ok("user", "list").out == ""
