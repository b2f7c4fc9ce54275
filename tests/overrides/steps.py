"""Overrides of what an application does in a request, templates included."""

from __future__ import annotations

from typing import Any

from jinja2 import BaseLoader, DictLoader
from werkzeug.exceptions import HTTPException, NotFound

from .kit import Framework, ask, at, make, point


@point
def jinja_environment(f: Framework) -> Any:
    class Own(at(f, "templating").Environment):  # type: ignore[misc]
        def join_path(self, template: str, parent: str) -> str:
            return f"{parent}/{template}"

    options = {"trim_blocks": True, "block_start_string": "[%", "block_end_string": "%]"}
    app = make(f, jinja_environment=Own, jinja_options=options)
    app.jinja_loader = DictLoader({"a": "[% include 'b' %]\n.", "a/b": "own <{{ '<' }}>"})
    with app.app_context():
        return f.render_template("a")


@point
def create_jinja_environment(f: Framework) -> Any:
    def made(self: Any) -> Any:
        environment = f.Flask.create_jinja_environment(self)
        environment.globals["own"] = "own"
        environment.filters["twice"] = lambda value: value * 2
        return environment

    app = make(f, create_jinja_environment=made)
    with app.test_request_context():
        return f.render_template_string("{{ own|twice }} {{ request.path }}")


@point
def select_jinja_autoescape(f: Framework) -> Any:
    app = make(f, select_jinja_autoescape=lambda self, name: name == "own.txt")
    app.jinja_loader = DictLoader({"own.txt": "own {{ '<' }}", "x.html": "{{ '<' }}"})
    with app.app_context():
        return [f.render_template(name) for name in ("own.txt", "x.html")], (
            f.render_template_string("{{ '<' }}")
        )


@point
def create_global_jinja_loader(f: Framework) -> Any:
    class Own(at(f, "templating").DispatchingJinjaLoader):  # type: ignore[misc]
        def get_source(self, environment: Any, template: str) -> Any:
            if template == "own":
                return "own {{ 1 + 1 }}", None, None
            return super().get_source(environment, template)

        def list_templates(self) -> list[str]:
            return ["own", *super().list_templates()]

    app = make(f, create_global_jinja_loader=lambda self: Own(self))
    app.jinja_loader = DictLoader({"other": "other"})
    with app.app_context():
        return f.render_template("own"), f.render_template("other"), app.jinja_env.list_templates()


@point
def jinja_loader(f: Framework) -> Any:
    class Own(BaseLoader):
        def get_source(self, environment: Any, template: str) -> Any:
            return f"own {template}", None, None

    app = make(f, jinja_loader=property(lambda self: Own()))
    with app.app_context():
        return f.render_template("x.html")


@point
def update_template_context(f: Framework) -> Any:
    def updated(self: Any, context: dict[str, Any]) -> None:
        f.Flask.update_template_context(self, context)
        context["own"] = "own"

    app = make(f, update_template_context=updated)
    with app.app_context():
        return f.render_template_string("{{ own }}"), list(f.stream_template_string("{{ own }}"))


@point
def dispatch_request(f: Framework) -> Any:
    def dispatched(self: Any) -> Any:
        return "own " + f.Flask.dispatch_request(self)

    return ask(make(f, dispatch_request=dispatched))


@point
def full_dispatch_request(f: Framework) -> Any:
    def dispatched(self: Any) -> Any:
        response = f.Flask.full_dispatch_request(self)
        response.headers["X-Own"] = "own"
        return response

    app = make(f, full_dispatch_request=dispatched)
    return ask(app), ask(app, "/gone"), ask(app, "/fail")


@point
def preprocess_request(f: Framework) -> Any:
    return ask(make(f, preprocess_request=lambda self: "own"), "/fail")


@point
def make_response(f: Framework) -> Any:
    def made(self: Any, rv: Any) -> Any:
        return f.Flask.make_response(self, ("own", 203) if rv == "index" else rv)

    app = make(f, make_response=made)
    return ask(app), ask(app, "/dict")


@point
def process_response(f: Framework) -> Any:
    def processed(self: Any, response: Any) -> Any:
        response.headers["X-Own"] = "own"
        return f.Flask.process_response(self, response)

    app = make(f, process_response=processed)
    app.after_request(lambda response: (response.headers.add("X-After", "1"), response)[1])
    return ask(app), ask(app, "/fail")


@point
def finalize_request(f: Framework) -> Any:
    def finalized(self: Any, rv: Any, from_error_handler: bool = False) -> Any:
        response = f.Flask.finalize_request(self, rv, from_error_handler)
        response.headers["X-Own"] = f"own {from_error_handler}"
        return response

    app = make(f, finalize_request=finalized)
    return ask(app), ask(app, "/fail"), ask(app, "/gone")


@point
def handlers_of_errors(f: Framework) -> Any:
    def http(self: Any, error: HTTPException) -> Any:
        return (f"own http {error.code}", error.code)

    def user(self: Any, error: Exception) -> Any:
        if isinstance(error, LookupError):
            return "own user"
        return f.Flask.handle_user_exception(self, error)

    app = make(f, handle_http_exception=http, handle_user_exception=user)
    return ask(app, "/gone"), ask(app, "/fail"), ask(app, method="DELETE")


