"""By which interface an application is best served: WSGI or ASGI.

Looks at an application that is loaded and set up; starts nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from ..framework.plan import is_async
from ..framework.sites import Site
from .asgi import ASGIApp
from .mounts import WSGIMounts
from .wsgi import wsgi_app

Interface: TypeAlias = Literal["wsgi", "asgi"]

_METHODS = ("dispatch_request", "get", "post", "put", "patch", "delete", "head", "options")


@dataclass(frozen=True)
class Choice:
    """An interface, and why it: a clause about the application, or about who chose."""

    interface: Interface
    why: str
    warning: str | None = None
    """What of the application does not work by it."""


def choose(app: Any, wanted: str = "auto") -> Choice:
    """The interface for an application: the one that is `wanted`, else what it needs.

    WebSockets, functions around the serving, ASGI applications that are mounted and async functions
    ask for ASGI; without any, WSGI is faster. Middleware decides first: it stands around one of the
    two, and the other would go round it.
    """
    around_asgi, around_wsgi = _middleware(app)
    sockets = next((rule.rule for rule in app.url_map.iter_rules() if _is_ours(rule)), None)
    no_sockets = f"The WebSocket {sockets} is not served: it needs --interface asgi."
    not_used = f"{around_wsgi}, around `wsgi_app`, is not used: put it around `asgi_app`."
    if wanted == "wsgi":
        return Choice("wsgi", "as --interface says", no_sockets if sockets else None)
    if wanted == "asgi":
        return Choice("asgi", "as --interface says", not_used if around_wsgi else None)
    if around_asgi is not None:
        return Choice(
            "asgi", f"as {around_asgi} is around it", not_used if around_wsgi is not None else None
        )
    if around_wsgi is not None:
        return Choice("wsgi", f"as {around_wsgi} is around it", no_sockets if sockets else None)
    if sockets is not None:
        return Choice("asgi", f"as it has the WebSocket {sockets}")
    for functions in (app.before_serving_funcs, app.while_serving_funcs, app.after_serving_funcs):
        for function in functions:
            return Choice("asgi", f"as {_named(function)} runs around the serving")
    for mount in app.mounts:
        if mount.interface == "asgi" or (
            mount.interface == "both" and choose(mount.app).interface == "asgi"
        ):
            return Choice("asgi", f"as what is mounted at {mount.prefix} is called by it")
    for function in _functions(app):
        if is_async(function):
            return Choice("asgi", f"as {_named(function)} is async")
    return Choice("wsgi", "as nothing in it is async")


def unseen(wanted: str) -> Choice:
    """The interface for an application that is not looked at."""
    if wanted == "asgi":
        return Choice("asgi", "as --interface says")
    why = "as --interface says" if wanted == "wsgi" else "as the app was not looked at"
    return Choice("wsgi", why)


def _is_ours(rule: Any) -> bool:
    """Whether a rule is for a WebSocket of this package's: an extension's own needs its server."""
    return getattr(rule, "websocket_view", False)


def _middleware(app: Any) -> tuple[str | None, str | None]:
    """What stands around the ASGI edge, and around the WSGI edge."""
    asgi, wsgi = app.asgi_app, app.wsgi_app
    own = getattr(wsgi, "__func__", None) is wsgi_app or isinstance(wsgi, WSGIMounts)
    return (
        None if isinstance(asgi, ASGIApp) else _kind(asgi),
        None if own else _kind(wsgi),
    )


def _kind(middleware: Any) -> str:
    named = middleware if hasattr(middleware, "__qualname__") else type(middleware)
    return str(named.__qualname__)


def _named(function: Callable[..., Any]) -> str:
    name = getattr(function, "__name__", None) or repr(function)
    site = Site.of(function)
    return f"'{name}'" if site is None else f"'{name}' ({site})"


def _functions(app: Any) -> Iterator[Callable[..., Any]]:
    """The functions that requests may call: views, hooks, handlers, those of the end."""
    for view in list(app.view_functions.values()):
        yield view
        kind = getattr(view, "view_class", None)
        if kind is not None:
            yield from (getattr(kind, name) for name in _METHODS if hasattr(kind, name))
    for hooks in (
        app.before_request_funcs,
        app.after_request_funcs,
        app.teardown_request_funcs,
        app.template_context_processors,
    ):
        for functions in list(hooks.values()):
            yield from functions
    yield from app.teardown_appcontext_funcs
    for by_code in list(app.error_handler_spec.values()):
        for handlers in by_code.values():
            yield from handlers.values()
