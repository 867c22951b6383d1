"""Running operations: the one way from a caller's text and variables to a result, for every transport."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Hashable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import orjson
from graphql import (
    ExecutionResult,
    Executor,
    GraphQLError,
    OperationType,
    create_source_event_stream,
    execute,
    execute_subscription_event,
    map_source_to_response_event,
)

from app.db.database import Database
from app.db.deadline import DEADLINE, Deadline, too_slow
from app.errors import Code, GradbookError
from app.graphql.budget import Bill, Budget, BudgetError, Cost, Held
from app.graphql.discretion import Discretion, names_of, words_of
from app.graphql.documents import Document, Documents, Operation
from app.graphql.engine import Engine, Viewer
from app.graphql.executor import FragmentExecutor
from app.graphql.limits import Allowed
from app.graphql.persisted import PersistedQueries
from app.graphql.registered import Registered
from app.graphql.schema import Built
from app.graphql.sharing import Feed, Message, Send, Shared, follow
from app.graphql.spent import Counted, Spent
from app.graphql.variables import check_items

_log = logging.getLogger(__name__)

Result = dict[str, Any]
"""A GraphQL response: `data` and `errors`, ready for `orjson.dumps`."""

MAX_ANONYMOUS_DOCUMENTS = 100
"""Documents that are kept for callers who are not signed in; there is little that they can ask."""


MAX_MESSAGE = 1_000
"""Characters of an error's message that are shown."""


@dataclass(frozen=True, slots=True)
class Request:
    """What a caller sends: see the GraphQL over HTTP specification. `query` is empty where a name stands for it."""

    query: str
    variables: Mapping[str, Any] | None = None
    operation_name: str | None = None
    extensions: Mapping[str, Any] | None = None
    document_id: str | None = None


