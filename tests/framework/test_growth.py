"""Promise 14: with the cyclic collector off, a request leaves nothing behind."""

from __future__ import annotations

import gc
import io
import logging
import sys
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from jinja2 import DictLoader
from werkzeug.test import EnvironBuilder

import demijohn
from demijohn import (
    abort,
    copy_current_request_context,
    g,
    redirect,
    request,
    send_file,
    session,
    stream_with_context,
    url_for,
)
from demijohn.sessions import SecureCookieSession

CALLS = 1000
FALLBACK = 8
"""What one call of Werkzeug's matcher leaves for the collector (3.1.9): the cells of its closures.
"""


class Handled(Exception):
    """An error that a handler answers."""


def kinds() -> dict[str, tuple[int, dict[str, Any]]]:
    """Each kind of request: the status it gets and how it is asked."""
    return {
        "text": (200, {"path": "/"}),
        "head": (200, {"path": "/", "method": "HEAD"}),
        "parameters": (200, {"path": "/user/x/1?q=2"}),
        "json": (200, {"path": "/json"}),
        "posted json": (200, {"path": "/json", "method": "POST", "json": {"a": 1}}),
        "bad json": (400, {"path": "/json", "method": "POST", "data": "{", **JSON}),
        "form": (200, {"path": "/form", "method": "POST", "data": {"a": "b"}}),
        "upload": (200, {"path": "/form", "method": "POST", "data": b"", "upload": True}),
        "response": (201, {"path": "/response"}),
        "template": (200, {"path": "/template"}),
        "url_for": (200, {"path": "/url"}),
        "404": (404, {"path": "/missing"}),
        "405": (405, {"path": "/json", "method": "DELETE"}),
        "slash": (308, {"path": "/folder"}),
        "redirect": (302, {"path": "/redirect"}),
        "abort 404": (404, {"path": "/abort/404"}),
        "abort 418": (418, {"path": "/abort/418"}),
        "handled error": (409, {"path": "/handled"}),
        "handled abort": (403, {"path": "/abort/403"}),
        "unhandled error": (500, {"path": "/fail"}),
        "missing key": (400, {"path": "/key"}),
        "not an int": (404, {"path": "/user/x/y"}),
        "stream": (200, {"path": "/stream"}),
        "stream with context": (200, {"path": "/context"}),
        "head of a stream": (200, {"path": "/stream", "method": "HEAD"}),
        "read session": (200, {"path": "/session"}),
        "written session": (200, {"path": "/session/x"}),
        "file": (200, {"path": "/file"}),
        "copied context": (200, {"path": "/copied"}),
        "async": (200, {"path": "/async"}),
    }


JSON = {"content_type": "application/json"}
# OPTIONS and URL maps that the index does not cover: Werkzeug's matcher answers.
FALLBACKS = {"options": (200, {"path": "/json", "method": "OPTIONS"})}


def add_views(app: Any) -> None:
    app.add_url_rule("/", "hello", lambda: "hello")
    app.add_url_rule(
        "/user/<name>/<int:n>", "user", lambda name, n: f"{name}{n}{request.args['q']}"
    )
    app.add_url_rule(
        "/json",
        "json",
        lambda: {"got": request.get_json() if request.method == "POST" else None},
        methods=["GET", "POST"],
    )
    app.add_url_rule("/form", "form", form, methods=["POST"])
    app.add_url_rule("/response", "response", lambda: ("made", 201, {"X-A": "b"}))
    app.add_url_rule("/template", "template", lambda: demijohn.render_template("path.html"))
    app.add_url_rule("/url", "url", lambda: url_for("user", name="x", n=1))
    app.add_url_rule("/folder/", "folder", lambda: "x")
    app.add_url_rule("/redirect", "redirect", lambda: redirect("/"))
    app.add_url_rule("/abort/<int:code>", "abort", lambda code: abort(code))
    app.add_url_rule("/handled", "handled", handled)
    app.add_url_rule("/fail", "fail", lambda: 1 / 0)
    app.add_url_rule("/key", "key", lambda: request.args["missing"])
    app.add_url_rule("/stream", "stream", lambda: (str(n) for n in range(3)))
    app.add_url_rule("/context", "context", context)
    app.add_url_rule("/session", "session", lambda: str(session.get("a")))
    app.add_url_rule("/session/<value>", "write", write)
    app.add_url_rule("/file", "file", lambda: send_file(io.BytesIO(b"x"), mimetype="text/plain"))
    app.add_url_rule("/copied", "copied", lambda: copy_current_request_context(lambda: "x")())
    app.add_url_rule("/async", "async", asynchronous)
    app.register_error_handler(Handled, lambda error: ("handled", 409))
    app.register_error_handler(403, lambda error: ("refused", 403))


