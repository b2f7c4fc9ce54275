"""The order at the end of a request (promise 5), recorded on Flask 3.1.3 and here.

An application with every function and signal of an end logs what is called, and which contexts it
sees; a server's calls are logged in between. Where the two differ on purpose (streamed bodies),
both orders are written out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from io import BytesIO
from types import ModuleType
from typing import Any

import flask
import pytest
from edges import EDGE, called
from werkzeug.test import EnvironBuilder

import demijohn

SIGNALS = (
    "appcontext_pushed",
    "appcontext_popped",
    "appcontext_tearing_down",
    "got_request_exception",
    "request_finished",
    "request_started",
    "request_tearing_down",
)
Scope = tuple[str, ...]
SCOPES = ("app", "outer", "inner")
PATHS: dict[str, Scope] = {"": ("app",), "/outer": ("outer", "app"), "/outer/inner": SCOPES[::-1]}
"""The prefix of a blueprint's views, and the scopes of its hooks, innermost first."""


class Log:
    """What was called, in order, with `a` where an app context is seen and `r` where a request."""

    def __init__(self, framework: ModuleType) -> None:
        self.framework = framework
        self.entries: list[str] = []

    def __call__(self, what: str) -> None:
        app = "a" * self.framework.has_app_context()
        request = "r" * self.framework.has_request_context()
        self.entries.append(f"{what} [{app}{request}]")

    @property
    def names(self) -> list[str]:
        return [entry.rpartition(" ")[0] for entry in self.entries]


def add_hooks(log: Log, name: str, scaffold: Any) -> None:
    """Two functions of each kind, so that their order shows too."""
    for number in (1, 2):
        label = f"{name} {number}"

        def before(label: str = label) -> None:
            log(f"before_request {label}")

        def after(response: Any, label: str = label) -> Any:
            log(f"after_request {label}")
            return response

        def teardown(exc: BaseException | None, label: str = label) -> None:
            log(f"teardown_request {label}{'' if exc is None else f' {exc!r}'}")

        scaffold.before_request(before)
        scaffold.after_request(after)
        scaffold.teardown_request(teardown)


def make_app(framework: ModuleType, log: Log) -> Any:
    """An application with two nested blueprints, whose views are those of `add_views`."""
    app = framework.Flask("order")
    outer = framework.Blueprint("outer", "outer", url_prefix="/outer")
    inner = framework.Blueprint("inner", "inner", url_prefix="/inner")

    class Request(framework.Request):  # type: ignore[name-defined,misc]
        def close(self) -> None:
            log("request.close")
            super().close()

    app.request_class = Request
    for name, scaffold in zip(SCOPES, (app, outer, inner), strict=True):
        add_hooks(log, name, scaffold)
        add_views(framework, log, scaffold)
    for number in (1, 2):

        @app.teardown_appcontext
        def teardown(exc: BaseException | None, number: int = number) -> None:
            log(f"teardown_appcontext {number}{'' if exc is None else f' {exc!r}'}")

    outer.register_blueprint(inner)
    app.register_blueprint(outer)
    # Blinker keeps receivers weakly: they go with the application.
    app.receivers = {name: receiver(log, name) for name in SIGNALS}
    for name, receive in app.receivers.items():
        getattr(framework, name).connect(receive, sender=app)
    return app


def receiver(log: Log, name: str) -> Callable[..., None]:
    def receive(sender: Any, **details: Any) -> None:
        exc = details.get("exc")
        log(f"{name}{'' if exc is None else f' {exc!r}'}")

    return receive


def add_views(framework: ModuleType, log: Log, scaffold: Any) -> None:
    def items() -> Iterator[str]:
        log("step 1")
        yield "1"
        log("step 2")
        yield "2"
        log("body done")

    @scaffold.route("/plain")
    def plain() -> str:
        log("view")
        return "plain"

    @scaffold.route("/list")
    def list_() -> Any:
        log("view")
        return framework.Response(["a", "b"])

    @scaffold.post("/upload")
    def upload() -> str:
        log("view")
        file = framework.request.files["file"]
        close = file.close

        def logged_close() -> None:
            log("upload closed")
            close()

        file.close = logged_close
        return "uploaded"

    @scaffold.route("/boom")
    def boom() -> None:
        log("view")
        raise ValueError("view")

    @scaffold.route("/gone")
    def gone() -> None:
        log("view")
        framework.abort(410)

    @scaffold.route("/stream")
    def stream() -> Any:
        log("view")
        return items()

    @scaffold.route("/stream-response")
    def stream_response() -> Any:
        log("view")
        return framework.Response(items())

    @scaffold.route("/stream-with-context")
    def stream_with_context() -> Any:
        log("view")
        return framework.stream_with_context(items())


