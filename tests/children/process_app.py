"""An application and functions that worker processes import."""

from __future__ import annotations

import os
from typing import Any

import demijohn
from demijohn import ContextField, current_app, g, has_request_context
from demijohn.globals import app_ctx

tenant = ContextField[str]("process tenant", default="none", carries=True)
made: list[int] = []


def create_app(name: str = "made") -> Any:
    """A factory: what it makes is no global."""
    made.append(1)
    app = demijohn.Demijohn(__name__, static_folder=None)
    app.carry("user")
    app.config["LABEL"] = name
    return app


app = create_app("global")


def look(n: int) -> dict[str, Any]:
    """What a child in another process sees."""
    remaining = app_ctx.remaining()
    return {
        "n": n,
        "other process": os.getpid() != g.user["pid"],
        "user": g.user["name"],
        "names": sorted(g),
        "tenant": tenant.get(),
        "label": current_app.config["LABEL"],
        "request": has_request_context(),
        "cancelled": app_ctx.cancelled,
        "deadline": remaining is not None and 0 < remaining <= 60,
    }


def dirty() -> bool:
    """Leave something on `g`; whether it was clean."""
    clean = "left" not in g
    g.left = 1
    return clean


async def look_async(n: int) -> dict[str, Any]:
    return look(n)


def fail() -> None:
    raise LookupError(g.user["name"])


def how_many() -> int:
    """How often this process made an application."""
    return len(made)
