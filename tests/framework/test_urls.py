"""Building URLs and binding the URL map: the same answers as Flask, from contexts passed in."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import flask
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from registration_app import FLASK, OURS, Kit, outcome, view
from werkzeug.exceptions import SecurityError
from werkzeug.routing import BuildError, MapAdapter
from werkzeug.test import EnvironBuilder

from demijohn.framework import urls


@dataclass
class Matched:
    """What URL building needs of a request."""

    blueprint: str | None


@dataclass
class Unit:
    """A context."""

    url_adapter: MapAdapter | None
    request: Matched


def site(kit: Kit, **options: Any) -> Any:
    """An app with a few rules, defaults and nested blueprints."""
    app = kit.app(**options)
    app.add_url_rule("/", "index", view())
    app.add_url_rule("/post", "post", view(), methods=["POST"])
    app.add_url_rule("/user/<name>", "user", view())
    app.add_url_rule("/n/<int:n>/", "number", view())
    app.add_url_rule("/page/", "page", view(), defaults={"page": 1})
    app.add_url_rule("/page/<int:page>", "page")
    app.add_url_rule("/sub", "sub", view(), subdomain="s")
    inner = kit.bp("inner", url_prefix="/inner")
    inner.add_url_rule("/<lang>/leaf", "leaf", view())
    outer = kit.bp("outer", url_prefix="/outer")
    outer.add_url_rule("/", "index", view())
    outer.register_blueprint(inner)
    for level, scaffold in (("app", app), ("outer", outer), ("inner", inner)):
        scaffold.url_defaults(trace(level))
    app.register_blueprint(outer)
    return app


def trace(level: str) -> Any:
    """A URL default that shows which functions ran, and in which order."""

    def add(endpoint: str, values: dict[str, Any]) -> None:
        values.setdefault("trace", []).append(level)
        if level == "inner":
            values.setdefault("lang", "de")

    return add


def build(app: Any, path: str | None, endpoint: str, values: dict[str, Any], **request: Any) -> str:
    """`url_for` within a request for `path`, or with `None` in an app context, on either side."""
    if isinstance(app, flask.Flask):
        with app.app_context() if path is None else app.test_request_context(path, **request):
            return app.url_for(endpoint, **values)
    if path is None:
        return urls.url_for(
            app, None, Unit(app.create_url_adapter(None), Matched(None)), endpoint, **values
        )
    builder = EnvironBuilder(path, base_url=request.get("base_url"))
    adapter = app.create_url_adapter(builder.get_request())
    assert adapter is not None
    matched, _ = adapter.match(method="GET")
    unit = Unit(adapter, Matched(matched.rpartition(".")[0] or None))
    return urls.url_for(app, unit, None, endpoint, **values)


ENDPOINTS: list[tuple[str, dict[str, Any]]] = [
    ("index", {}),
    ("index", {"q": "ä b", "r": ["1", "2"], "none": None}),
    ("post", {}),
    ("post", {"_method": "GET"}),
    ("user", {"name": "j/d ß"}),
    ("user", {}),
    ("number", {"n": 3}),
    ("number", {"n": "x"}),
    ("page", {}),
    ("page", {"page": 1}),
    ("page", {"page": 2}),
    ("sub", {}),
    ("outer.index", {}),
    ("outer.inner.leaf", {}),
    ("outer.inner.leaf", {"lang": "en"}),
    (".index", {}),
    (".leaf", {}),
    (".inner.leaf", {}),
    ("..index", {}),
    (".", {}),
    ("", {}),
    ("missing", {"a": 1}),
    ("missing.too", {}),
]
FLAGS: list[dict[str, Any]] = [
    {},
    {"_external": True},
    {"_external": False},
    {"_scheme": "https"},
    {"_scheme": "https", "_external": True},
    {"_scheme": "https", "_external": False},
    {"_scheme": ""},
    {"_scheme": "", "_external": True},
    {"_anchor": "x y/ä?%20&#"},
    {"_anchor": ""},
    {"_anchor": "a", "_external": True},
]


@pytest.mark.parametrize("path", [None, "/", "/outer/", "/outer/inner/de/leaf"])
@pytest.mark.parametrize("server_name", [None, "example.org:8000"])
def test_urls_are_those_of_flask(path: str | None, server_name: str | None) -> None:
    """Every endpoint with every flag gives Flask's URL or Flask's error, in and out of requests."""
    apps = [site(OURS, subdomain_matching=True), site(FLASK, subdomain_matching=True)]
    for app in apps:
        app.config.update(SERVER_NAME=server_name, APPLICATION_ROOT="/root")
    base = "http://example.org:8000" if server_name else "http://localhost"
    for (endpoint, values), flags in itertools.product(ENDPOINTS, FLAGS):
        given = {**values, **flags}
        got, expected = (outcome(build, app, path, endpoint, given, base_url=base) for app in apps)
        assert got == expected, (endpoint, values, flags)


@settings(max_examples=200, deadline=None)
@given(
    name=st.text(min_size=1),
    anchor=st.none() | st.text(),
    query=st.dictionaries(st.text(min_size=1).filter(lambda k: k[0] != "_"), st.text(), max_size=3),
)
def test_any_text_is_quoted_as_in_flask(
    name: str, anchor: str | None, query: dict[str, str]
) -> None:
    """Whatever text a variable, the anchor and the query have, the URL is Flask's."""
    query = {k: v for k, v in query.items() if k not in ("endpoint", "self", "name")}
    values = {**query, "name": name, "_anchor": anchor}
    got, expected = (outcome(build, app, "/", "user", values) for app in SITES)
    assert got == expected


