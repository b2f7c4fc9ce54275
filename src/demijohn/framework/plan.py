"""What is known of an application before a request comes.

Which public steps somebody overrode, the hook lists of each endpoint, and which functions are
async. Plans copy no hook list and no view: they hold the live lists, and are made anew when a list
comes or goes, a step is set on the application, or its class is changed.
"""

from __future__ import annotations

import inspect
import sys
import threading
import weakref
from collections import defaultdict
from collections.abc import Callable, Mapping, Set
from operator import attrgetter
from types import FunctionType, MappingProxyType
from typing import Any

from ..http.json_provider import DefaultJSONProvider
from ..http.sessions import SecureCookieSessionInterface
from ..http.watch import changes
from .limits import choose_matcher
from .wrappers import Request, Response

STEPS = (
    "full_dispatch_request",
    "preprocess_request",
    "dispatch_request",
    "finalize_request",
    "make_response",
    "process_response",
    "app_context",
    "request_context",
    "create_url_adapter",
    "do_teardown_request",
    "do_teardown_appcontext",
    "ensure_sync",
)
"""The public methods that the pipeline replaces by its own code while nobody overrides them."""

WATCHED = frozenset(
    {
        *STEPS,
        *("__class__", "json", "request_class", "response_class", "session_interface"),
        "subdomain_matching",
    }
)
"""Attributes of an application whose assignment makes its plans stale."""

# Read from an application unless a class below the framework's has one, which nobody tells of.
_ATTRIBUTES = frozenset({"request_class", "response_class", "session_interface"})

HOOKS = (
    "before_request_funcs",
    "after_request_funcs",
    "teardown_request_funcs",
    "url_value_preprocessors",
    "before_websocket_funcs",
    "after_websocket_funcs",
    "teardown_websocket_funcs",
)
"""The attributes of an application that hold hooks by scope."""

# What the short ways go round; their classes are watched.
_requests = attrgetter("__init__", "__new__", "_defers", "close", "trusted_hosts")
_REQUESTS = _requests(Request)
_responses = attrgetter(
    *("_stock_init", "_stock_sending", "automatically_set_content_length"),
    *("default_mimetype", "default_status"),
)
_RESPONSES = _responses(Response)
_OPEN_SESSION = SecureCookieSessionInterface.open_session


# The steps that `serve.wsgi_flat` has in it, besides those that stand in the way of `quick`.
_IN_FLAT = frozenset({*STEPS[:3], "app_context", "request_context"})
# So too methods, with their classes, which are watched: see `holds`.
_methods: list[tuple[type, str, object]] = []


def holds(cls: type, *names: str) -> None:
    """Note that `serve.wsgi_flat` has in it what these methods of `cls` are now."""
    _methods.extend((cls, name, getattr(cls, name)) for name in names)


def is_async(function: Callable[..., Any]) -> bool:
    """Whether calling `function` gives a coroutine: an `async def`, or one marked as such."""
    if inspect.iscoroutinefunction(function):
        return True
    # Where nobody loaded asyncio, nothing bears its mark.
    coroutines = sys.modules.get("asyncio.coroutines")
    return coroutines is not None and bool(coroutines.iscoroutinefunction(function))


def first_parameter(function: Callable[..., Any]) -> str | None:
    """The name of the parameter that takes the first argument, if it may be given by name too."""
    if type(function) is not FunctionType:
        return None
    code = function.__code__
    if not code.co_argcount or code.co_posonlyargcount:
        return None
    return code.co_varnames[0]


