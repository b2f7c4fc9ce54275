"""Changes that are made to an application after its first request, here and in Flask.

A case is one change. It is made to an application of each framework that has served requests
already; the same requests are sent before and after it, and the answers and the log are compared.
Each case must change something on Flask, or it would prove nothing. At the end of the file faults
are planted that a plan could have, and the cases must find them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import flask
import pytest
from werkzeug.exceptions import Aborter, HTTPException
from werkzeug.routing import Rule
from werkzeug.test import Client

import demijohn
from demijohn.framework.plan import Plans
from demijohn.http.routing import RouteIndex

HERE = Path(__file__).parent


@dataclass
class Side:
    """An application of one framework, and what happened in it."""

    framework: ModuleType
    app: Any
    log: list[str] = field(default_factory=list)
    undo: list[Callable[[], object]] = field(default_factory=list)

    def __enter__(self) -> Side:
        return self

    def __exit__(self, *exc: object) -> None:
        # A receiver that is left would have every later application watched.
        for function in self.undo:
            function()

    def note(self, text: str) -> None:
        f = self.framework
        where = "a" * f.has_app_context() + "r" * f.has_request_context()
        self.log.append(f"{text} [{where}]")

    def rule(self, endpoint: str) -> Rule:
        rules: Iterator[Rule] = self.app.url_map.iter_rules(endpoint)
        return next(rules)


def make_side(framework: ModuleType) -> Side:
    """An application with a blueprint and views of each kind."""
    # A class of its own, so that a change to it ends with the test.
    app_class = type("App", (framework.Flask,), {})
    app = app_class("live", static_folder=str(HERE), static_url_path="/static")
    app.secret_key = "key"
    # The one on Flask's class is every application's.
    app.session_interface = framework.sessions.SecureCookieSessionInterface()
    app.logger.disabled = True
    side = Side(framework, app)
    add_views(side, framework.request, framework.session)
    bp = framework.Blueprint("bp", __name__, url_prefix="/bp")

    @bp.before_request
    def before() -> None:
        side.note("bp before")

    @bp.get("/item/<int:n>")
    def item(n: int) -> str:
        return f"item {n}"

    app.register_blueprint(bp)
    return side


def add_views(side: Side, request: Any, session: Any) -> None:
    app, framework = side.app, side.framework

    @app.get("/hello")
    def hello() -> str:
        side.note("hello")
        return f"hello {request.args.get('q')}"

    @app.get("/data")
    def data() -> dict[str, Any]:
        return {"b": 1, "a": ["x", {"d": None, "c": "ü"}]}

    @app.post("/echo")
    def echo() -> Any:
        return framework.jsonify(got=request.get_json())

    @app.post("/form")
    def form() -> str:
        return str(len(request.form["text"]))

    @app.get("/boom")
    def boom() -> None:
        raise ZeroDivisionError("boom")

    @app.get("/abort/<int:code>")
    def abort(code: int) -> None:
        framework.abort(code)

    @app.get("/login")
    def login() -> str:
        session["user"] = "ada"
        session.permanent = True
        return "in"

    @app.get("/who")
    def who() -> str:
        return str(session.get("user"))

    @app.get("/page")
    def page() -> str:
        framework.flash("flashed")
        return str(framework.render_template_string("{{ 7 }} {{ extra }} {{ '<b>' }}"))

    @app.get("/folder/")
    def folder() -> str:
        return "folder"

    @app.get("/url")
    def url() -> str:
        return f"{framework.url_for('hello')} {framework.url_for('bp.item', n=1, _external=True)}"

    @app.get("/badurl")
    def badurl() -> str:
        return str(framework.url_for("nowhere"))

    @app.get("/stream")
    def stream() -> Any:
        return (f"{n}" for n in range(3))

    @app.get("/g")
    def on_g() -> str:
        framework.g.x = 1
        return type(framework.g._get_current_object()).__mro__[0].__name__


REQUESTS: tuple[dict[str, Any], ...] = (
    {"path": "/hello?q=1"},
    {"path": "/hello", "method": "HEAD"},
    {"path": "/hello", "method": "OPTIONS"},
    {"path": "/hello", "method": "PUT"},
    {"path": "/hello", "headers": {"Host": "evil.example"}},
    {"path": "/data"},
    {"path": "/echo", "method": "POST", "json": {"b": 1, "a": 2}},
    {"path": "/echo", "method": "POST", "data": "{", "content_type": "application/json"},
    {"path": "/form", "method": "POST", "data": {"text": "x" * 2000}},
    {"path": "/bp/item/5"},
    {"path": "/bp/item/x"},
    {"path": "/nowhere"},
    {"path": "/late"},
    {"path": "/late/7"},
    {"path": "/boom"},
    {"path": "/abort/403"},
    {"path": "/abort/418"},
    {"path": "/abort/499"},
    {"path": "/login"},
    {"path": "/who"},
    {"path": "/page"},
    {"path": "/folder"},
    {"path": "/folder/"},
    {"path": "/bp//item/5"},
    {"path": "/url"},
    {"path": "/badurl"},
    {"path": "/stream"},
    {"path": "/g"},
    {"path": "/static/map.toml", "method": "HEAD"},
)

Answer = tuple[object, ...]


def send_all(side: Side) -> list[Answer]:
    """Answer and log of each of `REQUESTS`, sent by a client of its own, as a server would."""
    client = Client(side.app)
    return [send(side, client, **request) for request in REQUESTS]


def send(side: Side, client: Client, **request: Any) -> Answer:
    side.log.clear()
    try:
        response = client.open(**request)
    except Exception as error:
        return ("raised", type(error).__name__, str(error), tuple(side.log))
    with response:
        headers = [(name, plain(name, value)) for name, value in response.headers]
        return (response.status, headers, response.data, tuple(side.log))


def plain(name: str, value: str) -> str:
    """A header's value without what depends on the moment or on the order of a set."""
    if name in ("Date", "Expires"):
        return "*"
    if name == "Set-Cookie":
        return re.sub(r"^([^=]+)=[^;]+|(?<=Expires=)[^;]+", r"\1", value)
    if name == "Allow":
        return ", ".join(sorted(value.split(", ")))
    return value


