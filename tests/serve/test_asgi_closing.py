"""On which thread the ASGI edge closes a resource."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from typing import Any

import pytest

from demijohn import Demijohn, resource


@resource
def connection() -> Iterator[sqlite3.Connection]:
    """Python's own: to be used and closed on the thread that opened it."""
    opened = sqlite3.connect(":memory:")
    try:
        yield opened
    finally:
        opened.close()


def asked(app: Demijohn, path: str) -> list[dict[str, Any]]:
    """The messages that answer a GET."""
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": path, "headers": [], "http_version": "1.1"}
    asyncio.run(app.asgi_app(scope, receive, send))  # type: ignore[arg-type]
    return sent


@pytest.mark.parametrize("path", ["/async", "/sync"])
def test_a_resource_is_closed_on_the_thread_that_opened_it(
    path: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A sqlite3 connection that a view opened is closed without complaint, on the loop's thread or
    on the request's worker."""
    app = Demijohn("closing", static_folder=None)

    @app.get("/async")
    async def on_the_loop() -> str:
        return str(connection.execute("select 1").fetchone())

    @app.get("/sync")
    def on_a_worker() -> str:
        return str(connection.execute("select 1").fetchone())

    assert asked(app, path)[-1]["body"] == b"(1,)"
    assert caplog.text == ""
