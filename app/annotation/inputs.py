"""GraphQL inputs of annotation, and what they mean to the domain."""

from typing import Any, Protocol

import strawberry

from app.annotation import datasets, record_items
from app.annotation import records as adding
from app.annotation.enums import FieldType, OnConflict, ResponseStatus
from app.annotation.questions import SETTINGS, QuestionSettings
from app.annotation.responses import Answers
from app.errors import GradbookError
from app.graphql.scalars import JSON, decode_id


@strawberry.input(description="A part that every record of the dataset has.")
class FieldInput:
    """A field of a new dataset."""

    name: str = strawberry.field(description="Its key in the records; unique in the dataset.")
    title: str | None = strawberry.field(description="What people read; the name where there is none.", default=None)
    type: FieldType = strawberry.field(description="What it holds.", default=FieldType.TEXT)
    required: bool = strawberry.field(description="Whether every record must have it.", default=True)


@strawberry.input(description="One choice of a question.")
class OptionInput:
    """An option."""

    value: str = strawberry.field(description="What an answer names.")
    text: str | None = strawberry.field(description="What people read; the value where there is none.", default=None)


@strawberry.input(description="A question answered by free text.")
class TextSettingsInput:
    """Settings of a text question."""

    max_length: int | None = strawberry.field(description="At most so many characters.", default=None)


@strawberry.input(description="A question answered by a whole number.")
class RatingSettingsInput:
    """Settings of a rating question."""

    min: int = strawberry.field(description="The smallest rating.")
    max: int = strawberry.field(description="The largest rating.")


@strawberry.input(description="A question answered by one of several options.")
class LabelSettingsInput:
    """Settings of a label question."""

    options: list[OptionInput] = strawberry.field(description="What there is to choose from.")


@strawberry.input(description="A question answered by any number of several options.")
class MultiLabelSettingsInput:
    """Settings of a multi-label question."""

    options: list[OptionInput] = strawberry.field(description="What there is to choose from.")


@strawberry.input(
    description="A question answered by an order of all options: `[{value, rank}, …]`, the best with rank 1. Of options"
    " that share a rank each has one more than there are options before it, as in sports: 1, 1, 3."
)
class RankingSettingsInput:
    """Settings of a ranking question."""

    options: list[OptionInput] = strawberry.field(description="What is to be ordered: 2 to 50.")
    allow_ties: bool = strawberry.field(description="Whether options may share a rank.", default=False)


@strawberry.input(
    description="A question answered by labelled parts of a field's text: `[{start, end, label}, …]`, or `[]` if there"
    " are none. Offsets count Unicode code points from 0, and `end` is the place after the last one. JavaScript's"
    " strings count UTF-16 units, of which an emoji has two: count `Array.from(text)` there. `text` may be sent with a"
    " span, and is compared with what the offsets mark."
)
class SpanSettingsInput:
    """Settings of a span question."""

    field: str = strawberry.field(description="The name of the TEXT field whose parts are labelled.")
    labels: list[OptionInput] = strawberry.field(description="What a part can be labelled as.")
    allow_overlap: bool = strawberry.field(description="Whether spans may share characters.", default=False)


@strawberry.input(one_of=True, description="What kind of answer a question takes: exactly one of these.")
class QuestionSettingsInput:
    """The settings of one type of question."""

    text: TextSettingsInput | None = strawberry.field(description="Free text.", default=strawberry.UNSET)
    rating: RatingSettingsInput | None = strawberry.field(description="A whole number.", default=strawberry.UNSET)
    label: LabelSettingsInput | None = strawberry.field(description="One option.", default=strawberry.UNSET)
    multi_label: MultiLabelSettingsInput | None = strawberry.field(
        description="Any number of options.", default=strawberry.UNSET
    )
    ranking: RankingSettingsInput | None = strawberry.field(
        description="An order of options.", default=strawberry.UNSET
    )
    span: SpanSettingsInput | None = strawberry.field(description="Labelled parts of a text.", default=strawberry.UNSET)

    def to_domain(self) -> QuestionSettings:
        """The settings of the one type that was given."""
        given: dict[str, Any] = strawberry.asdict(self)
        for kind in SETTINGS.values():
            settings = given.get(_python_name(kind.key))
            if settings is not None and settings is not strawberry.UNSET:
                return kind.from_json({_graphql_name(key): value for key, value in settings.items()})
        raise AssertionError("GraphQL lets no empty one-of input through")