Change = Callable[[Side], object]
CHANGES: dict[str, Change] = {}


def change(name: str) -> Callable[[Change], Change]:
    def add(make: Change) -> Change:
        assert name not in CHANGES
        CHANGES[name] = make
        return make

    return add


# -- containers that setup fills ------------------------------------------------------------------


@change("before hook added to an empty dict")
def _(side: Side) -> None:
    side.app.before_request_funcs.setdefault(None, []).append(lambda: side.note("before"))


@change("before hook that answers")
def _(side: Side) -> None:
    side.app.before_request_funcs[None] = [lambda: "answered by the hook"]


@change("blueprint's before hooks emptied")
def _(side: Side) -> None:
    side.app.before_request_funcs["bp"].clear()


@change("blueprint's before hook put in front")
def _(side: Side) -> None:
    side.app.before_request_funcs["bp"].insert(0, lambda: side.note("first"))


@change("dict of before hooks replaced")
def _(side: Side) -> None:
    side.app.before_request_funcs = {None: [lambda: side.note("new dict")]}


@change("async before hook")
def _(side: Side) -> None:
    async def before() -> None:
        side.note("async before")

    side.app.before_request_funcs[None] = [before]


@change("after hook of the app")
def _(side: Side) -> None:
    def after(response: Any) -> Any:
        response.headers["X-After"] = str(response.status_code)
        return response

    side.app.after_request_funcs.setdefault(None, []).append(after)


@change("after hook of the blueprint")
def _(side: Side) -> None:
    def after(response: Any) -> Any:
        response.set_data(response.get_data() + b"!")
        return response

    side.app.after_request_funcs["bp"] = [after]


@change("after hook that gives another response")
def _(side: Side) -> None:
    other = side.app.response_class
    side.app.after_request_funcs[None] = [lambda response: other("other", 202)]


@change("teardown_request function")
def _(side: Side) -> None:
    side.app.teardown_request_funcs[None] = [lambda exc: side.note(f"teardown {exc!r}")]


