"""The viewer's scope: which rows of an entity are seen, from what the entities declare."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import and_, select, true

from app.graphql.entity import Condition, Entity, Rows, Within


def scope_of(entity: Entity, rows: Rows, kind: str, entities: Mapping[str, Entity]) -> Condition:
    """The whole condition under which a viewer of this kind sees rows of the entity."""
    conditions: list[Condition] = []
    if entity.own is not None:
        conditions.append(entity.own(rows, kind))
    if entity.within is not None:
        parent = entities[entity.within.target]
        above = parent.table.alias()
        visible = scope_of(parent, above, kind, entities)
        conditions.append(rows.c[entity.within.key].in_(select(above.c.id).where(visible)))
    return and_(true(), *conditions)


def scope_below(
    parent: Entity, key: str | None, child: Entity, rows: Rows, kind: str, entities: Mapping[str, Entity]
) -> Condition:
    """The scope of child rows whose column `key` holds the id of a visible row of `parent`.

    Where this is what the child is within, the parent need not be asked for again.
    """
    if key is not None and child.within == Within(parent.name, key):
        return child.own(rows, kind) if child.own is not None else true()
    return scope_of(child, rows, kind, entities)
