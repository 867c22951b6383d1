"""Subscriptions of annotation."""

from collections.abc import AsyncIterator
from functools import cache
from typing import Annotated, Any, cast

import strawberry
from sqlalchemy import Integer, bindparam, func, null, or_, select, true

from app.accounts.tables import Role
from app.annotation import scope, tables
from app.annotation.topics import dataset_topic
from app.annotation.types import Progress, Record
from app.db.changes import settled_horizon
from app.db.statement import Statement
from app.db.types import Snowflake
from app.errors import Code, GradbookError
from app.graphql.engine import ref, required_viewer
from app.graphql.entity import part_of
from app.graphql.operations import Context
from app.graphql.scalars import decode_id
from app.live.cursors import Position, encode_cursor
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
    async def record_changed(
        self,
        info: strawberry.Info[Any, Any],
        dataset_id: Annotated[strawberry.ID, strawberry.argument(description="The dataset to watch.")],
        after: Annotated[str | None, strawberry.argument(description="Go on after this message's `cursor`.")] = None,
    ) -> AsyncIterator[RecordChanges]:
        """See app.live.feeds.feed."""
        context = cast("Context", info.context)
        viewer = required_viewer(context)
        number = decode_id("dst", dataset_id, "dataset", ("datasetId",))
        topic = dataset_topic(number)

        async def read(position: Position | None) -> Batch[RecordChanges]:
            batch = await _changed(context, viewer, number, position)
            if batch.payload is not None:
                await context.engine.read(info._raw_info, batch.payload)
                # Whoever lost access between the two statements gets none of them; the next read says so.
                batch.payload.records = [item for item in batch.payload.records if None not in item.found.values()]  # type: ignore[attr-defined]
            return batch

        async for changes in feed(context.services.bus, topic, after, read):
            yield changes


async def _changed(context: Context, viewer: Any, dataset_id: int, position: Position | None) -> Batch[RecordChanges]:
    """What changed after a position, in the viewer's scope: one statement."""
    values = {"dataset_id": dataset_id, **({"viewer_id": viewer.id} if viewer.kind != Role.OWNER.name else {})}
    if position is not None:
        values |= {"change": position.change, "id": position.id, "most": MAX_RECORDS + 1}
    statement = _changes(viewer.kind, position is not None)
    rows = await context.database.read(*statement.on(context.database.dialect, **values))
    if not rows:
        raise GradbookError(Code.NOT_FOUND, f"There is no dataset dst_{dataset_id} that you can see.", ("datasetId",))
    horizon, newest = rows[0][:2]
    found = [(row[2], row[3]) for row in rows if row[2] is not None]
    more = len(found) > MAX_RECORDS
    found = found[:MAX_RECORDS]
    cursor = Position(found[-1][1], found[-1][0]) if more else Position(horizon)
    payload = None
    if found or position is None:
        text = encode_cursor(dataset_topic(dataset_id), cursor)
        payload = RecordChanges(
            cursor=text, records=[ref("Record", number) for number, _ in found], progress=ref("Dataset", dataset_id)
        )
    return Batch(payload, cursor, more, unsettled=newest is not None and newest >= horizon)


@cache
def _changes(kind: str, resumed: bool) -> Statement:
    """Rows of (horizon, newest change, record id, its change); without a position, or without changes, one row."""
    dataset, record = tables.Dataset.__table__, tables.Record.__table__
    newest = select(func.max(record.c.changed)).where(record.c.dataset_id == dataset.c.id).scalar_subquery()
    horizon = settled_horizon()
    state = select(horizon.label("horizon"), newest.label("newest"))
    state = state.where(dataset.c.id == bindparam("dataset_id", type_=Snowflake), scope.dataset(dataset, kind))
    now = state.subquery("now")
    if not resumed:
        return Statement(select(now.c.horizon, now.c.newest, null().label("id"), null().label("changed")))
    change, after = bindparam("change", type_=Snowflake), bindparam("id", type_=Snowflake)
    rows = (
        select(record.c.id, record.c.changed)
        .where(
            record.c.dataset_id == bindparam("dataset_id", type_=Snowflake),
            record.c.changed >= change,
            or_(record.c.changed > change, record.c.id > after),
            record.c.changed < horizon,
        )
        .order_by(record.c.changed, record.c.id)
        .limit(bindparam("most", type_=Integer))
        .subquery("found")
    )
    return Statement(
        select(now.c.horizon, now.c.newest, rows.c.id, rows.c.changed)
        .select_from(now.outerjoin(rows, true()))
        .order_by(rows.c.changed, rows.c.id)
    )
