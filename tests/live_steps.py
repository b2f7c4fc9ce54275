"""Changes for `test_live`: classes, signals, and the application's public steps.

Not a test file. Each function is one change, and is entered in `live_app.CHANGES`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from live_app import CHANGES, SIGNALS, Side, change
from werkzeug.exceptions import Aborter, HTTPException

# -- classes --------------------------------------------------------------------------------------


@change("response class")
def _(side: Side) -> None:
    class Response(side.framework.Response):  # type: ignore[name-defined,misc]
        default_mimetype = "text/plain"

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.headers["X-Class"] = "other"

    side.app.response_class = Response


@change("request class")
def _(side: Side) -> None:
    class Request(side.framework.Request):  # type: ignore[name-defined,misc]
        @property
        def args(self) -> Any:
            return {"q": "of the class"}

        def close(self) -> None:
            side.note("close")
            super().close()

    side.app.request_class = Request


@change("request class that trusts few hosts")
def _(side: Side) -> None:
    class Request(side.framework.Request):  # type: ignore[name-defined,misc]
        trusted_hosts = ["good.example"]

    side.app.request_class = Request


@change("request class with other JSON errors")
def _(side: Side) -> None:
    class Request(side.framework.Request):  # type: ignore[name-defined,misc]
        def on_json_loading_failed(self, e: ValueError | None) -> Any:
            return "failed"

    side.app.request_class = Request


@change("class of g")
def _(side: Side) -> None:
    class Mine(side.framework.ctx._AppCtxGlobals):  # type: ignore[name-defined,misc]
        pass

    side.app.app_ctx_globals_class = Mine


@change("aborter")
def _(side: Side) -> None:
    class Refused(HTTPException):
        code = 499
        description = "refused"

    side.app.aborter = Aborter(extra={499: Refused})


@change("session interface")
def _(side: Side) -> None:
    base = side.framework.sessions.SecureCookieSessionInterface

    class Sessions(base):  # type: ignore[misc,valid-type]
        def open_session(self, app: Any, request: Any) -> Any:
            side.note("open")
            return super().open_session(app, request)

        def save_session(self, app: Any, session: Any, response: Any) -> None:
            side.note(f"save {dict(session)}")
            super().save_session(app, session, response)

    side.app.session_interface = Sessions()


@change("session interface with save_session alone")
def _(side: Side) -> None:
    class Sessions(side.framework.sessions.SecureCookieSessionInterface):  # type: ignore[name-defined,misc]
        def save_session(self, app: Any, session: Any, response: Any) -> None:
            response.headers["X-Session"] = f"{sorted(session)} {session.accessed}"

    side.app.session_interface = Sessions()


@change("save_session set on the interface's instance")
def _(side: Side) -> None:
    side.app.session_interface.save_session = lambda app, session, response: side.note("save")


@change("open_session set on the interface's instance")
def _(side: Side) -> None:
    interface = side.app.session_interface
    opened = interface.open_session

    def open_session(app: Any, request: Any) -> Any:
        side.note("open")
        return opened(app, request)

    interface.open_session = open_session


@change("null sessions")
def _(side: Side) -> None:
    side.app.session_interface.open_session = lambda app, request: None


@change("cookie path of the session interface")
def _(side: Side) -> None:
    side.app.session_interface.get_cookie_path = lambda app: "/live"


@change("request context class")
def _(side: Side) -> None:
    class Ctx(side.framework.ctx.RequestContext):  # type: ignore[name-defined,misc]
        def match_request(self) -> None:
            side.note("match")
            super().match_request()
            if self.request.view_args:
                self.request.view_args["n"] = 99

    side.app.request_context = lambda environ: Ctx(side.app, environ)


@change("app context class")
def _(side: Side) -> None:
    class Ctx(side.framework.ctx.AppContext):  # type: ignore[name-defined,misc]
        def __init__(self, app: Any) -> None:
            side.note("app context made")
            super().__init__(app)

    side.app.app_context = lambda: Ctx(side.app)


@change("middleware")
def _(side: Side) -> None:
    inner = side.app.wsgi_app

    def middleware(environ: Any, start_response: Any) -> Any:
        side.note(f"middleware {environ['PATH_INFO']}")
        environ["QUERY_STRING"] = "q=middleware"
        return inner(environ, start_response)

    side.app.wsgi_app = middleware


@change("the app's class")
def _(side: Side) -> None:
    class Other(type(side.app)):  # type: ignore[misc]
        def make_response(self, rv: Any) -> Any:
            response = super().make_response(rv)
            response.headers["X-Class"] = "swapped"
            return response

    side.app.__class__ = Other


# -- signals --------------------------------------------------------------------------------------


def connect(side: Side, name: str) -> None:
    def receive(sender: Any, **details: Any) -> None:
        known = {k: details[k] for k in ("exc", "exception", "message") if k in details}
        side.note(f"{name} {known}")
        if "response" in details:
            details["response"].headers["X-Signal"] = name

    signal = getattr(side.framework, name)
    signal.connect(receive, sender=side.app)
    side.undo.append(partial(signal.disconnect, receive, sender=side.app))


for _signal in SIGNALS:
    CHANGES[f"signal {_signal}"] = partial(connect, name=_signal)


# -- the public steps, on the instance and on the class -------------------------------------------


def after(value: Any, step: str) -> Any:
    """Mark what a step returned, where it is a response."""
    if hasattr(value, "headers"):
        value.headers["X-Step"] = step
    return value


STEPS = (
    "full_dispatch_request",
    "preprocess_request",
    "dispatch_request",
    "finalize_request",
    "make_response",
    "process_response",
    "make_default_options_response",
    "handle_exception",
    "handle_user_exception",
    "handle_http_exception",
    "do_teardown_request",
    "do_teardown_appcontext",
    "ensure_sync",
    "log_exception",
    "raise_routing_exception",
    "trap_http_exception",
    "should_ignore_error",
    "inject_url_defaults",
    "handle_url_build_error",
    "update_template_context",
    "get_send_file_max_age",
    "send_static_file",
    "url_for",
    "redirect",
    "app_context",
    "request_context",
)
QUIET = {"redirect", "url_for"}
"""Steps that these requests never reach through the application."""


def on_instance(side: Side, step: str) -> None:
    """Set the step on the application object, as a `functools.partial` of what was there."""
    side.app.__setattr__(step, partial(around, side, step, getattr(side.app, step)))


def on_class(side: Side, step: str) -> None:
    """Set the step on the application's class, as a test's monkeypatch does."""
    original = getattr(type(side.app), step)

    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        return around(side, step, original, self, *args, **kwargs)

    setattr(type(side.app), step, method)


def around(side: Side, step: str, original: Any, *args: Any, **kwargs: Any) -> Any:
    side.note(f"> {step}")
    value = original(*args, **kwargs)
    side.note(f"< {step}")
    return after(value, step)


for _step in STEPS:
    if _step not in QUIET:
        CHANGES[f"instance {_step}"] = partial(on_instance, step=_step)
        CHANGES[f"class {_step}"] = partial(on_class, step=_step)


def instead(step: str, function: Callable[..., Any]) -> None:
    """A step that does not call what was there."""

    def replace(side: Side) -> None:
        setattr(side.app, step, partial(function, side))

    CHANGES[f"instead of {step}"] = replace


instead("full_dispatch_request", lambda side: side.app.response_class("whole", 203))
instead("preprocess_request", lambda side: side.note("no hooks"))
instead("dispatch_request", lambda side: ("dispatched", 207))
instead("make_response", lambda side, rv: side.app.response_class(f"made of {type(rv).__name__}"))
instead("process_response", lambda side, response: side.app.response_class("processed"))
instead("handle_exception", lambda side, e: side.app.response_class(f"exception {e}", 505))
instead("handle_user_exception", lambda side, e: f"user {e}")
instead("handle_http_exception", lambda side, e: (f"http {e.code}", 200))
instead("do_teardown_request", lambda side, exc=None: side.note(f"teardown {exc!r}"))
instead("do_teardown_appcontext", lambda side, exc=None: side.note(f"teardown {exc!r}"))


@change("by hand: steps called in a view")
def _(side: Side) -> None:
    app = side.app

    def hello() -> Any:
        rv = app.preprocess_request()
        response = app.make_response(rv or "by hand")
        response = app.process_response(response)
        response.headers["X-Type"] = type(app.full_dispatch_request_of("item")).__name__
        return response

    def full_dispatch_request_of(endpoint: str) -> Any:
        with app.test_request_context("/bp/item/3"):
            return app.full_dispatch_request()

    app.full_dispatch_request_of = full_dispatch_request_of
    app.view_functions["hello"] = hello


def other_root(side: Side, request: Any) -> Any:
    """An adapter for another host, with a root of its own. When it is asked for is not compared:
    Flask makes its adapters with the contexts, here they are made at their first use."""
    return side.app.url_map.bind("other.example", "/root", path_info=request and request.path)


@change("instance create_url_adapter")
def _(side: Side) -> None:
    side.app.create_url_adapter = partial(other_root, side)


@change("class create_url_adapter")
def _(side: Side) -> None:
    type(side.app).create_url_adapter = lambda self, request: other_root(side, request)


@change("override set and taken away again, another left")
def _(side: Side) -> None:
    on_instance(side, "dispatch_request")
    on_instance(side, "finalize_request")
    del side.app.dispatch_request
