"""The application of `test_live`, the requests sent to it, and the table of changes.

Not a test file. The changes themselves are in `live_containers` and `live_steps`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from werkzeug.routing import Rule
from werkzeug.test import Client

HERE = Path(__file__).parent
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
