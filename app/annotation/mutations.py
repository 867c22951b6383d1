"""Mutations of annotation."""

import datetime
from collections.abc import Callable
from typing import Any

import strawberry

from app.annotation import datasets, queue, records, responses
from app.annotation.inputs import (
    AddRecordsInput,
    CreateDatasetInput,
    DeleteDatasetInput,
    DeleteResponseInput,
    DiscardResponseInput,
    NextRecordsInput,
    SaveDraftInput,
    SubmitResponseInput,
    SubmitResponsesInput,
    UpdateDatasetInput,
    record_id,
)
from app.annotation.types import Dataset, Record, Response
from app.db.unit_of_work import UnitOfWork
from app.graphql.engine import ref
from app.graphql.payloads import Payload, UserError, mutate, remove, user_errors
from app.graphql.scalars import decode_id

Info = strawberry.Info[Any, Any]


@strawberry.type(description="The dataset, or what was wrong.")
class DatasetPayload(Payload):
    """Answer of the mutations of datasets."""

    dataset: Dataset | None = strawberry.field(
        description="The dataset as it is now; a deleted one as it was.", default=None
    )


@strawberry.type(description="What became of one record.")
class AddRecordResult:
    """One item of addRecords."""

    index: int = strawberry.field(description="Its place in the input, from 0.")
    record: Record | None = strawberry.field(description="The record in the dataset; null where there are errors.")
    errors: list[UserError] = strawberry.field(description="What was wrong with it; it was left out.")


@strawberry.type(description="What became of the records, one by one, or what was wrong with the whole.")
class AddRecordsPayload(Payload):
    """Answer of addRecords."""

    added: int = strawberry.field(description="How many are new.", default=0)
    updated: int = strawberry.field(description="How many replaced a stored one.", default=0)
    skipped: int = strawberry.field(description="How many were there already and stayed as they were.", default=0)
    results: list[AddRecordResult] = strawberry.field(description="Item by item.", default_factory=list)


@strawberry.type(description="Records for the viewer to answer, or what was wrong.")
class NextRecordsPayload(Payload):
    """Answer of nextRecords."""

    records: list[Record] = strawberry.field(
        description="In the order in which to answer them; empty when there is none for the viewer now.",
        default_factory=list,
    )
    reserved_until: datetime.datetime | None = strawberry.field(
        description="Until when they are reserved for the viewer. Without records: when to ask again, because a"
        " reservation of somebody else ends by then; null when nothing is left for the viewer to answer.",
        default=None,
    )


@strawberry.type(description="The response with its record, or what was wrong.")
class ResponsePayload(Payload):
    """Answer of the mutations of one response."""

    response: Response | None = strawberry.field(description="The response; a deleted one as it was.", default=None)
    record: Record | None = strawberry.field(description="The record, its status already new.", default=None)


@strawberry.type(description="What became of one response.")
class SubmitResponseResult:
    """One item of submitResponses."""

    index: int = strawberry.field(description="Its place in the input, from 0.")
    response: Response | None = strawberry.field(description="The response; null where there are errors.")
    record: Record | None = strawberry.field(description="Its record, the status already new.")
    errors: list[UserError] = strawberry.field(description="What was wrong with it; it was left out.")


@strawberry.type(description="What became of the responses, one by one, or what was wrong with the whole.")
class SubmitResponsesPayload(Payload):
    """Answer of submitResponses."""

    submitted: int = strawberry.field(description="How many were written.", default=0)
    results: list[SubmitResponseResult] = strawberry.field(description="Item by item.", default_factory=list)