def form() -> str:
    return str(sorted(request.form)) + str(sorted(request.files))


def handled() -> str:
    raise Handled


def context() -> Any:
    def body() -> Iterator[str]:
        yield request.path
        yield g.get("user", "x")

    return stream_with_context(body())


def write(value: str) -> str:
    session["a"] = value
    return value


async def asynchronous() -> str:
    return str(request.path)


def make_app(hooks: bool) -> Any:
    """The application, with or without a hook of every kind."""
    app = demijohn.Demijohn("growth", static_folder=None)
    app.secret_key = "key"
    app.jinja_loader = DictLoader({"path.html": "{{ request.path }} {{ g.user }}"})
    add_views(app)
    app.logger.propagate = False
    app.logger.handlers[:] = [logging.NullHandler()]
    if hooks:
        app.url_value_preprocessor(lambda endpoint, values: None)
        app.before_request(lambda: setattr(g, "user", "x"))
        app.after_request(lambda response: response)
        app.teardown_request(lambda exc: None)
        app.teardown_appcontext(lambda exc: None)
    return app


def make_environ(options: dict[str, Any]) -> dict[str, Any]:
    """A WSGI environ to copy; its body as bytes under "body"."""
    options = dict(options)
    if options.pop("upload", False):
        options["data"] = {"f": (io.BytesIO(b"content"), "f.txt")}
    builder = EnvironBuilder(**options)
    environ = builder.get_environ()
    builder.close()
    environ["body"] = environ.pop("wsgi.input").read()
    # Werkzeug's builder is not what a server calls us with.
    return {key: value for key, value in environ.items() if not key.startswith("werkzeug.")}


def ask(app: Any, environ: dict[str, Any], status: int) -> None:
    """Make one request as a server does."""
    own = environ.copy()
    own["wsgi.input"] = io.BytesIO(own.pop("body"))
    got: list[str] = []

    def start_response(line: str, headers: object, exc_info: object = None) -> Callable[..., None]:
        got.append(line)
        return lambda data: None

    body = app(own, start_response)
    for _ in body:
        pass
    if hasattr(body, "close"):
        body.close()
    assert len(got) == 1
    assert got[0].startswith(f"{status} ")


