"""The product, as it is served."""

from __future__ import annotations

from starlette.applications import Starlette

from app.asgi import build_app
from app.settings import load


def serve(url: str) -> Starlette:
    """The application with its default settings; what decides about durability is said again."""
    return build_app(load(database_url=url, sqlite_synchronous="FULL"))


def serve_normal(url: str) -> Starlette:
    """The same, but a commit does not wait for the disk."""
    return build_app(load(database_url=url, sqlite_synchronous="NORMAL"))


def serve_uncompacted(url: str) -> Starlette:
    """With points of training tasks as reports left them, for an hour."""
    return build_app(load(database_url=url, sqlite_synchronous="FULL", compact_seconds=3600))


def serve_compacting(url: str) -> Starlette:
    """With the compactor always at work."""
    return build_app(load(database_url=url, sqlite_synchronous="FULL", compact_seconds=0.2))
