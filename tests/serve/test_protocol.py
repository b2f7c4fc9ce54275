"""PEP 3333 as two independent checkers see it: `wsgiref.validate` and Werkzeug's lint
middleware.
"""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from wsgiref.validate import validator

import flask
import pytest
from edge_calls import BOTH, call, get, make_app
from werkzeug.middleware.lint import LintMiddleware

import demijohn

CASES: list[tuple[str, dict[str, Any]]] = [
    ("/text", {}),
    ("/text", {"method": "HEAD"}),
    ("/text", {"method": "OPTIONS"}),
    ("/text", {"method": "DELETE"}),
    ("/json", {}),
    ("/json", {"method": "POST", "json": {"a": [1, 2]}}),
    ("/form", {"method": "POST", "data": {"a": "b", "f": (b"data", "f.txt")}}),
    ("/form", {"method": "POST", "data": {"a": "b"}}),
    ("/form", {"method": "POST", "data": b"raw", "content_type": "text/plain"}),
    ("/unread", {"method": "POST", "data": b"raw"}),
    ("/raw", {"method": "POST", "data": b"raw", "content_type": "text/plain"}),
    ("/created", {}),
    ("/nothing", {}),
    ("/unchanged", {}),
    ("/teapot", {}),
    ("/fail", {}),
    ("/missing", {}),
    ("/folder", {}),
    ("/redirect", {}),
    ("/stream", {}),
    ("/stream", {"method": "HEAD"}),
    ("/empty-stream", {}),
    ("/file", {}),
    ("/file", {"method": "HEAD"}),
    ("/file", {"headers": {"Range": "bytes=1-2"}}),
    ("/session", {}),
    ("/session", {"method": "HEAD"}),
    ("/text?q=%FF%C3%A4", {}),
    ("/%C3%A4/%FF", {}),
]


def site(fw: Any, folder: Path) -> Any:
    """An application that answers in many ways."""
    app = make_app(fw, SECRET_KEY="key")
    file = folder / "file.bin"
    file.write_bytes(b"content")
    os.utime(file, (1e9, 1e9))

    def session() -> str:
        fw.session["seen"] = True
        return "session"

    def form() -> dict[str, Any]:
        return {**fw.request.form, **{k: f.read().decode() for k, f in fw.request.files.items()}}

    def stream() -> Iterator[str]:
        yield "a"
        yield ""
        yield "b"

    views: dict[str, Callable[[], Any]] = {
        "/text": lambda: "text",
        "/json": lambda: {"got": fw.request.get_json(silent=True)},
        "/form": form,
        "/unread": lambda: "unread",
        "/raw": lambda: fw.request.stream.read(),
        "/created": lambda: ("created", 201, {"X-A": "ä"}),
        "/nothing": lambda: ("", 204),
        "/unchanged": lambda: fw.Response(status=304),
        "/teapot": lambda: fw.abort(418),
        "/fail": lambda: 1 / 0,
        "/folder/": lambda: "folder",
        "/redirect": lambda: fw.redirect("/täxt"),
        "/stream": stream,
        "/empty-stream": lambda: iter(()),
        "/file": lambda: fw.send_file(file),
        "/session": session,
    }
    for path, view in views.items():
        app.add_url_rule(path, path.strip("/"), view, methods=["GET", "POST"])
    return app


def opened(options: dict[str, Any]) -> dict[str, Any]:
    """The options with uploads as files; Werkzeug closes these after one request."""
    data = options.get("data")
    if isinstance(data, dict):
        files = {k: (io.BytesIO(v[0]), v[1]) for k, v in data.items() if isinstance(v, tuple)}
        return {**options, "data": {**data, **files}}
    return options


def complaints(checked: Any, path: str, options: dict[str, Any]) -> list[str]:
    """What a checker says of one request."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            call(checked, path, **opened(options)).read()
        except AssertionError as error:
            return [str(error)]
    return [str(warning.message) for warning in caught]


@pytest.mark.parametrize("checker", [validator, LintMiddleware], ids=["wsgiref", "werkzeug"])
@pytest.mark.parametrize(("path", "options"), CASES)
def test_no_complaints(checker: Any, path: str, options: dict[str, Any], tmp_path: Path) -> None:
    """Neither checker finds fault with an answer, but for what it says of Flask's same answer."""
    found = complaints(checker(site(demijohn, tmp_path)), path, options)
    if found:
        # HEAD with a length, 204 with a content type and relative redirects, as Flask sends them.
        assert path in {"/nothing", "/redirect"} or options["method"] == "HEAD"
        assert found == complaints(checker(site(flask, tmp_path)), path, options)


def test_the_checkers_find_faults() -> None:
    """Both checkers complain of an application that breaks the protocol."""

    def broken(environ: Any, start_response: Any) -> list[Any]:
        start_response("200 OK", [("Content-Length", "9")])
        return [b"text"]

    assert complaints(validator(broken), "/", {})
    assert complaints(LintMiddleware(broken), "/", {})


@pytest.mark.parametrize(("path", "options"), CASES)
def test_answers_are_flasks(path: str, options: dict[str, Any], tmp_path: Path) -> None:
    """Status line, headers in their order but for dates and signatures, and body are what Flask
    sends.
    """
    answers = []
    for fw in (flask, demijohn):
        exchange = call(site(fw, tmp_path), path, **opened(options))
        headers = [(k, v[:10] if k in {"Date", "Set-Cookie"} else v) for k, v in exchange.headers]
        answers.append((exchange.status, headers, exchange.read()))
    assert answers[0] == answers[1]


@BOTH
def test_the_error_page_after_a_started_stream(fw: Any) -> None:
    """An error in a body that has started is the server's to handle: start_response is not called
    again.
    """
    app = make_app(fw)
    log: list[str] = []

    @app.get("/")
    def view() -> Iterator[str]:
        yield "1"
        raise LookupError

    exchange = call(app, log=log.append)
    with pytest.raises(LookupError):
        exchange.read()
    assert log == ["start_response"]


@pytest.mark.parametrize("arguments", [(), ({},), ({}, None, None)])
def test_calls_that_are_no_requests(arguments: tuple[Any, ...]) -> None:
    """Calling the application with anything but an environ and start_response is a TypeError."""
    with pytest.raises(TypeError):
        make_app()(*arguments)


def test_middleware_around_wsgi_app() -> None:
    """`app.wsgi_app` can be wrapped, and is what the application calls."""
    app = make_app()
    app.add_url_rule("/", "view", lambda: demijohn.request.environ["added"])
    inner = app.wsgi_app

    def middleware(environ: dict[str, Any], start_response: Any) -> Any:
        return inner({**environ, "added": "by middleware"}, start_response)

    app.wsgi_app = middleware
    assert get(app) == ("200 OK", b"by middleware")


def test_an_overridden_wsgi_app() -> None:
    """A subclass can override `wsgi_app` and call the inherited one."""

    class Own(demijohn.Demijohn):
        def wsgi_app(self, environ: Any, start_response: Any) -> Any:
            environ["PATH_INFO"] = "/other"
            return super().wsgi_app(environ, start_response)

    app = Own("own", static_folder=None)
    app.add_url_rule("/other", "other", lambda: "other")
    assert get(app) == ("200 OK", b"other")