@dataclass(slots=True)
class Context:
    """What a resolver gets as `info.context`. `services` is what the domains add (the bus, settings)."""

    database: Database
    engine: Engine
    viewer: Viewer | None
    services: Any
    templates: dict[Any, Any] = field(default_factory=dict)
    owed: int = 0
    spent: Spent = field(default_factory=Spent)
    compiling: Spent = field(default_factory=Spent)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A request that may be executed: its document is valid, its operation is known, and its cost is paid."""

    request: Request
    document: Document
    operation: Operation
    cost: Cost | None = None

    @property
    def is_subscription(self) -> bool:
        """Whether it answers with a stream."""
        return self.operation.type is OperationType.SUBSCRIPTION

    @property
    def is_query(self) -> bool:
        """Whether it only reads."""
        return self.operation.type is OperationType.QUERY

    @property
    def writes(self) -> bool:
        """Whether it goes on though nobody listens to it any more."""
        return self.operation.type is OperationType.MUTATION


class RequestError(Exception):
    """A request that fails before execution: there is no `data`. `result` is its response."""

    def __init__(self, result: Result) -> None:
        super().__init__(result["errors"][0]["message"])
        self.result = result


class Operations:
    """Prepares and runs the operations of one schema."""

    def __init__(
        self,
        built: Built,
        database: Database,
        services: Any,
        allowed: Allowed = Allowed(),  # noqa: B008 - frozen
        registered: Registered | None = None,
        budget: Budget | None = None,
    ) -> None:
        self._schema = built.graphql
        self._engine = built.engine
        self._database = database
        self._services = services
        self._seconds = allowed.seconds
        self._persisted = PersistedQueries(registered)
        self._budget = budget
        self._documents = Documents(built, allowed.signed_in)
        # Apart, so that whoever has no key cannot drive out the documents of those who have.
        self._anonymous = Documents(built, allowed.anonymous, MAX_ANONYMOUS_DOCUMENTS)
        self._names = names_of(built.graphql)

    async def look_up(self, request: Request) -> None:
        """Before `prepare`: learn what was registered meanwhile, if the request names what is not known."""
        await self._persisted.look_up(request)

    def prepare(self, request: Request, viewer: Viewer | None) -> Prepared:
        """Parse, validate and choose the operation, within the viewer's limits, and charge what it costs.

        Raises RequestError, and RATE_LIMITED where the viewer has not so much left.
        """
        with self.held(viewer):
            return self._prepare(request, viewer)

    def _prepare(self, request: Request, viewer: Viewer | None) -> Prepared:
        documents = self._anonymous if viewer is None else self._documents
        bill = Bill(self._budget, viewer)
        bill.ask(0, documents.limits.cost)  # until it is known which operation it is
        try:
            document, operation = self._find(request, viewer, documents, bill)
            variables = request.variables or {}
            check_items(operation.given, variables, documents.limits.percent)
            cost = operation.price.cost(variables)
            bill.ask(cost, documents.limits.cost)
            operation.price.check(cost, variables, documents.limits)
            bill.pay(cost)
        except BudgetError:
            raise
        except GradbookError as error:
            bill.pay()
            result = {"errors": [formatted(GraphQLError(error.message, original_error=error))]}
            raise RequestError(_telling(bill.cost, self._told(result, request, viewer))) from error
        return Prepared(request, document, operation, bill.cost)

    def _find(
        self, request: Request, viewer: Viewer | None, documents: Documents, bill: Bill
    ) -> tuple[Document, Operation]:
        document = documents.get(self._persisted.text(request), bill.pay)
        if document.errors:
            bill.pay()
            result = {"errors": [_document_error(error) for error in document.errors]}
            raise RequestError(_telling(bill.cost, self._told(result, request, viewer)))
        self._persisted.keep(request)
        operation = document.operation(request.operation_name)
        if document.introspects and viewer is None:
            raise GradbookError(Code.UNAUTHENTICATED, "Sign in to read the schema: send 'Authorization: Bearer KEY'.")
        return document, operation

    async def admit(self, viewer: Viewer | None) -> None:
        """Let wait whoever took too much of the server's time. Raises RATE_LIMITED if that is too long."""
        if self._budget is not None:
            await self._budget.admit(viewer)

    def hold(self, viewer: Viewer | None, spent: Spent) -> None:
        """Count it as theirs."""
        if self._budget is not None:
            self._budget.hold(viewer, spent)

    def held(self, viewer: Viewer | None, seconds: float = 0.0) -> Held:
        """`with held(viewer)`: the time that the block takes is counted as theirs, and the seconds before."""
        return Held(self._budget, viewer, seconds)

    def charge_nobody(self) -> None:
        """Charge a request that cannot be read to where it came from. Raises BudgetError."""
        Bill(self._budget, None).pay()

    async def execute(self, prepared: Prepared, viewer: Viewer | None) -> Result:
        """Run a query or a mutation. A query that takes too long is cut off, a mutation's transactions end themselves.

        For who cuts off a transaction does not know whether it is stored.
        """
        if prepared.writes:
            deadline = DEADLINE.set(Deadline.after(self._seconds))
            try:
                return await self._execute(prepared, viewer)
            finally:
                DEADLINE.reset(deadline)
        time = asyncio.timeout(self._seconds)
        try:
            async with time:
                return await self._execute(prepared, viewer)
        except TimeoutError:
            if not time.expired():
                raise
            return _telling(prepared.cost, {"data": None, "errors": [shown(too_slow(self._seconds))]})

    async def _execute(self, prepared: Prepared, viewer: Viewer | None) -> Result:
        context = self._context(prepared, viewer)
        try:
            with context.spent:  # variables are checked in it; what it awaits counts for itself
                result = execute(**self._arguments(prepared, context), executor_class=FragmentExecutor)
            if inspect.isawaitable(result):
                result = await result
        finally:
            self._settle(context)
        return _telling(prepared.cost, self._told(response(result), prepared.request, viewer))

    async def subscribe(self, prepared: Prepared, viewer: Viewer | None, send: Send) -> Result | None:
        """Send the results of a subscription until it ends, or give back the response that says why there are none."""
        context = self._context(prepared, viewer)
        arguments = self._arguments(prepared, context)
        try:
            with context.spent:
                built = FragmentExecutor.build(raw_variable_values=arguments.pop("variable_values"), **arguments)
            if isinstance(built, list):
                return self._told(response(ExecutionResult(None, built)), prepared.request, viewer)
            stream = create_source_event_stream(built)
            if inspect.isawaitable(stream):
                stream = await Counted(stream, context.spent)
        finally:
            self._settle(context)
        if isinstance(stream, ExecutionResult):
            return self._told(response(stream), prepared.request, viewer)
        try:
            if isinstance(stream, Feed):
                await follow(self._shared(prepared, context, built, stream), send)
            else:
                async with aclosing(map_source_to_response_event(built, stream)) as results:
                    async for result in results:
                        self._settle_message(context)
                        await send(Message(encoded(response(result))))
        except GradbookError as error:
            # A source that fails in the middle says why in a last response, which no transport would otherwise do.
            failed = GraphQLError(error.message, original_error=error)
            await send(Message(encoded({"data": None, "errors": [formatted(failed)]})))
        return None

    def _context(self, prepared: Prepared, viewer: Viewer | None) -> Context:
        return Context(self._database, self._engine, viewer, self._services, prepared.operation.templates)

    def _settle(self, context: Context) -> None:
        """Charge what turned out to be owed, and count what it took of the server's time."""
        if self._budget is not None:
            if context.owed:
                self._budget.owe(context.viewer, context.owed)
            context.spent.include(context.compiling)
            self._budget.hold(context.viewer, context.spent)
        context.owed = 0
        context.compiling = Spent()

    def _settle_message(self, context: Context) -> None:
        """The same for a message of a subscription: of its time only plans count, for others wrote what is in it."""
        context.spent = Spent()
        self._settle(context)

    def _arguments(self, prepared: Prepared, context: Context) -> dict[str, Any]:
        return {
            "schema": self._schema,
            "document": prepared.document.node,
            "context_value": context,
            "variable_values": prepared.request.variables,
            "operation_name": prepared.operation.name,
        }

    def _told(self, result: Result, request: Request, viewer: Viewer | None) -> Result:
        """A response as its caller may see it: see app.graphql.discretion."""
        if viewer is None and "errors" in result:
            discretion = Discretion(words_of(request.query, request.variables), self._names)
            for error in result["errors"]:
                if error["extensions"]["code"] != Code.UNAUTHENTICATED.name:
                    error["message"] = discretion.told(error["message"])
        return result

    def _shared(self, prepared: Prepared, context: Context, executor: Executor[Any], feed: Feed) -> Shared:
        async def encode(event: Any) -> Message:
            result: Any = execute_subscription_event(executor.build_per_event_executor(event))
            result = await result if inspect.isawaitable(result) else result
            self._settle_message(context)
            return Message(encoded(response(result)), getattr(event, "cursor", ""))

        operation, viewer = prepared.operation, context.viewer
        variables = {
            name: value for name, value in (prepared.request.variables or {}).items() if name not in operation.positions
        }
        try:
            key: Hashable = (orjson.dumps(variables, option=orjson.OPT_SORT_KEYS), viewer and (viewer.kind, viewer.id))
        except TypeError:  # they are nested too deep to be written: nobody else's are the same
            key = object()
        return Shared(operation.cohorts, key, feed, encode)


