"""Structured logs: everything, the libraries' lines too, as lines for people or as JSON, on standard error.

Log with `structlog.get_logger(__name__)` and keywords. What `structlog.contextvars.bind_contextvars` binds (the door
binds `request_id`) is on every line of that request.
"""

import io
import logging
import sys
from typing import Any, Literal, TextIO

import orjson
import structlog
from structlog.typing import EventDict, ExcInfo, Processor, WrappedLogger

from app.visible import visible

# Whole words of a key: `api_key` and `Set-Cookie` are secret, `keyword` is not.
_SECRET = frozenset({"authorization", "cookie", "key", "password", "passwd", "secret", "token"})
_MASK = "***"


def configure(level: str, log_format: Literal["console", "json"]) -> None:
    """Send all logs of this process to standard error; called once by each door, and again by tests."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(),
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        _mask_secrets,
    ]
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    last: list[Processor]
    if log_format == "json":
        last = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(serializer=_json)]
    else:
        colors = sys.stderr.isatty()
        last = [_make_visible, structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=_write_traceback)]
    handler = logging.StreamHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared, processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last]
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    # Their debug and info lines are one per statement and per migration step.
    for noisy in ("aiosqlite", "alembic", "asyncio"):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, root.level))
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logging.getLogger(name).handlers = []
        logging.getLogger(name).propagate = True


def _mask_secrets(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    for key in event:
        if not _SECRET.isdisjoint(key.lower().replace("-", "_").split("_")):
            event[key] = _MASK
    return event


def _make_visible(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Values are what clients sent: none becomes a line of its own, or steers the terminal."""
    for key, value in event.items():
        if isinstance(value, str):
            event[key] = visible(value, lines=key == "stack")
    return event


def _write_traceback(to: TextIO, exc_info: ExcInfo) -> None:
    """Without local variables, which hold secrets, and indented: a message of several lines looks like no log line."""
    text = io.StringIO()
    structlog.dev.plain_traceback(text, exc_info)
    to.write("".join(f"\n    {line}" for line in visible(text.getvalue(), lines=True).strip("\n").split("\n")))


def _json(event: Any, **_options: Any) -> str:
    return visible(orjson.dumps(event, default=str, option=orjson.OPT_NON_STR_KEYS).decode())
