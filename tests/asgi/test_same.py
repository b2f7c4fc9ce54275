"""One application, called by WSGI and by ASGI: same status, headers, body, end, log, environ.

Whole directories of tests run on either edge too: `DEMIJOHN_TEST_EDGE=asgi`.
"""

from __future__ import annotations

import io
import logging
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

import demijohn
from demijohn import (
    Blueprint,
    Demijohn,
    abort,
    app_ctx,
    flash,
    g,
    get_flashed_messages,
    on_end,
    redirect,
    render_template_string,
    request,
    resource,
    session,
    stream_with_context,
    url_for,
)


@pytest.fixture(autouse=True)
def one_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sessions are signed at the same moment in both calls."""
    monkeypatch.setattr("itsdangerous.timed.TimestampSigner.get_timestamp", lambda self: 1 << 30)


@dataclass
class Answer:
    """Everything that a call shows."""

    status: str = ""
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""
    error: str = ""
    log: list[str] = field(default_factory=list)
    last: Any = None


class Records(logging.Handler):
    """The application's log, into the list of what happened."""

    def __init__(self, log: list[str]) -> None:
        super().__init__()
        self.log = log

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        self.log.append(f"{record.levelname} {record.getMessage()} {error!r}")


def make_app(**settings: Any) -> tuple[Demijohn, list[str]]:
    """An application with all there is, which logs what it does."""
    app = Demijohn("same", root_path="/nowhere")
    app.secret_key = "key"
    app.config.update(settings)
    log: list[str] = []
    app.logger.handlers[:] = [Records(log)]
    app.logger.propagate = False
    note_hooks(app, log)
    for add in (add_plain_views, add_state, add_failures, add_streams):
        add(app, log)
    app.register_blueprint(blueprint(log), url_prefix="/bp")
    return app, log


def note_hooks(app: Demijohn, log: list[str]) -> None:
    """Hooks, teardown functions and signals, each with the contexts that it sees."""

    def note(what: str) -> None:
        seen = "a" * demijohn.has_app_context() + "r" * demijohn.has_request_context()
        log.append(f"{what} [{seen}]")

    @app.url_value_preprocessor
    def preprocess(endpoint: str | None, values: dict[str, Any] | None) -> None:
        note(f"preprocess {endpoint} {values}")

    @app.before_request
    def before() -> Any:
        note("before")
        g.who = request.args.get("who", "nobody")
        return "stopped" if "stop" in request.args else None

    @app.before_request
    async def async_before() -> None:
        note(f"async before {g.who}")

    @app.after_request
    def after(response: Any) -> Any:
        note(f"after {response.status_code}")
        response.headers["X-After"] = g.who
        return response

    @app.after_request
    async def async_after(response: Any) -> Any:
        note("async after")
        return response

    @app.teardown_request
    def end(exc: BaseException | None) -> None:
        note(f"teardown_request {exc!r} {app_ctx.outcome}")

    @app.teardown_request
    async def async_end(exc: BaseException | None) -> None:
        note(f"async teardown_request {exc!r}")

    @app.teardown_appcontext
    def end_of_app(exc: BaseException | None) -> None:
        note(f"teardown_appcontext {exc!r} {app_ctx.outcome}")
        if g.get("fail_at_end"):
            raise OSError("the end")

    receivers = [
        signal.connect(lambda sender, name=name, **_: note(name), app) or signal.receivers
        for name in ("request_started", "request_finished", "request_tearing_down")
        if (signal := getattr(demijohn, name))
    ]
    app.extensions["receivers"] = receivers


def add_plain_views(app: Demijohn, log: list[str]) -> None:
    """What requests carry, as JSON."""

    @resource
    def value() -> Iterator[str]:
        log.append("open value")
        yield "value"
        log.append("close value")

    @app.route("/", methods=["GET", "POST", "PUT"])
    def index() -> Any:
        return {"args": request.args, "form": request.form, "path": request.path}

    @app.get("/async/<int:number>")
    async def async_view(number: int) -> Any:
        return {"number": number, "url": url_for("index", _external=True), "value": str(value)}

    @app.post("/json")
    async def json() -> Any:
        return request.get_json()

    @app.post("/files")
    def files() -> Any:
        return {name: file.read().decode() for name, file in request.files.items()}

    @app.post("/raw")
    def raw() -> bytes:
        return request.get_data()

    @app.get("/headers")
    def headers() -> Any:
        return {"headers": sorted(request.headers), "cookies": request.cookies}

    @app.get("/where")
    def where() -> Any:
        return [request.url, request.root_path, request.remote_addr, request.host, request.scheme]