SITES = [site(OURS), site(FLASK)]


def test_values_may_be_named_like_parameters() -> None:
    """A rule's variable may be called `app`, `request_ctx` or `endpoint`."""
    app = OURS.app()
    app.add_url_rule("/<app>/<request_ctx>/<app_ctx>/<endpoint>", "x", view())
    unit = Unit(app.url_map.bind("localhost"), Matched(None))
    values: dict[str, Any] = {"app": "1", "request_ctx": "2", "app_ctx": "3", "endpoint": "4"}
    assert urls.url_for(app, unit, None, "x", **values) == "/1/2/3/4"


def test_request_context_goes_before_the_app_context() -> None:
    """With both given, the URL belongs to the request."""
    app = OURS.app()
    app.add_url_rule("/", "x", view())
    request, outside = app.url_map.bind("a.org"), app.url_map.bind("b.org")
    units = Unit(request, Matched(None)), Unit(outside, Matched(None))
    assert urls.url_for(app, *units, "x", _external=True) == "http://a.org/"
    assert urls.url_for(app, None, units[1], "x") == "http://b.org/"


def test_without_any_context_the_configured_server_is_used() -> None:
    """`app.url_for` called directly, with nothing pushed, needs `SERVER_NAME` only."""
    app = OURS.app()
    app.add_url_rule("/", "x", view())
    app.config.update(SERVER_NAME="c.org", PREFERRED_URL_SCHEME="https", APPLICATION_ROOT="/r")
    assert urls.url_for(app, None, None, "x") == "https://c.org/r/"


@pytest.mark.parametrize("unit", [None, Unit(None, Matched(None))], ids=["nothing", "app context"])
def test_without_server_name_the_error_says_what_to_configure(unit: Unit | None) -> None:
    """Outside a request and without `SERVER_NAME` there is nothing to build from."""
    with pytest.raises(
        RuntimeError,
        match="Unable to build URLs outside an active request without 'SERVER_NAME' configured",
    ):
        urls.url_for(OURS.app(), None, unit, "x")


def test_request_without_adapter_is_explained() -> None:
    """In a request whose host was refused, building a URL says so."""
    with pytest.raises(RuntimeError, match="its host was refused"):
        urls.url_for(OURS.app(), Unit(None, Matched(None)), None, "x")


def test_overridden_steps_of_the_app_are_used() -> None:
    """URL defaults and build errors go through the app's own methods."""
    app = site(OURS)
    unit = Unit(app.url_map.bind("localhost"), Matched(None))
    app.inject_url_defaults = lambda endpoint, values: values.update(name="injected")
    app.handle_url_build_error = lambda error, endpoint, values: f"{endpoint}?"
    assert urls.url_for(app, unit, None, "user") == "/user/injected"
    assert urls.url_for(app, unit, None, "missing") == "missing?"


def test_url_defaults_are_read_live() -> None:
    """A function added to the container after the first URL counts for the next."""
    app = site(OURS)
    unit = Unit(app.url_map.bind("localhost"), Matched(None))
    assert urls.url_for(app, unit, None, "index") == "/?trace=app"
    app.url_default_functions[None].append(lambda endpoint, values: values.update(late=endpoint))
    assert urls.url_for(app, unit, None, "index") == "/?trace=app&late=index"


def test_looking_for_url_defaults_leaves_no_entry() -> None:
    """Endpoints that nobody registered anything for do not fill the container."""
    app = OURS.app()
    app.url_defaults(lambda endpoint, values: None)
    urls.inject_url_defaults(app, "a.b.c", {})
    assert list(app.url_default_functions) == [None]


# Build errors


