"""What an application and a blueprint have in common: their files and what is registered on them.

The containers hold what the decorators put there and are live: users and extensions change them
in place, and what serves a request reads them each time.  They are keyed by scope, the registered
name of a blueprint or `None` for the object itself.  How a rule gets into a URL map is in
`registry`, what a blueprint does with its registrations in `blueprints`.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar, cast

from werkzeug.exceptions import HTTPException, default_exceptions
from werkzeug.utils import cached_property

from demijohn import typing as ft

from .paths import get_root_path
from .plan import is_async

if TYPE_CHECKING:
    from jinja2 import BaseLoader

F = TypeVar("F", bound=Callable[..., Any])
T_after_request = TypeVar("T_after_request", bound=ft.AfterRequestCallable[Any])
T_after_websocket = TypeVar("T_after_websocket", bound=ft.AfterWebSocketCallable)
T_before_request = TypeVar("T_before_request", bound=ft.BeforeRequestCallable)
T_error_handler = TypeVar("T_error_handler", bound=ft.ErrorHandlerCallable)
T_serving = TypeVar("T_serving", bound=ft.ServingCallable)
T_while_serving = TypeVar("T_while_serving", bound=ft.WhileServingCallable)
T_teardown = TypeVar("T_teardown", bound=ft.TeardownCallable)
T_template_context_processor = TypeVar(
    "T_template_context_processor", bound=ft.TemplateContextProcessorCallable
)
T_template_filter = TypeVar("T_template_filter", bound=ft.TemplateFilterCallable)
T_template_global = TypeVar("T_template_global", bound=ft.TemplateGlobalCallable)
T_template_test = TypeVar("T_template_test", bound=ft.TemplateTestCallable)
T_url_defaults = TypeVar("T_url_defaults", bound=ft.URLDefaultCallable)
T_url_value_preprocessor = TypeVar(
    "T_url_value_preprocessor", bound=ft.URLValuePreprocessorCallable
)
T_websocket_view = TypeVar("T_websocket_view", bound=ft.WebSocketViewCallable)
T_route = TypeVar("T_route", bound=ft.RouteCallable)


def setupmethod(f: F) -> F:
    """Mark a method as part of setup: it asks `_check_setup_finished` before it runs."""
    name = f.__name__

    @wraps(f)
    def checked(self: Scaffold, *args: Any, **kwargs: Any) -> Any:
        self._check_setup_finished(name)
        return f(self, *args, **kwargs)

    return cast(F, checked)


class Scaffold:
    """The base of applications and blueprints.

    `import_name` is the module or package that this object belongs to, usually `__name__`.
    Relative folders are looked up in `root_path`, which is found from `import_name` when it is not
    given.  `static_url_path` defaults to the static folder's own name.
    """

    name: str
    #: A `CommandGroup`, set by the application layer; `None` where there are no commands.
    #: Any, because subclasses narrow it to Click's types, which this layer does not know.
    cli: Any = None

    _static_folder: str | None = None
    _static_url_path: str | None = None

    def __init__(
        self,
        import_name: str,
        static_folder: str | os.PathLike[str] | None = None,
        static_url_path: str | None = None,
        template_folder: str | os.PathLike[str] | None = None,
        root_path: str | None = None,
    ):
        self.import_name = import_name
        self.static_folder = static_folder
        self.static_url_path = static_url_path
        self.template_folder = template_folder
        self.root_path = get_root_path(import_name) if root_path is None else root_path
        self._make_containers()

    def _hook_lists(self) -> defaultdict[Any, list[Any]]:
        """What holds one kind of hook, by scope."""
        return defaultdict(list)

    def _make_containers(self) -> None:
        #: endpoint -> view function
        self.view_functions: dict[str, ft.RouteCallable] = {}
        #: scope -> status code, or `None` -> exception class -> handler
        self.error_handler_spec: dict[
            ft.AppOrBlueprintKey, dict[int | None, dict[type[Exception], ft.ErrorHandlerCallable]]
        ] = defaultdict(lambda: defaultdict(dict))
        self.before_request_funcs: dict[ft.AppOrBlueprintKey, list[ft.BeforeRequestCallable]] = (
            self._hook_lists()
        )
        self.after_request_funcs: dict[ft.AppOrBlueprintKey, list[ft.AfterRequestCallable[Any]]] = (
            self._hook_lists()
        )
        self.teardown_request_funcs: dict[ft.AppOrBlueprintKey, list[ft.TeardownCallable]] = (
            self._hook_lists()
        )
        self.before_websocket_funcs: dict[ft.AppOrBlueprintKey, list[ft.BeforeRequestCallable]] = (
            self._hook_lists()
        )
        self.after_websocket_funcs: dict[ft.AppOrBlueprintKey, list[ft.AfterWebSocketCallable]] = (
            self._hook_lists()
        )
        self.teardown_websocket_funcs: dict[ft.AppOrBlueprintKey, list[ft.TeardownCallable]] = (
            self._hook_lists()
        )
        self.template_context_processors: dict[
            ft.AppOrBlueprintKey, list[ft.TemplateContextProcessorCallable]
        ] = defaultdict(list, {None: self._default_context_processors()})
        self.url_value_preprocessors: dict[
            ft.AppOrBlueprintKey, list[ft.URLValuePreprocessorCallable]
        ] = self._hook_lists()
        self.url_default_functions: dict[ft.AppOrBlueprintKey, list[ft.URLDefaultCallable]] = (
            defaultdict(list)
        )

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}>"

    def _default_context_processors(self) -> list[ft.TemplateContextProcessorCallable]:
        """The template context processors that this object starts with."""
        return []

    def _check_setup_finished(self, f_name: str) -> None:
        """Raise `AssertionError` when the setup method `f_name` comes too late."""
        raise NotImplementedError

    @property
    def static_folder(self) -> str | None:
        """The absolute path of the static folder, or `None` if there is none."""
        if self._static_folder is None:
            return None
        return os.path.join(self.root_path, self._static_folder)

    @static_folder.setter
    def static_folder(self, value: str | os.PathLike[str] | None) -> None:
        self._static_folder = None if value is None else os.fspath(value).rstrip(r"\/")

    @property
    def has_static_folder(self) -> bool:
        """Whether a static folder is set.  It need not exist."""
        return self.static_folder is not None

    @property
    def static_url_path(self) -> str | None:
        """The URL prefix of the static files, or `None` if there are none."""
        if self._static_url_path is not None:
            return self._static_url_path
        folder = self.static_folder
        return None if folder is None else f"/{os.path.basename(folder)}".rstrip("/")

    @static_url_path.setter
    def static_url_path(self, value: str | None) -> None:
        self._static_url_path = None if value is None else value.rstrip("/")

    @cached_property
    def jinja_loader(self) -> BaseLoader | None:
        """The loader for this object's own templates, or `None` without a template folder."""
        if self.template_folder is None:
            return None
        from jinja2 import FileSystemLoader

        return FileSystemLoader(os.path.join(self.root_path, self.template_folder))

    # Routes

    def _method_route(
        self, method: str, rule: str, options: dict[str, Any]
    ) -> Callable[[T_route], T_route]:
        if "methods" in options:
            raise TypeError("Use the 'route' decorator to use the 'methods' argument.")
        return self.route(rule, methods=[method], **options)

    @setupmethod
    def get(self, rule: str, **options: Any) -> Callable[[T_route], T_route]:
        """`route` for GET alone (and HEAD and OPTIONS, as always)."""
        return self._method_route("GET", rule, options)

    @setupmethod
    def post(self, rule: str, **options: Any) -> Callable[[T_route], T_route]:
        """`route` for POST alone."""
        return self._method_route("POST", rule, options)

    @setupmethod
    def put(self, rule: str, **options: Any) -> Callable[[T_route], T_route]:
        """`route` for PUT alone."""
        return self._method_route("PUT", rule, options)

    @setupmethod
    def delete(self, rule: str, **options: Any) -> Callable[[T_route], T_route]:
        """`route` for DELETE alone."""
        return self._method_route("DELETE", rule, options)

    @setupmethod
    def patch(self, rule: str, **options: Any) -> Callable[[T_route], T_route]:
        """`route` for PATCH alone."""
        return self._method_route("PATCH", rule, options)

    @setupmethod
    def route(self, rule: str, **options: Any) -> Callable[[T_route], T_route]:
        """Decorator that makes a function the view of `rule`.

        `options` are those of `add_url_rule`: `endpoint` (the function's name by default),
        `methods` (`["GET"]` by default), `defaults`, `strict_slashes`, and whatever else
        Werkzeug's `Rule` takes.
        """

        def decorator(f: T_route) -> T_route:
            # Popped, as in Flask: a decorator that is applied twice names an endpoint only once.
            endpoint = options.pop("endpoint", None)
            self.add_url_rule(rule, endpoint, f, **options)
            return f

        return decorator

    @setupmethod
    def add_url_rule(
        self,
        rule: str,
        endpoint: str | None = None,
        view_func: ft.RouteCallable | None = None,
        provide_automatic_options: bool | None = None,
        **options: Any,
    ) -> None:
        """Register a rule, and the view function of its endpoint if one is given.

        Without `view_func` the endpoint has to be named, and gets its function later from the
        `endpoint` decorator.  HEAD comes with GET; OPTIONS is answered automatically unless
        `provide_automatic_options` is false.  A view function may have the attributes `methods`,
        `required_methods` and `provide_automatic_options`.  `options` are Werkzeug's `Rule`'s.

        Raises `AssertionError` when the endpoint has another view function already.
        """
        raise NotImplementedError

    @setupmethod
    def endpoint(self, endpoint: str) -> Callable[[F], F]:
        """Decorator that makes a function the view of `endpoint`, whatever its rules are.

        The name is taken as it is: on a blueprint it is not prefixed.
        """

        def decorator(f: F) -> F:
            self.view_functions[endpoint] = f
            return f

        return decorator

    @setupmethod
    def websocket(
        self, rule: str, **options: Any
    ) -> Callable[[T_websocket_view], T_websocket_view]:
        """Decorator that makes an async function the view of a WebSocket at `rule`.

        `options` are those of `add_websocket`.
        """

        def decorator(f: T_websocket_view) -> T_websocket_view:
            self.add_websocket(rule, options.pop("endpoint", None), f, **options)
            return f

        return decorator

    @setupmethod
    def add_websocket(
        self,
        rule: str,
        endpoint: str | None = None,
        view_func: ft.WebSocketViewCallable | None = None,
        **options: Any,
    ) -> None:
        """Register a WebSocket's rule and view, as `add_url_rule` does for requests.

        `options` are Werkzeug's `Rule`'s, and `deadline` (seconds that a connection may last) and
        `on_disconnect` ("cancel", the default, or "continue": what becomes of the view when the
        client leaves). Raises `TypeError` for a view that is no `async def`.
        """
        if "methods" in options:
            raise TypeError("A WebSocket has no methods: leave the 'methods' argument out.")
        if view_func is not None and not is_async(view_func):
            raise TypeError(
                f"The view of a WebSocket is an async function, as it waits for messages:"
                f" `async def {getattr(view_func, '__name__', 'view')}(...)`. A decorator around it"
                " has to give an async function, too."
            )
        view: Any = view_func
        self.add_url_rule(rule, endpoint, view, False, websocket_view=True, **options)

    # Hooks

    @setupmethod
    def before_request(self, f: T_before_request) -> T_before_request:
        """Call `f()` before the view; what it returns, unless `None`, is the response.

        On a blueprint it runs for that blueprint's requests only; `before_app_request` is for
        all.  The same goes for the other hooks.
        """
        self.before_request_funcs.setdefault(None, []).append(f)
        return f

    @setupmethod
    def after_request(self, f: T_after_request) -> T_after_request:
        """Call `f(response)` once there is a response; it returns that or another one.

        They run in reverse order of registration, and not at all after one has raised: what must
        happen belongs into `teardown_request`.
        """
        self.after_request_funcs.setdefault(None, []).append(f)
        return f

    @setupmethod
    def teardown_request(self, f: T_teardown) -> T_teardown:
        """Call `f(exc)` when the request context ends; `exc` is the unhandled exception, or `None`.

        Runs also where a request context was pushed by hand.  The return value is ignored.
        """
        self.teardown_request_funcs.setdefault(None, []).append(f)
        return f

    @setupmethod
    def before_websocket(self, f: T_before_request) -> T_before_request:
        """`before_request` for WebSockets: called before the view, while none is accepted.

        What `f()` returns, unless `None`, is the answer that refuses the connection.
        """
        self.before_websocket_funcs.setdefault(None, []).append(f)
        return f

    @setupmethod
    def after_websocket(self, f: T_after_websocket) -> T_after_websocket:
        """`after_request` for WebSockets: `f(response)` once the view has returned.

        `response` is the answer of a connection that was refused, and None for one that was
        accepted; `f` returns it, or another one.
        """
        self.after_websocket_funcs.setdefault(None, []).append(f)
        return f

    @setupmethod
    def teardown_websocket(self, f: T_teardown) -> T_teardown:
        """`teardown_request` for WebSockets: called once when a connection's context ends."""
        self.teardown_websocket_funcs.setdefault(None, []).append(f)
        return f

    @setupmethod
    def context_processor(self, f: T_template_context_processor) -> T_template_context_processor:
        """Add the names in the dict that `f()` returns to every template's context."""
        self.template_context_processors.setdefault(None, []).append(f)
        return f

    @setupmethod
    def url_value_preprocessor(self, f: T_url_value_preprocessor) -> T_url_value_preprocessor:
        """Call `f(endpoint, values)` before the before-hooks; it may change the view's `values`."""
        self.url_value_preprocessors.setdefault(None, []).append(f)
        return f

    @setupmethod
    def url_defaults(self, f: T_url_defaults) -> T_url_defaults:
        """Call `f(endpoint, values)` when a URL is built; it may change `values` in place."""
        self.url_default_functions.setdefault(None, []).append(f)
        return f

    # Error handlers

    @setupmethod
    def errorhandler(
        self, code_or_exception: type[Exception] | int
    ) -> Callable[[T_error_handler], T_error_handler]:
        """Decorator that makes `f(error)` the answer to a status code or an exception class.

        On a blueprint it is for that blueprint's requests; `app_errorhandler` is for all.
        """

        def decorator(f: T_error_handler) -> T_error_handler:
            self.register_error_handler(code_or_exception, f)
            return f

        return decorator

    @setupmethod
    def register_error_handler(
        self, code_or_exception: type[Exception] | int, f: ft.ErrorHandlerCallable
    ) -> None:
        """`errorhandler` as a plain call.

        Raises `ValueError` for a code that no HTTP exception stands for and for a class that is
        no `Exception`, `TypeError` for an exception that is not a class.
        """
        exc_class, code = self._get_exc_class_and_code(code_or_exception)
        self.error_handler_spec[None][code][exc_class] = f

    @staticmethod
    def _get_exc_class_and_code(
        exc_class_or_code: type[Exception] | int,
    ) -> tuple[type[Exception], int | None]:
        """The exception class, and its status code if it is an HTTP exception."""
        found: object = exc_class_or_code
        if isinstance(exc_class_or_code, int):
            found = default_exceptions.get(exc_class_or_code)
            if found is None:
                raise ValueError(
                    f"'{exc_class_or_code}' is not a recognized HTTP error code. Use a subclass of"
                    " HTTPException with that code instead."
                )
        if not isinstance(found, type):
            what = "an instance, not a class" if isinstance(found, Exception) else "not a class"
            raise TypeError(
                f"{found!r} is {what}. A handler is registered for an exception class or an HTTP"
                " error code."
            )
        if not issubclass(found, Exception):
            raise ValueError(
                f"'{found.__name__}' is not a subclass of Exception. A handler is registered for"
                " an exception class or an HTTP error code."
            )
        return found, found.code if issubclass(found, HTTPException) else None
