"""Rendering templates of the current application: as a string or as a stream, by name or from
source, with the context processors' values and the two signals.

The environment and where templates are found are in `http.templating`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

from blinker import NamedSignal
from jinja2 import BaseLoader, Template
from jinja2 import Environment as JinjaEnvironment

from demijohn.framework.globals import _cv_app, _cv_request, current_app
from demijohn.framework.signals import before_render_template, send_signal, template_rendered
from demijohn.framework.streams import stream_with_context
from demijohn.http.template_debug import Attempt, explain
from demijohn.http.templating import DispatchingJinjaLoader as HttpDispatchingJinjaLoader


class RenderingApp(Protocol):
    """What rendering needs of an application."""

    @property
    def jinja_env(self) -> JinjaEnvironment:
        """The environment that templates are taken from."""
        ...

    def update_template_context(self, context: dict[str, Any]) -> None:
        """Add the context processors' values to `context`, whose own ones win."""
        ...

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function to call a signal's receiver that may be async."""
        ...


class ExplainingApp(Protocol):
    """What `explain_template_loading_attempts` needs of an application."""

    @property
    def logger(self) -> logging.Logger:
        """Where loading is explained."""
        ...


class DispatchingJinjaLoader(HttpDispatchingJinjaLoader):
    """The loader of `http.templating`, which in its account of a search names the blueprint that
    answers the current request."""

    def _request_blueprint(self) -> str | None:
        context = _cv_request.get(None)
        return None if context is None else context.request.blueprint


def explain_template_loading_attempts(
    app: ExplainingApp, template: str, attempts: Iterable[tuple[BaseLoader, Any, Any]]
) -> None:
    """Log how a template was looked for, as `EXPLAIN_TEMPLATE_LOADING` does; for own loaders.

    An attempt is a loader, the application or blueprint whose it is, and what its `get_source`
    gave (None when it had no such template).
    """
    made = [
        Attempt(loader, owner, None if found is None else found[1] or "<string>")
        for loader, owner, found in attempts
    ]
    context = _cv_request.get(None)
    app.logger.info(
        explain(app, template, made, None if context is None else context.request.blueprint)
    )


def render_template(
    template_name_or_list: str | Template | list[str | Template], **context: Any
) -> str:
    """Return the rendered template of that name; of a list, the first that exists.

    Raises `TemplateNotFound` (`TemplatesNotFound` for a list) and, outside of an application
    context, `RuntimeError`.
    """
    app = _the_app()
    return _render(app, app.jinja_env.get_or_select_template(template_name_or_list), context)


def render_template_string(source: str, **context: Any) -> str:
    """Return the rendered text of a template that is given as its source."""
    app = _the_app()
    return _render(app, app.jinja_env.from_string(source), context)


def stream_template(
    template_name_or_list: str | Template | list[str | Template], **context: Any
) -> Iterator[str]:
    """Return the parts of a rendered template as they come, for a streamed response.

    The template is found, and the context filled, at the call; rendering starts with the first
    part. In a request the stream keeps the request's context.
    """
    app = _the_app()
    return _stream(app, app.jinja_env.get_or_select_template(template_name_or_list), context)


def stream_template_string(source: str, **context: Any) -> Iterator[str]:
    """Return the parts of a rendered template, given as its source, as `stream_template` does."""
    app = _the_app()
    return _stream(app, app.jinja_env.from_string(source), context)


def _default_template_ctx_processor() -> dict[str, Any]:
    """Return `g` and `request` themselves, for templates to be spared the proxies.

    The session stays a proxy: only a read through the context counts as an access to it.
    """
    values: dict[str, Any] = {}
    app_context = _cv_app.get(None)
    if app_context is not None:
        values["g"] = app_context.g
    request_context = _cv_request.get(None)
    if request_context is not None:
        values["request"] = request_context.request
    return values


def _the_app() -> RenderingApp:
    """Return the current application itself: signals' senders are compared by identity."""
    app: RenderingApp = current_app._get_current_object()
    return app


def _render(app: RenderingApp, template: Template, context: dict[str, Any]) -> str:
    """Render with the context processors' values, between the two signals."""
    app.update_template_context(context)
    _tell(before_render_template, app, template, context)
    text = template.render(context)
    _tell(template_rendered, app, template, context)
    return text


def _stream(app: RenderingApp, template: Template, context: dict[str, Any]) -> Iterator[str]:
    """Start to stream as `_render` renders; the second signal is sent after the last part."""
    app.update_template_context(context)
    _tell(before_render_template, app, template, context)

    def parts() -> Iterator[str]:
        yield from template.generate(context)
        _tell(template_rendered, app, template, context)

    return parts() if _cv_request.get(None) is None else stream_with_context(parts())


def _tell(
    signal: NamedSignal, app: RenderingApp, template: Template, context: dict[str, Any]
) -> None:
    """Send a signal if anyone listens: looking costs 20 ns, sending to nobody 240."""
    if signal.receivers:
        send_signal(app, signal, template=template, context=context)
