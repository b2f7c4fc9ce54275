"""Asking one application made with either framework as a server asks, and keeping all it saw."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import copy_context
from dataclasses import dataclass, field
from typing import Any

import flask
from edges import called
from werkzeug.test import EnvironBuilder

import demijohn

Framework = Any
"""The module `demijohn` or `flask`."""


@dataclass
class Served:
    """One request as its server saw it, in the order in which it happened."""

    status: str = ""
    headers: list[tuple[str, str]] = field(default_factory=list)
    pieces: list[bytes] = field(default_factory=list)
    error: str = ""
    log: list[Any] = field(default_factory=list)

    @property
    def body(self) -> bytes:
        return b"".join(self.pieces)

    def header(self, name: str) -> str | None:
        return dict(self.headers).get(name)


def serve(app: Any, path: str = "/", **options: Any) -> Served:
    """Send a request past the test client. `app.log`, where there is one, goes into the answer.

    What the application raises is kept as text; of pieces, empty ones count too. Context variables
    that it sets are not seen outside.
    """
    return copy_context().run(_serve, app, path, options)


def _serve(app: Any, path: str, options: dict[str, Any]) -> Served:
    builder = EnvironBuilder(path, **options)
    environ = builder.get_environ()
    served = Served()

    def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
        served.status, served.headers = status, headers

    body: Any = None
    try:
        body = called(app)(environ, start_response)
        for piece in body:
            served.pieces.append(piece)
    except Exception as error:
        served.error = f"{type(error).__name__}: {error}"
    finally:
        if hasattr(body, "close"):
            body.close()
        builder.close()
    served.log = list(getattr(app, "log", ()))
    return served


def make(framework: Framework, **settings: Any) -> Any:
    """An application without a folder of its own, and a list `log` on it."""
    app = framework.Flask("site_of_parity", root_path="/nowhere")
    app.secret_key = "key"
    app.logger.disabled = True
    app.config.update(settings)
    app.log = []
    return app


def same(ask: Callable[[Framework], Any]) -> Any:
    """Assert that both frameworks give the same; return it."""
    ours, theirs = ask(demijohn), ask(flask)
    assert ours == theirs
    return ours
