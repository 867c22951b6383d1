"""GraphQL types of annotation."""

import datetime
from typing import cast

import strawberry
from sqlalchemy import Table, func

from app.accounts.types import User, Workspace
from app.annotation import scope, tables
from app.annotation.agreement_data import load_agreement, load_annotators
from app.annotation.enums import AgreementMeasure, FieldType, QuestionType, RecordStatus, ResponseStatus
from app.annotation.search_text import search_terms
from app.graphql.entity import (
    Connection,
    JsonPart,
    Node,
    Search,
    Within,
    aggregate,
    attached,
    column,
    entity,
    many,
    one,
    over,
    own,
)
from app.graphql.scalars import JSON


@strawberry.type(description="How far a dataset's records are.")
class Progress:
    """Counted over the visible records of a dataset."""

    total: int = over("Records.", lambda _: func.count())
    completed: int = over(
        "Records with enough submitted responses.",
        lambda record: func.count().filter(record.c.status == RecordStatus.COMPLETED),
    )
    pending: int = over(
        "Records that still need responses.",
        lambda record: func.count().filter(record.c.status == RecordStatus.PENDING),
    )


@strawberry.type(description="How far people agree in their answers to one question.")
class Agreement:
    """One measure of one question."""

    question: "Question | None" = strawberry.field(description="The question.")
    measure: AgreementMeasure = strawberry.field(description="How it was measured.")
    value: float | None = strawberry.field(
        description="1 is full agreement; a coefficient is 0 where chance would bring as much. Null where the measure"
        " is not defined: no record has several answers, or all answers are one and the same; and of coefficients,"
        " where there are more than 500 different answers."
    )
    records: int = strawberry.field(description="How many records it rests on.")


@strawberry.type(description="Somebody who answered, and how much.")
class Annotator:
    """One user's responses in a dataset."""

    user: User | None = strawberry.field(description="Who it is; null where the viewer does not see them.")
    submitted: int = strawberry.field(description="Their submitted responses.")
    draft: int = strawberry.field(description="Their drafts.")
    discarded: int = strawberry.field(description="Those that they discarded.")


@entity("dst", tables.Dataset, own=scope.dataset)
class Dataset(Node):
    """Records that share fields, questions and guidelines."""

    name: str = column("Unique in its workspace.")
    guidelines: str | None = column("What annotators should know.", filter=False, order=False)
    min_submitted: int = column("How many submitted responses complete a record.")
    created_at: datetime.datetime = column("When it was made.")
    updated_at: datetime.datetime = column("When its settings last changed.")
    workspace: Workspace | None = one("Workspace", "workspace_id", "The workspace it belongs to.")
    fields: list["Field"] = many(
        "Field", "dataset_id", "What its records consist of.", paged=False, order=("position",)
    )
    questions: list["Question"] = many(
        "Question", "dataset_id", "What is asked about every record.", paged=False, order=("position",)
    )
    progress: Progress = aggregate("Record", "dataset_id", "How far its records are.")
    agreement: list[Agreement] = attached(
        "How far people agree in the responses that the viewer sees, over the newest 20,000 records with two or"
        " more: for each label, rating and multi-label question every measure that fits its type. Answers to other"
        " questions are too seldom equal for that.",
        load_agreement,
    )
    annotators: list[Annotator] = attached("Who answered, as far as the viewer sees their responses.", load_annotators)
    records: Connection["Record"] = many("Record", "dataset_id", "Its records, the oldest first.")


@entity("fld", tables.Field, within=Within("Dataset", "dataset_id"))
class Field(Node):
    """One part of a dataset's records."""

    name: str = column("Its key in `Record.fields`.")
    title: str = column("What people read.")
    type: FieldType = column("What it holds.")
    required: bool = column("Whether every record must have it.")
    position: int = column("Its place, from 0.")


