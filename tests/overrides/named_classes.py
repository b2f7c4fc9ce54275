"""Overrides in the classes that an application names: `response_class` and its like."""

from __future__ import annotations

import json
from typing import Any

from werkzeug.datastructures import MultiDict
from werkzeug.exceptions import Aborter, NotFound
from werkzeug.routing import Map, Rule

from .kit import Framework, ask, at, make, point


@point
def response_class(f: Framework) -> Any:
    class Own(f.Response):  # type: ignore[misc,name-defined]
        default_mimetype = "text/own"
        default_status = 202

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.headers["X-Own"] = "own"

    app = make(f, response_class=Own)
    app.after_request(lambda response: response if type(response) is Own else None)
    with app.test_request_context():
        made = f.make_response("x"), f.jsonify(1), f.redirect("/")
    return ask(app), ask(app, "/dict"), ask(app, "/gone"), [type(r) is Own for r in made]


@point
def response_sent_otherwise(f: Framework) -> Any:
    class Own(f.Response):  # type: ignore[misc,name-defined]
        def get_wsgi_headers(self, environ: Any) -> Any:
            headers = super().get_wsgi_headers(environ)
            headers["X-Own"] = f"own {environ['PATH_INFO']}"
            return headers

        def set_cookie(self, key: str, *args: Any, **kwargs: Any) -> None:
            super().set_cookie(f"own_{key}", *args, **kwargs)

    app = make(f, response_class=Own)

    @app.route("/cookie")
    def cookie() -> Any:
        response = f.make_response("x")
        response.set_cookie("name", "value")
        f.session["a"] = 1
        return response

    return ask(app), sorted(ask(app, "/cookie")[1])


@point
def request_class(f: Framework) -> Any:
    class Own(f.Request):  # type: ignore[misc,name-defined]
        parameter_storage_class = MultiDict
        max_content_length = 10

        @property
        def user_id(self) -> str:
            return "own " + self.headers["X-User"]

        def on_json_loading_failed(self, e: ValueError | None) -> Any:
            return "own json"

        @property
        def args(self) -> Any:
            return MultiDict([("own", "1"), *super().args.items()])

    app = make(f, request_class=Own)

    @app.post("/own")
    def own() -> Any:
        r = f.request
        return [r.user_id, r.get_json(force=True), r.args, type(r.form).__name__]

    headers = {"X-User": "u"}
    return (
        ask(app, "/own?a=1", method="POST", data="{", headers=headers),
        ask(app, "/own", method="POST", data="{" * 20, headers=headers)[0],
    )


@point
def request_attributes_replaced(f: Framework) -> Any:
    class Own(f.Request):  # type: ignore[misc,name-defined]
        remote_addr = property(lambda self: "own", lambda self, value: None)

        @property
        def form(self) -> Any:
            return {**super().form, "own": "1"}

        @property
        def url(self) -> str:
            return super().url + "#own"

    app = make(f, request_class=Own)
    app.add_url_rule("/own", "own", lambda: [f.request.path, f.request.remote_addr, f.request.url,
                                             f.request.form], methods=["POST"])  # fmt: skip
    return ask(app, "/own", method="POST", data={"a": "1"})


@point
def json_provider_class(f: Framework) -> Any:
    class Own(at(f, "json.provider").DefaultJSONProvider):  # type: ignore[misc]
        sort_keys = False
        mimetype = "application/own"
        compact = False

        def dumps(self, obj: Any, **kwargs: Any) -> str:
            return "own" + super().dumps(obj, **kwargs)

        def loads(self, s: str | bytes, **kwargs: Any) -> Any:
            return {"own": super().loads(s, **kwargs)}

    app = make(f, json_provider_class=Own)
    app.add_url_rule("/got", "got", lambda: str(f.request.json), methods=["POST"])
    with app.app_context():
        template = f.render_template_string("{{ {'x': 1}|tojson }}")
    answers = ask(app, "/dict"), ask(app, "/got", method="POST", data="1", headers={
        "Content-Type": "application/json"})  # fmt: skip
    return answers, template, app.test_client().get("/dict").text


@point
def json_provider_of_its_own(f: Framework) -> Any:
    class Own(at(f, "json.provider").JSONProvider):  # type: ignore[misc]
        def dumps(self, obj: Any, **kwargs: Any) -> str:
            return json.dumps({"own": obj})

        def loads(self, s: str | bytes, **kwargs: Any) -> Any:
            return json.loads(s)

    return ask(make(f, json_provider_class=Own), "/dict")


@point
def json_provider_instance(f: Framework) -> Any:
    app = make(f)

    class Own(type(app.json)):  # type: ignore[misc]
        default = staticmethod(lambda obj: f"own {type(obj).__name__}")

    app.json = Own(app)
    app.add_url_rule("/set", "set", lambda: {"value": {1}})
    app.json.sort_keys = False
    return ask(app, "/set"), ask(app, "/dict")


@point
def session_interface(f: Framework) -> Any:
    stored: dict[str, Any] = {}

    class Session(dict, at(f, "sessions").SessionMixin):  # type: ignore[misc,type-arg]
        modified = True

    class Own(at(f, "sessions").SessionInterface):  # type: ignore[misc]
        pickle_based = True

        def open_session(self, app: Any, request: Any) -> Any:
            return Session(stored.get(request.headers.get("X-Own", ""), {}))

        def save_session(self, app: Any, session: Any, response: Any) -> None:
            stored["own"] = dict(session)
            response.headers["X-Own"] = "own"

    app = make(f, session_interface=Own())

    @app.route("/count")
    def count() -> Any:
        f.session["n"] = f.session.get("n", 0) + 1
        return str(f.session["n"])

    return [ask(app, "/count", headers={"X-Own": "own"}) for _ in range(3)], stored


