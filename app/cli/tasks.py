"""The commands for training tasks. Whoever can open the database sees all of them."""

import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import orjson
import typer

from app.accounts.users import first_owner
from app.accounts.viewer import Viewer
from app.cli import lookups
from app.cli.output import note, say, show_table
from app.cli.session import DatabaseUrl, as_operator, with_database
from app.db import Database, UnitOfWork
from app.errors import Code, GradbookError
from app.training.tables import TaskStatus

TaskId = Annotated[str, typer.Argument(metavar="ID", help="The task: tsk_…, or its UUID.")]
WorkspaceName = Annotated[
    str | None, typer.Option("--workspace", metavar="NAME", help="Its workspace.", show_default=False)
]
Json = Annotated[bool, typer.Option("--json", help="JSON, as GraphQL answers, instead of a table.")]

_FORMATS = {".toml": "TOML", ".yaml": "YAML", ".yml": "YAML", ".json": "JSON"}

_IMPORT = """mutation ($input: ImportTrainConfigInput!) {
  importTrainConfig(input: $input) {
    task { id modelName workspace { name } } redacted warnings { message } errors { code message path }
  }
}"""
_LIST = """query ($where: TrainTaskWhere, $first: Int!) {
  trainTasks(where: $where, orderBy: [{field: CREATED_AT, direction: DESC}], first: $first) {
    nodes {
      id taskId modelName status lost attempt progress startTime endTime duration tags
      createUser { username } workspace { name } metrics { name last lastStep lastState }
    }
  }
}"""
_SHOW = """query ($id: ID!) {
  trainTask(id: $id) {
    id taskId modelName status lost attempt maxAttempts version fingerprint config summary error tags notes
    createdAt startTime endTime heartbeatAt deletedAt host totalSteps step epoch progress duration hourlyCost cost
    createUser { username } workspace { name } clonedFrom { id }
    retryOf { id status attempt } nextAttempt { id status attempt }
    metrics { name last lastState lastStep min minStep max maxStep points nonFiniteCount }
  }
}"""


def task_import(
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="A config of lora-scripts, kohya or Hugging Face; - is standard input."),
    ],
    workspace: WorkspaceName = None,
    user: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Whose task it is; the first owner's without.", show_default=False),
    ] = None,
    format: Annotated[
        Literal["toml", "yaml", "json"] | None,
        typer.Option(help="The format, if it is not to be told from the suffix of FILE.", show_default=False),
    ] = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Make a training task, PENDING, of a config file.

    Known keys become inputs, all others extraParams. What was converted, stands twice or is not known is told on
    standard error, and where secrets were, which are never stored. The task's id stands alone on the last line.
    """
    chosen = format.upper() if format else _format_of(file)
    data = sys.stdin.buffer.read() if file == Path("-") else file.read_bytes()
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        message = f"{file}: byte {error.start + 1}, 0x{data[error.start]:02X}, is not UTF-8: configs are written in it."
        raise GradbookError(Code.INVALID_INPUT, message) from None
    viewer, workspace_id = as_operator(database_url, _whose, user, workspace)
    overrides = {} if workspace_id is None else {"overrides": {"workspaceId": f"wsp_{workspace_id}"}}

    async def run(database: Database) -> Any:
        return await _asking(database, viewer).mutate(_IMPORT, format=chosen, text=text, **overrides)

    made = with_database(run, database_url)
    for warning in made["warnings"]:
        note(f"{file}: {warning['message']}")
    for place in made["redacted"]:
        note(f"{file}: {place} holds a secret, which is not stored.")
    task = made["task"]
    say(f"Task {task['modelName']!r} of {viewer.username!r} was made in {task['workspace']['name']!r}.\n{task['id']}")


def task_list(
    status: Annotated[
        list[TaskStatus] | None,
        typer.Option(case_sensitive=False, help="Only of this state; may be given several times.", show_default=False),
    ] = None,
    user: Annotated[str | None, typer.Option(metavar="NAME", help="Only of this user.", show_default=False)] = None,
    model: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Only where the model's name has this.", show_default=False)
    ] = None,
    workspace: WorkspaceName = None,
    limit: Annotated[int, typer.Option(min=1, max=500, help="At most so many.")] = 20,
    as_json: Json = False,
    database_url: DatabaseUrl = None,
) -> None:
    """List training tasks, the newest first; deleted ones are left out."""
    where: dict[str, Any] = {}
    if status:
        where["status"] = {"in": [one.name for one in status]}
    if model is not None:
        where["modelName"] = {"contains": model}
    if user is not None:
        where["createUser"] = {"eq": f"usr_{as_operator(database_url, lookups.user_id, user)}"}
    if workspace is not None:
        where["workspace"] = {"eq": f"wsp_{as_operator(database_url, lookups.workspace_id, workspace)}"}

    async def run(database: Database) -> Any:
        return await _asking(database).ask(_LIST, where=where or None, first=limit)

    tasks = with_database(run, database_url)["trainTasks"]["nodes"]
    if as_json:
        say(_json(tasks))
        return
    show_table(
        ["id", "model", "status", "user", "started", "took", "metrics"],
        [
            (
                task["id"],
                task["modelName"],
                state(task),
                _name(task["createUser"], "username"),
                instant(task["startTime"]),
                took(task["duration"]),
                last_values(task["metrics"]),
            )
            for task in tasks
        ],
    )


def task_show(task: TaskId, as_json: Json = False, database_url: DatabaseUrl = None) -> None:
    """Show a training task: its inputs, its state, its metrics, its attempts."""

    async def run(database: Database) -> Any:
        return (await _asking(database).ask(_SHOW, id=task))["trainTask"]

    found = found_task(with_database(run, database_url), task)
    if as_json:
        say(_json(found))
        return
    show_table(["task", found["id"]], _facts(found))
    if found["metrics"]:
        columns = ("last", "lastStep", "min", "minStep", "max", "maxStep", "points")
        rows = [(one["name"], *(number(one[column]) for column in columns)) for one in found["metrics"]]
        say("")
        show_table(["metric", "last", "at step", "min", "at step", "max", "at step", "points"], rows)


def task_watch(
    task: TaskId,
    metric: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="What to show; may be given several times.", show_default=False),
    ] = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Watch a training task until it ends: its curves as they arrive, or lines where there is no terminal.

    The exit code is 0 when it ends as SUCCESS, 3 as FAILED, 4 as CANCELED. Ctrl-C stops watching, not the task.
    """
    from app.cli.watching import watch  # noqa: PLC0415 - GraphQL and charts, which other commands need not wait for

    status = with_database(lambda database: watch(database, task, metric or []), database_url)
    if code := {"FAILED": 3, "CANCELED": 4}.get(status, 0):
        raise typer.Exit(code)


