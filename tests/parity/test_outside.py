"""What needs no request, or no application, works without one as in Flask."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import pytest
from werkzeug.exceptions import NotFound
from werkzeug.wrappers import Response as BaseResponse

from .kit import Framework, make, same

VALUES: dict[str, Callable[[Framework], Any]] = {
    "text": lambda f: "text",
    "bytes": lambda f: b"bytes",
    "dict": lambda f: {"b": 1, "a": 2},
    "list": lambda f: [1],
    "generator": lambda f: (p for p in "abc"),
    "tuple": lambda f: ("t", 201, {"X-T": "1"}),
    "response": lambda f: f.Response("r"),
    "response with status": lambda f: (f.Response("r"), 202),
    "a response of Werkzeug's": lambda f: BaseResponse("w"),
    "exception": lambda f: NotFound(),
    "none": lambda f: None,
    "none in a tuple": lambda f: (None, 200),
    "callable": lambda f: lambda environ, start_response: [b""],
    "number": lambda f: 1,
    "short tuple": lambda f: ("t",),
}
USES: dict[str, Callable[[Framework, Any], Any]] = {
    **{
        f"make_response {name}": lambda f, app, value=value: app.make_response(value(f))
        for name, value in VALUES.items()
    },
    "flask.make_response": lambda f, app: f.make_response("x"),
    "jsonify": lambda f, app: f.jsonify(a=1),
    "redirect": lambda f, app: f.redirect("/x"),
    "app.redirect": lambda f, app: app.redirect("/x", 303),
    "abort": lambda f, app: f.abort(404),
    "abort unknown": lambda f, app: f.abort(999),
    "abort with a response": lambda f, app: f.abort(f.Response("r", 410)),
    "json.dumps": lambda f, app: f.json.dumps({"b": 1, "a": {"c": 2}}),
    "app.json.dumps": lambda f, app: app.json.dumps({"b": 1, "a": {"c": 2}}),
    "json.loads": lambda f, app: f.json.loads("[1]"),
    "url_for": lambda f, app: f.url_for("static", filename="x"),
    "app.url_for": lambda f, app: app.url_for("static", filename="x", _external=False),
    "render": lambda f, app: f.render_template_string("{{ 1 + 1 }}{{ g is defined }}"),
    "stream": lambda f, app: list(f.stream_template_string("{{ 1 + 1 }}")),
    "jinja": lambda f, app: app.jinja_env.from_string("{{ config.TESTING }}").render(),
    "jinja with request": lambda f, app: app.jinja_env.from_string("{{ request.path }}").render(),
    "template_attribute": lambda f, app: f.get_template_attribute("x", "y"),
    "flash": lambda f, app: f.flash("x"),
    "flashed": lambda f, app: f.get_flashed_messages(),
    "g": lambda f, app: f.g.get("x"),
    "session": lambda f, app: f.session.get("x"),
    "send_file": lambda f, app: f.send_file(__file__).close(),
    "after_this_request": lambda f, app: f.after_this_request(lambda response: response),
    "copy": lambda f, app: f.copy_current_request_context(lambda: 1)(),
    "stream_with_context": lambda f, app: list(f.stream_with_context(iter("ab"))),
    "has contexts": lambda f, app: (f.has_app_context(), f.has_request_context()),
    "shell": lambda f, app: sorted(app.make_shell_context()),
    "template context": lambda f, app: (lambda c: (app.update_template_context(c), sorted(c)))({}),
    "options": lambda f, app: app.make_default_options_response(),
    "dispatch": lambda f, app: app.dispatch_request(),
    "preprocess": lambda f, app: app.preprocess_request(),
    "process": lambda f, app: app.process_response(f.Response("x")),
    "handle": lambda f, app: app.handle_http_exception(NotFound()),
    "ensure_sync": lambda f, app: app.ensure_sync(len)("abc"),
    "create_url_adapter": lambda f, app: type(app.create_url_adapter(None)).__name__,
    "blueprint's max age": lambda f, app: f.Blueprint(
        "b", "s", root_path="/"
    ).get_send_file_max_age("x"),
    "response cookie": lambda f, app: (lambda r: (r.set_cookie("a", "b"), list(r.headers)))(
        f.Response("x")
    ),
    "max cookie size": lambda f, app: f.Response("x").max_cookie_size,
    "signals": lambda f, app: importlib.import_module(f"{f.__name__}.signals").message_flashed.name,
}


def shown(value: Any) -> Any:
    if isinstance(value, BaseResponse):
        return value.status, list(value.headers), value.get_data()
    return type(value).__name__ if callable(value) else value


@pytest.mark.parametrize("server_name", [None, "example.com:81"])
@pytest.mark.parametrize("inside", ["nothing", "app", "request"])
@pytest.mark.parametrize("use", USES)
def test_use(use: str, inside: str, server_name: str | None) -> None:
    """Outside of everything, in an app context and in a request: the same value or error.

    Of errors the type and the first line count.
    """

    def ask(framework: Framework) -> Any:
        app = make(framework, SERVER_NAME=server_name)
        with ExitStack() as stack:
            if inside == "app":
                stack.enter_context(app.app_context())
            elif inside == "request":
                stack.enter_context(app.test_request_context("/path"))
            try:
                return shown(USES[use](framework, app))
            except Exception as error:
                return type(error).__name__, str(error).partition("\n")[0].partition(". ")[0]

    same(ask)
