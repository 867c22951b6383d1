"""Subscriptions of annotation."""

from collections.abc import AsyncIterable
from functools import cache
from typing import Annotated, Any, cast

import strawberry
from sqlalchemy import bindparam, exists, select

from app.accounts.tables import Role
from app.annotation import scope, tables
from app.annotation.topics import dataset_topic
from app.annotation.types import Progress, Record
from app.db.types import Snowflake
from app.errors import Code, GradbookError
from app.graphql.engine import ref, required_viewer
from app.graphql.entity import part_of
from app.graphql.operations import Context
from app.graphql.scalars import decode_id
from app.live.access import ACCESS
from app.live.changes import ChangedRows
from app.live.cursors import decode_cursor, encode_cursor
from app.live.feeds import Batch, feed

MAX_RECORDS = 200
"""Records of one message; more come in the next."""


@strawberry.type(description="Records of a dataset that changed, as they are now.")
class RecordChanges:
    """One message of recordChanged."""

    cursor: str = strawberry.field(description="Pass it as `after` to go on from here, on any server.")
    records: list[Record] = strawberry.field(
        description="Those that changed; none in the first message without `after`."
    )
    progress: Progress = part_of("Dataset", "progress", "How far the dataset's records are now.")


@strawberry.type
class AnnotationSubscriptions:
    """Root fields of annotation."""

    @strawberry.subscription(
        description="The dataset's records whenever they change, each at least once and as it is by then."
        " Without `after` the first message comes at once, with the present cursor and no records."
    )
    def record_changed(
        self,
        info: strawberry.Info[Any, Any],
        dataset_id: Annotated[strawberry.ID, strawberry.argument(description="The dataset to watch.")],
        after: Annotated[str | None, strawberry.argument(description="Go on after this message's `cursor`.")] = None,
    ) -> AsyncIterable[RecordChanges]:
        """See app.live.feeds.feed."""
        context = cast("Context", info.context)
        viewer = required_viewer(context)
        number = decode_id("dst", dataset_id, "dataset", ("datasetId",))
        topic = dataset_topic(number)
        position = None if after is None else decode_cursor(topic, after)

        async def read(position: tuple[int, ...] | None) -> Batch[RecordChanges]:
            batch = await _changed(context, viewer, number, position)
            if batch.payload is not None:
                await context.engine.read(info._raw_info, batch.payload)
                # Whoever lost access between the two statements gets none of them; the next read says so.
                batch.payload.records = [item for item in batch.payload.records if None not in item.found.values()]  # type: ignore[attr-defined]
            return batch

        return feed(context.services.bus, (topic, ACCESS), position, read)


async def _changed(
    context: Context, viewer: Any, dataset_id: int, position: tuple[int, ...] | None
) -> Batch[RecordChanges]:
    """What changed after a position, in the viewer's scope: one statement."""
    values = {} if viewer.kind == Role.OWNER.name else {"viewer_id": viewer.id}
    changes = await _changes(viewer.kind).after(
        context.database, position, MAX_RECORDS, dataset_id=dataset_id, **values
    )
    if not changes.visible:
        raise GradbookError(Code.NOT_FOUND, f"There is no dataset dst_{dataset_id} that you can see.", ("datasetId",))
    payload = None
    if changes.ids or position is None:
        payload = RecordChanges(
            cursor=encode_cursor(dataset_topic(dataset_id), changes.cursor),
            records=[ref("Record", number) for number in changes.ids],
            progress=ref("Dataset", dataset_id),
        )
    return Batch(payload, changes.cursor, changes.more, changes.unsettled)


@cache
def _changes(kind: str) -> ChangedRows:
    dataset, record = tables.Dataset.__table__, tables.Record.__table__
    dataset_id = bindparam("dataset_id", type_=Snowflake)
    visible = exists(select(1).where(dataset.c.id == dataset_id, scope.dataset(dataset, kind)))
    return ChangedRows(record, record.c.dataset_id == dataset_id, visible=visible)