@strawberry.input(description="What is asked about every record.")
class QuestionInput:
    """A question of a new dataset."""

    name: str = strawberry.field(description="Its key in the answers; unique in the dataset.")
    settings: QuestionSettingsInput = strawberry.field(description="What kind of answer it takes.")
    title: str | None = strawberry.field(description="What people read; the name where there is none.", default=None)
    description: str | None = strawberry.field(description="More about it.", default=None)
    required: bool = strawberry.field(description="Whether a submitted response must answer it.", default=True)


@strawberry.input(description="A new dataset.")
class CreateDatasetInput:
    """Input of createDataset."""

    name: str = strawberry.field(description="Unique in its workspace.")
    fields: list[FieldInput] = strawberry.field(description="What its records consist of.")
    questions: list[QuestionInput] = strawberry.field(description="What is asked about every record.")
    workspace_id: strawberry.ID | None = strawberry.field(
        description="Its workspace; without one the viewer's only workspace.", default=None
    )
    guidelines: str | None = strawberry.field(description="What annotators should know.", default=None)
    min_submitted: int = strawberry.field(description="How many submitted responses complete a record.", default=1)

    def to_domain(self) -> datasets.CreateDatasetInput:
        """The domain's input. Raises INVALID_ID."""
        given = self.workspace_id
        return datasets.CreateDatasetInput(
            name=self.name,
            fields=[datasets.FieldInput(item.name, item.type, item.title, item.required) for item in self.fields],
            questions=[
                datasets.QuestionInput(
                    item.name, item.settings.to_domain(), item.title, item.description, item.required
                )
                for item in self.questions
            ],
            workspace_id=None if given is None else decode_id("wsp", given, "workspace", ("workspaceId",)),
            guidelines=self.guidelines,
            min_submitted=self.min_submitted,
        )


@strawberry.input(description="What is to change of a dataset; what is left out stays as it is.")
class UpdateDatasetInput:
    """Input of updateDataset."""

    id: strawberry.ID = strawberry.field(description="The dataset.")
    name: str | None = strawberry.field(description="A new name.", default=None)
    guidelines: str | None = strawberry.field(
        description="New guidelines; null removes them.", default=strawberry.UNSET
    )
    min_submitted: int | None = strawberry.field(
        description="How many submitted responses complete a record from now on.", default=None
    )

    def to_domain(self) -> datasets.UpdateDatasetInput:
        """The domain's input. Raises INVALID_ID."""
        return datasets.UpdateDatasetInput(
            id=decode_id("dst", self.id, "dataset", ("id",)),
            name=self.name,
            guidelines=datasets.KEEP if self.guidelines is strawberry.UNSET else self.guidelines,
            min_submitted=self.min_submitted,
        )


@strawberry.input(description="A dataset to delete.")
class DeleteDatasetInput:
    """Input of deleteDataset."""

    id: strawberry.ID = strawberry.field(description="The dataset.")


@strawberry.input(description="What a model would answer.")
class SuggestionInput:
    """A suggestion of a new record."""

    question: str = strawberry.field(description="The question's name.")
    value: JSON = strawberry.field(description="The answer that is suggested.")
    score: float | None = strawberry.field(description="How sure the model is, from 0 to 1.", default=None)
    agent: str | None = strawberry.field(description="Which model it was.", default=None)


@strawberry.input(description="A new record.")
class RecordInput:
    """A record of addRecords."""

    fields: JSON = strawberry.field(description="The values of the dataset's fields, by name.")
    external_id: str | None = strawberry.field(
        description="Your own key, unique in the dataset. A record without one is known by its fields and metadata.",
        default=None,
    )
    metadata: JSON | None = strawberry.field(description="An object with anything else that is known.", default=None)
    suggestions: list[SuggestionInput] | None = strawberry.field(
        description="What models would answer, one per question.", default=None
    )

    def to_domain(self) -> record_items.RecordInput:
        """The domain's input."""
        fields: Any = self.fields
        metadata: Any = self.metadata
        return record_items.RecordInput(
            fields=fields,
            external_id=self.external_id,
            metadata=metadata,
            content_hash=None if self.external_id is not None else record_items.content_hash(fields, metadata),
            suggestions=[
                record_items.SuggestionInput(item.question, item.value, item.score, item.agent)
                for item in self.suggestions or ()
            ],
        )