@point
def session_interface_parts(f: Framework) -> Any:
    class Session(at(f, "sessions").SecureCookieSession):  # type: ignore[misc]
        @property
        def permanent(self) -> bool:
            return True

    class Own(at(f, "sessions").SecureCookieSessionInterface):  # type: ignore[misc]
        session_class = Session
        salt = "own"
        key_derivation = "django-concat"

        def get_cookie_name(self, app: Any) -> str:
            return "own"

        def get_cookie_path(self, app: Any) -> str:
            return "/own"

        def get_cookie_samesite(self, app: Any) -> str:
            return "Lax"

        def should_set_cookie(self, app: Any, session: Any) -> bool:
            return "never" not in session

    app = make(f, session_interface=Own())

    @app.route("/own/<key>")
    def own(key: str) -> Any:
        f.session[key] = "1"
        return str(sorted(f.session))

    client = app.test_client()
    answers = [client.get(f"/own/{key}") for key in ("a", "b", "never")]
    return [
        (a.text, [c.partition(".")[0].partition("=")[0] + c[c.index(";") :].partition("Expires")[0]
                  for c in a.headers.getlist("Set-Cookie")])
        for a in answers
    ]  # fmt: skip


@point
def session_interface_null(f: Framework) -> Any:
    class Own(at(f, "sessions").SessionInterface):  # type: ignore[misc]
        def open_session(self, app: Any, request: Any) -> Any:
            return None

    app = make(f, session_interface=Own())
    app.add_url_rule("/read", "read", lambda: f"own {f.session.get('x')}")
    app.add_url_rule("/write", "write", lambda: f.session.update(x=1) or "")
    return ask(app, "/read"), ask(app, "/write")[0]


@point
def url_rule_and_map_class(f: Framework) -> Any:
    class OwnRule(Rule):
        def match(self, *args: Any, **kwargs: Any) -> Any:
            return super().match(*args, **kwargs)

        def get_converter(self, name: str, *args: Any, **kwargs: Any) -> Any:
            return super().get_converter(f"own_{name}"[-3:], *args, **kwargs)

    class OwnMap(Map):
        def bind_to_environ(self, environ: Any, *args: Any, **kwargs: Any) -> Any:
            environ["PATH_INFO"] = environ["PATH_INFO"].removeprefix("/own")
            return super().bind_to_environ(environ, *args, **kwargs)

    app = make(f, url_rule_class=OwnRule, url_map_class=OwnMap)
    app.add_url_rule("/n/<int:n>", "n", lambda n: f"own {n!r}")
    return ask(app, "/own/n/5"), ask(app, "/n/x")[0], type(app.url_map).__name__


@point
def converters(f: Framework) -> Any:
    app = make(f)

    class Own(app.url_map.converters["default"]):  # type: ignore[misc]
        regex = "own[0-9]+"

        def to_python(self, value: str) -> int:
            return int(value[3:])

        def to_url(self, value: int) -> str:
            return f"own{value}"

    app.url_map.converters["own"] = Own
    app.add_url_rule("/c/<own:n>", "c", lambda n: f"{n!r} {f.url_for('c', n=n + 1)}")
    return ask(app, "/c/own5"), ask(app, "/c/5")[0]


@point
def config_class(f: Framework) -> Any:
    class Own(f.Config):  # type: ignore[misc,name-defined]
        def __getitem__(self, key: str) -> Any:
            return 1_000_000_000 if key == "own" else super().__getitem__(key)

        def from_mapping(self, *args: Any, **kwargs: Any) -> bool:
            return bool(super().from_mapping({"X": "own"}, *args, **kwargs))

    app = make(f, config_class=Own, default_config={**f.Flask.default_config, "OWN": "own"})
    app.config.from_mapping(Y=1)
    return [app.config[key] for key in ("own", "X", "Y", "OWN")], app.config.root_path


@point
def make_config(f: Framework) -> Any:
    def made(self: Any, instance_relative: bool = False) -> Any:
        config = f.Flask.make_config(self, instance_relative)
        config["OWN"] = f"own {instance_relative}"
        return config

    return make(f, make_config=made).config["OWN"]


@point
def app_ctx_globals_class(f: Framework) -> Any:
    class Own(at(f, "ctx")._AppCtxGlobals):  # type: ignore[misc]
        def __init__(self) -> None:
            self.start = "own"

        @property
        def double(self) -> str:
            return str(self.start) * 2

    app = make(f, app_ctx_globals_class=Own)
    app.add_url_rule("/g", "g", lambda: f"{f.g.double} {'start' in f.g} {f.g!r}")
    with app.app_context():
        outside = type(f.g._get_current_object()) is Own, list(f.g)
    return ask(app, "/g"), outside


@point
def app_ctx_globals_class_plain(f: Framework) -> Any:
    class Own:
        value = "own"

    app = make(f, app_ctx_globals_class=Own)
    app.add_url_rule("/g", "g", lambda: f.g.value)
    return ask(app, "/g")


@point
def aborter(f: Framework) -> Any:
    class Gone(NotFound):
        description = "own"

    class Own(Aborter):
        def __init__(self) -> None:
            super().__init__(extra={404: Gone})

    by_class, by_method = make(f, aborter_class=Own), make(f, make_aborter=lambda self: Own())
    for app in (by_class, by_method):
        app.add_url_rule("/abort", "abort", lambda: f.abort(404))
    return ask(by_class, "/abort"), ask(by_method, "/abort")
