"""The guard: what only one module may write is refused to a unit of work that does not bear the mark.

It reads the text of every statement before the driver does, whichever way it came: ORM, Core, `text()` or `fetch`. What
it finds is remembered per text, so a statement is read once. It knows no more grammar than where the targets of writes
stand; of statements that hide theirs (DO, PREPARE, DDL) it refuses all that name a protected table. Reads are free.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache

from app.db.sql_tokens import Token, tokenize

# Texts remembered: a few hundred statements exist; those with an IN of varying length are many.
_REMEMBERED = 4096

_QUERIES = ("select", "with", "values", "table")
_WRITES = ("insert", "replace", "update", "delete", "merge", "truncate", "copy")
# Statements whose writes stand in their text. Others (DO, PREPARE, CREATE TRIGGER, ...) may hide theirs.
_READABLE = (*_QUERIES, *_WRITES, "explain", "savepoint", "release", "rollback", "pragma", "set", "show", "lock")


@dataclass(frozen=True, slots=True)
class Protection:
    """What needs the mark `table`: writing these columns, or any row of the table if none are named.

    With columns named, an insert or update that leaves them out is free, and so is a delete.
    """

    table: str
    columns: frozenset[str] = field(default_factory=frozenset)


class UnmarkedWriteError(Exception):
    """A statement writes what only the module that keeps the rule may write: a mistake in the code."""

    def __init__(self, missing: Iterable[str], sql: str) -> None:
        tables = ", ".join(sorted(missing))
        super().__init__(
            f"This writes what is protected of {tables}. Call the module that keeps the rule; if this is that module, "
            f"do it within `uow.marked(...)`. The statement: {' '.join(sql.split())[:300]}"
        )


class Guard:
    """Tells which marks a statement needs. One per database, for their grammars differ."""

    def __init__(self, protections: Iterable[Protection], dialect_name: str) -> None:
        self._columns = {
            protection.table.lower(): frozenset(column.lower() for column in protection.columns)
            for protection in protections
        }
        self._dialect_name = dialect_name
        self._needed = lru_cache(_REMEMBERED)(self._read)

    def check(self, sql: str, marks: frozenset[str]) -> None:
        """Raise UnmarkedWriteError unless the marks suffice for this text."""
        needed = self._needed(sql)
        if needed and not needed <= marks:
            raise UnmarkedWriteError(needed - marks, sql)

    def _read(self, sql: str) -> frozenset[str]:
        lowered = sql.lower()
        mentioned = frozenset(table for table in self._columns if table in lowered)
        if self._dialect_name == "postgresql" and 'u&"' in lowered:
            return frozenset(self._columns)  # an escaped name can be any
        if not mentioned:
            return mentioned
        tokens = tokenize(sql, self._dialect_name)
        if not all(verb.is_word(*_READABLE) for verb in _verbs(tokens)):
            return mentioned
        return frozenset(_Targets(tokens, self._columns).find())


def _verbs(tokens: list[Token]) -> Iterator[Token]:
    """The first word of each statement."""
    is_first = True
    for token in tokens:
        if token.is_operator(";"):
            is_first = True
        elif is_first and not token.is_operator("("):
            is_first = False
            yield token


class _Targets:
    """Finds the protected tables that a statement writes, wherever the verb stands: CTEs, EXPLAIN, a second statement.

    Where two readings are possible it takes the one that writes.
    """

    def __init__(self, tokens: list[Token], columns: dict[str, frozenset[str]]) -> None:
        self._tokens = [*tokens, *[Token("end", "")] * 4]  # so that looking ahead needs no care
        self._columns = columns
        self._found: set[str] = set()
        self._inserted: set[str] = set()

    def find(self) -> set[str]:
        for at, token in enumerate(self._tokens):
            if at and self._operator(at - 1, "."):
                continue  # a column named like a verb
            if token.is_word("insert", "replace"):
                self._insert(self._after_or(at + 1))
            elif token.is_word("update"):
                self._update(self._after_or(at + 1))
            elif token.is_word("delete") and self._word(at + 1, "from"):
                self._delete(at + 2)
            elif token.is_word("merge") and self._word(at + 1, "into"):
                self._found |= self._target(at + 2)[0]
            elif token.is_word("truncate"):
                self._truncate(at + 1)
            elif token.is_word("copy"):
                self._copy(at + 1)
        return self._found

    def _insert(self, at: int) -> None:
        if self._word(at, "into"):
            tables, at = self._target(at + 1)
            self._inserted |= tables
            self._write(tables, self._listed(at + 2 if self._word(at, "as") else at))

    def _update(self, at: int) -> None:
        if self._word(at, "set"):  # ON CONFLICT DO UPDATE SET
            self._write(self._inserted, self._assigned(at + 1))
            return
        tables, at = self._target(at)
        if tables:
            while not self._word(at, "set") and self._tokens[at].kind != "end":
                at += 1
            self._write(tables, self._assigned(at + 1))

    def _delete(self, at: int) -> None:
        tables, _ = self._target(at)
        self._write(tables, set())

    def _truncate(self, at: int) -> None:
        while self._tokens[at].kind in {"word", "name"} or self._operator(at, ",.*"):
            self._write({self._tokens[at].name} & self._columns.keys(), set())
            at += 1

    def _copy(self, at: int) -> None:
        tables, at = self._target(at)
        if any(token.is_word("from") for token in self._tokens[at:]):
            self._found |= tables

    def _target(self, at: int) -> tuple[set[str], int]:
        """The protected table named here, if it is one, and where the text goes on: `ONLY schema . "table"`."""
        while self._word(at, "only", "table") or self._operator(at, "("):
            at += 1
        while self._operator(at + 1, "."):
            at += 2
        return {self._tokens[at].name} & self._columns.keys(), at + 1

    def _write(self, tables: set[str], columns: set[str] | None) -> None:
        # None: all columns. No columns: a row goes.
        for table in tables:
            protected = self._columns[table]
            if not protected or columns is None or columns & protected:
                self._found.add(table)

    def _listed(self, at: int) -> set[str] | None:
        """The columns of a list in parentheses; none after DEFAULT VALUES, all without a list."""
        if self._word(at, "default"):
            return set()
        if not self._operator(at, "(") or self._operator(at + 1, "(") or self._word(at + 1, *_QUERIES):
            return None
        names: set[str] = set()
        while not self._operator(at, ")") and self._tokens[at].kind != "end":
            at += 1
            names.add(self._tokens[at].name)
        return names

    def _assigned(self, at: int) -> set[str]:
        """The columns left of `=` in `a = 1, (b, c) = (2, 3)`."""
        names: set[str] = set()
        depth = 0
        is_target = True
        while not (depth == 0 and (self._word(at, "where", "returning") or self._operator(at, ";"))):
            token = self._tokens[at]
            if token.kind == "end":
                break
            if self._operator(at, "(["):
                depth += 1
            elif self._operator(at, ")]"):
                depth -= 1
                if depth < 0:
                    break
            elif self._operator(at, "=") and depth == 0:
                is_target = False
            elif self._operator(at, ",") and depth == 0:
                is_target = True
            elif is_target:
                names.add(token.name)
            at += 1
        return names

    def _after_or(self, at: int) -> int:
        # SQLite: INSERT OR REPLACE INTO, UPDATE OR IGNORE
        return at + 2 if self._word(at, "or") else at

    def _word(self, at: int, *words: str) -> bool:
        return self._tokens[at].is_word(*words)

    def _operator(self, at: int, characters: str) -> bool:
        token = self._tokens[at]
        return token.kind == "other" and token.text in characters