def serve(app: Any, log: Log, path: str, steps: int | None = None, **options: Any) -> bytes:
    """Do what a server does, and log it; with `steps` the client goes away after so many."""

    def start_response(status: str, headers: Any, exc_info: Any = None) -> Callable[..., object]:
        if EDGE == "wsgi":  # by ASGI an answer without a stream starts after the end
            log(f"start {status}")
        return lambda data: None

    environ = EnvironBuilder(path, **options).get_environ()
    body: Iterable[bytes] = called(app)(environ, start_response)
    log("app returned")
    got = b""
    for number, item in enumerate(body, start=1):
        log(f"sent {item.decode()}")
        got += item
        if number == steps:
            break
    getattr(body, "close", lambda: None)()
    log("server closed")
    return got


def record(framework: ModuleType, path: str, **options: Any) -> tuple[Log, bytes]:
    log = Log(framework)
    app = make_app(framework, log)
    app.logger.disabled = True
    return log, serve(app, log, path, **options)


def upload() -> dict[str, Any]:
    return {"method": "POST", "data": {"file": (BytesIO(b"text"), "a.txt")}}


@pytest.mark.parametrize("prefix", PATHS)
@pytest.mark.parametrize(
    "path",
    ["/plain", "/list", "/upload", "/boom", "/gone", "/nowhere", "/upload?405", "HEAD /plain"],
)
def test_order_of_plain_bodies_is_that_of_flask(prefix: str, path: str) -> None:
    """For each plain body the log is Flask's, the contexts seen by each function included."""
    method, _, path = path.rpartition(" ")
    options = [upload() if path == "/upload" else {"method": method or "GET"} for _ in range(2)]
    theirs, body = record(flask, prefix + path, **options[0])
    ours, our_body = record(demijohn, prefix + path, **options[1])
    if EDGE == "asgi" and path == "/list":  # one message
        assert ours.entries.pop(ours.entries.index("sent ab []")) == "sent ab []"
        assert [theirs.entries.pop(theirs.entries.index(f"sent {c} []")) for c in "ab"]
    assert ours.entries == theirs.entries
    assert our_body == body


def end(scopes: Scope, exc: str = "", *, closes: str = "") -> list[str]:
    """The entries of an end, as promise 5 lists them."""
    hooks = [f"teardown_request {scope} {n}{exc} [ar]" for scope in scopes for n in (2, 1)]
    return [
        *hooks,
        f"request_tearing_down{exc} [ar]",
        "request.close [ar]",
        *([f"{closes} [ar]"] if closes else []),
        f"teardown_appcontext 2{exc} [a]",
        f"teardown_appcontext 1{exc} [a]",
        f"appcontext_tearing_down{exc} [a]",
        "appcontext_popped []",
    ]


def begin(scopes: Scope) -> list[str]:
    return [
        "appcontext_pushed [a]",
        "request_started [ar]",
        *(f"before_request {scope} {n} [ar]" for scope in scopes[::-1] for n in (1, 2)),
        "view [ar]",
    ]


def answer(scopes: Scope, status: str = "200 OK") -> list[str]:
    return [
        *(f"after_request {scope} {n} [ar]" for scope in scopes for n in (2, 1)),
        "request_finished [ar]",
        *([f"start {status} [ar]"] if EDGE == "wsgi" else []),
    ]


@pytest.mark.parametrize("prefix", PATHS)
def test_plain_body_ends_before_it_is_sent(prefix: str) -> None:
    """The request of a plain body has ended when the server gets it, in the order of promise 5."""
    scopes = PATHS[prefix]
    log, body = record(demijohn, f"{prefix}/plain")
    assert body == b"plain"
    assert log.entries == [
        *begin(scopes),
        *answer(scopes),
        *end(scopes),
        "app returned []",
        "sent plain []",
        "server closed []",
    ]


def test_uploads_are_closed_after_the_signal() -> None:
    """`request.close()` comes after `request_tearing_down`, in the request, and closes uploads."""
    for framework in (flask, demijohn):
        log, _ = record(framework, "/upload", **upload())
        expected = end(("app",), closes="upload closed")
        at = log.entries.index(expected[0])
        assert log.entries[at : at + len(expected)] == expected


@pytest.mark.parametrize("prefix", PATHS)
def test_end_after_an_error(prefix: str) -> None:
    """After an error the same order holds, and every function gets the error."""
    scopes = PATHS[prefix]
    log, _ = record(demijohn, f"{prefix}/boom")
    assert log.entries == [
        *begin(scopes),
        "got_request_exception [ar]",
        *answer(scopes, "500 INTERNAL SERVER ERROR"),
        *end(scopes, " ValueError('view')"),
        "app returned []",
        *(entry for entry in log.entries if entry.startswith("sent")),
        "server closed []",
    ]