@point
def handle_exception(f: Framework) -> Any:
    app = make(f, handle_exception=lambda self, error: self.make_response((f"own {error}", 599)))
    return ask(app, "/fail")


@point
def log_exception(f: Framework) -> Any:
    logged: list[Any] = []

    def log(self: Any, exc_info: Any) -> None:
        logged.append(("own", exc_info[0].__name__, str(exc_info[1]), exc_info[2] is not None))

    return ask(make(f, log_exception=log), "/fail"), logged


@point
def raise_routing_exception(f: Framework) -> Any:
    def raised(self: Any, request: Any) -> Any:
        raise NotFound(f"own {request.routing_exception.code}")

    app = make(f, raise_routing_exception=raised)
    return ask(app, "/gone"), ask(app, method="DELETE")


@point
def trap_http_exception(f: Framework) -> Any:
    app = make(f, trap_http_exception=lambda self, error: True)
    app.errorhandler(NotFound)(lambda error: ("own", 404))
    return ask(app, "/gone"), ask(app, method="DELETE")[0]


@point
def should_ignore_error(f: Framework) -> Any:
    seen: list[Any] = ["own"]
    app = make(f, should_ignore_error=lambda self, error: isinstance(error, LookupError))
    app.testing = True
    app.teardown_request(lambda error: seen.append(repr(error)))
    app.teardown_appcontext(lambda error: seen.append(repr(error)))
    try:
        ask(app, "/fail")
    except LookupError as error:
        seen.append(f"raised {error}")
    return seen


@point
def find_error_handler(f: Framework) -> Any:
    def found(self: Any, error: Exception, blueprints: list[str]) -> Any:
        return lambda e: (f"own {type(e).__name__} {blueprints}", 598)

    app = make(f, _find_error_handler=found)
    return ask(app, "/gone"), ask(app, "/fail")


@point
def do_teardown(f: Framework) -> Any:
    log: list[str] = []

    def request(self: Any, *args: Any) -> None:
        log.append("own request")
        f.Flask.do_teardown_request(self, *args)

    def app_context(self: Any, *args: Any) -> None:
        log.append("own app")
        f.Flask.do_teardown_appcontext(self, *args)

    app = make(f, do_teardown_request=request, do_teardown_appcontext=app_context)
    app.teardown_request(lambda error: log.append("request"))
    app.teardown_appcontext(lambda error: log.append("app"))
    return ask(app)[0], log


@point
def make_default_options_response(f: Framework) -> Any:
    def made(self: Any) -> Any:
        response = f.Flask.make_default_options_response(self)
        response.headers["X-Own"] = "own " + str(len(response.allow))
        del response.headers["Allow"]
        return response

    return ask(make(f, make_default_options_response=made), method="OPTIONS")


@point
def create_url_adapter(f: Framework) -> Any:
    def created(self: Any, request: Any) -> Any:
        if request is not None:
            return self.url_map.bind("own.example", path_info="/dict")
        return self.url_map.bind("own.outside")

    app = make(f, create_url_adapter=created)
    with app.app_context():
        outside = f.url_for("index", _external=True)
    return ask(app, "/anything"), outside


@point
def url_building(f: Framework) -> Any:
    def built(self: Any, endpoint: str, **values: Any) -> str:
        return "/own" + str(f.Flask.url_for(self, endpoint, **values))

    def defaults(self: Any, endpoint: str, values: dict[str, Any]) -> None:
        values["own"] = endpoint

    def error(self: Any, error: Exception, endpoint: str, values: dict[str, Any]) -> str:
        return f"own error {endpoint}"

    app = make(f, url_for=built, inject_url_defaults=defaults, handle_url_build_error=error)
    with app.test_request_context():
        template = f.render_template_string("{{ url_for('a_dict') }}")
        return f.url_for("index"), f.url_for("none.such"), template


@point
def redirect(f: Framework) -> Any:
    def redirected(self: Any, location: str, code: int = 302) -> Any:
        return f.Flask.redirect(self, f"/own{location}", 303)

    app = make(f, redirect=redirected)
    app.add_url_rule("/away", "away", lambda: f.redirect("/x"))
    return ask(app, "/away")


@point
def ensure_sync(f: Framework) -> Any:
    log: list[str] = []

    def ensured(self: Any, func: Any) -> Any:
        log.append(f"own {getattr(func, '__name__', '?')}")
        return f.Flask.ensure_sync(self, func)

    def driven(self: Any, func: Any) -> Any:
        def run(*args: Any, **kwargs: Any) -> Any:
            coroutine = func(*args, **kwargs)
            try:
                coroutine.send(None)
            except StopIteration as stop:
                return f"own {stop.value}"

        return run

    app = make(f, ensure_sync=ensured, async_to_sync=driven)

    @app.route("/async")
    async def asynchronous() -> str:
        return "async"

    @app.before_request
    def before() -> None:
        log.append("before")

    return ask(app, "/async"), log
