"""The product, as it is served."""

from __future__ import annotations

from starlette.applications import Starlette

from app.asgi import build_app
from app.settings import load


def serve(url: str) -> Starlette:
    """The application with its default settings; what decides about durability is said again."""
    return build_app(load(database_url=url, sqlite_synchronous="FULL"))