@pytest.mark.parametrize("path", ["/stream", "/stream-response", "/stream-with-context"])
@pytest.mark.parametrize("prefix", PATHS)
def test_streamed_body_ends_after_the_last_byte_once(prefix: str, path: str) -> None:
    """A streamed body's steps see the request, and the end comes once, after the last byte."""
    scopes = PATHS[prefix]
    log, body = record(demijohn, prefix + path)
    assert body == b"12"
    assert log.entries == [
        *begin(scopes),
        *answer(scopes),
        "app returned []",
        "step 1 [ar]",
        "sent 1 []",
        "step 2 [ar]",
        "sent 2 []",
        "body done [ar]",
        *end(scopes),
        "server closed []",
    ]


@pytest.mark.parametrize("prefix", PATHS)
def test_flask_ends_a_streamed_body_twice(prefix: str) -> None:
    """The known departure: Flask 3.1.3 ends the request before the body, and again after it."""
    scopes = PATHS[prefix]
    log, body = record(flask, f"{prefix}/stream-with-context")
    assert body == b"12"
    again = end(scopes)
    assert log.entries == [
        *begin(scopes),
        *answer(scopes),
        *end(scopes),
        "app returned []",
        "appcontext_pushed [a]",
        "step 1 [ar]",
        "sent 1 [ar]",
        "step 2 [ar]",
        "sent 2 [ar]",
        "body done [ar]",
        *again,
        "server closed []",
    ]


@pytest.mark.parametrize("path", ["/stream", "/stream-response"])
def test_flask_steps_a_bare_generator_without_a_context(path: str) -> None:
    """The same without `stream_with_context`: in Flask the steps see no context at all."""
    log, _ = record(flask, path)
    assert log.names.count("teardown_appcontext 1") == 1
    assert "step 1 []" in log.entries
    assert log.names.index("teardown_appcontext 1") < log.names.index("step 1")


@pytest.mark.parametrize("path", ["/stream", "/stream-response", "/stream-with-context"])
@pytest.mark.parametrize("steps", [1, 2])
def test_streamed_body_that_the_client_leaves(path: str, steps: int) -> None:
    """When the server closes a body early the end comes at that moment, once, in the same order."""
    log, _ = record(demijohn, path, steps=steps)
    sent = [entry for n in range(1, steps + 1) for entry in (f"step {n} [ar]", f"sent {n} []")]
    assert log.entries == [
        *begin(("app",)),
        *answer(("app",)),
        "app returned []",
        *sent,
        *end(("app",)),
        "server closed []",
    ]


def test_body_that_is_never_started() -> None:
    """A streamed body that the server closes at once ends the request too."""
    log = Log(demijohn)
    app = make_app(demijohn, log)
    environ = EnvironBuilder("/stream").get_environ()
    body = called(app)(environ, lambda status, headers, exc_info=None: lambda data: None)
    assert "appcontext_popped []" not in log.entries
    body.close()
    assert log.entries[-len(end(("app",))) :] == end(("app",))
    body.close()
    assert log.names.count("appcontext_popped") == 1


def test_body_that_fails() -> None:
    """An error in a step of the body reaches the server and the functions of the end, once."""
    log = Log(demijohn)
    app = make_app(demijohn, log)

    @app.get("/fails")
    def fails() -> Iterator[str]:
        yield "1"
        raise KeyError("body")

    with pytest.raises(KeyError):
        serve(app, log, "/fails")
    expected = end(("app",), " KeyError('body')")
    assert log.entries[-len(expected) :] == expected
    assert log.names.count("appcontext_popped") == 1


@pytest.mark.parametrize("framework", [flask, demijohn], ids=["flask", "demijohn"])
def test_end_by_hand_is_the_same(framework: ModuleType) -> None:
    """A request context that a test pushes and pops ends in the order of a request at a server."""
    log = Log(framework)
    app = make_app(framework, log)
    with app.test_request_context("/outer/inner/plain"):
        log("block")
    assert log.entries == ["appcontext_pushed [a]", "block [ar]", *end(SCOPES[::-1])]


@pytest.mark.parametrize("framework", [flask, demijohn], ids=["flask", "demijohn"])
def test_request_in_a_pushed_app_context_ends_without_it(framework: ModuleType) -> None:
    """A request that joined an app context ends without that context, whose end is its owner's."""
    log = Log(framework)
    app = make_app(framework, log)
    with app.app_context():
        with app.test_request_context("/plain"):
            log("block")
        log("after")
    whole = end(("app",))
    at = whole.index("teardown_appcontext 2 [a]")
    assert log.entries == [
        "appcontext_pushed [a]",
        "block [ar]",
        *whole[:at],
        "after [a]",
        *whole[at:],
    ]


def test_a_wrong_order_would_be_seen() -> None:
    """The comparison is not blind: with one teardown function moved the logs differ."""
    log = Log(demijohn)
    app = make_app(demijohn, log)
    app.teardown_appcontext_funcs.reverse()
    serve(app, log, "/plain")
    assert log.entries != record(flask, "/plain")[0].entries