@entity("qst", tables.Question, within=Within("Dataset", "dataset_id"))
class Question(Node):
    """What is asked about every record of a dataset."""

    name: str = column("Its key in `Response.values`.")
    title: str = column("What people read.")
    description: str | None = column("More about it.", filter=False, order=False)
    type: QuestionType = column("What kind of answer it takes.")
    required: bool = column("Whether a submitted response must answer it.")
    settings: JSON = column("What answers are allowed; depends on the type.", filter=False, order=False)
    position: int = column("Its place, from 0.")


SEARCH = Search(
    table=cast("Table", tables.RecordSearch.__table__),
    key="record_id",
    text="search_text",
    index="record_fts",
    terms=search_terms,
    description=(
        "Only those whose text holds all of these words, in any order and anywhere in the TEXT and CHAT fields. Whole"
        " words count, without regard to case and accents; Chinese, Japanese and Korean are searched by characters and"
        " by pairs of neighbouring ones. A blank text asks for nothing; one without a letter, digit or emoji is an"
        " error."
    ),
)


@entity("rec", tables.Record, within=Within("Dataset", "dataset_id"), search=SEARCH)
class Record(Node):
    """One item of a dataset. Its status follows its responses."""

    external_id: str | None = column("The user's own key, unique in the dataset.")
    status: RecordStatus = column("COMPLETED as soon as enough responses are submitted.")
    fields: JSON = column("The values of the dataset's fields, by name.", filter=False, order=False)
    metadata: JSON | None = column("Anything else that is known about it.")
    submitted_count: int = column("How many responses are submitted.")
    required: int = column("How many submitted responses complete it.")
    inserted_at: datetime.datetime = column("When it was added.")
    updated_at: datetime.datetime = column("When its content or its status last changed.")
    dataset: Dataset = one("Dataset", "dataset_id", "The dataset it belongs to.")
    responses: Connection["Response"] = many(
        "Response", "record_id", "What people answered; an annotator sees their own.", filter=True
    )
    my_response: "Response | None" = own(
        "Response", "record_id", "The viewer's own response, a draft too.", scope.own_response
    )
    suggestions: list["Suggestion"] = many(
        "Suggestion", "record_id", "What models would answer.", paged=False, filter=True
    )


@entity(
    "rsp",
    tables.Response,
    own=scope.response,
    within=Within("Record", "record_id"),
    parts=(JsonPart("answers", "values", "question", "A condition on the answer to one question."),),
)
class Response(Node):
    """One user's answers about one record."""

    status: ResponseStatus = column("Only SUBMITTED counts.")
    values: JSON | None = column("The answers, by question name.", filter=False, order=False)
    inserted_at: datetime.datetime = column("When it was first saved.")
    updated_at: datetime.datetime = column("When it was last saved.")
    user: User | None = one("User", "user_id", "Who answered; null where the viewer does not see them.")
    record: Record = one("Record", "record_id", "What was answered about.")


@entity(
    "sug",
    tables.Suggestion,
    within=Within("Record", "record_id"),
    parts=(JsonPart("value", "value", None, "A condition on the suggested answer."),),
)
class Suggestion(Node):
    """What a model would answer to one question about one record."""

    question: str = column("The question's name.")
    value: JSON = column("The suggested answer.", filter=False, order=False)
    score: float | None = column("How sure the model is, from 0 to 1.")
    agent: str | None = column("Which model it was.")
    record: Record = one("Record", "record_id", "What it is about.")


@entity("snp", tables.Snapshot, within=Within("Dataset", "dataset_id"))
class Snapshot(Node):
    """An immutable set of a dataset's records with their answers."""

    name: str | None = column("What people call it.")
    content_hash: str = column("SHA-256 of its content: equal sets have equal ones.")
    record_count: int = column("How many records it holds.")
    created_at: datetime.datetime = column("When it was made.")
    dataset: Dataset = one("Dataset", "dataset_id", "The dataset it was taken of.")


ENTITIES: tuple[type, ...] = (Dataset, Field, Question, Record, Response, Suggestion, Snapshot)
