"""The contexts that users meet: `AppContext`, and `RequestContext` on top of one.

Holds what a context carries, how it begins and ends, by hand and at an edge. Which functions run
at an end and in which order is the pipeline's.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from functools import partial, update_wrapper
from threading import get_ident
from time import monotonic
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

from werkzeug.exceptions import HTTPException

from ..context.errors import ContextEnded, SessionReadOnly
from ..context.lifecycle import State
from ..context.namespace import Namespace
from ..context.proxy import UNMADE
from ..context.stack import Context
from ..http.request import assemble
from . import pipeline
from .globals import (
    app_stack,
    current_app_ctx,
    current_request_ctx,
    request_stack,
    reset_app_ctx,
    reset_request_ctx,
    set_app_ctx,
    set_request_ctx,
)
from .signals import (
    appcontext_popped,
    appcontext_pushed,
    appcontext_tearing_down,
    request_finished,
    request_tearing_down,
)
from .wrappers import Request

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment
    from werkzeug.routing import MapAdapter

F = TypeVar("F", bound=Callable[..., Any])

_CLOSE = Request.close
_NEW, _CURRENT, _ENDING, _ENDED = State.NEW, State.CURRENT, State.ENDING, State.ENDED
_EDGE = "its server edge"


class _AppCtxGlobals(Namespace):
    """`g`: a namespace for one application context, by attribute and by key."""

    def __repr__(self) -> str:
        ctx = current_app_ctx(None)
        if ctx is not None:
            return f"<flask.g of '{ctx.app.name}'>"
        return object.__repr__(self)


class AppContext(Context, stack=app_stack):
    """A unit of work of one application: `current_app` and `g` belong to it.

    Made by `app.app_context()`, or by a request that finds none of its application.
    """

    # Slots, because CPython 3.11 reaches an attribute that has a default on the class ten times
    # slower than a slot, and an instance's `__dict__` costs 130 ns to make. Others may be added.
    __slots__ = (
        "_adapter",
        "_borrows",
        "_ended_at",
        "_ended_by",
        "_failed",
        "_g",
        "_holds",
        "_made_at_edge",
        "_outcome",
        "_state",
        "_thread",
        "_token",
        "app",
    )

    if TYPE_CHECKING:
        _made_at_edge: bool
        _outcome: str | None
        """What the request that brought this context tells of the end of both."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self._g = UNMADE
        self._state = _NEW
        self._token = self._borrows = self._holds = None
        self._adapter: Any = UNMADE

    @property
    def g(self) -> Any:
        """This unit's namespace, an `app_ctx_globals_class`; made at first use."""
        g = self._g
        if g is UNMADE:
            g = self._g = self.app.app_ctx_globals_class()
        return g

    @g.setter
    def g(self, value: Any) -> None:
        self._g = value

    @property
    def url_adapter(self) -> MapAdapter | None:
        """Builds URLs outside a request; None without `SERVER_NAME`."""
        adapter = self._adapter
        if adapter is UNMADE:
            adapter = self._adapter = self.app.create_url_adapter(None)
        found: MapAdapter | None = adapter
        return found

    @url_adapter.setter
    def url_adapter(self, adapter: MapAdapter | None) -> None:
        self._adapter = adapter

    @property
    def outcome(self) -> str | None:
        """How the context ended: "ok", "handled" (a handler answered an error) or "error".

        None before the end, which begins with that of the request that brought this context.
        """
        told: str | None = getattr(self, "_outcome", None)
        if told is not None or self._state not in (_ENDING, _ENDED):
            return told
        return "error" if getattr(self, "_failed", False) else "ok"

    # The plain `with app.app_context():`, with nobody looking, holding or borrowing, does what
    # `push` and `pop` do without asking: 0.5 µs where they take 0.9. Anything else goes to them.

    def __enter__(self) -> Self:
        if self._state is _NEW and not appcontext_pushed.receivers:
            self._token = set_app_ctx(self)
            self._thread = get_ident()
            self._state = _CURRENT
        else:
            self.push()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        app = self.app
        token = self._token
        if (
            token is not None
            and exc_value is None
            and current_app_ctx(None) is self
            and self._state is _CURRENT
            and self._borrows is None
            and self._holds is None
            and not app.teardown_appcontext_funcs
            and not appcontext_tearing_down.receivers
            and not appcontext_popped.receivers
            and type(app).do_teardown_appcontext is app._plans.own_teardown
        ):
            try:
                reset_app_ctx(token)
            except ValueError:
                pass
            else:
                self._token = None
                self._state = _ENDED
                self._ended_at = monotonic()
                return
        self.pop(exc_value)

    def on_enter(self) -> None:
        self._failed, self._outcome = False, None
        if appcontext_pushed.receivers:
            appcontext_pushed.send(self.app, _async_wrapper=self.app.ensure_sync)

    def _idle(self) -> bool:
        app = self.app
        return not (
            app.teardown_appcontext_funcs or appcontext_tearing_down.receivers or self._overridden()
        )

    def _overridden(self) -> bool:
        """Whether the application's own `do_teardown_appcontext` is to be called."""
        app = self.app
        return type(app).do_teardown_appcontext is not app._plans.own_teardown

    def _run_end(self, exc: BaseException | None) -> list[BaseException] | None:
        return cast("list[BaseException]", self._teardown(exc, True))

    def _teardown(self, exc: BaseException | None, inline: bool) -> pipeline.Errors:
        app = self.app
        if not self._overridden():
            return pipeline.teardown_appcontext(app, exc, inline)
        return pipeline.run_all(app, ([app.do_teardown_appcontext],), None, exc, inline)

    def ended_error(self, wanted: str) -> ContextEnded:
        _name_edge(self)
        return super().ended_error(wanted)

    def _after_end(self) -> None:
        if appcontext_popped.receivers:
            appcontext_popped.send(self.app, _async_wrapper=self.app.ensure_sync)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.app.name}>"