@strawberry.type
class AnnotationMutations:
    """Root fields of annotation."""

    @strawberry.mutation(description="Make a dataset with its fields and questions. For ADMINs and OWNERs.")
    async def create_dataset(self, info: Info, input: CreateDatasetInput) -> DatasetPayload:
        """See app.annotation.datasets.create_dataset."""

        def work(uow: UnitOfWork) -> DatasetPayload:
            return DatasetPayload(dataset=ref("Dataset", datasets.create_dataset(uow, input.to_domain())))

        return await mutate(info, DatasetPayload, work)

    @strawberry.mutation(
        description="Change a dataset. A new `minSubmitted` sets the status of every record in the same transaction."
    )
    async def update_dataset(self, info: Info, input: UpdateDatasetInput) -> DatasetPayload:
        """See app.annotation.datasets.update_dataset."""

        def work(uow: UnitOfWork) -> DatasetPayload:
            changes = input.to_domain()
            datasets.update_dataset(uow, changes)
            return DatasetPayload(dataset=ref("Dataset", changes.id))

        return await mutate(info, DatasetPayload, work)

    @strawberry.mutation(
        description="Delete a dataset with its records and everybody's answers about them. For ADMINs of its workspace"
        " and OWNERs."
    )
    async def delete_dataset(self, info: Info, input: DeleteDatasetInput) -> DatasetPayload:
        """See app.annotation.datasets.delete_dataset."""

        def find(_: UnitOfWork) -> DatasetPayload:
            return DatasetPayload(dataset=ref("Dataset", decode_id("dst", input.id, "dataset", ("id",))))

        def delete(uow: UnitOfWork) -> None:
            datasets.delete_dataset(uow, decode_id("dst", input.id, "dataset", ("id",)))

        return await remove(info, DatasetPayload, find, delete)

    @strawberry.mutation(description="Add up to 1,000 records. Bad ones are answered and left out; good ones are kept.")
    async def add_records(self, info: Info, input: AddRecordsInput) -> AddRecordsPayload:
        """See app.annotation.records.add_records."""
        limit = info.context.services.settings.max_batch

        def work(uow: UnitOfWork) -> AddRecordsPayload:
            results = records.add_records(uow, input.to_domain(), limit)
            outcomes = [result.outcome for result in results]
            return AddRecordsPayload(
                added=outcomes.count(records.Outcome.ADDED),
                updated=outcomes.count(records.Outcome.UPDATED),
                skipped=outcomes.count(records.Outcome.SKIPPED),
                results=[
                    AddRecordResult(
                        index=result.index, record=ref("Record", result.record_id), errors=user_errors(result.errors)
                    )
                    for result in results
                ],
            )

        return await mutate(info, AddRecordsPayload, work)

    @strawberry.mutation(
        description="The viewer's queue: records that need answers, that they have neither submitted nor discarded, and"
        " that not enough others are answering right now. What is returned is reserved for the viewer for some minutes"
        " (`GRADBOOK_RESERVATION_MINUTES`): asked again, it comes first. Their drafts come last."
    )
    async def next_records(self, info: Info, input: NextRecordsInput) -> NextRecordsPayload:
        """See app.annotation.queue.next_records."""
        keep = datetime.timedelta(minutes=info.context.services.settings.reservation_minutes)

        def work(uow: UnitOfWork) -> NextRecordsPayload:
            found = queue.next_records(uow, input.dataset(), input.first, keep)
            return NextRecordsPayload(
                records=[ref("Record", number) for number in found.record_ids], reserved_until=found.until
            )

        return await mutate(info, NextRecordsPayload, work)

    @strawberry.mutation(description="Answer a record: creates or replaces the viewer's response.")
    async def submit_response(self, info: Info, input: SubmitResponseInput) -> ResponsePayload:
        """See app.annotation.responses.submit_response."""
        return await _answer(info, responses.submit_response, input)

    @strawberry.mutation(description="Keep answers without submitting them. A submitted response becomes a draft.")
    async def save_draft(self, info: Info, input: SaveDraftInput) -> ResponsePayload:
        """See app.annotation.responses.save_draft."""
        return await _answer(info, responses.save_draft, input)

    @strawberry.mutation(description="Say that the viewer will not answer this record.")
    async def discard_response(self, info: Info, input: DiscardResponseInput) -> ResponsePayload:
        """See app.annotation.responses.discard_response."""
        return await _answer(info, responses.discard_response, input)

    @strawberry.mutation(
        description="Answer up to 1,000 records in one transaction. Bad items are left out and say why; good ones stay."
    )
    async def submit_responses(self, info: Info, input: SubmitResponsesInput) -> SubmitResponsesPayload:
        """See app.annotation.responses.submit_responses."""
        limit = info.context.services.settings.max_batch

        def work(uow: UnitOfWork) -> SubmitResponsesPayload:
            answers, wrong = input.to_domain()
            results = [_result(result) for result in responses.submit_responses(uow, answers, limit)]
            for index, error in wrong.items():
                results[index].errors = user_errors((error,))
            submitted = sum(result.response is not None for result in results)
            return SubmitResponsesPayload(submitted=submitted, results=results)

        return await mutate(info, SubmitResponsesPayload, work)

    @strawberry.mutation(description="Delete a response: one's own, or as an ADMIN any in one's workspaces.")
    async def delete_response(self, info: Info, input: DeleteResponseInput) -> ResponsePayload:
        """See app.annotation.responses.delete_response."""

        def work(uow: UnitOfWork) -> ResponsePayload:
            response_id = decode_id("rsp", input.id, "response", ("id",))
            payload = ResponsePayload(response=ref("Response", response_id))
            # What is being deleted is read before it is gone.
            info.context.engine.load(info._raw_info, uow, payload)
            payload.record = ref("Record", responses.delete_response(uow, response_id).record_id)
            return payload

        return await mutate(info, ResponsePayload, work)


async def _answer(
    info: Info,
    answer: Callable[[UnitOfWork, int, Any], responses.WrittenResponse],
    input: SubmitResponseInput | SaveDraftInput | DiscardResponseInput,
) -> ResponsePayload:
    def work(uow: UnitOfWork) -> ResponsePayload:
        written = answer(uow, record_id(input), input.values)
        return ResponsePayload(response=ref("Response", written.id), record=ref("Record", written.record_id))

    return await mutate(info, ResponsePayload, work)


def _result(result: responses.SubmitResult) -> SubmitResponseResult:
    written = result.response
    return SubmitResponseResult(
        index=result.index,
        response=None if written is None else ref("Response", written.id),
        record=None if written is None else ref("Record", written.record_id),
        errors=user_errors(result.errors),
    )
