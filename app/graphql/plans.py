"""Plans: compiled statements, and where the values of their placeholders come from per request."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any

from sqlalchemy import Dialect, Select

from app.db.statement import Prepared
from app.graphql.slots import Convert, Slots

MAX_PLANS = 2_000
"""Compiled statements that are kept, of some 20 kB each: one per template, shape of arguments and kind of viewer."""

Source = Callable[[Sequence[Any], Mapping[str, Any]], Any]


@dataclass(frozen=True, slots=True)
class Plan:
    """SQL text and where the value of each placeholder comes from."""

    sql: str
    sources: tuple[Source, ...]

    def parameters(self, values: Sequence[Any], named: Mapping[str, Any]) -> tuple[Any, ...]:
        """The driver's parameters for the values of one request; `named` are the viewer's and the server's own."""
        return tuple([source(values, named) for source in self.sources])


def make_plan(statement: Select[Any], slots: Slots, dialect: Dialect) -> Plan:
    """Compiles a statement whose varying values stand in `slots`."""
    prepared = Prepared(statement, dialect)
    sources: list[Source] = []
    for name in prepared.names:
        process = prepared.processor(name)
        if name in slots.params:
            index, convert = slots.params[name]
            sources.append(_from_slot(index, convert, process))
        elif name in prepared.constants:
            sources.append(_constant(prepared.constants[name]))
        else:
            sources.append(_named(name, process))
    return Plan(prepared.sql, tuple(sources))


def _from_slot(index: int, convert: Convert | None, process: Convert | None) -> Source:
    if convert is None and process is None:
        return lambda values, _: values[index]
    if convert is None:
        return lambda values, _: process(values[index])  # type: ignore[misc]
    if process is None:
        return lambda values, _: convert(values[index])
    return lambda values, _: process(convert(values[index]))


def _constant(value: Any) -> Source:
    return lambda _, __: value


def _named(name: str, process: Convert | None) -> Source:
    if process is None:
        return lambda _, named: named[name]
    return lambda _, named: process(named[name])


class PlanCache:
    """The most recently used plans, for several threads: payloads are read on SQLite's writer thread."""

    def __init__(self, size: int = MAX_PLANS) -> None:
        self._size = size
        self._plans: OrderedDict[Hashable, Plan] = OrderedDict()
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._plans)

    def find(self, key: Hashable) -> Plan | None:
        """The plan for a key, if it is there."""
        with self._lock:
            plan = self._plans.get(key)
            if plan is not None:
                self._plans.move_to_end(key)
            return plan

    def get(self, key: Hashable, make: Callable[[], Plan]) -> Plan:
        """The plan for a key, made when it is not there."""
        plan = self.find(key)
        if plan is not None:
            return plan
        plan = make()
        with self._lock:
            self._plans[key] = plan
            if len(self._plans) > self._size:
                self._plans.popitem(last=False)
        return plan
