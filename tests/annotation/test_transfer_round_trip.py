"""Export, import, export: the same bytes, whatever a file may hold."""

from collections.abc import Sequence
from typing import Any

import orjson
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.accounts.access import OPERATOR
from app.accounts.workspaces import create_workspace
from app.annotation.datasets import CreateDatasetInput, FieldInput, QuestionInput, create_dataset
from app.annotation.questions import (
    LabelSettings,
    MultiLabelSettings,
    Option,
    RankingSettings,
    RatingSettings,
    SpanSettings,
    TextSettings,
)
from app.annotation.tables import FieldType
from app.annotation.transfer.formats import MEDIA_TYPES, Format
from app.db import Database, UnitOfWork
from tests.annotation.transfer import Line, Transfer

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)
JSONS = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
CHATS = st.none() | st.lists(st.fixed_dictionaries({"role": st.just("user"), "content": TEXTS}), max_size=2)
ANSWERS: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {},
    optional={
        "comment": TEXTS,
        "tone": st.integers(1, 5),
        "topic": st.sampled_from(["war", "pe ace"]),
        "tags": st.lists(st.sampled_from(["a", "b", "ü"]), unique=True).map(sorted),
        "order": st.permutations(["x", "y"]).map(
            lambda order: [{"value": value, "rank": rank} for rank, value in enumerate(order, 1)]
        ),
        "parts": st.sampled_from([[], [{"start": 0, "end": 1, "label": "ü"}]]),
    },
)
RESPONSE: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {"user": st.sampled_from(["ann", "Zoë", "名前", "c d"]), "values": st.none() | ANSWERS, "status": st.just("DRAFT")}
) | st.fixed_dictionaries(
    {
        "user": st.sampled_from(["ann", "Zoë", "名前", "c d"]),
        "values": ANSWERS.map(lambda answers: {**answers, "comment": f"x{answers.get('comment', '')}"}),
        "status": st.sampled_from(["SUBMITTED", "DISCARDED"]),
    }
)
SUGGESTION: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {"question": st.just("comment"), "value": TEXTS},
    optional={"score": st.floats(allow_nan=False, allow_infinity=False), "agent": TEXTS.filter(bool)},
)
FIELDS = st.fixed_dictionaries(
    {"text": TEXTS.map("🎉{}".format)}, optional={"any": JSONS, "note": st.none() | TEXTS, "chat": CHATS}
)
LINE: st.SearchStrategy[Line] = st.fixed_dictionaries(
    {"fields": FIELDS},
    optional={
        "metadata": st.dictionaries(TEXTS, JSONS, max_size=3),
        "suggestions": st.lists(SUGGESTION, max_size=1),
        "responses": st.lists(RESPONSE, max_size=4, unique_by=lambda response: response["user"]),
    },
)


async def round_trip(
    database: Database, lines: Sequence[Line], format: Format = Format.JSONL
) -> tuple[list[bytes], list[bytes]]:
    """What comes out of a dataset that the lines went into, and out of one that this went into, in that format."""

    def make(uow: UnitOfWork) -> tuple[int, int]:
        rows = uow.fetch("SELECT id FROM workspace")
        workspace = int(rows[0][0]) if rows else create_workspace(uow, "default")
        questions = [
            QuestionInput("comment", TextSettings()),
            QuestionInput("tone", RatingSettings(1, 5), required=False),
            QuestionInput("topic", LabelSettings((Option("war"), Option("pe ace"))), required=False),
            QuestionInput("tags", MultiLabelSettings((Option("a"), Option("b"), Option("ü"))), required=False),
            QuestionInput("order", RankingSettings((Option("x"), Option("y"))), required=False),
            QuestionInput("parts", SpanSettings("text", (Option("ü"),)), required=False),
        ]
        fields = [
            FieldInput("any", FieldType.CUSTOM, required=False),
            FieldInput("text"),
            FieldInput("note", required=False),
            FieldInput("chat", FieldType.CHAT, required=False),
        ]
        name = f"round {uow.new_id()}"
        return create_dataset(uow, CreateDatasetInput(name, fields, questions, workspace)), workspace

    first = Transfer(database, *await database.transact(make, viewer=OPERATOR))
    await first.load(lines, create_users=True)
    assert first.bad == []
    exported = await first.dump()
    second = Transfer(database, *await database.transact(make, viewer=OPERATOR))
    await second.load_file(await first.dump_file(format), create_users=True)
    assert second.bad == []
    return exported, await second.dump()


@given(contents=st.lists(LINE, max_size=5), with_ids=st.booleans(), format=st.sampled_from(list(MEDIA_TYPES)))
@settings(max_examples=90, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
async def test_a_round_trip_is_byte_identical(
    database: Database, contents: list[Line], with_ids: bool, format: Format
) -> None:
    lines = [{"externalId": f"ü {n}", **line} if with_ids else line for n, line in enumerate(contents)]
    exported, again = await round_trip(database, lines, format)
    assert again == exported
    kept = {orjson.dumps(line["fields"]): line for line in lines}
    for line in exported:
        assert orjson.loads(line)["fields"] == kept[orjson.dumps(orjson.loads(line)["fields"])]["fields"]
    if with_ids:
        expected = [
            {key: value for key, value in line.items() if value or key in {"fields", "metadata"}} for line in lines
        ]
        assert [orjson.loads(line) for line in exported] == expected
