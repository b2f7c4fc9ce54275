"""What is assigned on an application or blueprint itself, before and after its first request."""

from __future__ import annotations

import logging
from typing import Any

from jinja2 import DictLoader
from werkzeug.exceptions import Aborter, NotFound
from werkzeug.routing import Map, Rule
from werkzeug.test import EnvironBuilder

from .kit import Framework, ask, at, make, point


def both_times(f: Framework, assign: Any, path: str = "/", **kwargs: Any) -> list[Any]:
    """The answers where `assign(app)` comes before, and where it comes after the first request."""
    early, late = make(f), make(f)
    first = ask(late)
    for app in (early, late):
        assign(app)
    return [first, ask(early, path, **kwargs), ask(late, path, **kwargs)]


@point
def assigned_response_class(f: Framework) -> Any:
    class Own(f.Response):  # type: ignore[misc,name-defined]
        default_mimetype = "text/own"

    def assign(app: Any) -> None:
        app.response_class = Own

    return both_times(f, assign), both_times(f, assign, "/dict"), both_times(f, assign, "/fail")


@point
def assigned_request_class(f: Framework) -> Any:
    class Own(f.Request):  # type: ignore[misc,name-defined]
        @property
        def method(self) -> str:
            return "OWN"

        @method.setter
        def method(self, value: str) -> None:
            self.sent = value

    def assign(app: Any) -> None:
        app.request_class = Own
        app.view_functions["index"] = lambda: f"own {f.request.method} {f.request.sent}"

    return both_times(f, assign), both_times(f, assign, method="POST")


@point
def assigned_session_interface(f: Framework) -> Any:
    class Own(at(f, "sessions").SessionInterface):  # type: ignore[misc]
        def open_session(self, app: Any, request: Any) -> Any:
            return at(f, "sessions").SecureCookieSession({"a": "own"})

        def save_session(self, app: Any, session: Any, response: Any) -> None:
            response.headers["X-Own"] = str(dict(session))

    def assign(app: Any) -> None:
        app.session_interface = Own()
        app.view_functions["index"] = lambda: str(f.session)

    return both_times(f, assign)


@point
def assigned_json_and_aborter(f: Framework) -> Any:
    class Own(at(f, "json.provider").DefaultJSONProvider):  # type: ignore[misc]
        def dumps(self, obj: Any, **kwargs: Any) -> str:
            return f"own {sorted(obj)}"

    class OwnAborter(Aborter):
        def __call__(self, code: Any, *args: Any, **kwargs: Any) -> Any:
            raise NotFound(f"own {code}")

    def assign(app: Any) -> None:
        app.json = Own(app)
        app.aborter = OwnAborter()
        app.view_functions["index"] = lambda: f.abort(418)

    return both_times(f, assign), both_times(f, assign, "/dict")


@point
def assigned_globals_class(f: Framework) -> Any:
    class Own:
        def __init__(self) -> None:
            self.word = "own"

    def assign(app: Any) -> None:
        app.app_ctx_globals_class = Own
        app.view_functions["index"] = lambda: f.g.word

    return both_times(f, assign)


@point
def assigned_url_map(f: Framework) -> Any:
    def assign(app: Any) -> None:
        app.url_map = Map([Rule("/own", endpoint="index", methods=["GET"])])

    return "own", both_times(f, assign, "/own"), both_times(f, assign, "/dict")


@point
def assigned_templates(f: Framework) -> Any:
    def assign(app: Any) -> None:
        app.jinja_loader = DictLoader({"t": "own {{ 1 }}"})
        app.jinja_options = {"variable_start_string": "[[", "variable_end_string": "]]"}
        app.view_functions["index"] = lambda: f.render_template("t")

    return both_times(f, assign)


@point
def assigned_environment(f: Framework) -> Any:
    def assign(app: Any) -> None:
        environment = at(f, "templating").Environment(app, loader=DictLoader({"t": "own {{ x }}"}))
        environment.globals["x"] = "x"
        app.jinja_env = environment
        app.view_functions["index"] = lambda: f.render_template("t")

    return both_times(f, assign)


