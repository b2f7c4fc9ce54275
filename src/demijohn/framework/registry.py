"""Where things are registered, and how a rule with its view function gets into an application.

`Site` is a place in a file; it lets a conflict name both of its sides.  Sites are taken at setup
time only.  The decorators are in `scaffold`; matching and dispatch are elsewhere.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import FrameType

    from demijohn import typing as ft

    from .protocols import App

_PACKAGE = __name__.partition(".")[0]


@dataclass(frozen=True, slots=True)
class Site:
    """A line in a file; `str()` gives `file:line`, which editors and terminals can open."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"

    @classmethod
    def of(cls, function: object) -> Site | None:
        """Where `function` is defined, through partials and decorators that keep `__wrapped__`.

        `None` for a callable that has no Python code (a builtin, say).
        """
        if isinstance(function, partial):
            return cls.of(function.func)
        inner = getattr(function, "__wrapped__", None)
        if inner is not None:
            return cls.of(inner)
        code = getattr(function, "__code__", None)
        if code is None:  # an instance with __call__
            code = getattr(vars(type(function)).get("__call__"), "__code__", None)
        return None if code is None else cls(code.co_filename, code.co_firstlineno)

    @classmethod
    def caller(cls) -> Site:
        """The nearest line on the stack that is the user's own.

        That is one outside this package and not in an `add_url_rule` that overrides ours.

        Within `registering_at` it is the site given there: a blueprint replays its registrations
        long after they were written down.
        """
        given = _registering_at.get()
        if given is not None:
            return given
        frame: FrameType = sys._getframe(1)
        while frame.f_back is not None and _passes_on(frame):
            frame = frame.f_back
        return cls(frame.f_code.co_filename, frame.f_lineno)


_registering_at: ContextVar[Site | None] = ContextVar("demijohn.registering_at", default=None)


def _passes_on(frame: FrameType) -> bool:
    if frame.f_code.co_name == "add_url_rule":
        return True
    return str(frame.f_globals.get("__name__")).partition(".")[0] == _PACKAGE


@contextmanager
def registering_at(site: Site) -> Iterator[None]:
    """For the block, `Site.caller` is `site`."""
    token = _registering_at.set(site)
    try:
        yield
    finally:
        _registering_at.reset(token)


def endpoint_from_view_func(view_func: Callable[..., object] | None) -> str:
    """The endpoint a view function gets when none is named: the function's own name."""
    assert view_func is not None, "expected view func if endpoint is not provided."
    return view_func.__name__


def add_url_rule(
    app: App,
    rule: str,
    endpoint: str | None,
    view_func: ft.RouteCallable | None,
    provide_automatic_options: bool | None,
    /,
    **options: Any,
) -> None:
    """Add `rule` to the app's URL map and, if given, map its endpoint to `view_func`.

    `options` go to the app's rule class, except `methods`: upper-cased here, taken from the view
    function's `methods` if absent, then `GET` alone; its `required_methods` come on top.
    `OPTIONS` is answered automatically unless `provide_automatic_options` (argument, view
    function's attribute, then the config's `PROVIDE_AUTOMATIC_OPTIONS`) or an explicit
    `OPTIONS` among the methods says otherwise.

    Raises `TypeError` for `methods` given as one string, and `AssertionError` when the endpoint
    has another view function already; its text names both places.  As in Flask the rule stays in
    the map then.
    """
    if endpoint is None:
        endpoint = endpoint_from_view_func(view_func)
    options["endpoint"] = endpoint
    methods = _methods(options.pop("methods", None), view_func)
    required: set[str] = set(getattr(view_func, "required_methods", ()))

    if provide_automatic_options is None:
        provide_automatic_options = getattr(view_func, "provide_automatic_options", None)
    if provide_automatic_options is None:
        provide_automatic_options = (
            "OPTIONS" not in methods and app.config["PROVIDE_AUTOMATIC_OPTIONS"]
        )
        if provide_automatic_options:
            required.add("OPTIONS")

    rule_object = app.url_rule_class(rule, methods=methods | required, **options)
    setattr(rule_object, "provide_automatic_options", bool(provide_automatic_options))
    app.url_map.add(rule_object)
    if view_func is not None:
        _map_endpoint(app, endpoint, view_func)


def _methods(given: Iterable[str] | None, view_func: ft.RouteCallable | None) -> set[str]:
    methods: Iterable[str] = (
        getattr(view_func, "methods", None) or ("GET",) if given is None else given
    )
    if isinstance(methods, str):
        raise TypeError(
            "Allowed methods must be a list of strings,"
            f' for example: @app.route(..., methods=["{methods}"])'
        )
    return {method.upper() for method in methods}


def _map_endpoint(app: App, endpoint: str, view_func: ft.RouteCallable) -> None:
    existing = app.view_functions.get(endpoint)
    if existing is None:
        app.endpoint_sites[endpoint] = Site.caller()
    elif existing != view_func:
        first = app.endpoint_sites.get(endpoint) or Site.of(existing) or "an unknown place"
        raise AssertionError(
            f"View function mapping is overwriting an existing endpoint function: {endpoint}\n"
            f"  first:  {first}, {_title(existing)}\n"
            f"  second: {Site.caller()}, {_title(view_func)}\n"
            "Give one of them another name, or pass 'endpoint='."
        )
    app.view_functions[endpoint] = view_func


def _title(function: ft.RouteCallable) -> str:
    return getattr(function, "__qualname__", None) or repr(function)