@change("blueprint's teardown_request function")
def _(side: Side) -> None:
    side.app.teardown_request_funcs["bp"] = [lambda exc: side.note(f"teardown {exc!r}")]


@change("teardown_appcontext function")
def _(side: Side) -> None:
    side.app.teardown_appcontext_funcs.append(lambda exc: side.note(f"teardown {exc!r}"))


@change("url value preprocessor")
def _(side: Side) -> None:
    def preprocess(endpoint: str | None, values: dict[str, Any] | None) -> None:
        side.note(f"{endpoint} {values}")
        if values and "n" in values:
            values["n"] += 1

    side.app.url_value_preprocessors[None] = [preprocess]


@change("url defaults")
def _(side: Side) -> None:
    side.app.url_default_functions[None] = [lambda endpoint, values: values.setdefault("lang", 1)]


@change("url build error handler")
def _(side: Side) -> None:
    side.app.url_build_error_handlers.append(lambda error, endpoint, values: "/built")


@change("context processor")
def _(side: Side) -> None:
    side.app.template_context_processors[None].append(lambda: {"extra": "processed"})


@change("template global")
def _(side: Side) -> None:
    side.app.jinja_env.globals["extra"] = "global"


@change("view replaced")
def _(side: Side) -> None:
    side.app.view_functions["hello"] = lambda: {"replaced": True}


@change("view replaced by an async one")
def _(side: Side) -> None:
    async def hello() -> str:
        return "async"

    side.app.view_functions["hello"] = hello


@change("view deleted")
def _(side: Side) -> None:
    del side.app.view_functions["hello"]


@change("blueprint's view replaced")
def _(side: Side) -> None:
    side.app.view_functions["bp.item"] = lambda n: ("new", 201, {"X-Item": n})


@change("dict of views replaced")
def _(side: Side) -> None:
    views = dict.fromkeys(side.app.view_functions, lambda **values: str(values))
    side.app.view_functions = views


@change("error handler for a code")
def _(side: Side) -> None:
    def gone(error: HTTPException) -> tuple[str, int]:
        return f"handled {error.code}", 410

    side.app.error_handler_spec[None][403] = {type(error_of(403)): gone}


@change("error handler for an exception")
def _(side: Side) -> None:
    spec = side.app.error_handler_spec[None][None]
    spec[ArithmeticError] = lambda error: {"error": str(error)}


@change("error handler for 500")
def _(side: Side) -> None:
    def broken(error: Any) -> tuple[str, int]:
        return f"sorry: {error.original_exception!r}", 500

    side.app.error_handler_spec[None][500] = {type(error_of(500)): broken}


def error_of(code: int) -> HTTPException:
    try:
        Aborter()(code)
    except HTTPException as error:
        return error
    raise AssertionError


# -- rules ----------------------------------------------------------------------------------------


@change("rule added to the map")
def _(side: Side) -> None:
    side.app.url_map.add(Rule("/late", endpoint="hello"))


@change("rule with a variable added to the map")
def _(side: Side) -> None:
    side.app.url_map.add(Rule("/late/<int:n>", endpoint="bp.item", methods=["GET"]))


@change("rule that wins over another")
def _(side: Side) -> None:
    side.app.url_map.add(Rule("/bp/item/5", endpoint="hello"))


@change("method added to a rule")
def _(side: Side) -> None:
    methods = side.rule("hello").methods
    assert methods is not None
    methods.add("PUT")


@change("method taken from a rule")
def _(side: Side) -> None:
    methods = side.rule("folder").methods
    assert methods is not None
    methods.clear()
    methods.add("POST")


@change("rule without automatic OPTIONS")
def _(side: Side) -> None:
    side.rule("hello").provide_automatic_options = False


@change("strict_slashes of the map")
def _(side: Side) -> None:
    side.app.url_map.strict_slashes = False
    side.app.url_map.add(Rule("/late/", endpoint="hello"))


@change("merge_slashes of the map")
def _(side: Side) -> None:
    side.app.url_map.merge_slashes = False


@change("another map")
def _(side: Side) -> None:
    side.app.url_map = type(side.app.url_map)([Rule("/late", endpoint="hello")])


