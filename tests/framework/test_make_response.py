"""`app.make_response` and `make_response` without a request, as extensions call them."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import flask
import pytest
import werkzeug
from werkzeug.exceptions import NotFound

import demijohn

VALUES: dict[str, Callable[[ModuleType], Any]] = {
    "text": lambda fw: "text",
    "text and status": lambda fw: ("", 204),
    "all three": lambda fw: (b"bytes", 201, {"X-A": "1"}),
    "generator": lambda fw: (part for part in ("a", "b")),
    "dict": lambda fw: {"a": 1},
    "list and headers": lambda fw: ([1], {"X-A": "1"}),
    "own response": lambda fw: fw.Response("r", 202),
    "none": lambda fw: None,
    "none and status": lambda fw: (None, 204),
    "number": lambda fw: 7,
    "empty tuple": lambda fw: (),
    "four": lambda fw: (1, 2, 3, 4),
    "other class": lambda fw: werkzeug.Response("w"),
    "wsgi callable": lambda fw: werkzeug.Response("w").__call__,
    "http exception": lambda fw: NotFound(),
}


def outcome(fw: ModuleType, make: Callable[[Any], Any], value: Any) -> Any:
    """What a response holds, or the kind and first line of the error."""
    try:
        response = make(value)
    except (TypeError, RuntimeError) as error:
        first = str(error).partition("\n")[0]
        return type(error), first if isinstance(error, RuntimeError) else None
    assert isinstance(response, fw.Response)
    return response.status, response.headers.to_wsgi_list(), response.get_data()


@pytest.mark.parametrize("name", VALUES)
def test_without_a_request_as_flask(name: str) -> None:
    """What needs no request works in an app context and outside of any; what does, says so."""
    found = []
    for fw in (flask, demijohn):
        app = fw.Flask("site", root_path="/")
        value = VALUES[name]
        found.append([outcome(fw, app.make_response, value(fw))])
        with app.app_context():
            found[-1] += [outcome(fw, f, value(fw)) for f in (app.make_response, fw.make_response)]
    assert found[1] == found[0]


def test_both_kinds_are_met() -> None:
    """Control: with these values some calls answer and some raise each error."""
    app = flask.Flask("site", root_path="/")
    with app.app_context():
        found = {outcome(flask, app.make_response, make(flask))[0] for make in VALUES.values()}
    assert {"204 NO CONTENT", "200 OK", TypeError, RuntimeError} <= found
