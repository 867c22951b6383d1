"""The enums of annotation as GraphQL types."""

from app.annotation.agreement import AgreementMeasure as AgreementMeasure
from app.annotation.records import OnConflict as OnConflict
from app.annotation.tables import FieldType as FieldType
from app.annotation.tables import QuestionType as QuestionType
from app.annotation.tables import RecordStatus as RecordStatus
from app.annotation.tables import ResponseStatus as ResponseStatus
from app.graphql.enums import describe_enum

describe_enum(
    RecordStatus,
    "Whether a record has as many submitted responses as it requires.",
    PENDING="It still needs submitted responses.",
    COMPLETED="It has as many submitted responses as it requires, or more.",
)
describe_enum(
    ResponseStatus,
    "How far a response is. Only SUBMITTED ones count.",
    DRAFT="Begun, and not submitted.",
    SUBMITTED="Given; it counts.",
    DISCARDED="The user will not answer this record.",
)
describe_enum(
    FieldType,
    "What a field of a record holds.",
    TEXT="A text.",
    CHAT="A list of messages, `{role, content}`.",
    IMAGE="The URL of an image, or the image itself as a data URL.",
    CUSTOM="Any JSON.",
)
describe_enum(
    QuestionType,
    "What kind of answer a question takes.",
    TEXT="Free text.",
    RATING="A whole number of a range.",
    LABEL="One of several options.",
    MULTI_LABEL="Any number of several options, each once.",
    RANKING="An order of all options, `[{value, rank}, …]`.",
    SPAN="Labelled parts of a field's text, `[{start, end, label}, …]`; offsets count Unicode code points.",
)
describe_enum(
    AgreementMeasure,
    "How agreement is measured, over records with two or more submitted answers.",
    PERCENTAGE="The share of equal pairs among the pairs of answers to one record, averaged over the records.",
    COHENS_KAPPA="Cohen's kappa: for two annotators who are the only ones. Ratings count as categories.",
    FLEISS_KAPPA="Fleiss' kappa: over the records with the most frequent number of answers, whoever gave them. Ratings"
    " count as categories.",
    KRIPPENDORFFS_ALPHA="Krippendorff's alpha: for any number of annotators and answers. Labels are nominal, ratings an"
    " interval scale, and sets of labels are compared by MASI.",
)
describe_enum(
    OnConflict,
    "What becomes of a record whose `externalId` the dataset has already, or without one a record of the same content.",
    **{member.name: member.value for member in OnConflict},
)