def add_state(app: Demijohn, log: list[str]) -> None:
    """Sessions, templates, redirects, headers."""

    @app.get("/session")
    def sessions() -> Any:
        session["n"] = session.get("n", 0) + 1
        flash("hello")
        return {"n": session["n"], "flashed": get_flashed_messages()}

    @app.get("/template")
    def template() -> str:
        return render_template_string("{{ request.path }} {{ g.who }}")

    @app.get("/redirect")
    async def go() -> Any:
        return redirect(url_for("template", who="redirected"))

    @app.get("/odd")
    def odd() -> Any:
        response = app.make_response(("", 204, [("X-A", "1"), ("X-A", "2")]))
        response.set_cookie("a", "b", samesite="Lax")
        response.set_cookie("c", "\xe4")
        return response


def add_failures(app: Demijohn, log: list[str]) -> None:
    """Errors of every kind."""

    @app.get("/abort/<int:code>")
    def aborts(code: int) -> Any:
        abort(code)

    @app.get("/fails")
    async def fails() -> Any:
        raise ValueError("view")

    @app.get("/handled")
    def handled() -> Any:
        raise LookupError("handled")

    @app.errorhandler(LookupError)
    async def handle(error: LookupError) -> Any:
        return str(error), 418

    @app.get("/fails-at-the-end")
    def fails_at_the_end() -> str:
        g.fail_at_end = True
        return "good"

    @app.get("/nothing")
    async def nothing() -> Any:
        return None


def add_streams(app: Demijohn, log: list[str]) -> None:
    """Bodies that are made while they are sent, and a file."""

    @resource
    def kept() -> Iterator[str]:
        log.append("open kept")
        yield "kept"
        log.append("close kept")

    @app.get("/stream")
    def stream() -> Any:
        on_end(log.append, "on_end")

        def steps() -> Iterator[str]:
            for n in range(3):
                log.append(f"step {n} {request.path} {kept}")
                yield str(n)

        return steps()

    @app.get("/stream-fails")
    async def stream_fails() -> Any:
        def steps() -> Iterator[str]:
            yield "first"
            raise ValueError("stream")

        return app.response_class(stream_with_context(steps()), 206, {"X-Own": "1"})

    @app.get("/async-stream")
    async def async_stream() -> Any:
        async def steps() -> AsyncIterator[bytes]:
            for n in range(3):
                yield f"{n} {request.path}".encode()

        return steps()

    @app.get("/file")
    def file() -> Any:
        return demijohn.send_file(io.BytesIO(b"0123456789"), "text/plain", conditional=True)


def blueprint(log: list[str]) -> Blueprint:
    bp = Blueprint("bp", __name__)

    @bp.before_request
    async def before() -> None:
        log.append("bp before")

    @bp.teardown_request
    def end(exc: BaseException | None) -> None:
        log.append("bp teardown")

    @bp.errorhandler(404)
    def missing(error: Exception) -> Any:
        return "not in bp", 404

    @bp.get("/<path:rest>")
    def view(rest: str) -> Any:
        return (rest, {"X-Rest": "1"}) if rest != "gone" else abort(404)

    return bp