def _name_edge(ctx: Context) -> None:
    """Note that an edge ended a context that nobody pushed: 10 ns if it were done at each end."""
    if not hasattr(ctx, "_thread") and not hasattr(ctx, "_ended_by"):
        ctx._ended_by = _EDGE


class _Sharing:
    """One request that several contexts hold; it is closed when the last of them lets go."""

    def __init__(self, request: Any) -> None:
        self._request = request
        self._holders: list[None] = []

    def take(self) -> _Share:
        """A holder's share."""
        self._holders.append(None)
        return _Share(self)

    def let_go(self) -> None:
        # list.pop is atomic, so exactly one holder sees the list run empty.
        self._holders.pop()
        if not self._holders:
            self._request.close()


class _Share:
    """What one context holds of a shared request: given back once, at its end or with it."""

    def __init__(self, sharing: _Sharing) -> None:
        self.sharing = sharing
        self._held = True

    def let_go(self) -> None:
        if self._held:
            self._held = False
            self.sharing.let_go()

    def __del__(self) -> None:
        self.let_go()


def _session_read_only() -> SessionReadOnly:
    return SessionReadOnly(
        "The response is final, so nothing written to the session now can reach the client. "
        'Write before the view returns: `copy_current_request_context(f, session="share")` shares '
        "the session until then, and reading it works after."
    )