def garbage_of(app: Any, environ: dict[str, Any], status: int, calls: int) -> tuple[int, int, int]:
    """What `calls` requests leave: unreachable objects, more objects alive, more memory blocks."""
    # Caches and free lists fill first.
    for _ in range(calls // 4):
        ask(app, environ, status)
    gc.collect()
    gc.disable()
    try:
        objects, blocks = len(gc.get_objects()), sys.getallocatedblocks()
        for _ in range(calls):
            ask(app, environ, status)
        more = len(gc.get_objects()) - objects, sys.getallocatedblocks() - blocks
        return gc.collect(), *more
    finally:
        gc.enable()


@pytest.mark.parametrize("hooks", [False, True], ids=["bare", "hooks"])
@pytest.mark.parametrize("name", kinds())
def test_no_growth(name: str, hooks: bool) -> None:
    """A thousand requests of a kind leave no cyclic garbage and no object more."""
    status, options = kinds()[name]
    cyclic, objects, blocks = garbage_of(make_app(hooks), make_environ(options), status, CALLS)
    assert cyclic == 0
    # Caches and free lists may have grown, not by one a request.
    assert objects <= 10
    assert blocks < CALLS // 2


@pytest.mark.parametrize("name", FALLBACKS)
def test_what_werkzeugs_matcher_leaves(name: str) -> None:
    """Where Werkzeug's matcher answers, its own leftovers are all there is."""
    status, options = FALLBACKS[name]
    cyclic, _, _ = garbage_of(make_app(False), make_environ(options), status, CALLS)
    assert cyclic <= FALLBACK * CALLS


def test_the_measure_finds_growth() -> None:
    """An application that keeps a reference, or makes a cycle, a request fails the measure."""
    app = make_app(False)
    kept: list[Any] = []
    app.before_request(lambda: kept.append([request.environ]))
    environ = make_environ({"path": "/"})
    assert garbage_of(app, environ, 200, 200)[1] >= 200

    app = make_app(False)
    app.before_request(lambda: setattr(g, "own", g._get_current_object()))
    assert garbage_of(app, environ, 200, 200)[0] >= 200


class Watched:
    """Weak references to what each request made."""

    def __init__(self, app: Any) -> None:
        self.refs: dict[str, list[weakref.ref[Any]]] = {"request": [], "g": [], "session": []}
        refs = self.refs

        class Request(app.request_class):  # type: ignore[misc]
            def __init__(self, *args: Any, **kwargs: Any) -> None:
                super().__init__(*args, **kwargs)
                refs["request"].append(weakref.ref(self))

        class G(app.app_ctx_globals_class):  # type: ignore[misc]
            def __init__(self) -> None:
                refs["g"].append(weakref.ref(self))

        class Session(SecureCookieSession):
            def __init__(self, *args: Any) -> None:
                super().__init__(*args)
                refs["session"].append(weakref.ref(self))

        app.request_class = Request
        app.app_ctx_globals_class = G
        # One of its own: the class's is that of every application.
        app.session_interface = type(app.session_interface)()
        app.session_interface.session_class = Session

    def alive(self) -> dict[str, int]:
        return {name: sum(r() is not None for r in refs) for name, refs in self.refs.items()}


def warmed(app: Any) -> Watched:
    """Watch an application whose first request, which Werkzeug's matcher answers, is over."""
    ask(app, make_environ({"path": "/"}), 200)
    return Watched(app)


@pytest.mark.parametrize("name", kinds())
def test_nothing_is_kept_alive(name: str) -> None:
    """Request, `g` and session are gone right after the response, without the collector."""
    status, options = kinds()[name]
    app = make_app(True)
    watched = warmed(app)
    environ = make_environ(options)
    gc.disable()
    try:
        for _ in range(3):
            ask(app, environ, status)
        assert len(watched.refs["request"]) >= 3
        assert len(watched.refs["g"]) >= 3
        assert watched.alive() == {"request": 0, "g": 0, "session": 0}
    finally:
        gc.enable()


def test_a_propagating_error_is_released_by_its_catcher() -> None:
    """An exception that left the application keeps its request alive only as long as somebody keeps
    it.
    """
    app = make_app(True)
    app.config["PROPAGATE_EXCEPTIONS"] = True
    watched = warmed(app)
    environ = make_environ({"path": "/fail"})
    gc.collect()
    gc.disable()
    try:
        for _ in range(3):
            try:
                ask(app, environ, 500)
            except ZeroDivisionError:
                pass
        assert watched.alive() == {"request": 0, "g": 0, "session": 0}
        assert gc.collect() == 0
    finally:
        gc.enable()


@pytest.mark.parametrize("how", ["drop", "close", "step"])
def test_an_unfinished_stream_is_released(how: str) -> None:
    """A body that is dropped, closed unread or closed half-way leaves nothing."""
    app = make_app(True)
    watched = warmed(app)
    environ = make_environ({"path": "/context"})
    gc.collect()
    gc.disable()
    try:
        for _ in range(3):
            body = app({**environ, "wsgi.input": io.BytesIO()}, lambda *args: None)
            if how == "step":
                next(iter(body))
            if how != "drop":
                body.close()
            del body
        assert watched.alive() == {"request": 0, "g": 0, "session": 0}
        assert gc.collect() == 0
    finally:
        gc.enable()


def test_contexts_by_hand_are_released() -> None:
    """A pushed and popped context, alone or with an error, is gone after its block."""
    app = make_app(True)
    watched = Watched(app)
    gc.disable()
    try:
        for _ in range(3):
            with app.app_context():
                g.user = "x"
            with app.test_request_context():
                session["a"] = "b"
            try:
                with app.test_request_context():
                    raise LookupError
            except LookupError:
                pass
        assert watched.alive() == {"request": 0, "g": 0, "session": 0}
    finally:
        gc.enable()


def test_an_application_is_released() -> None:
    """An application that served requests can be collected."""
    app = make_app(True)
    ask(app, make_environ({"path": "/"}), 200)
    ask(app, make_environ({"path": "/missing"}), 404)
    kept = weakref.ref(app)
    del app
    gc.collect()
    assert kept() is None