def answers(*steps: Any) -> list[Any]:
    """Handlers that return a text, `None`, or raise what they are given."""

    def handler(step: Any) -> Any:
        def handle(error: Exception, endpoint: str, values: dict[str, Any]) -> Any:
            if step == "values":
                return f"{type(error).__name__} {endpoint} {sorted(values.items())}"
            if step == "again":
                raise BuildError(f"{error.endpoint}!", {}, None)  # type: ignore[attr-defined]
            if isinstance(step, Exception):
                raise step
            return step

        return handle

    return [handler(step) for step in steps]


@pytest.mark.parametrize(
    "steps",
    [
        (),
        (None,),
        ("/answer", "/late"),
        (None, "/second"),
        ("",),
        ("values",),
        ("again",),
        ("again", "again", None),
        ("again", "/saved"),
        (KeyError("own"), "/late"),
    ],
    ids=str,
)
def test_build_error_handlers_as_in_flask(steps: tuple[Any, ...]) -> None:
    """Each handler is asked in turn; the first answer, or the last error, comes out."""
    results = []
    for app in (site(OURS), site(FLASK)):
        app.url_build_error_handlers.extend(answers(*steps))
        results.append(outcome(build, app, "/", "gone", {"a": 1, "_anchor": "x"}))
    assert results[0] == results[1]


def test_unanswered_build_error_is_the_one_that_was_raised() -> None:
    """Without handlers the original error comes out as itself, and without one being handled."""
    error = BuildError("x", {}, None)
    with pytest.raises(BuildError) as raised:
        urls.handle_url_build_error(OURS.app(), error, "x", {})
    assert raised.value is error
    assert error.__context__ is None


# Adapters

HOSTS = [
    "localhost",
    "example.org",
    "s.example.org",
    "other.org:5000",
    "a.b.example.org",
    "ex_a",
    "",
]


@pytest.mark.parametrize("server_name", [None, "example.org", "example.org:5000"])
@pytest.mark.parametrize("trusted", [None, [], ["example.org"], [".example.org", "localhost"]])
@pytest.mark.parametrize("matching", [{}, {"subdomain_matching": True}, {"host_matching": True}])
@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.filterwarnings("ignore:Current server name")
def test_request_adapters_are_those_of_flask(
    server_name: str | None, trusted: list[str] | None, matching: dict[str, bool], scheme: str
) -> None:
    """For each host the adapter is bound, or the host refused, as in Flask."""
    apps = [OURS.app(**matching), FLASK.app(**matching)]
    for host, default in itertools.product(HOSTS, ["", "www"]):
        results = []
        for app in apps:
            app.config.update(SERVER_NAME=server_name, TRUSTED_HOSTS=trusted)
            app.url_map.default_subdomain = default
            request = EnvironBuilder(
                "/a/b?c=d", base_url=f"{scheme}://localhost/root"
            ).get_request()
            request.environ["HTTP_HOST"] = host
            results.append(
                (
                    outcome(bound, app, request),
                    outcome(getattr, request, "host"),
                    request.trusted_hosts,
                )
            )
        assert results[0] == results[1], (host, default)


def bound(app: Any, request: Any) -> dict[str, Any] | None:
    """The app's adapter for a request, as plain data."""
    adapter = app.create_url_adapter(request)
    if adapter is None:
        return None
    return {key: value for key, value in vars(adapter).items() if key != "map"}


@pytest.mark.parametrize("server_name", [None, "example.org:80", "ä.org", "example.org/x"])
@pytest.mark.parametrize("root", ["/", "/root", None])
def test_adapters_without_a_request_are_those_of_flask(
    server_name: str | None, root: str | None
) -> None:
    """The configured server, root and scheme make the adapter; without a server there is none."""
    results = []
    for app in (OURS.app(), FLASK.app()):
        app.config.update(
            SERVER_NAME=server_name, APPLICATION_ROOT=root, PREFERRED_URL_SCHEME="https"
        )
        results.append(outcome(bound, app, None))
    assert results[0] == results[1]


def test_hosts_set_on_the_request_count_without_config() -> None:
    """A request class's own trusted hosts hold where the config says nothing."""
    request = EnvironBuilder("/", base_url="http://evil.org").get_request()
    request.trusted_hosts = ["good.org"]
    with pytest.raises(SecurityError):
        urls.create_url_adapter(OURS.app(), request)


def test_comparison_sees_a_seeded_fault() -> None:
    """An app that forgets the URL defaults is told apart."""
    good, bad = site(OURS), site(OURS)
    bad.inject_url_defaults = lambda endpoint, values: None
    path, endpoint = "/outer/inner/de/leaf", ".leaf"
    assert outcome(build, good, path, endpoint, {}) != outcome(build, bad, path, endpoint, {})
