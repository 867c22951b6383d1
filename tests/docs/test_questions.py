"""The page about questions: each example answer is taken or refused, stored and told, as the page says."""

import json
import re
from pathlib import Path
from typing import Any

from app.annotation.answers import check_answers
from app.annotation.questions import SETTINGS, AskedQuestion
from app.annotation.tables import ResponseStatus
from app.db.types import json_text

PAGE = (Path(__file__).parents[2] / "docs" / "questions.md").read_text("utf-8")
BLOCK = re.compile(r"^```(?:json (\w+)|(text))\n(.*?)^```$", re.MULTILINE | re.DOTALL)
KINDS = {kind.key: kind for kind in SETTINGS.values()}


def test_every_example_is_true() -> None:
    shown: dict[str, int] = {}
    for section in PAGE.split("\n## ")[1:]:
        settings: Any = None
        fields: dict[str, Any] = {}
        stored: Any = None
        said: list[str] = []
        for role, text, content in BLOCK.findall(section):
            kind = role or text
            shown[kind] = shown.get(kind, 0) + 1
            if kind == "settings":
                ((key, given),) = json.loads(content).items()
                settings = KINDS[key].from_json(given)
                assert list(settings.problems()) == []
            elif kind == "fields":
                fields = json.loads(content)
            elif kind in {"answer", "wrong"}:
                assert said == [], "the page does not say what is wrong"
                answer = json.loads(content)
                questions = {name: AskedQuestion(name, True, settings) for name in answer}
                stored, errors = check_answers(questions, answer, ResponseStatus.SUBMITTED, fields)
                said = [error.message for error in errors]
                assert bool(said) == (kind == "wrong"), content
            elif kind == "stored":
                assert json_text(stored) == json_text(json.loads(content))
            else:
                assert said == [content.rstrip("\n")]
                said = []
        assert said == []
    assert shown["settings"] == len(KINDS)
    assert shown["wrong"] == shown["text"] >= 2 * len(KINDS)
    assert shown["answer"] >= len(KINDS)
    assert shown["stored"] >= 3


def test_the_page_has_a_section_for_every_type() -> None:
    keys = {next(iter(json.loads(content))) for role, _, content in BLOCK.findall(PAGE) if role == "settings"}
    assert keys == set(KINDS)
