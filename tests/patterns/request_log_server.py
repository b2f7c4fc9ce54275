"""A process of `test_11_request_log`: an application that logs all, on a development server.

Run as `python request_log_server.py FRAMEWORK`, where FRAMEWORK is the module to import the names
from. Not a test file. The server works off one request after the other, so when `GET /-log` is
answered everything that belongs to earlier requests has happened; it returns the log as JSON and
empties it.

An entry is `what [where]: detail`; `where` has an `a` when an app context is current, an `r` when a
request context is.
"""

from __future__ import annotations

import importlib
import json
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from types import ModuleType
from typing import Any

from itsdangerous import TimestampSigner
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.routing import BaseConverter

LOG: list[str] = []
# Session cookies carry the second of their signing, which two servers need not share.
TimestampSigner.get_timestamp = lambda self: 1_700_000_000  # type: ignore[method-assign]
framework: ModuleType = importlib.import_module(sys.argv[1])
current_app, g, request, session = (
    framework.current_app,
    framework.g,
    framework.request,
    framework.session,
)
SIGNALS = (
    "appcontext_pushed",
    "appcontext_popped",
    "appcontext_tearing_down",
    "before_render_template",
    "got_request_exception",
    "message_flashed",
    "request_finished",
    "request_started",
    "request_tearing_down",
    "template_rendered",
)


def log(what: str, detail: object = "") -> None:
    where = "a" * framework.has_app_context() + "r" * framework.has_request_context()
    LOG.append(f"{what} [{where}]: {detail}")


class LogServer:
    """Middleware that logs what passes between server and application, and answers `/-log`."""

    KEYS = (
        "REQUEST_METHOD",
        "SCRIPT_NAME",
        "PATH_INFO",
        "QUERY_STRING",
        "CONTENT_TYPE",
        "CONTENT_LENGTH",
        "HTTP_COOKIE",
        "wsgi.url_scheme",
        "wsgi.multithread",
    )

    def __init__(self, app: Any) -> None:
        self.app = app

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        if environ["PATH_INFO"] == "/-log":
            body = json.dumps(LOG).encode()
            LOG.clear()
            start_response("200 OK", [("Content-Length", str(len(body)))])
            return [body]
        log("environ", {key: environ.get(key) for key in self.KEYS})

        def logged_start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            log("start_response", (status, exc_info is not None))
            return start_response(status, headers, exc_info)

        try:
            body = self.app(environ, logged_start)
        except Exception as error:
            log("raised", repr(error))
            raise
        log("returned")
        return Body(body)


class Body:
    """A body that logs the server's steps."""

    def __init__(self, body: Iterable[bytes]) -> None:
        self.body = body

    def __iter__(self) -> Iterator[bytes]:
        for item in self.body:
            log("sent", len(item) if len(item) > 40 else item)
            yield item
        log("sent all")

    def close(self) -> None:
        getattr(self.body, "close", lambda: None)()
        log("closed")


class Word(BaseConverter):
    """A converter that logs each match."""

    def to_python(self, value: str) -> str:
        log("match", value)
        return value


class Request(framework.Request):  # type: ignore[name-defined,misc]
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        log("request made", self.path)

    def close(self) -> None:
        super().close()
        log("request.close")


class Sessions(framework.sessions.SecureCookieSessionInterface):  # type: ignore[name-defined,misc]
    def open_session(self, app: Any, request: Any) -> Any:
        log("session opened")
        return super().open_session(app, request)

    def save_session(self, app: Any, session: Any, response: Any) -> None:
        log("session saved", dict(session))
        super().save_session(app, session, response)


class Refused(Exception):
    """An error with a handler."""


