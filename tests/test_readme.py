"""The README's commands, run as they stand there, on SQLite and on PostgreSQL; what it shows is what they say."""

import re
from pathlib import Path

import pytest

from tests.docs.terminal import ROOT, blocks, compare, environment, like_a_clone, server, session, wait_for

README = (ROOT / "README.md").read_text("utf-8")
BLOCKS = blocks(README)


def test_the_walk_through_is_as_it_is_written(tmp_path: Path, backend: str, database_url: str) -> None:
    folder = like_a_clone(tmp_path)
    # On SQLite there is no setting but the port: a free one, for tests run side by side.
    terminals = environment(folder, {"GRADBOOK_DATABASE_URL": database_url} if backend == "postgresql" else {})
    first, *page = BLOCKS
    assert (first.language, first.kind) == ("sh", "background")
    watchers = [number for number, block in enumerate(page) if block.kind == "background" and block.language == "sh"]
    watcher, training = watchers
    with server(folder, terminals, first.text) as (port, said_first):
        assert len(re.findall(r"gb_[\w-]{43}", said_first)) == 1
        for script in (folder / "examples" / "watch_records.py", folder / "examples" / "train_lora.py"):
            script.write_text(script.read_text().replace(":8000", f":{port}"))
        with session(page, folder, terminals, port) as said:
            screen = folder / f"background-{watcher}.screen"
            seen, _ = [block.text for block in page if block.kind == "background" and block.language == "text"]
            wait_for(re.escape(seen.strip().splitlines()[-2]) + r"\n.*\n\Z", screen)
            watched = screen.read_text()
            wait_for(
                r"^SUCCESS, step 6,240 of 6,240, .*: accuracy 0\.\d+, loss 0\.0",
                folder / f"background-{training}.screen",
            )
    assert compare(page, said) >= 8
    # Changes that follow each other quickly come as one.
    lines = iter(seen.splitlines())
    assert all(line in lines for line in watched.splitlines()), watched
    assert watched.splitlines()[-2:] == seen.splitlines()[-2:]


def test_the_setting_that_the_readme_names_is_the_one() -> None:
    (setting,) = [block for block in BLOCKS if block.kind == "setting"]
    assert re.fullmatch(r"export GRADBOOK_DATABASE_URL=postgresql://\S+\n", setting.text)


@pytest.mark.parametrize(
    "page", [ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md")), ROOT / "examples/README.md"], ids=str
)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text("utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("index", [ROOT / "README.md", ROOT / "docs/README.md"], ids=lambda path: path.parent.name)
def test_every_page_is_found_from_the_beginning(index: Path) -> None:
    led_to = {(index.parent / link).resolve() for link in re.findall(r"\]\(([^)#]+)[^)]*\)", index.read_text("utf-8"))}
    assert {*ROOT.glob("docs/*.md"), *ROOT.glob("docs/operations/*.md")} <= {*led_to, ROOT / "docs/README.md"}


def test_what_is_made_and_tested_stands_near_the_top() -> None:
    top = README[:1500]
    assert "make serve" in top
    assert "make test" in top
