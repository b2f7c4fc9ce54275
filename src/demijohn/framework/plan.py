"""What is known of an application before a request comes.

Which public steps somebody overrode, the hook scopes of each endpoint, and which functions are
async. Plans hold no hook list and no view of their own: the live containers are read on each
request, and what is kept here is checked against what is there by identity.
"""

from __future__ import annotations

import asyncio.coroutines
import inspect
from collections.abc import Callable
from operator import attrgetter
from typing import Any

from ..http.sessions import SecureCookieSessionInterface

STEPS = (
    "full_dispatch_request",
    "preprocess_request",
    "dispatch_request",
    "finalize_request",
    "make_response",
    "process_response",
    "app_context",
    "create_url_adapter",
    "do_teardown_request",
    "do_teardown_appcontext",
    "ensure_sync",
)
"""The public methods that the pipeline replaces by its own code while nobody overrides them."""

_functions_of = attrgetter(*STEPS)
_OPEN_SESSION = SecureCookieSessionInterface.open_session


def is_async(function: Callable[..., Any]) -> bool:
    """Whether calling `function` gives a coroutine: an `async def`, or one marked as such."""
    return inspect.iscoroutinefunction(function) or asyncio.coroutines.iscoroutinefunction(function)


class Overrides:
    """Which steps of one application are not the framework's own, each a boolean attribute."""

    __slots__ = ("functions", "quick", *STEPS)

    def __init__(self, app: Any, stock: tuple[Any, ...]) -> None:
        self.functions = _functions_of(type(app))
        own = vars(app)
        for name, function, ours in zip(STEPS, self.functions, stock, strict=True):
            setattr(self, name, function is not ours or name in own)
        self.quick = not (self.finalize_request or self.make_response or self.process_response)

    quick: bool
    """Whether nothing but hooks can look at the response between view and server."""
    full_dispatch_request: bool
    preprocess_request: bool
    dispatch_request: bool
    finalize_request: bool
    make_response: bool
    process_response: bool
    app_context: bool
    create_url_adapter: bool
    do_teardown_request: bool
    do_teardown_appcontext: bool
    ensure_sync: bool


Scopes = tuple[tuple[str | None, ...], tuple[str | None, ...]]

APP_SCOPES: Scopes = ((None,), (None,))
"""The scopes of a request that matched nothing: the application's alone."""


def scopes(endpoint: str) -> Scopes:
    """The keys of an endpoint's hooks, outermost first, and the same innermost first.

    For "a.b.view" these are (None, "a", "a.b") and ("a.b", "a", None).
    """
    parts = endpoint.split(".")[:-1]
    down = (None, *(".".join(parts[: n + 1]) for n in range(len(parts))))
    return down, down[::-1]


class _Kinds(dict[Any, bool]):
    """Callable -> whether it is async; a dict's own lookup costs 30 ns, `is_async` 1 µs.

    Kept for what is registered, so bounded. An unhashable callable raises `TypeError`.
    """

    def __missing__(self, function: Callable[..., Any]) -> bool:
        kind = self[function] = is_async(function)
        return kind


class _AllWrapped:
    """Stands in for `_Kinds` where `ensure_sync` is overridden, and so sees every function."""

    def __getitem__(self, function: object) -> bool:
        return True


class _ScopesOf(dict[str | None, Scopes]):
    """Endpoint, None where nothing matched -> the hook scopes. A name never changes its meaning."""

    def __missing__(self, endpoint: str | None) -> Scopes:
        found = self[endpoint] = APP_SCOPES if endpoint is None else scopes(endpoint)
        return found


class Plans:
    """An application's plans, made with it; what is kept is bounded by what was registered."""

    overrides: Overrides

    __slots__ = (
        "_kinds",
        "_stock",
        "_stock_class",
        "overrides",
        "own_teardown",
        "reported_leftover",
        "scopes_of",
        "wrapped",
    )

    def __init__(self, app: Any, stock_class: type) -> None:
        self._stock = _functions_of(stock_class)
        self._stock_class = stock_class
        self.scopes_of = _ScopesOf()
        self._kinds = _Kinds()
        #: Function -> whether it goes through `ensure_sync`: an async one, or each where that step
        #: is overridden. An unhashable callable raises `TypeError`: it has to.
        self.wrapped: _Kinds | _AllWrapped = self._kinds
        self.forget(app)
        #: Whether a context found at a server edge was reported already.
        self.reported_leftover = False

    def current(self, app: Any) -> Overrides:
        """The overrides as they are now: class attributes are compared by identity, 0.2 µs.

        An instance attribute is told by `forget`, which the application's `__setattr__` calls.
        """
        overrides = self.overrides
        if overrides.functions != _functions_of(type(app)):
            self.forget(app)
            overrides = self.overrides
        return overrides

    def forget(self, app: Any) -> None:
        """A step was set or deleted: look again."""
        self.overrides = Overrides(app, self._stock)
        #: What the class's `do_teardown_appcontext` is while nobody overrides it, None where the
        #: instance does. Each app context asks.
        self.own_teardown: Any = None
        if "do_teardown_appcontext" not in vars(app):
            self.own_teardown = self._stock[STEPS.index("do_teardown_appcontext")]
        self.wrapped = _AllWrapped() if self.overrides.ensure_sync else self._kinds

    def opens_session_late(self, interface: Any) -> bool:
        """Whether `interface` opens sessions as the framework's own does, now.

        Then opening at first use cannot be told from opening at the request's begin. Asked by each
        request, 55 ns: the method may be set on the class or the instance at any time.
        """
        try:
            return (
                type(interface).open_session is _OPEN_SESSION
                and "open_session" not in interface.__dict__
            )
        except AttributeError:  # an interface of another kind
            return False

    def overrides_now(self, app: Any, name: str) -> bool:
        """Whether a step that is no part of every request is overridden."""
        return getattr(type(app), name) is not getattr(self._stock_class, name) or name in vars(app)
