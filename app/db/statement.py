"""Core statements as text for the raw drivers: compiled once per database, executed often.

    GREET = Statement(select(User.username).where(User.id == bindparam("id", type_=Snowflake)))

    rows = uow.fetch(*GREET.on(uow.dialect, id=7312))
    rows = await database.read(*GREET.on(database.dialect, id=7312))

Values pass through their column type on the way in (an Instant becomes text on SQLite, an enum member its name).
Rows come back as the driver gives them: on SQLite instants are text and booleans 0/1, on both databases JSON is text.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import Dialect
from sqlalchemy.sql import ClauseElement


class Statement:
    """A Core statement that is compiled at its first use with each dialect.

    `IN` over a list of varying length has no fixed text: use a subquery, `= ANY` or `json_each` instead.
    """

    def __init__(self, core: ClauseElement) -> None:
        self.core = core
        self._prepared: dict[str, Prepared] = {}

    def on(self, dialect: Dialect, **values: Any) -> tuple[str, tuple[Any, ...]]:
        """The SQL text and the parameters for the driver. Raises TypeError for missing or unknown names."""
        prepared = self._prepared.get(dialect.name)
        if prepared is None:
            prepared = self._prepared[dialect.name] = Prepared(self.core, dialect)
        return prepared.sql, prepared.bind(values)


class Prepared:
    """SQL text for one dialect, with what its placeholders want, in order."""

    def __init__(self, core: ClauseElement, dialect: Dialect) -> None:
        compiled: Any = core.compile(dialect=dialect)
        if compiled.post_compile_params:
            raise TypeError(f"A prepared statement cannot hold an IN of varying length: {compiled}")
        self.sql = str(compiled)
        self.names: tuple[str, ...] = tuple(compiled.positiontup or ())
        self._processors: dict[str, Callable[[Any], Any]] = compiled._bind_processors
        binds = {name: compiled.binds[name] for name in self.names}
        constants = {name: bind.effective_value for name, bind in binds.items() if not bind.required}
        self.constants = {name: self._process(name, value) for name, value in constants.items()}
        self._required = frozenset(self.names) - self.constants.keys()

    def bind(self, values: dict[str, Any]) -> tuple[Any, ...]:
        """The parameters in the order of the placeholders; a constant of the statement can be replaced."""
        if not self._required <= values.keys() <= set(self.names):
            raise TypeError(f"This statement takes {sorted(self._required)}, not {sorted(values)}: {self.sql}")
        bound = {name: self._process(name, value) for name, value in values.items()}
        return tuple([bound[name] if name in bound else self.constants[name] for name in self.names])

    def processor(self, name: str) -> Callable[[Any], Any] | None:
        """What turns a value into the driver's for a placeholder; None where it stays as it is."""
        return self._processors.get(name)

    def _process(self, name: str, value: Any) -> Any:
        process = self._processors.get(name)
        return value if process is None else process(value)