class Overrides:
    """Which steps of one application are not the framework's own, each a boolean attribute.

    And which of its classes are.
    """

    __slots__ = (
        *("any_host", "flat", "indexed", "plain_bodies", "quick"),
        *("stock_request", "stock_response"),
        *STEPS,
    )

    def __init__(self, names: set[str]) -> None:
        for name in STEPS:
            setattr(self, name, name in names)
        self.flat = False
        # The short way to JSON is told of changes of the config, not of others.
        self.make_response = self.make_response or "debug" in names
        self.quick = not (self.finalize_request or self.make_response or self.process_response)

    any_host: bool
    """Whether the configuration is known to trust all hosts: not one that may change untold."""
    stock_request: bool
    """Whether requests are of the framework's class, as it was written."""
    stock_response: bool
    """The same of the response class."""
    indexed: bool
    """Whether the routing index may answer, as far as the application has a say."""
    plain_bodies: bool
    """Whether plain values of views become responses by the short way."""
    quick: bool
    """Whether nothing but hooks can look at the response between view and server."""
    flat: bool
    """Whether all holds that the pipeline's form in one piece takes as known."""
    full_dispatch_request: bool
    preprocess_request: bool
    dispatch_request: bool
    finalize_request: bool
    make_response: bool
    process_response: bool
    app_context: bool
    request_context: bool
    create_url_adapter: bool
    do_teardown_request: bool
    do_teardown_appcontext: bool
    ensure_sync: bool


class HookLists(defaultdict[Any, list[Any]]):
    """One kind of hook of an application: scope -> list. Tells when a list comes or goes."""

    def __init__(self, app: Any) -> None:
        super().__init__(list)
        self._app = weakref.ref(app)

    def tells(self, app: Any) -> bool:
        """Whether it is `app` that is told; another application may have the same dict."""
        return self._app() is app

    def _changed(self) -> None:
        app = self._app()
        if app is not None:
            app._plans.forget_hooks(app)

    def copy(self) -> defaultdict[Any, list[Any]]:  # type: ignore[override]
        """A plain `defaultdict` with the same lists."""
        return defaultdict(list, self)

    __copy__ = copy  # type: ignore[assignment]

    def __or__(self, other: Any) -> Any:
        return self.copy() | other

    def __ror__(self, other: Any) -> Any:
        return other | self.copy()

    def __reduce__(self) -> tuple[Any, ...]:
        return defaultdict, (list, dict(self))


def _telling(name: str) -> Callable[..., Any]:
    own = getattr(defaultdict, name)

    def method(self: HookLists, *args: Any, **kwargs: Any) -> Any:
        try:
            return own(self, *args, **kwargs)
        finally:
            self._changed()

    method.__name__ = name
    return method


# What users see of it, in repr(), is what they see under Flask.
HookLists.__name__ = HookLists.__qualname__ = defaultdict.__name__

for _name in (
    *("__setitem__", "__delitem__", "__ior__"),
    *("setdefault", "update", "pop", "popitem", "clear"),
):
    setattr(HookLists, _name, _telling(_name))


Lists = tuple[list[Callable[..., Any]], ...]


class Plan:
    """The hooks of one endpoint: the application's live lists, in the order in which they run.

    Those before the view go from the application inwards, the others outwards, and each of the
    others' lists is run from its end.
    """

    __slots__ = ("after", "before", "preprocessors", "teardown")

    def __init__(self, app: Any, endpoint: str | None) -> None:
        inwards = scopes(endpoint)
        kind = "websocket" if endpoint in app._websocket_endpoints else "request"
        self.preprocessors = _lists(app.url_value_preprocessors, inwards)
        self.before = _lists(getattr(app, f"before_{kind}_funcs"), inwards)
        self.after = _lists(getattr(app, f"after_{kind}_funcs"), inwards[::-1])
        self.teardown = _lists(getattr(app, f"teardown_{kind}_funcs"), inwards[::-1])


def _lists(hooks: dict[str | None, list[Callable[..., Any]]], names: tuple[Any, ...]) -> Lists:
    return tuple(hooks[name] for name in names if name in hooks)


def scopes(endpoint: str | None) -> tuple[str | None, ...]:
    """The keys of an endpoint's hooks, outermost first; those of no endpoint for None.

    For "a.b.view" these are (None, "a", "a.b").
    """
    parts = [] if endpoint is None else endpoint.split(".")[:-1]
    return (None, *(".".join(parts[: n + 1]) for n in range(len(parts))))


