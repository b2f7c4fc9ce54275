"""JSON of requests and responses goes through the current application's provider, as in Flask."""

from __future__ import annotations

import io
from typing import Any

import flask
import pytest

import demijohn

FRAMEWORKS = pytest.mark.parametrize("framework", [demijohn, flask], ids=["demijohn", "flask"])


def make_app(framework: Any) -> Any:
    app = framework.Flask("site")

    class Provider(app.json_provider_class):  # type: ignore[misc,name-defined]
        def loads(self, s: str | bytes, **kwargs: Any) -> Any:
            return ["read", super().loads(s, **kwargs)]

    app.json = Provider(app)
    return app


@FRAMEWORKS
def test_response_is_read_by_the_applications_provider(framework: Any) -> None:
    """`response.get_json()` uses the current application's provider, and none outside of one."""
    app = make_app(framework)
    with app.test_request_context():
        assert framework.jsonify({"a": 1}).get_json() == ["read", {"a": 1}]
        assert framework.Response("2", mimetype="application/json").json == ["read", 2]
    assert framework.Response("2", mimetype="application/json").json == 2


@FRAMEWORKS
def test_request_made_by_hand_is_read_by_the_applications_provider(framework: Any) -> None:
    """`Request(environ).get_json()` in an app context uses that application's provider."""
    app = make_app(framework)
    environ = {
        "REQUEST_METHOD": "POST",
        "CONTENT_TYPE": "application/json",
        "CONTENT_LENGTH": "2",
    }
    with app.app_context():
        request = framework.Request(environ | {"wsgi.input": io.BytesIO(b"[]")})
        assert request.get_json() == ["read", []]
    assert framework.Request(environ | {"wsgi.input": io.BytesIO(b"[]")}).get_json() == []


@FRAMEWORKS
def test_json_module_can_be_replaced(framework: Any) -> None:
    """A response class with a `json_module` of its own is read by that one."""

    class Reader:
        @staticmethod
        def loads(data: bytes) -> str:
            return "own"

    class Response(framework.Response):  # type: ignore[misc,name-defined]
        json_module = Reader

    with make_app(framework).test_request_context():
        assert Response("2", mimetype="application/json").get_json() == "own"
