"""How a rule with its view function gets into an application.

The decorators that lead here are in `scaffold` and `blueprints`; matching and dispatch are
elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from . import limits
from .sites import Site

if TYPE_CHECKING:
    from demijohn import typing as ft

    from .protocols import App


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

    `websocket_view` is said by `add_websocket`. An endpoint is a WebSocket's or one of requests,
    `ValueError` otherwise: it says which hooks run, and those of the one would guard the other.

    `deadline` (seconds, None for no limit) and `on_disconnect` ("continue" or "cancel") are kept on
    the rule: see `limits`.

    Raises `TypeError` for `methods` given as one string, and `AssertionError` when the endpoint
    has another view function already; its text names both places.  As in Flask the rule stays in
    the map then.
    """
    if endpoint is None:
        endpoint = endpoint_from_view_func(view_func)
    options["endpoint"] = endpoint
    limited = limits.take_options(options)
    is_websocket = options.pop("websocket_view", False)
    if view_func is None or app.view_functions.get(endpoint, view_func) == view_func:
        _check_kind(app, endpoint, is_websocket)
    if is_websocket:
        options["websocket"] = True
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
    limits.declare(app, rule_object, limited)
    if is_websocket:
        _declare_websocket(app, rule_object)
    app.url_map.add(rule_object)
    if view_func is not None:
        _map_endpoint(app, endpoint, view_func)


def _check_kind(app: App, endpoint: str, is_websocket: bool) -> None:
    sockets = app._websocket_endpoints
    mixed = endpoint in sockets
    if is_websocket:
        mixed = not mixed and any(rule.endpoint == endpoint for rule in app.url_map.iter_rules())
    if mixed:
        one, other = ("requests", "WebSockets") if is_websocket else ("WebSockets", "requests")
        raise ValueError(
            f"The endpoint {endpoint!r} is for {one} already: give the rule for {other} another"
            ' one, by `endpoint="..."`. The hooks that run go by the endpoint.'
        )


def _declare_websocket(app: App, rule: Any) -> None:
    """Note that a WebSocket's view answers `rule`, and not an extension by `route`."""
    rule.websocket_view = True
    app._websocket_endpoints.add(rule.endpoint)
    # A pipeline looks whether there are any, before it asks for an endpoint's own.
    app.after_request_funcs.setdefault(None, [])
    app.teardown_request_funcs.setdefault(None, [])


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