def add_hooks(name: str, scaffold: Any) -> None:
    """Every hook of an application or blueprint, each logged with its scope's name."""
    for number in (1, 2):
        label = f"{name} {number}"

        def before(label: str = label) -> Any:
            log(f"before_request {label}", request.endpoint)
            if request.args.get("stop") == label:
                return f"stopped by {label}"
            if request.args.get("fail") == f"before {label}":
                raise Refused(label)

        def after(response: Any, label: str = label) -> Any:
            log(f"after_request {label}", response.status_code)
            response.headers.add("X-After", label)
            if request.args.get("fail") == f"after {label}":
                raise ValueError(label)
            return response

        def teardown(exc: BaseException | None, label: str = label) -> None:
            log(f"teardown_request {label}", repr(exc))

        scaffold.before_request(before)
        scaffold.after_request(after)
        scaffold.teardown_request(teardown)

    @scaffold.url_value_preprocessor
    def preprocess(endpoint: str | None, values: dict[str, Any] | None) -> None:
        log(f"url_value_preprocessor {name}", (endpoint, values))

    @scaffold.url_defaults
    def defaults(endpoint: str, values: dict[str, Any]) -> None:
        log(f"url_defaults {name}", endpoint)

    @scaffold.context_processor
    def processor() -> dict[str, Any]:
        log(f"context_processor {name}")
        return {}


def add_views(app: Any) -> None:
    """The views, of an application or of a blueprint."""

    @app.route("/", methods=["GET", "POST"])
    def index() -> str:
        log("view", sorted(request.args.items()))
        return f"{request.method} {request.args.get('q')}"

    @app.get("/word/<word:word>/")
    def word(word: str) -> str:
        log("view", word)
        return str(framework.url_for(request.endpoint, word="next"))

    @app.post("/json")
    def echo() -> Any:
        log("view", request.get_json())
        return {"got": request.get_json()}

    @app.post("/upload")
    def upload() -> str:
        file = request.files["file"]
        log("view", file.filename)
        g.file = file
        return file.read().decode()

    @app.get("/login/<name>")
    def login(name: str) -> Any:
        session["user"] = name
        framework.flash(f"hello {name}")
        return framework.redirect(framework.url_for(request.endpoint, name="again"))

    @app.get("/who")
    def who() -> Any:
        return {"user": session.get("user"), "flashes": framework.get_flashed_messages()}

    @app.get("/template")
    def template() -> str:
        return str(framework.render_template_string("{{ g.get('x') }} {{ request.path }}"))

    @app.get("/forbidden")
    def forbidden() -> None:
        framework.abort(403)

    @app.get("/refused")
    def refused() -> None:
        raise Refused("view")

    @app.get("/boom")
    def boom() -> None:
        raise ZeroDivisionError("view")

    @app.get("/none")
    def none() -> None:
        return None

    @app.get("/this")
    def this() -> str:
        @framework.after_this_request
        def add(response: Any) -> Any:
            log("after_this_request")
            response.headers["X-This"] = "1"
            return response

        return "this"

    @app.get("/pushed")
    def pushed() -> list[Any]:
        """Contexts pushed and popped by hand in a view."""
        g.name = "view"
        ctx = current_app._get_current_object().app_context()
        ctx.push()
        seen = ["name" in g]
        g.name = "inner"
        ctx.pop()
        seen.append(g.name)
        request_ctx = current_app._get_current_object().test_request_context("/elsewhere?q=1")
        request_ctx.push()
        seen.append(request.full_path)
        request_ctx.pop()
        return [*seen, request.path]

    @app.get("/other")
    def other() -> list[Any]:
        """Another application's context, pushed and popped by hand."""
        other = framework.Flask("other")
        ctx = other.app_context()
        ctx.push()
        seen = [current_app.name]
        ctx.pop()
        with other.test_request_context("/there"):
            seen += [current_app.name, request.path]
        return [*seen, current_app.name, request.path]

    @app.get("/popped-late")
    def popped_late() -> str:
        """A context that the view pushes and a function after the request pops."""
        ctx = current_app._get_current_object().app_context()

        @framework.after_this_request
        def pop(response: Any) -> Any:
            seen = "name" in g
            ctx.pop()
            response.headers["X-Names"] = f"{seen} {'name' in g}"
            return response

        g.name = "outer"
        ctx.push()
        return str("name" in g)

    @app.get("/forgotten")
    def forgotten() -> str:
        """A context that is pushed and never popped."""
        current_app._get_current_object().app_context().push()
        return "forgotten"

    @app.get("/state")
    def state() -> list[str]:
        return sorted(g)

    @app.get("/thread")
    def thread() -> str:
        app = current_app._get_current_object()

        def work() -> None:
            log("bare thread")
            with app.app_context():
                log("thread")

        worker = threading.Thread(target=work)
        worker.start()
        worker.join()
        return "thread"

    def items(label: str) -> Iterator[str]:
        for number in range(3):
            log(f"{label} step", number)
            yield f"{number};"
        log(f"{label} end")

    @app.get("/stream")
    def stream() -> Any:
        return items("plain generator")

    @app.get("/stream-response")
    def stream_response() -> Any:
        return framework.Response(items("generator in a response"), status=201)

    @app.get("/stream-with-context")
    def stream_with_context() -> Any:
        @framework.stream_with_context
        def body() -> Iterator[str]:
            for item in items("with context"):
                yield f"{request.path} {item}"

        return body()

    @app.get("/list-response")
    def list_response() -> Any:
        return framework.Response(["a", "b"])


