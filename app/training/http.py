"""Points out of a task over HTTP, for spreadsheets and scripts: GET /tasks/{id}/metrics.csv."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from app.accounts.viewer import Viewer, signed_in
from app.db.database import Database
from app.graphql.door import Door, attachment, known_options
from app.training.task_names import task_name


def routes(
    database: Callable[[Request], Database],
    identify: Callable[[Request], Awaitable[Viewer | None]],
) -> list[Route]:
    """The one route. `?metric=NAME`, which may be there several times, chooses metrics; without it there are all."""

    async def get_metrics(request: Request) -> Response:
        from app.training.point_export import export_points, find_points  # noqa: PLC0415 - numpy comes later

        viewer = signed_in(await identify(request))
        metrics = known_options(request, ["metric"]).getlist("metric")
        task = task_name(request.path_params["id"])
        export = await find_points(database(request), viewer, task, metrics)
        headers = attachment(f"tsk_{export.task_id}-metrics.csv")
        return StreamingResponse(export_points(database(request), export), headers=headers, media_type="text/csv")

    return [Route("/tasks/{id}/metrics.csv", Door(get=get_metrics))]
