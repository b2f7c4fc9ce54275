"""`await` of what is a plain call here, as in code written for Quart: the error says so."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest

from demijohn import Demijohn, flash, make_response, render_template_string, request

from .asgi_kit import ask

HINT = "are plain calls, in async functions too"
AWAITED: dict[str, Callable[[], Any]] = {
    "get_json": lambda: request.get_json(),
    "json": lambda: request.json,
    "get_data": lambda: request.get_data(),
    "form": lambda: request.form,
    "files": lambda: request.files,
    "values": lambda: request.values,
    "render_template_string": lambda: render_template_string("x"),
    "make_response": lambda: make_response("x"),
    "flash": lambda: flash("x"),
}


@pytest.fixture
def app() -> Demijohn:
    app = Demijohn("awaiting")
    app.secret_key = "k"

    @app.post("/<name>")
    async def view(name: str) -> str:
        await AWAITED[name]()
        return "never"

    @app.post("/other")
    async def other() -> str:
        raise TypeError("something else")

    return app


def log_of(app: Demijohn, path: str, edge: str, caplog: pytest.LogCaptureFixture) -> str:
    """What is logged of a request that ends with 500."""
    headers = [("content-type", "application/json")]
    with caplog.at_level(logging.ERROR):
        if edge == "asgi":
            status = asyncio.run(ask(app, path, "POST", b"[]", headers=headers)).status
        else:
            status = app.test_client().post(path, data=b"[]", headers=headers).status_code
    assert status == 500
    (record,) = caplog.records
    return logging.Formatter().format(record)


@pytest.mark.parametrize("edge", ["wsgi", "asgi"])
@pytest.mark.parametrize("name", AWAITED)
def test_the_log_says_what_to_leave_out(
    app: Demijohn, name: str, edge: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The traceback of such an error ends with what to write, once."""
    assert log_of(app, f"/{name}", edge, caplog).count(HINT) == 1


@pytest.mark.parametrize("edge", ["wsgi", "asgi"])
def test_other_errors_have_no_hint(
    app: Demijohn, edge: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A control: any other TypeError is logged as it is."""
    log = log_of(app, "/other", edge, caplog)
    assert "something else" in log and HINT not in log


def test_where_errors_propagate(app: Demijohn) -> None:
    """The hint is on the error that a test client raises."""
    app.testing = True
    with pytest.raises(TypeError) as raised:
        app.test_client().post("/form")
    assert HINT in raised.value.__notes__[0]