def _telling(cost: Cost | None, result: Result) -> Result:
    if cost is not None:
        result["extensions"] = {"cost": cost}
    return result


def encoded(result: Result) -> str:
    """A response as JSON."""
    return orjson.dumps(result).decode()


def response(result: ExecutionResult) -> Result:
    """The response for an execution's result."""
    if not result.errors:
        return {"data": result.data}
    errors = [formatted(error) for error in result.errors]
    # Without a path the execution never began: variables did not fit.
    if result.data is None and all(error.path is None for error in result.errors):
        return {"errors": errors}
    return {"data": result.data, "errors": errors}


def formatted(error: GraphQLError) -> dict[str, Any]:
    """An error as the caller sees it, with its code. What was not foreseen is logged, and shown as an id alone."""
    original = error.original_error
    answer = _said(error)
    extensions = dict(answer.get("extensions") or {})
    if isinstance(original, GradbookError):
        extensions.setdefault("code", original.code)
        if original.path:
            extensions.setdefault("argument", list(original.path))
        if original.retry_after is not None:
            extensions.setdefault("retryAfter", original.retry_after)
    elif original is not None and not isinstance(original, GraphQLError):
        incident = uuid4().hex[:12]
        _log.error("Unexpected error %s at %s", incident, error.path, exc_info=original)
        answer["message"] = f"Something went wrong here; the server's log knows more under {incident}."
        extensions = {"code": Code.INTERNAL.name, "incident": incident}
    else:
        extensions.setdefault("code", Code.INVALID_INPUT.name)
    answer["extensions"] = extensions
    return answer


def shown(error: Exception) -> dict[str, Any]:
    """An error from outside of an execution as the caller sees it."""
    return formatted(GraphQLError(str(error), original_error=error))


def _said(error: GraphQLError) -> dict[str, Any]:
    answer: dict[str, Any] = dict(error.formatted)
    message = answer["message"]
    if len(message) > MAX_MESSAGE:  # it says again what the caller sent
        answer["message"] = f"{message[:MAX_MESSAGE]}… and {len(message) - MAX_MESSAGE:,} characters more"
    return answer


def _document_error(error: GraphQLError) -> dict[str, Any]:
    answer = _said(error)
    answer["extensions"] = {"code": Code.INVALID_DOCUMENT.name, **(error.extensions or {})}
    return answer
