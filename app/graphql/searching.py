"""Searching a list: which of its rows hold the terms, as ids per parent.

Two ways lead there, and neither is quick for every word. The full-text index gives all rows with a word, which are few
or very many. To walk the list in its order and look at each row's terms finds the first page at once where the word is
common, and never where it is rare. So a list that an index orders is walked for its first thousand rows; where these
give the page, or are the whole list, that is the answer, and else the full-text index is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, FromClause, Integer, Select, and_, func, literal_column, select, true, union_all
from sqlalchemy.sql.elements import True_
from sqlalchemy.sql.selectable import CTE

from app.graphql.entity import Column, Condition, Rows, Search
from app.graphql.filters import WhereCompiler
from app.graphql.paging import Key
from app.graphql.slots import Shape

if TYPE_CHECKING:
    from app.graphql.listing import Listing

WALK = 1_000
"""Rows that are walked: 3 ms. A word that one row in twenty has fills a page of 50 by then."""

Bounds = Callable[[Sequence[Key]], list[Condition]]
"""(order keys on some rows) -> the conditions that the list's cursors make."""


class Searching:
    """The search in one list; `terms` is the index of its terms."""

    def __init__(self, listing: Listing, search: Search, terms: int) -> None:
        self.listing = listing
        self.compiler = listing.compiler
        self.sql = listing.sql
        self.search = search
        self.terms = terms
        self.ids = listing.level.ids
        within = listing.target.within
        if within is None or listing.declared.key != within.key:
            raise TypeError(f"Lists of {listing.target.name} can be searched below what it is within only.")
        # With no other key than the id, an index on the parent's id orders the list.
        self.is_walkable = len(listing.keys) == 1 and listing.declared.on is None

    def first(self, limit: ColumnElement[int], bounds: Bounds, *, backward: bool) -> CTE:
        """For every parent its first rows in the direction of reading: (parent, id)."""
        if not self.is_walkable:
            return self.compiler.once(self._indexed(self.ids, limit, bounds, backward))
        walked = self.compiler.once(self._walk(bounds, backward))
        near = self.compiler.once(self._near(walked, backward))
        rest = self.compiler.once(select(self.ids.c.id).where(self._is_open(walked, near, limit)))
        answered = select(near.c.parent, near.c.id).where(near.c.n <= limit, near.c.parent.not_in(select(rest.c.id)))
        return self.compiler.once(union_all(answered, self._indexed(rest, limit, bounds, backward)))

    def count(self) -> Select[Any]:
        """How many rows of a parent there are; correlated to the parents."""
        rows = self.compiler.alias(self.listing.target)
        conditions = self.listing.conditions(rows)
        if self.sql.lateral:
            hits = self._hit_ids(self.ids)
            one = self._looked_up(rows, "id", hits, conditions)
            found = select(func.count()).select_from(hits.join(one, true())).where(hits.c.parent == self.ids.c.id)
        else:
            # With a join it may look into its index once for every row.
            found = select(func.count()).select_from(rows).where(rows.c.id.in_(self._hits(self.ids)), *conditions)
        return found.correlate(self.ids)

    # By walking

    def _walk(self, bounds: Bounds, backward: bool) -> Select[Any]:
        """The ids of each parent's first thousand rows, without looking at the rows."""
        listing = self.listing
        rows = self.compiler.alias(listing.target)
        conditions = [self._belongs(rows)]
        if listing.page.where is not None and (part := self._ordered_part()):
            conditions.append(self._where(rows, part))
        keys = listing.keys_on(rows)
        order = [key.order(backward=backward) for key in keys]
        first = select(rows.c.id).where(*conditions, *bounds(keys)).order_by(*order).limit(literal_column(str(WALK)))
        return self._per_parent(self.ids, first)

    def _near(self, walked: CTE, backward: bool) -> Select[Any]:
        """Those of the walked rows that are found, numbered from 1 per parent in the direction of reading."""
        texts = self.search.table.alias(self.compiler.name("s"))
        rows = self.compiler.alias(self.listing.target)
        conditions = [one for one in self.listing.conditions(rows, joined=True) if not isinstance(one, True_)]
        held = self.sql.holds(texts.c[self.search.text], self.listing.slots, self.terms)
        source: FromClause = walked
        for table, key, wanted in ((texts, self.search.key, [held]), (rows, "id", conditions)):
            if wanted and self.sql.lateral:
                source = source.join(self._looked_up(table, key, walked, wanted), true())
            elif wanted:
                source = source.join(table, and_(table.c[key] == walked.c.id, *wanted))
        order = self.listing.keys[-1].on(walked).order(backward=backward)
        number = func.row_number().over(partition_by=walked.c.parent, order_by=order)
        return select(walked.c.parent, walked.c.id, number.label("n")).select_from(source)

    def _is_open(self, walked: CTE, near: CTE, limit: ColumnElement[int]) -> Condition:
        def of(rows: CTE) -> ColumnElement[int]:
            return select(func.count()).where(rows.c.parent == self.ids.c.id).correlate(self.ids).scalar_subquery()

        return and_(of(near) < limit, of(walked) == literal_column(str(WALK)))

    def _belongs(self, rows: Rows) -> Condition:
        return true() if self.listing.level.entity is None else self.listing.declared.joins(rows, self.ids)

    def _ordered_part(self) -> Shape:
        """A member of `where` that, with the parent, an index of the table has before the id: `status: {eq: …}`."""
        target, key = self.listing.target, self.listing.declared.key
        indexed = {tuple(index.columns.keys()) for index in target.table.indexes}
        for part in self.listing.page.where[1:]:
            if part[0] == "tests" and len(part[2]) == 1 and part[2][0][0] == "eq":
                python_name, declared = target.fields[part[1]]
                if isinstance(declared, Column) and (key, python_name, "id") in indexed:
                    return part
        return None

    def _where(self, rows: Rows, shape: Shape) -> Condition:
        compiler = self.compiler
        return WhereCompiler(compiler.entities, self.sql, compiler.kind, self.listing.slots).compile(
            self.listing.target, rows, shape
        )

    # By the index

    def _indexed(self, parents: CTE, limit: ColumnElement[int], bounds: Bounds, backward: bool) -> Select[Any]:
        rows = self.compiler.alias(self.listing.target)
        keys = self.listing.keys_on(rows)
        conditions = self.listing.conditions(rows, parents=parents)
        if self.sql.lateral:
            all_hits = self._hit_ids(parents)
            mine = select(all_hits.c.id).where(all_hits.c.parent == parents.c.id).correlate(parents)
            if self.is_walkable:
                # In their order, so that no more rows are looked up than the page has.
                mine = mine.order_by(keys[0].on(all_hits).order(backward=backward))
            hits = mine.offset(literal_column("0", Integer())).alias(self.compiler.name("h"))
            columns = [key.value.label(key.label) for key in keys]
            one = self._looked_up(rows, "id", hits, [*conditions, *bounds(keys)], *columns)
            first = select(hits.c.id).select_from(hits.join(one, true()))
            keys = [*(key.on(one) for key in keys[:-1]), keys[-1].on(hits)]
        elif self.is_walkable:
            # Its index has the ids in order, which saves the sorting.
            found = self._hits(parents).alias(self.compiler.name("h"))
            keys = [replace(keys[0], value=found.c.id)]
            first = select(found.c.id).select_from(found.join(rows, rows.c.id == found.c.id))
            first = first.where(*conditions, *bounds(keys))
        else:
            first = select(rows.c.id).where(rows.c.id.in_(self._hits(parents)), *conditions, *bounds(keys))
        return self._per_parent(parents, first.order_by(*(key.order(backward=backward) for key in keys)).limit(limit))

    def _hits(self, parents: CTE) -> Select[Any]:
        """The ids that the index gives; correlated to the parents."""
        return self.sql.hits(self.search, self.listing.slots, self.terms, parents.c.id, parents)

    def _hit_ids(self, parents: CTE) -> CTE:
        """(parent, id) of what the index gives, looked up once."""
        return self.compiler.once(self._per_parent(parents, self._hits(parents)))

    def _looked_up(self, rows: Rows, key: str, ids: Rows, wanted: Sequence[Condition], *columns: Any) -> FromClause:
        """PostgreSQL: the row whose `key` is in `ids`, if the wanted holds. The planner knows neither how few the ids
        are nor how many the rows, and would join whole tables."""
        one = select(*columns or [literal_column("1")]).where(rows.c[key] == ids.c.id, *wanted)
        fenced = one.offset(literal_column("0", Integer())).correlate_except(rows)
        return fenced.lateral(self.compiler.name("l"))

    def _per_parent(self, parents: CTE, first: Select[Any]) -> Select[Any]:
        """(parent, id) of a selection of ids that is correlated to the parents."""
        first = first.correlate(parents)
        if self.sql.lateral:
            found = first.lateral(self.compiler.name("l"))
            return select(parents.c.id.label("parent"), found.c.id).select_from(parents.join(found, true()))
        table = self.compiler.alias(self.listing.target)
        joined = parents.join(table, table.c.id.in_(first))
        return select(parents.c.id.label("parent"), table.c.id).select_from(joined)
