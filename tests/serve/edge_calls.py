"""Calling an application as a WSGI server does, for tests that look at each step of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

import flask
import pytest
from werkzeug.test import EnvironBuilder

import demijohn

BOTH = pytest.mark.parametrize("fw", [demijohn, flask], ids=["demijohn", "flask"])
"""The same assertions on Flask 3.1.3 and here; `fw` is the package."""

T = TypeVar("T")


def make_app(fw: Any = demijohn, **config: Any) -> Any:
    """An application of `fw` with these settings."""
    app = fw.Flask("site", static_folder=None)
    app.config.update(config)
    app.logger.propagate = True
    return app


@dataclass
class Exchange:
    """What a server was told for one request, and the body it was given."""

    status: str | None = None
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: Iterable[bytes] = ()

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.body)

    def header(self, name: str) -> str | None:
        return next((v for k, v in self.headers if k.lower() == name.lower()), None)

    def close(self) -> None:
        close = getattr(self.body, "close", None)
        if close is not None:
            close()

    def read(self) -> bytes:
        """Send the body as a server does: every step, then `close()`, whatever happens."""
        try:
            return b"".join(self.body)
        finally:
            self.close()


def environ_for(path: str = "/", **options: Any) -> dict[str, Any]:
    """A WSGI environ; the options are those of Werkzeug's `EnvironBuilder`."""
    builder = EnvironBuilder(path, **options)
    try:
        return builder.get_environ()
    finally:
        builder.close()


def call(
    app: Any,
    path: str = "/",
    log: Callable[[str], object] | None = None,
    environ: dict[str, Any] | None = None,
    **options: Any,
) -> Exchange:
    """Call `app` for one request and return what it said, its body untouched."""
    exchange = Exchange()

    def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
        if log is not None:
            log("start_response")
        exchange.status = status
        exchange.headers = headers
        return lambda data: None

    exchange.body = app({**environ_for(path, **options), **(environ or {})}, start_response)
    return exchange


def get(app: Any, path: str = "/", **options: Any) -> tuple[str | None, bytes]:
    """Status line and whole body of one request."""
    exchange = call(app, path, **options)
    return exchange.status, exchange.read()