class _PlanOf(dict[str | None, Plan]):
    """Endpoint, None where nothing matched -> its plan, kept when `keeps`."""

    def __init__(self, app: Any, keeps: bool) -> None:
        self._app = weakref.ref(app)
        self._keeps = keeps

    def __missing__(self, endpoint: str | None) -> Plan:
        plan = Plan(self._app(), endpoint)
        if self._keeps:
            self[endpoint] = plan
        return plan


_MOST_PLAIN = 4096


# Class of applications -> how many names it was made with.
_made_with: weakref.WeakKeyDictionary[type, int] = weakref.WeakKeyDictionary()


def note_class(cls: type) -> None:
    """Note a class of applications that was made just now."""
    _made_with[cls] = len(vars(cls))


def call(app: Any, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """Call a user's function, sync or async, that is not among the plain ones, or not yet."""
    if app._plans.is_plain(function):
        return function(*args, **kwargs)
    return app.ensure_sync(function)(*args, **kwargs)


class Plans:
    """An application's plans, made with it; what is kept is bounded by what was registered."""

    __slots__ = (
        "_awaited",
        "_class_dicts",
        "_class_names",
        "_leaf_dict",
        "_leaf_names",
        "_leaf_size",
        "_lock",
        "_plain",
        "_seen",
        "_stock_class",
        "awaited",
        "idle_interface",
        "of",
        "overrides",
        "own_teardown",
        "plain",
        "reported_leftover",
    )

    _leaf_dict: MappingProxyType[str, Any]
    _leaf_names: list[str]
    _leaf_size: int
    """How many names the class had when it was made, if they are all it has, else -1."""
    _class_dicts: list[MappingProxyType[str, Any]]
    _class_names: list[list[str]]
    _seen: object
    overrides: Overrides
    of: _PlanOf
    """Endpoint -> `Plan`."""

    def __init__(self, app: Any, stock_class: type) -> None:
        self._stock_class = stock_class
        # Reentrant: looking reads attributes of the application, which may be anybody's code.
        self._lock = threading.RLock()
        self._plain: dict[Callable[..., Any], str | None] = {}
        #: Functions that are called as they are, without `ensure_sync`, with what `first_parameter`
        #: says of them; `call` adds to them. Empty where that step is overridden. To ask for an
        #: unhashable callable raises `TypeError`.
        self.plain: Mapping[Callable[..., Any], str | None] = self._plain
        self._awaited: set[Callable[..., Any]] = set()
        #: Functions that an edge with an event loop awaits; the same holds for it.
        self.awaited: Set[Callable[..., Any]] = self._awaited
        #: What `do_teardown_appcontext` of the class is while nobody overrides it, else None. Each
        #: app context asks.
        self.own_teardown: Any = None
        #: The application's session interface, if requests without cookies cannot tell whether it
        #: opens and saves their sessions, else None.
        self.idle_interface: Any = None
        self.forget(app)
        self.forget_hooks(app)
        #: Whether a context found at a server edge was reported already.
        self.reported_leftover = False

    def current(self, app: Any) -> Overrides:
        """The overrides as they are now.

        Names in the dicts of classes are compared: one that stands there is called by its name, so
        which function it stands for does not matter. A class with as many names as it was made with
        has those: to compare 12 takes 0.1 µs. An instance attribute is told by `forget`,
        which the application's `__setattr__` calls.
        """
        if (
            (len(self._leaf_dict) != self._leaf_size and [*self._leaf_dict] != self._leaf_names)
            or self._seen is not changes.version
            or (
                self._class_dicts and [[*names] for names in self._class_dicts] != self._class_names
            )
        ):
            self.forget(app)
        return self.overrides

    def forget(self, app: Any) -> None:
        """A step was set or deleted: look again.

        What says that nothing has changed since is set last, so that a request on another thread
        looks for itself rather than take what is half done. One thread at a time looks, so that an
        older finding does not replace a newer one.
        """
        with self._lock:
            self._look(app)

    def _look(self, app: Any) -> None:
        seen = changes.version
        # What somebody may set on a class below the framework's own, also on `Demijohn` itself, is
        # a further name in one of these dicts, which are live views.
        ours = self._stock_class.__mro__
        leaf, *others = [vars(cls) for cls in type(app).__mro__ if cls not in ours]
        leaf_names, class_names = [*leaf], [[*names] for names in others]
        own = set(vars(app))
        by_class = {*leaf_names}.union(*class_names)
        overridden = own | by_class
        json = vars(app).get("json")
        if isinstance(json, DefaultJSONProvider) and json._app is not weakref.proxy(app):
            overridden.add("make_response")  # it asks another application for debug and class
        if "config" in by_class:
            overridden.add("make_response")  # another mapping at each look, for all that is known
        told = own | (_ATTRIBUTES - overridden)
        overrides = Overrides(overridden)
        config: Any = None if "config" in by_class else vars(app).get("config")
        overrides.any_host = (
            getattr(type(config), "_tells", False) and config.get("TRUSTED_HOSTS") is None
        )
        overrides.indexed = not (
            overrides.create_url_adapter or vars(app).get("subdomain_matching", True)
        )
        overrides.stock_request = (
            "request_class" in told
            and app.request_class is Request
            and _requests(Request) == _REQUESTS
        )
        overrides.stock_response = (
            "response_class" in told
            and app.response_class is Response
            and _responses(Response) == _RESPONSES
        )
        overrides.plain_bodies = overrides.stock_response and not overrides.make_response
        self.overrides = overrides
        self.own_teardown = None
        if not overrides.do_teardown_appcontext:
            self.own_teardown = type(app).do_teardown_appcontext
        self.plain = {} if overrides.ensure_sync else self._plain
        self.awaited = frozenset() if overrides.ensure_sync else self._awaited
        interface = app.session_interface if "session_interface" in told else None
        is_idle = isinstance(interface, SecureCookieSessionInterface) and interface.is_stock()
        self.idle_interface = interface if is_idle else None
        self._leaf_size = _made_with.get(type(app), -1)
        if len(leaf) != self._leaf_size:
            self._leaf_size = -1
        self._leaf_dict, self._class_dicts = leaf, others
        overrides.flat = (
            choose_matcher(app)
            and is_idle
            and overrides.quick
            and overrides.indexed
            and overrides.plain_bodies
            and overrides.stock_request
            and overridden.isdisjoint(_IN_FLAT)
            and all(getattr(cls, name) is method for cls, name, method in _methods)
        )
        self._leaf_names, self._class_names, self._seen = leaf_names, class_names, seen

    def forget_hooks(self, app: Any) -> None:
        """A list of hooks came or went, or a dict of them: look again."""
        # A dict that tells nobody, or another application: then a plan holds for one look.
        with self._lock:
            hooks = [vars(app).get(name) for name in HOOKS]
            keeps = all(type(lists) is HookLists and lists.tells(app) for lists in hooks)
            self.of = _PlanOf(app, keeps)

    def is_plain(self, function: Callable[..., Any]) -> bool:
        """Whether `function` is called as it is; noted, so that next time `plain` says so.

        Bounded, as functions may be registered and taken away again, even in each request.
        """
        if self.overrides.ensure_sync:
            return False
        try:
            if function in self._awaited:
                return False
        except TypeError:
            pass
        plain = not is_async(function)
        known = self._plain if plain else self._awaited
        if len(known) >= _MOST_PLAIN:
            known.clear()
        try:
            if plain:
                self._plain[function] = first_parameter(function)
            else:
                self._awaited.add(function)
        except TypeError:  # not hashable
            pass
        return plain

    def opens_session_late(self, interface: Any) -> bool:
        """Whether `interface` opens sessions as the framework's own does, now.

        Then opening at first use cannot be told from opening at the request's begin. Asked where
        `idle_interface` is none.
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
        if name in vars(app) or name in self._leaf_dict:
            return True
        return any(name in names for names in self._class_dicts)
