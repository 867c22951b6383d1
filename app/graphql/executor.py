"""graphql-core's executor, which lets finished JSON pass as it is, and counts what resolvers take."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

import orjson
from graphql import Executor, GraphQLOutputType
from graphql.pyutils import Path

from app.graphql.engine import Ref
from app.graphql.selection import Info
from app.graphql.spent import Counted


class FragmentExecutor(Executor[Any]):
    """Completes values as graphql-core does, but for those that the read engine has finished.

    A Fragment never stands for null: a row that is not there is None, so that non-null fields fail as they should.
    """

    def complete_value(
        self,
        return_type: GraphQLOutputType,
        field_details_list: Any,
        info: Info,
        path: Path,
        result: Any,
        position_context: Any,
    ) -> Any:
        """The finished JSON, or graphql-core's completion."""
        if type(result) is Ref:
            result = result.at(path.as_list())
        if type(result) is orjson.Fragment:
            return result
        return super().complete_value(return_type, field_details_list, info, path, result, position_context)

    def complete_awaitable_value(
        self,
        return_type: GraphQLOutputType,
        field_details_list: Any,
        info: Info,
        path: Path,
        result: Any,
        position_context: Any,
    ) -> Coroutine[Any, Any, Any]:
        """graphql-core's completion. What the resolver takes of the thread is its caller's."""
        counted = Counted(result, info.context.spent)
        return super().complete_awaitable_value(return_type, field_details_list, info, path, counted, position_context)