class RequestContext(Context, stack=request_stack):
    """A request's unit of work: `request` and `session` belong to it, and it brings an app context.

    Made by an edge for each request, and by `app.request_context` and `app.test_request_context`.
    """

    __slots__ = (
        "_adapter",
        "_after",
        "_at_edge",
        "_ended_at",
        "_ended_by",
        "_final",
        "_holds",
        "_opened",
        "_outcome",
        "_own_app_ctx",
        "_sharing",
        "_state",
        "_thread",
        "_token",
        "app",
        "app_ctx",
        "request",
    )

    # What few requests set and no edge reads stands on the class.
    flashes: list[tuple[str, str]] | None = None
    _parent: RequestContext | None = None

    def __init__(
        self,
        app: Any,
        environ: WSGIEnvironment,
        request: Any = None,
        session: Any | None = None,
    ) -> None:
        self.app = app
        if request is None:
            if app._plans.overrides.stock_request:
                request = assemble(Request, environ)
            else:
                request = app.request_class(environ)
            request.json_module = app.json
        self.request: Any = request
        #: The app context that this request runs with: its own, or the one that it joined.
        self.app_ctx: AppContext | None = None
        self._own_app_ctx: AppContext | None = None
        self._opened = session
        self._adapter: Any = UNMADE
        self._after: list[Callable[[Any], Any]] | None = None
        self._sharing: _Share | None = None
        self._final = False
        self._outcome = "ok"
        self._state = _NEW
        self._at_edge = False
        self._token = self._holds = None

    @property
    def _after_request_functions(self) -> list[Callable[[Any], Any]]:
        """This request's own after hooks; the list is made when somebody asks for it."""
        functions = self._after
        if functions is None:
            functions = self._after = []
        return functions

    @property
    def url_adapter(self) -> MapAdapter | None:
        """Matches and builds URLs for this request; None when its host was refused."""
        adapter = self._adapter
        if adapter is UNMADE:
            try:
                adapter = self._adapter = self.app.create_url_adapter(self.request)
            except HTTPException as error:
                adapter = self._adapter = None
                self.request.routing_exception = error
                error.__traceback__ = None
        found: MapAdapter | None = adapter
        return found

    @url_adapter.setter
    def url_adapter(self, adapter: MapAdapter | None) -> None:
        self._adapter = adapter

    # -- session ------------------------------------------------------------------------------

    @property
    def session(self) -> Any:
        """The session of this request. Reading it marks it as accessed (`Vary: Cookie`).

        After the request's end it can be read, and a write raises `ContextEnded`.
        """
        session = self._session
        assert session is not None, "The session has not yet been opened."
        if self._state is _ENDED and self._parent is None:
            self._freeze_session(session, partial(self.ended_error, "write the session"))
        session.accessed = True
        return session

    @property
    def _session(self) -> Any:
        """The session without marking it; None before the first push. Opened at the first look."""
        session = self._opened
        if session is None and self._state is not State.NEW:
            session = self._open_session()
        return session

    def _open_session(self) -> Any:
        parent = self._parent
        if parent is not None:
            session = parent._session
            if parent._final:
                parent._freeze_session(session)
        else:
            interface = self.app.session_interface
            session = interface.open_session(self.app, self.request)
            if session is None:
                session = interface.make_null_session(self.app)
        self._opened = session
        return session

    def _open_early(self, app: Any) -> None:
        """Open the session before the URL is matched, where somebody could tell."""
        plans = app._plans
        if plans.idle_interface is None and not plans.opens_session_late(app.session_interface):
            self._open_session()

    def _save_session(self, response: Any) -> None:
        app = self.app
        if self._opened is None:
            environ = self.request.environ
            if app._plans.idle_interface is not None and "HTTP_COOKIE" not in environ:
                return
            if app.session_interface.untouched(app, environ):
                return
        interface = app.session_interface
        session = self._session
        if not interface.is_null_session(session):
            interface.save_session(app, session, response)

    def _now_final(self) -> None:
        """The response is final: what shares the session can no longer reach the client."""
        self._final = True
        if self._sharing is not None and self._opened is not None:
            self._freeze_session(self._opened)

    def _freeze_session(
        self, session: Any, make_error: Callable[[], Exception] = _session_read_only
    ) -> None:
        freeze = getattr(session, "freeze", None)
        if freeze is not None:
            freeze(make_error)

    # -- what the pipeline asks ---------------------------------------------------------------

    def _is_observed(self, app: Any) -> bool:
        """Whether anybody but the server looks at this request's response object."""
        plans = app._plans
        if app.after_request_funcs:
            rule = self.request.url_rule
            for hooks in plans.of[rule and rule.endpoint].after:
                if hooks:
                    return True
        if self._opened is not None or self._after is not None or request_finished.receivers:
            return True
        environ = self.request.environ
        if plans.idle_interface is not None and "HTTP_COOKIE" not in environ:
            return False
        return not app.session_interface.untouched(app, environ)

    def match_request(self) -> None:
        """Match the URL: sets `request.url_rule` and `view_args`, or `routing_exception`."""
        app = self.app
        app._matcher.match(self, app)

    # -- by hand ------------------------------------------------------------------------------

    def copy(self) -> RequestContext:
        """A context for work beside or after this one, on the same request and session.

        It brings an app context with a `g` of its own. Its end runs that context's teardown
        functions and nothing of this one's: no `teardown_request`, no closing of the request.
        """
        child = type(self)(
            self.app,
            environ=self.request.environ,
            request=self.request,
            session=self._opened,
        )
        if self._sharing is None:
            self._sharing = _Sharing(self.request).take()
        child._sharing = self._sharing.sharing.take()
        child._parent = self._parent or self
        return child

    def _push_needed(self) -> Context | None:
        current = current_app_ctx(None)
        if self._state in (_NEW, _ENDED):
            # A life begins: join an app context of the same application, as Flask does. A copy
            # has one of its own.
            if (
                self._parent is None
                and current is not None
                and current.app is self.app
                and not current.ended
            ):
                self.app_ctx = current
                return None
            needed = self._own_app_ctx
        else:
            needed = self.app_ctx
            if needed is current:
                return None
            if needed is not None and needed.ended:
                needed = self._own_app_ctx
        if needed is None:
            needed = self._own_app_ctx = self.app.app_context()
        needed.push()
        self.app_ctx = needed
        return needed

    def on_enter(self) -> None:
        app = self.app
        self._outcome = "ok"
        if self._opened is not None:
            if self._parent is not None:
                return
            # A successor's session is its own again.
            self._final = False
            thaw = getattr(self._opened, "thaw", None)
            if thaw is not None:
                thaw()
        elif self._parent is not None:
            return
        else:
            app._plans.current(app)
            self._open_early(app)
        self.match_request()

    def _run_end(self, exc: BaseException | None) -> list[BaseException] | None:
        errors: list[BaseException] | None = None
        own = self._own_app_ctx
        if own is not None and own is self.app_ctx:
            own._outcome = self._outcome if exc is None else "error"
        # The end's functions see the app context that the request ran with, whichever is on top.
        below = self.app_ctx
        covered = below is not None and current_app_ctx(None) is not below
        token = set_app_ctx(below) if covered else None
        try:
            if self._parent is None:
                self.app._plans.current(self.app)
                errors = cast("list[BaseException]", self._teardown(exc, True))
            return self._close_request(errors)
        finally:
            if token is not None:
                reset_app_ctx(token)

    def _end_here(self, exc: BaseException | None) -> list[BaseException] | None:
        # What it ran with is made current by `_run_end`, ended or not; nothing is begun for an end.
        return self._end(exc, None)

    def _teardown(self, exc: BaseException | None, inline: bool) -> pipeline.Errors:
        app = self.app
        if not app._plans.overrides.do_teardown_request:
            return pipeline.teardown_request(self, app, exc, inline)
        return pipeline.run_all(app, ([app.do_teardown_request],), None, exc, inline)

    def _close_request(self, errors: list[BaseException] | None) -> list[BaseException] | None:
        """Close the request's files, or let the other holders do it; adds what that raises."""
        request = self.request
        sharing = self._sharing
        try:
            if sharing is not None:
                sharing.let_go()
            elif self._parent is None and (close := getattr(request, "close", None)) is not None:
                close()
        except BaseException as error:
            return [*(errors or ()), error]
        return errors

    def ended_error(self, wanted: str) -> ContextEnded:
        _name_edge(self)
        return super().ended_error(wanted)

    def _after_end(self) -> None:
        if self._parent is None:
            # The environ and the request would keep each other alive.
            self.request.environ["werkzeug.request"] = None

    # -- at an edge ---------------------------------------------------------------------------

    def _begin_at_edge(self, joined: AppContext | None) -> None:
        """Become current in the Context that the edge made for this request.

        The edge owns this context: it keeps the only way to its end. An error in a signal, in
        opening the session or in matching is raised with both contexts current.
        """
        app = self.app
        if joined is None:
            app_ctx = app.app_context() if app._plans.overrides.app_context else AppContext(app)
            self._own_app_ctx = app_ctx
            app_ctx._made_at_edge = True
            app_ctx._token = set_app_ctx(app_ctx)
            app_ctx._state = _CURRENT
        else:
            app_ctx = joined
        self.app_ctx = app_ctx
        try:
            if joined is None and appcontext_pushed.receivers:
                app_ctx.on_enter()
        finally:
            self._token = set_request_ctx(self)
            self._state = _CURRENT
            self._at_edge = True
        if self._opened is None and app._plans.idle_interface is None:
            self._open_early(app)
        self.match_request()

    def _end_at_edge(
        self, exc: BaseException | None, inline: bool
    ) -> Generator[Any, Any, list[BaseException] | None]:
        """The request's end, then its own app context's, in promise 5's order; returns the errors.

        The events of `Context._end`, stepped, so that an edge may run the functions elsewhere. A
        variable is reset where somebody is left to look; the Context itself goes with the request.
        """
        app = self.app
        overrides = app._plans.overrides
        own = self._own_app_ctx
        errors: list[BaseException] | None = None
        now = monotonic()
        looked_at = (
            app.teardown_appcontext_funcs
            or appcontext_tearing_down.receivers
            or appcontext_popped.receivers
            or overrides.do_teardown_appcontext
        )
        token = self._token
        if token is not None and self._state is _CURRENT:
            if self._holds is not None and self._leave():
                self._reset_at_edge(own)
                return None
            if own is not None:
                own._outcome = self._outcome if exc is None else "error"
            self._state = _ENDING
            if (
                app.teardown_request_funcs
                or overrides.do_teardown_request
                or request_tearing_down.receivers
            ):
                # A context that the view or the body left pushed covers neither.
                if current_request_ctx(None) is not self:
                    set_request_ctx(self)
                if current_app_ctx(None) is not self.app_ctx:
                    set_app_ctx(self.app_ctx)
                if overrides.do_teardown_request:
                    ran = self._teardown(exc, inline)
                else:
                    ran = pipeline.teardown_request(self, app, exc, inline)
                errors = ran if type(ran) is list else (yield from ran)
            request = self.request
            if (
                request._form_loaded
                or self._sharing is not None
                or (not overrides.stock_request and type(request).close is not _CLOSE)
            ):
                errors = self._close_request(errors)
            if looked_at or own is None:
                reset_request_ctx(token)
            self._token = None
            self._state = _ENDED
            self._ended_at = now
            request.environ["werkzeug.request"] = None
        if own is not None and (token := own._token) is not None and own._state is _CURRENT:
            if looked_at:
                own._state = _ENDING
                if current_app_ctx(None) is not own:
                    set_app_ctx(own)
                ran = own._teardown(exc, inline)
                more = ran if type(ran) is list else (yield from ran)
                if more:
                    errors = [*(errors or ()), *more]
                reset_app_ctx(token)
            own._token = None
            own._state = _ENDED
            own._ended_at = now
            if appcontext_popped.receivers:
                try:
                    own._after_end()
                except BaseException as error:
                    errors = [*(errors or ()), error]
        return errors

    def _reset_at_edge(self, own: AppContext | None) -> None:
        """The variables alone: an unfinished stream holds this context, and ends it."""
        if self._token is not None:
            reset_request_ctx(self._token)
            self._token = None
        if own is not None and own._token is not None:
            own._leave()
            reset_app_ctx(own._token)
            own._token = None

    def __repr__(self) -> str:
        request = self.request
        return f"<{type(self).__name__} {request.url!r} [{request.method}] of {self.app.name}>"


