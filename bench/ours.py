"""The product, as it is served."""

from __future__ import annotations

from typing import Any

from starlette.applications import Starlette

from app.asgi import build_app
from app.settings import Settings, load

_MUCH = 10**12


def _settings(url: str, **others: Any) -> Settings:
    # One key asks as fast as it can, which is what budgets are to stop. They are charged all the same.
    budgets = {"budget_per_minute": _MUCH, "budget_per_address_per_minute": _MUCH, "attention_percent": 99}
    return load(database_url=url, **budgets, **others)


def serve(url: str) -> Starlette:
    """The application with its default settings but for budgets; what decides about durability is said again."""
    crowd = 10_000  # one key opens all the sockets of a round
    limits = {"max_sockets": crowd, "max_sockets_per_caller": crowd, "max_subscriptions_per_caller": crowd}
    return build_app(_settings(url, sqlite_synchronous="FULL", **limits))


def serve_normal(url: str) -> Starlette:
    """The same, but a commit does not wait for the disk."""
    return build_app(_settings(url, sqlite_synchronous="NORMAL"))


def serve_uncompacted(url: str) -> Starlette:
    """With points of training tasks as reports left them, for an hour."""
    return build_app(_settings(url, sqlite_synchronous="FULL", compact_seconds=3600))


def serve_compacting(url: str) -> Starlette:
    """With the compactor always at work."""
    return build_app(_settings(url, sqlite_synchronous="FULL", compact_seconds=0.2))
