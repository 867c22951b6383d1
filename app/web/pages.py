"""Serving what was built from `web/`. Nothing here is made on the fly, and no page loads anything from elsewhere."""

from __future__ import annotations

import mimetypes
import os
from pathlib import Path

import structlog
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Scope
from typing_extensions import override

STATIC = Path(__file__).parent / "static"
PAGES = ("graphiql", "sign-in")
"""Each is `static/NAME/index.html`, served at `/NAME`."""

HOME = "/graphiql"
FILES = ("favicon.svg", "third-party-licenses.txt")

SECURITY = {
    "content-security-policy": (
        "default-src 'self'; img-src 'self' data:; font-src 'self' data:; style-src 'self' 'unsafe-inline'; "
        "connect-src 'self'; worker-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; "
        "frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",  # browsers that do not know frame-ancestors
    "referrer-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}

ADVICE = (
    "GraphiQL was not built into this installation. In a checkout run `make web` (it needs network once, for the "
    "packages of web/package-lock.json); an installed package was built with GRADBOOK_WEB_BUILD=skip, or without "
    "Node.js: install it again where Node.js 20.19, 22.12 or newer is. The API works without."
)

# The tables of the machine say what a type is, and some are wrong: a script that comes as text/plain does not run.
_TYPES = {
    ".css": "text/css",
    ".html": "text/html",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
    ".ttf": "font/ttf",
    ".txt": "text/plain",
}

log = structlog.get_logger(__name__)


def routes(static: Path = STATIC, *, registered_only: bool = False) -> list[BaseRoute]:
    """`/`, the pages, and what they load. They answer 503, with what to do, as long as `static` is not there.

    Where registered operations alone are run, GraphiQL could do nothing: its page says so.
    """
    files = _Files(static)

    async def home(_request: Request) -> Response:
        return RedirectResponse(HOME, 307, SECURITY)

    async def page(request: Request) -> Response:
        try:
            return await files.get_response(f"{request.url.path.strip('/')}/index.html", request.scope)
        except HTTPException:
            return HTMLResponse(_NOT_BUILT, 503, {**SECURITY, "cache-control": "no-store"})

    async def closed(_request: Request) -> Response:
        return HTMLResponse(_CLOSED, 403, {**SECURITY, "cache-control": "no-store"})

    async def file(request: Request) -> Response:
        return await files.get_response(request.url.path.strip("/"), request.scope)

    return [
        Route("/", home, methods=["GET"]),
        *([Route(HOME, closed, methods=["GET"])] if registered_only else []),
        *(Route(f"/{name}", page, methods=["GET"]) for name in PAGES),
        Mount("/assets", _Files(static / "assets", immutable=True)),
        *(Route(f"/{name}", file, methods=["GET"]) for name in FILES),
    ]


def is_built(static: Path = STATIC) -> bool:
    """Whether there are pages to serve."""
    return all((static / name / "index.html").is_file() for name in PAGES)


def warn_when_not_built() -> None:
    """Say in the log what to do when there are no pages: an installation hides what its build said."""
    if not is_built():
        log.warning("there is no GraphiQL", advice=ADVICE)


class _Files(StaticFiles):
    """Files with their gzipped copies, which the build made. The names of immutable ones change with their content."""

    def __init__(self, directory: Path, *, immutable: bool = False) -> None:
        super().__init__(directory=directory, check_dir=False)
        self._cache = "public, max-age=31536000, immutable" if immutable else "no-cache"

    @override
    async def check_config(self) -> None:
        """It may be built later."""

    @override
    def file_response(
        self, full_path: str | os.PathLike[str], stat_result: os.stat_result, scope: Scope, status_code: int = 200
    ) -> Response:
        packed = Path(f"{os.fspath(full_path)}.gz")
        use_packed = _takes_gzip(Headers(scope=scope)) and packed.is_file()
        if use_packed:
            response = super().file_response(packed, packed.stat(), scope, status_code)
        else:
            response = super().file_response(full_path, stat_result, scope, status_code)
        if response.status_code == status_code:
            suffix = Path(full_path).suffix
            media_type = _TYPES.get(suffix) or mimetypes.guess_type(full_path)[0] or "application/octet-stream"
            response.headers["content-type"] = (
                f"{media_type}; charset=utf-8" if media_type.startswith("text/") else media_type
            )
            if use_packed:
                response.headers["content-encoding"] = "gzip"
        response.headers.update({**SECURITY, "cache-control": self._cache, "vary": "accept-encoding"})
        return response


def _takes_gzip(headers: Headers) -> bool:
    for part in headers.get("accept-encoding", "").split(","):
        coding, _, parameters = part.partition(";")
        if coding.strip().lower() in {"gzip", "*"}:
            return parameters.replace(" ", "") not in {"q=0", "q=0.0", "q=0.00", "q=0.000"}
    return False


def _notice(heading: str, *paragraphs: str) -> str:
    return f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{heading} · Gradbook</title>
<style>body {{ font: 16px/1.6 system-ui, sans-serif; max-width: 36rem; margin: 15vh auto; padding: 0 1.5rem }}</style>
<h1>{heading}</h1>
{"".join(f"<p>{paragraph}</p>" for paragraph in paragraphs)}
</html>
"""


_NOT_BUILT = _notice(
    "GraphiQL is not built",
    ADVICE.replace("`make web`", "<code>make web</code>"),
    "GraphQL is at <code>/graphql</code>: send a POST with <code>Authorization: Bearer KEY</code>.",
)
_CLOSED = _notice(
    "GraphiQL is closed",
    "This server runs registered operations only (<code>GRADBOOK_REGISTERED_ONLY</code>), and refuses what "
    "would be written here.",
    "To explore, start another server on the same database without that setting, where strangers cannot reach it.",
)