CALLS: dict[str, dict[str, Any]] = {
    "/": {},
    "/?who=ada&a=1&a=%C3%A4": {},
    "/ POST form": {"method": "POST", "data": {"a": "b", "\xe4": "\u20ac"}},
    "/ HEAD": {"method": "HEAD"},
    "/ OPTIONS": {"method": "OPTIONS"},
    "/ DELETE": {"method": "DELETE"},
    "/?stop=1": {},
    "/async/7": {},
    "/async/7 root": {"path": "/async/7", "base_url": "https://example.org:8443/root/"},
    "/json": {"method": "POST", "json": {"a": [1, None, "\xe4"]}},
    "/json broken": {"method": "POST", "data": b"{", "content_type": "application/json"},
    "/files": {"method": "POST", "data": {"f": (io.BytesIO, b"content", "f.txt")}},
    "/raw": {"method": "POST", "data": b"\x00\xff" * 1000, "content_type": "x/y"},
    "/raw large": {"method": "POST", "data": b"x" * 700_000},
    "/raw refused": {"method": "POST", "data": b"x" * 2_000_000},
    "/raw short": {"method": "POST", "data": b"x", "headers": {"Content-Length": "5"}},
    "/headers": {
        "headers": [("X-A", "1"), ("X-A", "2"), ("Cookie", "a=b; c=d"), ("Accept", "*/*")]
    },
    "/where": {"base_url": "http://other.org/a/b", "environ_base": {"REMOTE_ADDR": "10.0.0.1"}},
    "/where given": {"environ_overrides": {"SERVER_NAME": "inside", "wsgi.url_scheme": "https"}},
    "/session": {},
    "/template?who=x": {},
    "/redirect": {},
    "/redirect followed": {"follow_redirects": True},
    "/abort/403": {},
    "/abort/500": {},
    "/fails": {},
    "/handled": {},
    "/fails-at-the-end": {},
    "/stream": {},
    "/stream HEAD": {"method": "HEAD"},
    "/stream-fails": {},
    "/async-stream": {},
    "/file": {},
    "/file range": {"headers": {"Range": "bytes=2-4"}},
    "/file HEAD": {"method": "HEAD"},
    "/odd": {},
    "/nothing": {},
    "/missing": {},
    "/static/none": {},
    "/bp/some/thing": {},
    "/bp/gone": {},
    "/bp/%F0%9F%8D%B6 %2F": {},
    "//evil.org/": {},
}


def made(name: str) -> tuple[str, dict[str, Any]]:
    """The path and the options of a call, with new files."""
    options = dict(CALLS[name])
    data = options.get("data")
    if isinstance(data, dict) and "f" in data:
        kind, content, filename = data["f"]
        options["data"] = {"f": (kind(content), filename)}
    path = options.pop("path", name.partition(" ")[0] if "%" not in name else name)
    return path, options


def ask(edge: str, name: str, **settings: Any) -> Answer:
    """Make a call, twice in a session."""
    app, log = make_app(MAX_CONTENT_LENGTH=1_000_000, **settings)
    client = app.test_client(edge=edge)
    answer = Answer()
    for _ in range(2):
        path, options = made(name)
        try:
            response = client.open(path, **options)
            answer.status = response.status
            answer.headers = sorted(pair for pair in response.headers if pair[0] != "Date")
            answer.body = response.get_data()
            response.close()
        except Exception as error:
            answer.error = repr(error)
    answer.log, answer.last = log, client.last
    return answer


@pytest.mark.parametrize("testing", [False, True], ids=["serving", "testing"])
@pytest.mark.parametrize("name", CALLS)
def test_both_edges_answer_the_same(name: str, testing: bool) -> None:
    """Status, headers, body, error, the client's snapshot, and the log with its ends are equal."""
    by_wsgi, by_asgi = (ask(edge, name, TESTING=testing) for edge in ("wsgi", "asgi"))
    assert by_asgi == by_wsgi
    assert by_wsgi.log


def test_a_difference_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The comparison finds an edge that ends a request without telling it the error."""
    from demijohn.serve import asgi_exchange

    end = asgi_exchange.end
    monkeypatch.setattr(
        asgi_exchange, "end", lambda ctx, app, error, failed: end(ctx, app, None, None)
    )
    by_wsgi, by_asgi = (ask(edge, "/fails", TESTING=False) for edge in ("wsgi", "asgi"))
    assert by_asgi.status == by_wsgi.status
    assert by_asgi.log != by_wsgi.log


OTHER = {
    "wsgi.input",
    "wsgi.input_terminated",
    "wsgi.multithread",
    "wsgi.multiprocess",
    "werkzeug.request",
    "asgi.scope",
    "REMOTE_PORT",
    "demijohn.client",
}
"""What a server says of itself, or a client of its connection."""


@pytest.mark.parametrize("name", CALLS)
def test_the_environ_is_the_same(name: str) -> None:
    """A request's environ has the same entries at both edges."""
    found: dict[str, dict[str, Any]] = {}
    for edge in ("wsgi", "asgi"):
        app = Demijohn("environ", static_folder=None)
        path, options = made(name)
        options.pop("follow_redirects", None)

        @app.before_request
        def look(edge: str = edge) -> str:
            found[edge] = {k: v for k, v in request.environ.items() if k not in OTHER}
            return ""

        app.test_client(edge=edge).open(path, **options)
    by_wsgi, by_asgi = found["wsgi"], found["asgi"]
    if name == "/files":  # of another boundary each time
        for environ in found.values():
            del environ["CONTENT_TYPE"], environ["CONTENT_LENGTH"]
    assert by_asgi == by_wsgi


