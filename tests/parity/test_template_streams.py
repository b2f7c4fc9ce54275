"""Streamed templates, piece by piece as a server gets them: Flask's pieces, signals and errors."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from jinja2 import DictLoader

from .kit import Framework, Served, make, same, serve

TEMPLATES = {
    "loop.html": "<{% for n in range(4) %}{{ n }}{{ value }}{% endfor %}>",
    "proxies.html": "{% for n in [1, 2] %}{{ request.path }}{{ g.x }}{{ session.s }}{% endfor %}",
    "base.html": "{% block a %}base{% endblock %}|{% block b %}{% endblock %}",
    "child.html": "{% extends 'base.html' %}{% block b %}{{ value }}{{ super() }}{% endblock %}",
    "macro.html": "{% macro m(x) %}({{ x }}){% endmacro %}{{ m(value) }}{{ m(request.method) }}",
    "parts.html": "a{% include 'loop.html' %}z",
    "broken.html": "first {{ value }} {{ 1 // 0 }} last",
    "late.html": "{% for n in range(50) %}{{ n }} {% endfor %}{{ missing.attribute }}",
    "empty.html": "",
    "urls.html": "{{ url_for('stream', name='x') }} {{ get_flashed_messages() }} {{ config.X }}",
    "counted.html": "{{ counted() }}{{ counted() }}",
}


def site(framework: Framework, **config: Any) -> Any:
    app = make(framework, **config)
    app.jinja_loader = DictLoader(TEMPLATES)
    counts = iter(range(100))
    app.context_processor(lambda: {"value": "<p>", "counted": lambda: next(counts)})

    @app.before_request
    def before() -> None:
        framework.g.x = "g"
        framework.session["s"] = "s"
        framework.flash("flashed")

    @app.route("/<name>")
    def stream(name: str) -> Any:
        app.log.append("view")
        if "string" in framework.request.args:
            return framework.stream_template_string(TEMPLATES[name])
        if "list" in framework.request.args:
            return framework.stream_template(["gone.html", name], value="own")
        if "response" in framework.request.args:
            return framework.Response(framework.stream_template(name), 203, {"X-Own": "1"})
        return framework.stream_template(name)

    return app


@contextmanager
def heard(framework: Framework, app: Any) -> Iterator[None]:
    """Write the signals of rendering into the application's log."""
    signals = importlib.import_module(f"{framework.__name__}.signals")
    with ExitStack() as connected:
        for signal in ("before_render_template", "template_rendered"):

            def receive(sender: Any, signal: str = signal, **values: Any) -> None:
                known = sorted(set(values["context"]) - {"g", "request", "session"})
                app.log.append((signal, sender is app, values["template"].name, known))

            connected.enter_context(getattr(signals, signal).connected_to(receive, app))
        yield


def streamed(path: str, **config: Any) -> Served:
    def ask(framework: Framework) -> Served:
        app = site(framework, **config)
        with heard(framework, app):
            served = serve(app, path)
        served.headers = [(n, v) for n, v in served.headers if n != "Set-Cookie"]
        return served

    served: Served = same(ask)
    return served


@pytest.mark.parametrize("how", ["", "?string", "?list", "?response"])
@pytest.mark.parametrize("name", TEMPLATES)
def test_pieces(name: str, how: str) -> None:
    """Each way to stream gives the same pieces, signals and errors in the same order."""
    served = streamed(f"/{name}{how}")
    if served.status[:3] in {"200", "203"} and name not in {"empty.html", "broken.html"}:
        assert len(served.pieces) > 1
        assert served.header("Content-Length") is None


def test_an_error_after_the_first_piece() -> None:
    """What a template raises half-way reaches the server after the pieces before it."""
    served = streamed("/late.html")
    assert served.error.startswith("UndefinedError")
    assert len(served.pieces) > 40
    assert served.log[-1][0] == "before_render_template"


@pytest.mark.parametrize("config", [{}, {"TESTING": True}, {"PROPAGATE_EXCEPTIONS": True}], ids=str)
def test_a_missing_template(config: dict[str, Any]) -> None:
    """A template that is not there is an error of the view, before anything is sent."""
    served = streamed("/gone.html", **config)
    assert served.pieces == [] if config else served.status[:3] == "500"


@pytest.mark.parametrize("function", ["stream_template", "stream_template_string"])
def test_outside_of_requests(function: str) -> None:
    """In an app context alone a template streams without a request."""

    def ask(framework: Framework) -> Any:
        app = site(framework)
        source = "loop.html" if function == "stream_template" else TEMPLATES["loop.html"]
        with app.app_context(), heard(framework, app):
            parts = getattr(framework, function)(source)
            return list(parts), app.log

    pieces, log = same(ask)
    assert len(pieces) > 4
    assert [entry[0] for entry in log] == ["before_render_template", "template_rendered"]
