"""Overrides of contexts, clients, commands, files, blueprints and views."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import click

from .kit import Framework, ask, at, make, point


@point
def contexts(f: Framework) -> Any:
    log: list[str] = []
    ctx = at(f, "ctx")

    class OwnRequest(ctx.RequestContext):  # type: ignore[misc,name-defined]
        def match_request(self) -> None:
            log.append("own match")
            super().match_request()

        def push(self) -> None:
            log.append("own push of a request")
            super().push()

        def pop(self, *args: Any) -> None:
            super().pop(*args)
            log.append("own pop of a request")

    class OwnApp(ctx.AppContext):  # type: ignore[misc,name-defined]
        def push(self) -> None:
            log.append("own push")
            super().push()

        def pop(self, *args: Any) -> None:
            super().pop(*args)
            log.append("own pop")

    app = make(f, request_context=lambda self, environ: OwnRequest(self, environ))
    names = at(f, "globals")
    with OwnApp(app):
        log.append(type(names.app_ctx._get_current_object()).__name__)
    with app.test_request_context("/"):
        log.append(type(names.request_ctx._get_current_object()).__name__)
    by_hand = OwnApp(app)
    by_hand.push()
    by_hand.pop()
    return log


@point
def contexts_at_an_edge(f: Framework) -> Any:
    log: list[str] = []
    ctx = at(f, "ctx")

    class OwnRequest(ctx.RequestContext):  # type: ignore[misc,name-defined]
        def match_request(self) -> None:
            log.append("own match")
            super().match_request()

    class OwnApp(ctx.AppContext):  # type: ignore[misc,name-defined]
        pass

    app = make(
        f,
        request_context=lambda self, environ: OwnRequest(self, environ),
        app_context=lambda self: OwnApp(self),
    )
    names = at(f, "globals")
    proxies = names.app_ctx, names.request_ctx
    app.add_url_rule(
        "/ctx", "ctx", lambda: [type(p._get_current_object()).__name__ for p in proxies]
    )
    return ask(app, "/ctx"), log


@point
def wsgi_app(f: Framework) -> Any:
    def served(self: Any, environ: Any, start_response: Any) -> Any:
        environ["HTTP_X_OWN"] = "own"
        return f.Flask.wsgi_app(self, environ, start_response)

    app = make(f, wsgi_app=served)
    app.add_url_rule("/own", "own", lambda: f.request.headers["X-Own"])
    return ask(app, "/own")


@point
def wsgi_app_wrapped(f: Framework) -> Any:
    app = make(f)

    class Middleware:
        def __init__(self, inner: Any) -> None:
            self.inner = inner

        def __call__(self, environ: Any, start_response: Any) -> Iterator[bytes]:
            def started(status: str, headers: Any, *args: Any) -> Any:
                return start_response(status, [*headers, ("X-Own", "own")], *args)

            result: Iterator[bytes] = self.inner(environ, started)
            return result

    app.wsgi_app = Middleware(app.wsgi_app)
    return ask(app), ask(app, "/fail")


@point
def test_client_class(f: Framework) -> Any:
    class Own(at(f, "testing").FlaskClient):  # type: ignore[misc]
        def __init__(self, *args: Any, token: str = "", **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.environ_base["HTTP_X_TOKEN"] = token

        def open(self, *args: Any, **kwargs: Any) -> Any:
            headers = dict(kwargs.pop("headers", None) or {})
            response = super().open(*args, headers={**headers, "X-More": "own"}, **kwargs)
            response.headers["X-Seen"] = "own"
            return response

    app = make(f, test_client_class=Own)
    names = ("X-Token", "X-More")
    app.add_url_rule("/seen", "seen", lambda: [f.request.headers.get(name) for name in names])
    client = app.test_client(token="own")
    answers = client.get("/seen"), client.post("/"), client.get("/seen", follow_redirects=True)
    return [(a.text, a.headers["X-Seen"]) for a in answers]


@point
def test_cli_runner_class(f: Framework) -> Any:
    class Own(at(f, "testing").FlaskCliRunner):  # type: ignore[misc]
        def invoke(self, *args: Any, **kwargs: Any) -> Any:
            result = super().invoke(*args, **kwargs)
            return f"own {result.exit_code} {result.output}"

    app = make(f, test_cli_runner_class=Own)
    app.cli.command("say")(lambda: click.echo(f.current_app.name))
    return app.test_cli_runner().invoke(args=["say"]), app.test_cli_runner(env={"A": "1"}).env


@point
def environ_builder(f: Framework) -> Any:
    class Own(at(f, "testing").EnvironBuilder):  # type: ignore[misc]
        def json_dumps(self, obj: Any, **kwargs: Any) -> str:
            return "own" + str(super().json_dumps(obj, **kwargs))

        def get_environ(self) -> Any:
            return {**super().get_environ(), "own": "own"}

    app = make(f)
    app.config.update(SERVER_NAME="own.example:81", APPLICATION_ROOT="/root",
                      PREFERRED_URL_SCHEME="https")  # fmt: skip
    shown = []
    for kwargs in ({"json": {"a": 1}}, {"path": "/x?y=1", "subdomain": "sub"},
                   {"path": "http://other/z", "url_scheme": "http"},
                   {"base_url": "http://base/b", "query_string": {"q": "1"}}):  # fmt: skip
        builder = Own(app, **kwargs)
        environ = builder.get_environ()
        shown.append([environ.get(key) for key in ("own", "HTTP_HOST", "SCRIPT_NAME", "PATH_INFO",
                                                   "QUERY_STRING", "wsgi.url_scheme")])  # fmt: skip
        shown.append(environ["wsgi.input"].read())
        builder.close()
    for wrong in ({"base_url": "http://b", "subdomain": "s"}, {"base_url": "http://b",
                                                               "url_scheme": "s"}):  # fmt: skip
        try:
            Own(app, **wrong)
        except AssertionError as error:
            shown.append(str(error))
    return shown


@point
def make_shell_context(f: Framework) -> Any:
    def made(self: Any) -> Any:
        return {**f.Flask.make_shell_context(self), "own": "own"}

    return sorted(make(f, make_shell_context=made).make_shell_context())


@point
def script_info(f: Framework) -> Any:
    class Own(at(f, "cli").ScriptInfo):  # type: ignore[misc]
        def load_app(self) -> Any:
            app = super().load_app()
            app.config["OWN"] = "own"
            return app

    app = make(f)
    app.cli.command("say")(
        at(f, "cli").with_appcontext(lambda: click.echo(f.current_app.config["OWN"]))
    )
    result = app.test_cli_runner().invoke(args=["say"], obj=Own(create_app=lambda: app))
    return result.exit_code, result.output, repr(result.exception)


@point
def files(f: Framework) -> Any:
    app = make(
        f,
        get_send_file_max_age=lambda self, name: 77 if name and name.endswith("x.txt") else None,
        send_static_file=lambda self, name: f"own {name}",
        auto_find_instance_path=lambda self: "/own/instance",
        open_resource=lambda self, name, *args: io.BytesIO(b"own"),
    )
    app.add_url_rule("/send", "send", lambda: f.send_file(__file__, download_name="x.txt"))
    app.add_url_rule("/sent", "sent", lambda: f.send_file(__file__))
    answers = [ask(app, path)[1].get("Cache-Control") for path in ("/send", "/sent")]
    return answers, ask(app, "/static/s"), app.instance_path, app.open_resource("r").read()


@point
def static_folder(f: Framework) -> Any:
    app = make(f, has_static_folder=property(lambda self: False))
    return ask(app, "/static/x")[0], [rule.rule for rule in app.url_map.iter_rules()], "own"


@point
def names(f: Framework) -> Any:
    app = make(
        f,
        name=property(lambda self: "own." + super(type(self), self).name),
        logger=property(lambda self: super(type(self), self).logger.getChild("own")),
    )
    return app.name, app.logger.name, app.cli.name, repr(app)


@point
def propagation(f: Framework) -> Any:
    app = make(f, testing=True, debug=property(lambda self: False, lambda self, value: None))
    try:
        ask(app, "/fail")
    except LookupError as error:
        return "own", str(error), app.config["TESTING"], app.debug


@point
def blueprint(f: Framework) -> Any:
    class State(at(f, "blueprints").BlueprintSetupState):  # type: ignore[misc]
        def add_url_rule(self, rule: str, *args: Any, **kwargs: Any) -> None:
            super().add_url_rule(f"/own{rule}", *args, **kwargs)

    class Own(f.Blueprint):  # type: ignore[misc,name-defined]
        def make_setup_state(self, app: Any, options: Any, first_registration: bool = False) -> Any:
            return State(self, app, options, first_registration)

        def register(self, app: Any, options: dict[str, Any]) -> None:
            super().register(app, {**options, "url_prefix": "/prefix"})

        def get_send_file_max_age(self, filename: str | None) -> int | None:
            return 55

        def send_static_file(self, filename: str) -> Any:
            return f"own {filename} {self.get_send_file_max_age(filename)}"

    app = make(f)
    b = Own("b", "site_of_points", root_path="/nowhere", static_folder="s", static_url_path="/s")
    b.add_url_rule("/v", "v", lambda: f.url_for(".v"))
    app.register_blueprint(b)
    rules = sorted(rule.rule for rule in app.url_map.iter_rules())
    return rules, [ask(app, path) for path in rules if "<" not in path], ask(app, "/prefix/s/own")


@point
def views(f: Framework) -> Any:
    log: list[str] = []

    class Own(at(f, "views").View):  # type: ignore[misc]
        methods = ["GET", "OWN"]
        init_every_request = False
        provide_automatic_options = False
        decorators = [lambda view: lambda **kwargs: "own " + view(**kwargs)]

        def __init__(self, word: str) -> None:
            log.append(word)
            self.word = word

        def dispatch_request(self, **kwargs: Any) -> str:
            return f"{self.word} {kwargs} {f.request.method}"

    class Methods(at(f, "views").MethodView):  # type: ignore[misc]
        def dispatch_request(self, **kwargs: Any) -> Any:
            return "own " + super().dispatch_request(**kwargs)

        def get(self, n: int) -> str:
            return f"get {n}"

        def own(self, n: int) -> str:
            return f"own {n}"

    app = make(f)
    app.add_url_rule("/v/<a>", view_func=Own.as_view("v", "word"))
    app.add_url_rule("/m/<int:n>", view_func=Methods.as_view("m"))
    asked = [
        ask(app, path, method=method)
        for path in ("/v/1", "/m/1")
        for method in ("GET", "HEAD", "OWN", "POST", "OPTIONS")
    ]
    for answer in asked:
        answer[1].pop("Allow", None)
    return asked, log, sorted(Methods.methods or ())
