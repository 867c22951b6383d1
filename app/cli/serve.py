"""The command `serve`."""

import asyncio
import errno
import gc
import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Annotated

import uvicorn

from app import logs
from app.accounts.access import OPERATOR
from app.accounts.bootstrap import OWNER, ensure_owner, ensure_workspace
from app.cli.output import say
from app.cli.session import page_address, setting_option
from app.db import migrate
from app.errors import Code, GradbookError
from app.services import open_book
from app.settings import Settings, load

_BACKLOG = 2048


def serve(
    host: Annotated[str | None, setting_option("host", metavar="ADDRESS")] = None,
    port: Annotated[int | None, setting_option("port", metavar="NUMBER")] = None,
    log_level: Annotated[str | None, setting_option("log_level", metavar="LEVEL")] = None,
    log_format: Annotated[str | None, setting_option("log_format", metavar="FORMAT")] = None,
    database_url: Annotated[str | None, setting_option("database_url", metavar="URL")] = None,
) -> None:
    """Start the server, and stop it by Ctrl-C.

    It first brings the database up to this version. On the first start it makes the database, the workspace `default`
    and a user `owner`, for whom it prints an API key and a link to sign in in the browser: once, for only hashes are
    kept. More settings: `gradbook settings`.
    """
    settings = load(host=host, port=port, log_level=log_level, log_format=log_format, database_url=database_url)
    logs.configure(settings.log_level, settings.log_format)
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)  # its steps of starting and stopping
    with _listen(settings) as listener:  # before the database is touched: another server may be using it
        migrate.upgrade(settings.database_url)
        asyncio.run(_bootstrap(settings, listener.getsockname()[1]))
        _run(settings, listener)


def _listen(settings: Settings) -> socket.socket:
    """A listening socket. Raises CONFLICT or INVALID_INPUT with what to do about it."""
    where = f"{settings.host}:{settings.port}"
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise GradbookError(Code.INVALID_INPUT, _unusable(settings.host, error)) from None
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)  # now, not when the application is ready: of two that start at once one is told
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            message = (
                f"Port {settings.port} of {settings.host} is in use, perhaps by another Gradbook: stop that, or choose "
                "another by --port or GRADBOOK_PORT (0 takes a free one)."
            )
            raise GradbookError(Code.CONFLICT, message) from None
        if error.errno == errno.EACCES:
            message = (
                f"Listening on {where} is not allowed: ports below 1024 are for the administrator. Try --port 8000."
            )
            raise GradbookError(Code.INVALID_INPUT, message) from None
        raise GradbookError(Code.INVALID_INPUT, _unusable(settings.host, error)) from None
    return listener


def _unusable(host: str, error: OSError) -> str:
    return (
        f"The address {host!r} (--host, GRADBOOK_HOST) cannot be listened on: {error.strerror or error}. 127.0.0.1 is "
        "for this machine alone, 0.0.0.0 for all its networks."
    )


async def _bootstrap(settings: Settings, port: int) -> None:
    async with await open_book(settings) as database:
        await database.transact(ensure_workspace, viewer=OPERATOR)
        first = await database.transact(ensure_owner, viewer=OPERATOR)
    if first is not None:
        say(f"This is the first start: user {OWNER!r} was made. This link signs them in, once, within an hour:")
        say(f"\n    {page_address(settings, 'sign-in', port)}#{first.link}\n")
        say("and this is their API key, for programs. Keep it, it is shown only now.")
        say(f"\n    {first.key}\n")


class _Server(uvicorn.Server):
    """uvicorn's server, which says where it is when it is ready, and which ends well when it is told to end."""

    address = ""
    has_pages = False

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        # The schema and all modules stay to the end: without them a full garbage collection takes 1 ms, not 50.
        gc.collect()
        gc.freeze()
        explore = f", to explore at {self.address}/graphiql" if self.has_pages else ""
        say(f"Gradbook is at {self.address}/graphql{explore} (Ctrl-C stops it).")

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self.lifespan.state["graphql"].close()  # event streams: they would go on as long as requests may
        await super().shutdown(sockets)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        with super().capture_signals():
            yield
            self._captured_signals.clear()  # else it would now die of the signal


def _run(settings: Settings, listener: socket.socket) -> None:
    # These take half a second, when a port in use is told already.
    from app import web  # noqa: PLC0415
    from app.asgi import build_app  # noqa: PLC0415
    from app.cli.connections import bounded_http  # noqa: PLC0415
    from app.cli.wire import BoundedWebSocket  # noqa: PLC0415

    server = _Server(
        uvicorn.Config(
            build_app(settings),
            lifespan="on",
            loop="uvloop" if find_spec("uvloop") else "asyncio",
            http=bounded_http(settings),
            ws=BoundedWebSocket,
            ws_per_message_deflate=False,  # each socket would hold two windows of 32 KiB, for messages of some bytes
            ws_max_size=2 * settings.max_message_bytes,  # the application's own limit comes first, and says why
            ws_ping_interval=None,  # the application pings, and says why it closes
            log_config=None,
            access_log=False,  # the application writes its own, with request ids
            server_header=False,
            forwarded_allow_ips=list(settings.trusted_proxies),
            timeout_graceful_shutdown=settings.graceful_shutdown_seconds,
        )
    )
    host, port = listener.getsockname()[:2]
    server.address = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    server.has_pages = web.is_built() and not settings.registered_only
    server.run(sockets=[listener])