@strawberry.input(description="Records for a dataset.")
class AddRecordsInput:
    """Input of addRecords."""

    dataset_id: strawberry.ID = strawberry.field(description="The dataset.")
    records: list[RecordInput] = strawberry.field(description="Up to 1,000 records.")
    on_conflict: OnConflict = strawberry.field(
        description="What becomes of a record that the dataset has already.", default=OnConflict.ERROR
    )

    def to_domain(self) -> adding.AddRecordsInput:
        """The domain's input. Raises INVALID_ID."""
        return adding.AddRecordsInput(
            dataset_id=decode_id("dst", self.dataset_id, "dataset", ("datasetId",)),
            records=[item.to_domain() for item in self.records],
            on_conflict=self.on_conflict,
        )


@strawberry.input(description="Whose turn it is to be answered.")
class NextRecordsInput:
    """Input of nextRecords."""

    dataset_id: strawberry.ID = strawberry.field(description="The dataset.")
    first: int = strawberry.field(description="How many records, at most 100.", default=10)

    def dataset(self) -> int:
        """The number of the dataset that is meant. Raises INVALID_ID."""
        return decode_id("dst", self.dataset_id, "dataset", ("datasetId",))


@strawberry.input(description="Answers to submit.")
class SubmitResponseInput:
    """Input of submitResponse."""

    record_id: strawberry.ID = strawberry.field(description="The record.")
    values: JSON = strawberry.field(description="The answers, by question name.")


@strawberry.input(description="Answers to keep.")
class SaveDraftInput:
    """Input of saveDraft."""

    record_id: strawberry.ID = strawberry.field(description="The record.")
    values: JSON | None = strawberry.field(
        description="The answers so far, by question name; without them the earlier ones stay.", default=None
    )


@strawberry.input(description="A record that the viewer will not answer.")
class DiscardResponseInput:
    """Input of discardResponse."""

    record_id: strawberry.ID = strawberry.field(description="The record.")
    values: JSON | None = strawberry.field(
        description="Answers all the same, by question name; without them the earlier ones stay.", default=None
    )


@strawberry.input(description="A response to delete.")
class DeleteResponseInput:
    """Input of deleteResponse."""

    id: strawberry.ID = strawberry.field(description="The response.")


@strawberry.input(description="Answers about one of several records.")
class ResponseInput:
    """One item of submitResponses."""

    record_id: strawberry.ID = strawberry.field(description="The record.")
    values: JSON | None = strawberry.field(description="The answers, by question name.", default=None)
    status: ResponseStatus = strawberry.field(
        description="Whether they are submitted, a draft, or a discard.", default=ResponseStatus.SUBMITTED
    )


@strawberry.input(description="Answers about several records.")
class SubmitResponsesInput:
    """Input of submitResponses."""

    responses: list[ResponseInput] = strawberry.field(description="Up to 1,000 items.")

    def to_domain(self) -> tuple[list[Answers], dict[int, GradbookError]]:
        """The answers, and what is wrong with ids by index: such an item stands for no record at all."""
        answers: list[Answers] = []
        wrong: dict[int, GradbookError] = {}
        for index, item in enumerate(self.responses):
            number = 0
            try:
                number = decode_id("rec", item.record_id, "record", ("responses", index, "recordId"))
            except GradbookError as error:
                wrong[index] = error
            answers.append(Answers(number, item.values, item.status))  # type: ignore[arg-type]
        return answers, wrong


class OfRecord(Protocol):
    """An input that names a record."""

    record_id: strawberry.ID


def record_id(input: OfRecord) -> int:
    """The number of the record that is meant. Raises INVALID_ID."""
    return decode_id("rec", input.record_id, "record", ("recordId",))


def _python_name(name: str) -> str:
    return "".join("_" + letter.lower() if letter.isupper() else letter for letter in name)


def _graphql_name(name: str) -> str:
    head, *tail = name.split("_")
    return head + "".join(part.capitalize() for part in tail)