def test_entries_for_the_environ_go_along() -> None:
    """What a test puts into the environ, objects too, is there at both edges."""
    given = {"own.object": object(), "REMOTE_USER": "ada", "wsgi.errors": io.StringIO()}
    for edge in ("wsgi", "asgi"):
        app = Demijohn("environ", static_folder=None)
        seen: dict[str, Any] = {}
        app.before_request(lambda seen=seen: seen.update(request.environ) or "")
        app.test_client(edge=edge).get("/", environ_overrides=given)
        assert given.items() <= seen.items()
        assert seen["asgi.scope"]["type"] == "http" if edge == "asgi" else "asgi.scope" not in seen


def test_ensure_sync_is_asked_for_the_same_functions() -> None:
    """An overridden `ensure_sync` is asked for the same functions, in the same order, at both."""
    asked: dict[str, list[str]] = {"wsgi": [], "asgi": []}
    for edge, names in asked.items():
        app, _ = make_app()
        stock = app.ensure_sync

        def ensure_sync(function: Any, names: Any = names, stock: Any = stock) -> Any:
            names.append(function.__name__)
            return stock(function)

        app.ensure_sync = ensure_sync  # type: ignore[method-assign]
        for path in ("/", "/async/1", "/handled", "/fails", "/bp/x"):
            app.test_client(edge=edge).get(path)
    assert asked["asgi"] == asked["wsgi"]
    assert "async_view" in asked["wsgi"]


@pytest.mark.parametrize("edge", ["wsgi", "asgi"])
def test_a_test_context_is_joined(edge: str) -> None:
    """A request joins the app context that the test holds, and ends nothing of it."""
    app, log = make_app(TESTING=True)
    client = app.test_client(edge=edge)
    with app.app_context():
        g.held = "held"
        client.get("/?who=inside")
        assert (g.held, g.who) == ("held", "inside")
        assert not [entry for entry in log if "teardown_appcontext" in entry]
    assert [entry for entry in log if "teardown_appcontext" in entry]
    client.get("/")
    assert app.test_client(edge=edge, isolated=True).get("/").status_code == 200


@pytest.mark.parametrize("edge", ["wsgi", "asgi"])
def test_a_block_keeps_the_last_request(edge: str) -> None:
    """In `with client:` the request, `g` and the session of the last request stay to look at."""
    app, _ = make_app(TESTING=True)
    with app.test_client(edge=edge) as client:
        client.get("/session?who=ada")
        assert (request.path, g.who, session["n"]) == ("/session", "ada", 1)
        with client.session_transaction() as changed:
            changed["n"] = 41
        assert client.get("/session").json == {"n": 42, "flashed": ["hello"]}
        response = client.get("/stream")
        assert request.path == "/stream"
        assert response.text == "012"
        assert request.path == "/stream"
    assert not demijohn.has_request_context()


def test_the_edge_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    """The argument names the edge, else `TEST_EDGE` does, else the environment, else it is WSGI."""
    monkeypatch.delenv("DEMIJOHN_TEST_EDGE", raising=False)
    app = Demijohn("edges")
    client = app.test_client()
    assert client.edge == "wsgi"
    monkeypatch.setenv("DEMIJOHN_TEST_EDGE", "asgi")
    assert client.edge == "asgi"
    app.config["TEST_EDGE"] = "wsgi"
    assert client.edge == "wsgi"
    assert app.test_client(edge="asgi").edge == "asgi"
    with pytest.raises(ValueError, match="There is no edge 'both'"):
        app.test_client(edge="both")
