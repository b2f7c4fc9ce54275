"""One application, made with either framework, and a walk through all that it does.

`make_site` takes the classes that the application is made with; `walk` uses every part of it and
returns what was seen. Not here: what is overridden, and what is compared.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from jinja2 import DictLoader
from werkzeug.exceptions import ImATeapot

Framework = Any
"""The module `demijohn` or `flask`."""

#: The classes that a site is made with, by what they are for; each is Flask's by default.
CLASSES: dict[str, Callable[[Framework], type]] = {
    "app": lambda f: f.Flask,
    "blueprint": lambda f: f.Blueprint,
    "request": lambda f: f.Request,
    "response": lambda f: f.Response,
    "config": lambda f: f.Config,
    "session_interface": lambda f: f.sessions.SecureCookieSessionInterface,
    "session": lambda f: f.sessions.SecureCookieSession,
    "json_provider": lambda f: f.json.provider.DefaultJSONProvider,
    "environment": lambda f: f.templating.Environment,
    "loader": lambda f: f.templating.DispatchingJinjaLoader,
    "globals": lambda f: f.ctx._AppCtxGlobals,
    "client": lambda f: __import__(f"{f.__name__}.testing").testing.FlaskClient,
    "runner": lambda f: f.testing.FlaskCliRunner,
    "view": lambda f: f.views.View,
    "method_view": lambda f: f.views.MethodView,
}
TEMPLATES = {"page.html": "{{ value }} {{ url_for('index') }} {{ g.get('x') }}", "part.txt": "<&>"}


def make_site(framework: Framework, root: Path, **overridden: type) -> Any:
    """Make the application; `overridden` are classes of `CLASSES` by their names there."""
    own = {name: overridden.get(name, find(framework)) for name, find in CLASSES.items()}

    class Interface(own["session_interface"]):  # type: ignore[misc,name-defined]
        session_class = own["session"]

    class Site(own["app"]):  # type: ignore[misc,name-defined]
        request_class = own["request"]
        response_class = own["response"]
        config_class = own["config"]
        json_provider_class = own["json_provider"]
        jinja_environment = own["environment"]
        app_ctx_globals_class = own["globals"]
        test_client_class = own["client"]
        test_cli_runner_class = own["runner"]
        session_interface = Interface()

    if "loader" in overridden:
        Site.create_global_jinja_loader = lambda self: own["loader"](self)
    app = Site("site_of_tests", root_path=str(root), instance_path=str(root / "instance"))
    app.secret_key = "secret"
    app.config["SERVER_NAME"] = "localhost"
    app.jinja_loader = DictLoader(TEMPLATES)
    add_views(framework, app, own)
    add_hooks(framework, app)
    return app


def add_views(framework: Framework, app: Any, own: dict[str, type]) -> None:
    request, session = framework.request, framework.session

    @app.route("/")
    def index() -> str:
        framework.g.x = 1
        return "index"

    @app.post("/form")
    def form() -> dict[str, Any]:
        file = request.files.get("file")
        return {"form": request.form, "file": None if file is None else file.read().decode()}

    @app.post("/json")
    def json() -> Any:
        return framework.jsonify(got=request.get_json())

    @app.route("/session")
    def sessions() -> str:
        session["n"] = session.get("n", 0) + 1
        framework.flash("flashed")
        return str(session["n"]) + str(framework.get_flashed_messages())

    @app.route("/page")
    def page() -> str:
        text: str = framework.render_template("page.html", value="<v>")
        return text + framework.render_template_string("{{ value }}", value="<w>")

    @app.route("/stream")
    def stream() -> Any:
        return framework.stream_template("page.html", value="s")

    @app.route("/generated")
    def generated() -> Any:
        @framework.stream_with_context
        def parts() -> Iterator[str]:
            yield request.path

        return parts()

    @app.route("/fail")
    def fail() -> str:
        raise LookupError("failed")

    @app.route("/handled")
    def handled() -> str:
        raise KeyError("handled")

    @app.route("/teapot")
    def teapot() -> str:
        raise ImATeapot

    @app.route("/away")
    def away() -> Any:
        return framework.redirect(framework.url_for("index", _external=True))

    @app.route("/refused")
    def refused() -> Any:
        framework.abort(403)

    @app.route("/tuple")
    def a_tuple() -> Any:
        return framework.make_response(("text", 201, {"X-Own": "1"}))

    @app.route("/none")
    def none() -> Any:
        return None

    @app.route("/file")
    def file() -> Any:
        return framework.send_file(io.BytesIO(b"file"), mimetype="text/plain", max_age=5)

    @app.route("/slash/")
    def slash() -> str:
        return framework.url_for("index", x=1) + framework.url_for("parts.one", name="n")

    @app.route("/unknown-url")
    def unknown_url() -> str:
        url: str = framework.url_for("no.such.endpoint")
        return url

    @app.route("/async")
    async def asynchronous() -> str:
        return "async"

    class Own(own["view"]):  # type: ignore[misc,name-defined]
        def dispatch_request(self, **kwargs: Any) -> str:
            return "view"

    class Methods(own["method_view"]):  # type: ignore[misc,name-defined]
        def get(self) -> str:
            return "get"

        def put(self) -> str:
            return "put"

    app.add_url_rule("/view", view_func=Own.as_view("view"))
    app.add_url_rule("/methods", view_func=Methods.as_view("methods"))
    blueprint = own["blueprint"]("parts", "site_of_tests", root_path=app.root_path,
                                 static_folder="static", static_url_path="/files",
                                 template_folder="templates")  # fmt: skip
    blueprint.add_url_rule("/parts/<name>", "one", lambda name: name)
    blueprint.errorhandler(409)(lambda error: ("conflict", 409))
    app.register_blueprint(blueprint)
    app.cli.command("say")(lambda: print("said", framework.current_app.name))


def add_hooks(framework: Framework, app: Any) -> None:
    app.errorhandler(KeyError)(lambda error: ("handled", 500))
    app.errorhandler(404)(lambda error: ("nothing here", 404))
    app.before_request(lambda: None)
    app.after_request(lambda response: response)
    app.teardown_request(lambda error: None)
    app.teardown_appcontext(lambda error: None)
    app.context_processor(lambda: {"processed": 1})
    app.url_defaults(lambda endpoint, values: None)
    app.url_value_preprocessor(lambda endpoint, values: None)
    app.template_filter("own")(str)


PATHS = (
    "/ /page /stream /generated /fail /handled /teapot /away /refused /tuple /none /file /slash"
    " /slash/ /unknown-url /async /view /methods /parts/n /files/x.txt /static/x.txt /static/none"
    " /gone"
)
STEPS: dict[str, Callable[[Any, Any], Any]] = {
    **{path: lambda app, client, path=path: client.get(path) for path in PATHS.split()},
    "HEAD": lambda app, client: client.head("/"),
    "OPTIONS": lambda app, client: client.options("/methods"),
    "405": lambda app, client: client.post("/"),
    "PUT": lambda app, client: client.put("/methods"),
    "form": lambda app, client: client.post("/form", data={"a": ["1", "2"]}),
    "upload": lambda app, client: client.post(
        "/form", data={"file": (io.BytesIO(b"content"), "f.txt")}
    ),
    "json": lambda app, client: client.post("/json", json={"b": 1}),
    "bad json": lambda app, client: client.post("/json", data="{", content_type="application/json"),
    "no json": lambda app, client: client.post("/json", data="{}"),
    "session": lambda app, client: client.get("/session"),
    "session again": lambda app, client: client.get("/session"),
    "redirect followed": lambda app, client: client.get("/away", follow_redirects=True),
}


def walk(framework: Framework, app: Any, tell: Callable[[str], None] = lambda step: None) -> Any:
    """Do everything once; returns what was seen, by step. `tell` is called before each step."""
    app.config["PROPAGATE_EXCEPTIONS"] = False
    app.logger.disabled = True
    seen: dict[str, Any] = {}
    client = app.test_client()
    for step, do in STEPS.items():
        tell(step)
        seen[step] = shown(do(app, client))
    tell("with client")
    with client:
        seen["with client"] = shown(client.get("/session")), sorted(framework.session)
    tell("session_transaction")
    with client.session_transaction() as session:
        session["n"] = 10
    seen["session_transaction"] = shown(client.get("/session"))
    tell("contexts")
    with app.app_context():
        framework.g.y = 1
        seen["contexts"] = (
            framework.url_for("static", filename="x.txt", _external=True),
            list(framework.g),
        )
    with app.test_request_context("/page?a=1", json={"c": 2}):
        read = framework.request.args, framework.request.get_json()
        seen["by hand"] = read, app.preprocess_request(), shown(app.full_dispatch_request())
    tell("files")
    for name in ("open_resource", "open_instance_resource"):
        try:
            with getattr(app, name)("x.txt") as file:
                seen[name] = file.read()
        except OSError as error:
            seen[name] = type(error).__name__
    tell("command")
    result = app.test_cli_runner().invoke(args=["say"])
    seen["command"] = result.exit_code, result.output
    seen["shell"] = sorted(app.make_shell_context())
    return seen


def shown(response: Any) -> Any:
    """What a client sees of a response: status, headers, body."""
    with response:
        headers = sorted((name, _stable(name, value)) for name, value in response.headers)
        return response.status, headers, response.get_data()


def _stable(name: str, value: str) -> str:
    """A header without what depends on the time of the run."""
    if name == "Allow":
        return ", ".join(sorted(value.split(", ")))
    if name == "Set-Cookie":
        return value.partition("=")[0] + "; " + "; ".join(sorted(value.split("; ")[1:]))
    return "" if name in {"Date", "Expires", "Last-Modified", "ETag"} else value
