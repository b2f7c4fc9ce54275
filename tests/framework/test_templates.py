"""Rendering of the current application's templates, compared with Flask's."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import flask
import pytest
from jinja2 import DictLoader, TemplateNotFound, TemplatesNotFound

import demijohn
from demijohn import Blueprint, Demijohn
from demijohn.framework import signals, templates

TEMPLATES = {
    "plain.html": "plain <b>{{ value }}</b>",
    "items.html": "{% for n in range(3) %}{{ n }}:{{ value }};{% endfor %}",
    "known.html": "{{ request.path }} {{ g.name }} {{ session.get('k') }} {{ config.TESTING }}",
    "plain.txt": "{{ value }}",
    "broken.html": "{{ 1 // 0 }}",
    "processed.html": "{{ a }} {{ value }}",
}

Framework = Any
"""The module `demijohn` or `flask`: what is made on one is made on the other."""


def make_app(framework: Framework) -> Any:
    app = framework.Flask(__name__, template_folder=None)
    app.secret_key = "secret"
    app.jinja_loader = DictLoader(TEMPLATES)

    @app.context_processor
    def processor() -> dict[str, str]:
        return {"a": "from the processor", "value": "overridden by the call"}

    return app


@pytest.fixture
def app() -> Demijohn:
    ours: Demijohn = make_app(demijohn)
    return ours


@contextmanager
def current(framework: Framework, app: Any, kind: str) -> Iterator[None]:
    """Make a request, only an application context, or nothing current."""
    with ExitStack() as stack:
        if kind == "request":
            stack.enter_context(app.test_request_context("/path"))
            framework.session["k"] = "kept"
        elif kind == "app":
            stack.enter_context(app.app_context())
        if kind != "none":
            framework.g.name = "<g>"
        yield


def outcome(framework: Framework, kind: str, name: str, *args: Any, **kwargs: Any) -> object:
    """What the framework's function returned there, as parts if it streams; else the error's
    type."""
    with current(framework, make_app(framework), kind):
        try:
            result = getattr(framework, name)(*args, **kwargs)
            return result if isinstance(result, str) else list(result)
        except Exception as error:
            return type(error)


def same(kind: str, name: str, *args: Any, **kwargs: Any) -> object:
    """Assert that the function gives the same on both frameworks; return it."""
    ours = outcome(demijohn, kind, name, *args, **kwargs)
    assert ours == outcome(flask, kind, name, *args, **kwargs)
    return ours


SOURCES: list[Any] = [
    *TEMPLATES,
    "missing.html",
    ["missing.html", "plain.txt"],
    ["missing.html", "gone.html"],
    [],
]


@pytest.mark.parametrize("kind", ["request", "app", "none"])
@pytest.mark.parametrize("function", ["render_template", "stream_template"])
@pytest.mark.parametrize("source", SOURCES, ids=repr)
def test_by_name_like_flask(source: Any, function: str, kind: str) -> None:
    """A template by name, or the first of several, renders or fails as in Flask."""
    ours = same(kind, function, source, value="<v>")
    if kind == "none":
        assert ours is RuntimeError


@pytest.mark.parametrize("kind", ["request", "app", "none"])
@pytest.mark.parametrize("function", ["render_template_string", "stream_template_string"])
@pytest.mark.parametrize("source", [*TEMPLATES.values(), "{% if %}", ""], ids=repr)
def test_by_source_like_flask(source: str, function: str, kind: str) -> None:
    """A template from its source renders or fails as in Flask."""
    same(kind, function, source, value="<v>")


def test_template_object(app: Demijohn) -> None:
    """A template itself may be given in place of its name."""
    with app.app_context():
        template = app.jinja_env.get_template("plain.txt")
        assert templates.render_template(template, value=1) == "1"
        assert templates.render_template([template], value=2) == "2"


def test_missing_templates(app: Demijohn) -> None:
    """The errors of Jinja name what was not found."""
    with app.app_context():
        with pytest.raises(TemplateNotFound, match=r"missing\.html"):
            templates.render_template("missing.html")
        with pytest.raises(TemplatesNotFound, match=r"a\.html, b\.html"):
            templates.render_template(["a.html", "b.html"])


RENDERERS: dict[str, Callable[[], str | Iterator[str]]] = {
    "render": lambda: templates.render_template("plain.txt", value=1),
    "render_string": lambda: templates.render_template_string("{{ value }}", value=1),
    "stream": lambda: templates.stream_template("plain.txt", value=1),
    "stream_string": lambda: templates.stream_template_string("{{ value }}", value=1),
}


@pytest.mark.parametrize("kind", ["request", "app"])
@pytest.mark.parametrize("renderer", RENDERERS.values(), ids=RENDERERS)
def test_signals(app: Demijohn, renderer: Callable[[], Any], kind: str) -> None:
    """One signal before and one after rendering, both with the application itself, the template
    and the filled context."""
    log: list[tuple[str, object, str]] = []

    def before(sender: object, template: Any, context: dict[str, Any]) -> None:
        log.append(("before", sender, context["a"]))
        context["value"] = "changed"

    async def after(sender: object, template: Any, context: dict[str, Any]) -> None:
        log.append(("after", sender, template.render(context)))

    with (
        current(demijohn, app, kind),
        signals.before_render_template.connected_to(before, app),
        signals.template_rendered.connected_to(after, app),
    ):
        result = renderer()
        if not isinstance(result, str):
            assert [entry[0] for entry in log] == ["before"]
            result = "".join(result)
    assert result == "changed"
    assert log == [("before", app, "from the processor"), ("after", app, "changed")]
    assert log[0][1] is app


def test_failed_rendering_sends_no_second_signal(app: Demijohn) -> None:
    """`template_rendered` is not sent for a template that raised."""
    log: list[str] = []

    def after(sender: object, **_: Any) -> None:
        log.append("after")

    with app.app_context(), signals.template_rendered.connected_to(after):
        with pytest.raises(ZeroDivisionError):
            templates.render_template("broken.html")
        with pytest.raises(ZeroDivisionError):
            list(templates.stream_template("broken.html"))
    assert log == []


@pytest.mark.parametrize("framework", [demijohn, flask])
def test_stream_keeps_the_request(framework: Framework) -> None:
    """A streamed template can use the proxies after the view returned."""
    app = make_app(framework)

    @app.get("/stream")
    def stream() -> Iterator[str]:
        framework.session["k"] = "kept"
        text = "{{ request.path }} {{ session.get('k') }}"
        parts: Iterator[str] = framework.stream_template_string(text)
        return parts

    assert app.test_client().get("/stream").text == "/stream kept"


@pytest.mark.parametrize("kind", ["request", "app", "none"])
def test_default_processor_gives_the_objects(app: Demijohn, kind: str) -> None:
    """The default processor gives `g` and `request` themselves, as far as there are any."""
    with current(demijohn, app, kind):
        expected = {}
        if kind != "none":
            expected["g"] = demijohn.g._get_current_object()
        if kind == "request":
            expected["request"] = demijohn.request._get_current_object()
        given = templates._default_template_ctx_processor()
    assert list(given) == list(expected)
    assert all(given[name] is expected[name] for name in expected)


def test_explanation_names_the_requests_blueprint(
    app: Demijohn, caplog: pytest.LogCaptureFixture
) -> None:
    """A template missed in a blueprint's request is explained with that blueprint's name."""
    blueprint = Blueprint("front", __name__)
    blueprint.add_url_rule("/", "index", lambda: templates.render_template("missing.html"))
    app.register_blueprint(blueprint)
    app.config["EXPLAIN_TEMPLATE_LOADING"] = app.testing = True
    with caplog.at_level("INFO"):
        with pytest.raises(TemplateNotFound):
            app.test_client().get("/")
        with app.app_context(), pytest.raises(TemplateNotFound):
            templates.render_template("missing.html")
    inside, outside = (record.getMessage() for record in caplog.records)
    assert "belongs to the blueprint 'front'" in inside
    assert "belongs to the blueprint" not in outside


def test_explanation_for_loaders_of_ones_own(caplog: pytest.LogCaptureFixture) -> None:
    """`explain_template_loading_attempts` logs Flask's account of the attempts."""
    accounts = []
    for framework in (demijohn, flask):
        app = framework.Flask("site", root_path="/site")
        debughelpers = importlib.import_module(f"{framework.__name__}.debughelpers")
        loader = DictLoader({})
        attempts = [
            (loader, app, None),
            (loader, framework.Blueprint("b", "site.b", root_path="/b"), ("text", "/b/x", None)),
            (loader, app, ("text", None, None)),
        ]
        caplog.clear()
        with caplog.at_level("INFO"):
            debughelpers.explain_template_loading_attempts(app, "x", attempts)
        accounts.append([record.getMessage() for record in caplog.records])
    assert accounts[0] == accounts[1]
