"""The application while it serves: the public steps of a request, each a sync method.

Each can be called by hand in a pushed context, and one that is overridden, on a class or on an
instance, is what the pipeline calls. What they do is the pipeline's; here is who is asked.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Coroutine
from contextlib import AbstractContextManager
from datetime import timedelta
from functools import partial
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, AnyStr, Literal, NoReturn, TypeVar, cast

from werkzeug.exceptions import HTTPException
from werkzeug.routing import MapAdapter, RequestRedirect

from demijohn import typing as ft

from ..context.ending import raise_errors
from ..context.lifecycle import State
from ..context.proxy import UNMADE
from ..context.resources import ResourceDecorator, overridden
from ..context.scope import Scope
from ..http.coerce import coerce
from ..http.debughelpers import FormDataRoutingRedirect
from ..http.watch import tell
from . import aio, ends, pipeline, pipeline_async, urls
from .app_contexts import AppContext, nest
from .app_setup import AppSetup
from .carrying import fill_from
from .contexts import RequestContext
from .globals import _cv_request, current_app_ctx, g, request_ctx
from .handing import on_the_spot
from .helpers import send_from_directory
from .matching import Matcher
from .plan import HOOKS, WATCHED, HookLists, Plans, is_async, note_class
from .resources import declaring
from .wrappers import Request, Response

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

_UNSET: Any = object()
_NEW = State.NEW
_new = object.__new__
# C0, DEL, C1 and the other ends of lines, as they are written in a log.
_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))}
_CONTROLS |= {0x2028: r"\u2028", 0x2029: r"\u2029"}
T = TypeVar("T")


class _ClosingContext(AppContext):
    """Where a resource of lifetime `app` is closed. Teardown functions do not run at its end: one
    that uses the resource would open it anew."""

    def _teardown(self, exc: BaseException | None) -> list[BaseException]:
        return []


def _context_of(app: Any, closing: bool) -> AbstractContextManager[Any]:
    context: AppContext = _ClosingContext(app) if closing else app.app_context()
    return context


class AppBase(AppSetup):
    """An application's behaviour in requests and contexts; no servers, clients, commands."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._plans = Plans(self, AppBase)
        self._matcher = Matcher()
        self._scope = Scope(self, _context_of)
        super().__init__(*args, **kwargs)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        note_class(cls)

    def __setattr__(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)
        self._forget(name)

    def __delattr__(self, name: str) -> None:
        object.__delattr__(self, name)
        self._forget(name)

    def __setstate__(self, state: dict[str, Any]) -> None:
        # A copy (`copy.copy`) shares the containers, as in Flask; plans belong to one application.
        vars(self).update(state, _matcher=Matcher(), _scope=Scope(self, _context_of))
        self._plans = Plans(self, AppBase)

    def _forget(self, name: str) -> None:
        if name == "config":
            tell()  # what each request asks for may be other there
        if name in WATCHED or name in HOOKS:
            plans = vars(self).get("_plans")  # none before `__init__`
            if plans is not None:
                (plans.forget if name in WATCHED else plans.forget_hooks)(self)

    def _hook_lists(self) -> HookLists:
        return HookLists(self)

    @property
    def _propagates(self) -> bool:
        """Whether unhandled exceptions leave the application (config `PROPAGATE_EXCEPTIONS`)."""
        propagate: bool | None = self.config["PROPAGATE_EXCEPTIONS"]
        return bool(self.testing or self.debug) if propagate is None else propagate

    # -- contexts -----------------------------------------------------------------------------

    def app_context(
        self,
        *,
        nested: Literal["new", "join", "error"] | None = None,
        carrier: dict[str, Any] | None = None,
    ) -> AppContext:
        """Make an application context; use it with `with`.

        `nested` decides what this is where one of this application is current: "new", a context of
        its own; "join", the current one, which its owner ends; "error", a `RuntimeError` that
        says where that one is from. By default it is the config's `NESTED_APP_CONTEXT`, or "new".

        `carrier` is what `app_ctx.carrier()` gave in another process: a new context has its values
        in `g` and in the fields, and its deadline. `CarrierError` when it cannot be read.
        """
        # The config is asked where it matters only, and a plain context is made without calling
        # its class: 5 and 6 % of a plain `with app.app_context():`.
        if nested is None and carrier is None and current_app_ctx(None) is None:
            ctx = _new(AppContext)
            ctx.app = self
            ctx._g = ctx._adapter = UNMADE
            ctx._state = _NEW
            ctx._token = ctx._borrows = ctx._holds = ctx._unit = None
            return ctx
        ctx = nest(self, nested or self.config.get("NESTED_APP_CONTEXT", "new"))
        if carrier is not None and ctx.state is _NEW:
            fill_from(ctx, carrier)
        return ctx

    def request_context(self, environ: WSGIEnvironment) -> RequestContext:
        """Make a request context for a WSGI environ; an edge does so for each request."""
        return RequestContext(self, environ)

    # -- resources ----------------------------------------------------------------------------

    @property
    def resource(self) -> ResourceDecorator:
        """`demijohn.resource` for this application alone: `@app.resource(lifetime="app")`.

        In a context of another application its use raises `RuntimeError`.
        """
        return cast("ResourceDecorator", partial(declaring, self))

    def override(self, resource: object, fake: Any) -> AbstractContextManager[None]:
        """Have a resource stand for `fake` in this application: `with app.override(conn, fake):`.

        For tests. It holds in every context and thread, also where the resource is open already;
        nothing is opened and the fake is not closed.
        """
        return overridden(resource, self, fake)

    def close(self) -> None:
        """Close the resources of lifetime `app` in this process; a later use opens them again.

        A server's end does this, else the exit of the process. Raises what the closings raise,
        several errors as one group.
        """
        self._scope.close()

    def create_url_adapter(self, request: Request | None) -> MapAdapter | None:
        """The URL adapter of a request, or outside of one; see `urls.create_url_adapter`."""
        return urls.create_url_adapter(self, request)

    # -- the steps of a request ---------------------------------------------------------------

    def full_dispatch_request(self) -> Response:
        """Before hooks, view, error handlers and after hooks: the final response."""
        ctx = _current_request()
        overrides = self._plans.current(self)
        response: Response = pipeline.full_dispatch(ctx, self, overrides, False)
        return response

    def preprocess_request(self) -> ft.ResponseReturnValue | None:
        """URL value preprocessors and before hooks; the first value that is not None, or None."""
        rv: ft.ResponseReturnValue | None = pipeline.preprocess(_current_request(), self)
        return rv

    def dispatch_request(self) -> ft.ResponseReturnValue:
        """The return value of the matched view."""
        self._plans.current(self)
        rv: ft.ResponseReturnValue = pipeline.dispatch(_current_request(), self)
        return rv

    def finalize_request(
        self, rv: ft.ResponseReturnValue | HTTPException, from_error_handler: bool = False
    ) -> Response:
        """Make a return value the final response. With `from_error_handler` errors of the after
        hooks are logged instead of raised."""
        overrides = self._plans.current(self)
        response: Response = pipeline.finalize(
            _current_request(), self, rv, overrides, False, from_error_handler
        )
        return response

    def make_response(self, rv: ft.ResponseReturnValue) -> Response:
        """Convert what a view returned to a response of `response_class`; see `http.coerce`.

        Only None and WSGI callables need a current request.
        """
        return coerce(rv, response_class=self.response_class, json=self.json, asked=_asked)

    def process_response(self, response: Response) -> Response:
        """Run the after hooks on a response and save the session."""
        final: Response = pipeline.process_response(_current_request(), self, response)
        return final

    def make_default_options_response(self) -> Response:
        """The answer to OPTIONS where the rule provides it automatically."""
        response = self.response_class()
        response.allow.update(request_ctx.url_adapter.allowed_methods())
        return response

    # -- errors -------------------------------------------------------------------------------

    def handle_http_exception(self, e: HTTPException) -> HTTPException | ft.ResponseReturnValue:
        """The answer of the handler for an HTTP exception, by default the exception itself."""
        rv: HTTPException | ft.ResponseReturnValue = pipeline.handle_http_exception(
            _current_request(), self, e
        )
        return rv

    def handle_user_exception(self, e: Exception) -> HTTPException | ft.ResponseReturnValue:
        """The answer of whoever handles an exception; raises it again when nobody does."""
        rv: HTTPException | ft.ResponseReturnValue = pipeline.handle_user_exception(
            _current_request(), self, e
        )
        return rv

    def handle_exception(self, e: Exception) -> Response:
        """The 500 response to an exception that nobody handled; raises it where they propagate."""
        self._plans.current(self)
        response: Response = pipeline.handle_exception(_current_request(), self, e)
        return response

    def log_exception(
        self,
        exc_info: tuple[type, BaseException, TracebackType | None] | tuple[None, None, None],
    ) -> None:
        """Log an exception that becomes a 500 response."""
        request = _current_request().request
        where = f"{request.path} [{request.method}]"
        if not where.isprintable():
            # Both are the client's: it must not write lines of its own, or to a terminal.
            where = where.translate(_CONTROLS)
        self.logger.error(f"Exception on {where}", exc_info=exc_info)

    def raise_routing_exception(self, request: Request) -> NoReturn:
        """Raise what matching found. In debug mode a redirect that loses a form says so instead."""
        error = request.routing_exception
        assert error is not None
        if (
            not self.debug
            or not isinstance(error, RequestRedirect)
            or error.code in {307, 308}
            or request.method in {"GET", "HEAD", "OPTIONS"}
        ):
            raise error
        raise FormDataRoutingRedirect(request)

    # -- ends ---------------------------------------------------------------------------------

    def do_teardown_request(self, exc: BaseException | None = _UNSET) -> None:
        """Run the `teardown_request` functions and the signal, all of them, whatever they raise."""
        exc = ends.handled_exception() if exc is _UNSET else exc
        errors = ends.teardown_request(_current_request(), self, exc)
        raise_errors(errors, "Errors in teardown functions of a request")

    def do_teardown_appcontext(self, exc: BaseException | None = _UNSET) -> None:
        """Run the `teardown_appcontext` functions and the signal, all of them."""
        exc = ends.handled_exception() if exc is _UNSET else exc
        errors = ends.teardown_appcontext(self, exc)
        raise_errors(
            errors,
            "Errors in teardown functions of an application context",
        )

    async def _await_teardown(self, exc: BaseException | None) -> list[BaseException]:
        """The end of an application context on a running loop: async functions are awaited there,
        sync ones called."""
        return await on_the_spot(pipeline_async.teardown_appcontext(self, exc))

    # -- async functions ----------------------------------------------------------------------

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """`func` in a form that can be called from sync code; async ones go to `async_to_sync`."""
        return self.async_to_sync(func) if is_async(func) else func

    def async_to_sync(self, func: Callable[..., Coroutine[Any, Any, Any]]) -> Callable[..., Any]:
        """A sync function that runs the coroutine function on this thread's event loop."""
        return aio.async_to_sync(func)

    # -- helpers with an application ----------------------------------------------------------

    def update_template_context(self, context: dict[str, Any]) -> None:
        """Add what the context processors give to `context`, whose own values win."""
        ctx = _cv_request.get(None)
        names: tuple[str | None, ...] = (None,)
        if ctx is not None:
            names = (None, *reversed(ctx.request.blueprints))
        own = context.copy()
        for name in names:
            for function in self.template_context_processors.get(name, ()):
                context.update(self.ensure_sync(function)())
        context.update(own)

    def make_shell_context(self) -> dict[str, Any]:
        """The names of an interactive shell."""
        names: dict[str, Any] = {"app": self, "g": g}
        for processor in self.shell_context_processors:
            names.update(processor())
        return names

    # -- files --------------------------------------------------------------------------------

    def get_send_file_max_age(self, filename: str | None) -> int | None:
        """Seconds that a client may keep a file (config `SEND_FILE_MAX_AGE_DEFAULT`)."""
        value = self.config["SEND_FILE_MAX_AGE_DEFAULT"]
        if isinstance(value, timedelta):
            return int(value.total_seconds())
        age: int | None = value
        return age

    def send_static_file(self, filename: str) -> Response:
        """The view of the static route."""
        if not self.has_static_folder:
            raise RuntimeError("'static_folder' must be set to serve static_files.")
        assert self.static_folder is not None
        return send_from_directory(
            self.static_folder, filename, max_age=self.get_send_file_max_age(filename)
        )

    def open_resource(
        self, resource: str, mode: str = "rb", encoding: str | None = None
    ) -> IO[AnyStr]:
        """Open a file below `root_path` for reading."""
        if mode not in {"r", "rt", "rb"}:
            raise ValueError("Resources can only be opened for reading.")
        path = os.path.join(self.root_path, resource)
        return open(path, mode, encoding=None if mode == "rb" else encoding)

    def open_instance_resource(
        self, resource: str, mode: str = "rb", encoding: str | None = "utf-8"
    ) -> IO[AnyStr]:
        """Open a file below `instance_path`, for writing too."""
        path = os.path.join(self.instance_path, resource)
        return open(path, mode, encoding=None if "b" in mode else encoding)


def _current_request() -> RequestContext:
    """The current request context; the error outside of one explains itself."""
    ctx: RequestContext | None = _cv_request.get(None)
    return request_ctx._get_current_object() if ctx is None else ctx


def _asked() -> Request:
    request: Request = _current_request().request
    return request