# -- what users call ------------------------------------------------------------------------------


def has_request_context() -> bool:
    """Whether a request context is current, so that `request` and `session` can be used."""
    return current_request_ctx(None) is not None


def has_app_context() -> bool:
    """Whether an application context is current, so that `current_app` and `g` can be used."""
    return current_app_ctx(None) is not None


def after_this_request(f: F) -> F:
    """Call `f(response)` when this request's view has returned; what it returns is the response.

    Raises `RuntimeError` outside a request and `ContextEnded` when the request is over.
    """
    ctx = current_request_ctx(None)
    if ctx is None:
        raise RuntimeError(
            "'after_this_request' can only be used when a request context is active, such as in a"
            " view function."
        )
    if ctx.ended:
        raise ctx.ended_error("register a function after this request")
    ctx._after_request_functions.append(f)
    return f


def copy_current_request_context(f: F, *, session: str = "share") -> F:
    """Wrap `f` so that each call of it has a context of its own on the current request.

    For threads, greenlets and executors: in `f`, `request` and `session` are readable, `g` is its
    own, and the parent's teardown functions and uploads are left alone. One wrapped function may
    be called many times and by many threads at once. The session is the request's own until the
    response is final; after that it can be read, and a write raises `SessionReadOnly`.

    Raises `RuntimeError` outside a request.
    """
    ctx = current_request_ctx(None)
    if ctx is None:
        raise RuntimeError(
            "'copy_current_request_context' can only be used when a request context is active,"
            " such as in a view function."
        )
    if session != "share":
        raise ValueError(f"session={session!r}: the only way is 'share'.")
    # Kept by the wrapper: the request is not closed as long as the function may be called.
    kept = ctx.copy()

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        with kept.copy() as child:
            return child.app.ensure_sync(f)(*args, **kwargs)

    return cast(F, update_wrapper(wrapper, f))