@change("subdomain matching")
def _(side: Side) -> None:
    side.app.config["SERVER_NAME"] = "localhost"
    side.app.subdomain_matching = True


@change("rule's endpoint")
def _(side: Side) -> None:
    side.rule("folder").endpoint = "bp.item"


# -- settings -------------------------------------------------------------------------------------

SETTINGS: dict[str, dict[str, Any]] = {
    "TRUSTED_HOSTS": {"TRUSTED_HOSTS": ["localhost", ".good.example"]},
    "SESSION_COOKIE_NAME": {"SESSION_COOKIE_NAME": "other"},
    "SESSION_COOKIE_SECURE and the like": {
        "SESSION_COOKIE_SECURE": True,
        "SESSION_COOKIE_HTTPONLY": False,
        "SESSION_COOKIE_SAMESITE": "Strict",
        "SESSION_COOKIE_PATH": "/",
        "SESSION_COOKIE_DOMAIN": "localhost",
    },
    "SESSION_REFRESH_EACH_REQUEST": {"SESSION_REFRESH_EACH_REQUEST": False},
    "SECRET_KEY taken away": {"SECRET_KEY": None},
    "PROPAGATE_EXCEPTIONS": {"PROPAGATE_EXCEPTIONS": True},
    "TESTING": {"TESTING": True},
    "DEBUG": {"DEBUG": True},
    "TRAP_HTTP_EXCEPTIONS": {"TRAP_HTTP_EXCEPTIONS": True},
    "TRAP_BAD_REQUEST_ERRORS": {"TRAP_BAD_REQUEST_ERRORS": True},
    "MAX_CONTENT_LENGTH": {"MAX_CONTENT_LENGTH": 1000},
    "PREFERRED_URL_SCHEME and SERVER_NAME": {
        "SERVER_NAME": "shop.example",
        "PREFERRED_URL_SCHEME": "https",
    },
    "SEND_FILE_MAX_AGE_DEFAULT": {"SEND_FILE_MAX_AGE_DEFAULT": 60},
}
for _name, _values in SETTINGS.items():
    CHANGES[f"config {_name}"] = lambda side, _values=_values: side.app.config.update(_values)


@change("JSON keys not sorted")
def _(side: Side) -> None:
    side.app.json.sort_keys = False


@change("JSON compact")
def _(side: Side) -> None:
    side.app.json.compact = False


@change("JSON with other characters as they are")
def _(side: Side) -> None:
    side.app.json.ensure_ascii = False


@change("JSON with another media type")
def _(side: Side) -> None:
    side.app.json.mimetype = "application/vnd.live+json"


@change("JSON provider replaced")
def _(side: Side) -> None:
    class Provider(side.framework.json.provider.JSONProvider):  # type: ignore[name-defined,misc]
        def dumps(self, obj: Any, **kwargs: Any) -> str:
            return "dumped " + json.dumps(obj)

        def loads(self, s: str | bytes, **kwargs: Any) -> Any:
            return ["loaded", json.loads(s)]

    side.app.json = Provider(side.app)


@change("JSON provider's dumps set on the instance")
def _(side: Side) -> None:
    side.app.json.dumps = lambda obj, **kwargs: json.dumps(obj, indent=3)


@change("JSON provider's default")
def _(side: Side) -> None:
    side.app.json.default = lambda obj: type(obj).__name__
    side.app.view_functions["hello"] = lambda: {"who": object()}


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


# -- the comparison -------------------------------------------------------------------------------


def run(framework: ModuleType, name: str) -> tuple[list[Answer], list[Answer]]:
    """The answers before and after a change."""
    with make_side(framework) as side:
        before = send_all(side)
        CHANGES[name](side)
        return before, send_all(side)


def compare(name: str) -> None:
    before, after = run(flask, name)
    our_before, our_after = run(demijohn, name)
    assert before != after, "the change has no effect on Flask"
    for request, theirs, ours in zip(REQUESTS, before, our_before, strict=True):
        assert (request["path"], "before", ours) == (request["path"], "before", theirs)
    for request, theirs, ours in zip(REQUESTS, after, our_after, strict=True):
        assert (request["path"], "after", ours) == (request["path"], "after", theirs)