def full_app() -> Any:
    """An application with everything that can be watched."""
    app = framework.Flask("full")
    app.secret_key = "key"
    app.request_class = Request
    app.session_interface = Sessions()
    app.url_map.converters["word"] = Word
    app.config["SESSION_COOKIE_PATH"] = "/"
    outer = framework.Blueprint("outer", "outer", url_prefix="/outer")
    inner = framework.Blueprint("inner", "inner", url_prefix="/inner")
    for name, scaffold in (("app", app), ("outer", outer), ("inner", inner)):
        add_hooks(name, scaffold)
        add_views(scaffold)
    for number in (1, 2):

        @app.teardown_appcontext
        def teardown(exc: BaseException | None, number: int = number) -> None:
            log(f"teardown_appcontext {number}", repr(exc))

    @app.errorhandler(Refused)
    def refused(error: Refused) -> tuple[str, int]:
        log("errorhandler Refused", error)
        return f"refused: {error}", 409

    @app.errorhandler(403)
    def forbidden(error: Any) -> tuple[str, int]:
        log("errorhandler 403", error)
        return "no", 403

    @outer.errorhandler(500)
    def broken(error: Any) -> tuple[str, int]:
        log("errorhandler 500", repr(error.original_exception))
        return "sorry", 500

    outer.register_blueprint(inner)
    app.register_blueprint(outer)
    for name in SIGNALS:
        signal = getattr(framework.signals, name)
        signal.connect(
            lambda sender, _name=name, **details: log_signal(_name, details), sender=app, weak=False
        )
    return app


def log_signal(name: str, details: dict[str, Any]) -> None:
    # A response's text would say whether it is a stream: an error page is one in Flask only.
    shown = {
        key: value.status if key == "response" else repr(value)
        for key, value in sorted(details.items())
        if key not in ("_async_wrapper", "context", "template")
    }
    log(f"signal {name}", shown)


def lean_app() -> Any:
    """An application with views and nothing else, so that nothing looks at its responses."""
    app = framework.Flask("lean")
    app.url_map.converters["word"] = Word
    app.config["SESSION_COOKIE_PATH"] = "/"
    app.secret_key = "key"
    add_views(app)
    return app


def main() -> None:
    app = full_app()
    app.wsgi_app = LogServer(DispatcherMiddleware(app.wsgi_app, {"/lean": lean_app()}))
    app.run(port=0, threaded=False, load_dotenv=False)


if __name__ == "__main__":
    main()