@point
def assigned_view(f: Framework) -> Any:
    def assign(app: Any) -> None:
        app.view_functions["index"] = lambda: "own"
        app.before_request_funcs.setdefault(None, []).append(lambda: None)
        app.after_request_funcs[None] = [lambda response: (response.headers.add("X-Own", "own"),
                                                           response)[1]]  # fmt: skip
        app.error_handler_spec[None][404][NotFound] = lambda error: ("own 404", 404)
        app.error_handler_spec[None][None] = {LookupError: lambda error: "own error"}

    return [both_times(f, assign, path) for path in ("/", "/gone", "/fail")]


@point
def assigned_config(f: Framework) -> Any:
    def assign(app: Any) -> None:
        app.config = f.Config("/nowhere", {**app.config, "OWN": "own", "TESTING": True})
        app.view_functions["index"] = lambda: f"{f.current_app.config['OWN']} {app.testing}"

    return both_times(f, assign)


@point
def assigned_logger(f: Framework) -> Any:
    records: list[Any] = []

    class Own(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            records.append((record.name, record.getMessage()))

    def assign(app: Any) -> None:
        app.logger = logging.Logger("own")
        app.logger.addHandler(Own())

    return both_times(f, assign, "/fail"), records


@point
def assigned_test_classes(f: Framework) -> Any:
    class OwnClient(at(f, "testing").FlaskClient):  # type: ignore[misc]
        def get(self, *args: Any, **kwargs: Any) -> Any:
            return "own client"

    class OwnRunner(at(f, "testing").FlaskCliRunner):  # type: ignore[misc]
        def invoke(self, *args: Any, **kwargs: Any) -> Any:
            return "own runner"

    app = make(f)
    app.test_client_class, app.test_cli_runner_class = OwnClient, OwnRunner
    return app.test_client().get("/"), app.test_cli_runner().invoke()


@point
def assigned_names_and_folders(f: Framework) -> Any:
    shown = []
    for owner in (make(f), f.Blueprint("b", "site_of_points", root_path="/nowhere")):
        owner.name = "own"
        owner.import_name = "own.import"
        owner.root_path = "/own"
        owner.static_folder = "files/"
        owner.template_folder = "pages"
        shown.append([owner.static_folder, owner.static_url_path, owner.has_static_folder,
                      owner.jinja_loader.searchpath, repr(owner).partition(".")[2]])  # fmt: skip
        owner.static_url_path = "/own/"
        owner.static_folder = None
        shown.append([owner.static_url_path, owner.static_folder, owner.has_static_folder])
    return shown


@point
def assigned_rule_class(f: Framework) -> Any:
    class Own(Rule):
        def __init__(self, string: str, **options: Any) -> None:
            super().__init__(f"/own{string}", **options)

    app = make(f)
    app.url_rule_class = Own
    app.add_url_rule("/late", "late", lambda: f.request.url_rule.rule)
    return ask(app, "/own/late"), ask(app)[0]


@point
def assigned_wsgi_app(f: Framework) -> Any:
    def assign(app: Any) -> None:
        inner = app.wsgi_app

        def outer(environ: Any, start_response: Any) -> Any:
            environ["SCRIPT_NAME"] = "/own"
            return inner(environ, start_response)

        app.wsgi_app = outer
        app.view_functions["index"] = lambda: f.request.script_root + f.url_for("index")

    return both_times(f, assign)


@point
def called_with_an_environ(f: Framework) -> Any:
    app = make(f)
    environ = EnvironBuilder("/dict?own=1").get_environ()
    with app.request_context(environ) as ctx:
        f.g.own = "own"
        response = app.full_dispatch_request()
        return response.get_data(), f.request.args, ctx.request.endpoint, list(f.g)