# A step that drops a response leaves its file open; a host other than SERVER_NAME is warned of.
@pytest.mark.filterwarnings("ignore:unclosed file", "ignore:Current server name", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("name", CHANGES)
def test_change_after_the_first_request_is_seen(name: str) -> None:
    """A change after the first request has the same effects on every later request as in Flask."""
    compare(name)


@pytest.mark.parametrize("signal", SIGNALS)
def test_disconnected_receiver_is_gone(signal: str) -> None:
    """A receiver that is disconnected after the first requests is not called again."""
    side = make_side(demijohn)
    plain_answers = send_all(side)
    seen: list[object] = []

    def receive(sender: Any, **details: Any) -> None:
        seen.append(sender)

    getattr(demijohn, signal).connect(receive, sender=side.app)
    send_all(side)
    assert seen
    getattr(demijohn, signal).disconnect(receive, sender=side.app)
    seen.clear()
    assert send_all(side) == plain_answers
    assert not seen


def test_change_and_back() -> None:
    """An override that is deleted again leaves the application as it was."""
    side = make_side(demijohn)
    before = send_all(side)
    for step in STEPS:
        on_instance(side, step)
    assert send_all(side) != before
    for step in STEPS:
        delattr(side.app, step)
    assert send_all(side) == before


def test_there_are_enough_changes() -> None:
    """At least twenty changes are compared."""
    assert len(CHANGES) >= 20


# -- planted faults: what the cases must find -----------------------------------------------------


def first_overrides(plans: Plans, app: Any) -> Any:
    return plans.overrides


def nothing(*args: Any) -> None: ...


FAULTS: dict[str, tuple[type, str, Any, tuple[str, ...]]] = {
    "class not looked at again": (
        Plans,
        "current",
        first_overrides,
        ("class full_dispatch_request", "class dispatch_request", "the app's class"),
    ),
    "instance not looked at again": (
        Plans,
        "forget",
        nothing,
        ("instance full_dispatch_request", "instance make_response", "instead of dispatch_request"),
    ),
    "index taken for fresh": (
        RouteIndex,
        "fresh",
        lambda self: True,
        ("rule added to the map", "rule that wins over another"),
    ),
    "sessions always opened late": (
        Plans,
        "opens_session_late",
        lambda self, interface: True,
        ("open_session set on the interface's instance",),
    ),
    "functions taken for sync": (
        Plans,
        "is_async",
        lambda self, function: False,
        ("async before hook", "view replaced by an async one"),
    ),
}


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("fault", FAULTS)
def test_planted_fault_is_found(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a plan that keeps what it should ask for again, the cases that name it fail."""
    owner, name, broken, cases = FAULTS[fault]
    monkeypatch.setattr(owner, name, broken)
    for case in cases:
        with pytest.raises(AssertionError):
            compare(case)


@pytest.mark.parametrize(
    ("container", "case"),
    [
        ("before_request_funcs", "before hook added to an empty dict"),
        ("after_request_funcs", "after hook of the app"),
        ("teardown_request_funcs", "teardown_request function"),
        ("teardown_appcontext_funcs", "teardown_appcontext function"),
        ("view_functions", "view replaced"),
        ("url_value_preprocessors", "url value preprocessor"),
        ("error_handler_spec", "error handler for a code"),
        ("config", "config TRUSTED_HOSTS"),
    ],
)
def test_copied_container_is_found(
    container: str, case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a container that is copied at the first request, the case that changes it fails."""
    make = CHANGES[case]

    def change_a_stale_one(side: Side) -> None:
        if side.framework is not demijohn:
            make(side)
            return
        kept = getattr(side.app, container)
        copied = type(kept)(kept) if isinstance(kept, list) else dict(kept)
        setattr(side.app, container, copied)
        make(side)
        setattr(side.app, container, kept)

    monkeypatch.setitem(CHANGES, case, change_a_stale_one)
    if container == "error_handler_spec":
        pytest.skip("its dicts are shared by a copy")
    with pytest.raises(AssertionError):
        compare(case)