def found_task(found: Any, name: str) -> Any:
    """What was found by this id. Raises NOT_FOUND."""
    if found is None:
        raise GradbookError(Code.NOT_FOUND, f"There is no training task {name}. See `gradbook task list`.")
    return found


def state(task: Any) -> str:
    """`RUNNING 40%`, `FAILED, attempt 2`."""
    text = str(task["status"])
    if text == "RUNNING" and task["progress"] is not None:
        text += f" {int(100 * task['progress'])}%"
    if task["lost"]:
        text += ", lost"
    return f"{text}, attempt {task['attempt']}" if task["attempt"] > 1 else text


def last_values(metrics: Any) -> str:
    """`accuracy 0.79, loss 0.01`: the first few."""
    shown = [f"{one['name']} {last_value(one)}" for one in metrics[:3]]
    return ", ".join(shown) + (f" and {len(metrics) - 3} more" if len(metrics) > 3 else "")


def last_value(metric: Any) -> str:
    """The very last value, or that it was none."""
    if metric["lastState"] == "FINITE":
        return number(metric["last"])
    return "NaN" if metric["lastState"] == "NAN" else "infinite"


def number(value: Any) -> str:
    """A number for people."""
    return "" if value is None else f"{value:,}" if isinstance(value, int) else f"{value:.5g}"


def took(seconds: float | None) -> str:
    """`12 s`, `3 min 5 s`, `2 h 13 min`."""
    if seconds is None:
        return ""
    minutes, rest = divmod(round(seconds), 60)
    hours, of_hour = divmod(minutes, 60)
    return f"{hours} h {of_hour} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"


def instant(text: str | None) -> str:
    """To the second, as in `2026-01-31 09:00:00`, UTC."""
    return "" if text is None else text[:19].replace("T", " ")


def _facts(task: Any) -> list[tuple[str, str]]:
    """What there is to say of a task, a name and a text each."""
    steps = f"{number(task['step'])} of {number(task['totalSteps'])}" if task["totalSteps"] else number(task["step"])
    facts = {
        "taskId": task["taskId"],
        "status": state(task),
        "user": _name(task["createUser"], "username"),
        "workspace": _name(task["workspace"], "name"),
        "created": instant(task["createdAt"]),
        "started": instant(task["startTime"]),
        "ended": instant(task["endTime"]),
        "deleted": instant(task["deletedAt"]),
        "took": took(task["duration"]),
        "cost": number(task["cost"]),
        "host": task["host"] or "",
        "step": steps,
        "error": task["error"] or "",
        "retry of": _attempt(task["retryOf"]),
        "next attempt": _attempt(task["nextAttempt"]),
        "cloned from": _name(task["clonedFrom"], "id"),
    }
    summary = {f"summary.{name}": value for name, value in (task["summary"] or {}).items()}
    inputs = dict(task["config"] or {})
    inputs |= {f"extraParams.{name}": value for name, value in (inputs.pop("extraParams", None) or {}).items()}
    facts |= {name: _text(value) for name, value in (summary | inputs).items()}
    return [(name, text) for name, text in facts.items() if text]


def _attempt(task: Any) -> str:
    return "" if task is None else f"{task['id']}, {state({**task, 'lost': False, 'progress': None})}"


def _text(value: Any) -> str:
    if value is None or value == []:
        return ""
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def _name(thing: Any, field: str) -> str:
    return "" if thing is None else str(thing[field])


def _json(value: Any) -> str:
    return orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()


def _format_of(file: Path) -> str:
    if file.suffix.lower() not in _FORMATS:
        message = f"{file}: no format is known by this suffix. End it in .toml, .yaml or .json, or say --format."
        raise GradbookError(Code.INVALID_INPUT, message)
    return _FORMATS[file.suffix.lower()]


def _whose(uow: UnitOfWork, username: str | None, workspace: str | None) -> tuple[Viewer, int | None]:
    """Who makes a task, and where: an owner in the only workspace or `default`, others in their own."""
    if username is None:
        owner = first_owner(uow)
        if owner is None:
            message = "There is no owner yet whose task it could be: name a user by --user, or start the server once."
            raise GradbookError(Code.NOT_FOUND, message)
        row = lookups.user_of_id(uow, owner)
    else:
        row = lookups.user(uow, username)
    viewer = Viewer(row.id, row.username, row.role)
    decide_here = workspace is not None or viewer.kind == "OWNER"
    return viewer, lookups.workspace_id(uow, workspace) if decide_here else None


def _asking(database: Database, viewer: Viewer | None = None) -> Any:
    from app.cli.operations import Asking  # noqa: PLC0415 - the schema takes half a second to import

    return Asking(database) if viewer is None else Asking(database, viewer)
