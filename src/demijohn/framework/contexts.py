"""`RequestContext`: what a request carries, how it begins and ends, by hand and at an edge.

Which functions run at an end and in which order is in `ends`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from werkzeug.exceptions import HTTPException

from ..context.cancel import CancelToken, outcome_of
from ..context.errors import ContextEnded, outside_message
from ..context.held import Held, listed, opened_in
from ..context.lifecycle import State
from ..context.proxy import UNMADE
from ..context.scope import Scope
from ..context.stack import Context
from ..http.request import fill
from ..http.watch import Watched
from . import ends, limits
from .app_contexts import AppContext, name_edge
from .carrying import INSTEAD
from .copies import Share, Sharing
from .globals import (
    NO_WEBSOCKET,
    current_app_ctx,
    request_stack,
    reset_app_ctx,
    reset_request_ctx,
    set_app_ctx,
    set_request_ctx,
)
from .plan import holds
from .session_access import SessionSource, freeze, guarded, open_for, session_read_only
from .signals import (
    appcontext_pushed,
    request_finished,
)
from .wrappers import Request

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment
    from werkzeug.routing import MapAdapter

_new = object.__new__
_NEW, _CURRENT, _ENDING, _ENDED = State.NEW, State.CURRENT, State.ENDING, State.ENDED


def new_request(app: Any, environ: WSGIEnvironment, overrides: Any) -> Any:
    """The request of an environ, an `app.request_class`."""
    if overrides.stock_request:
        request: Any = fill(_new(Request), environ, False)
        environ["werkzeug.request"] = request
    else:
        request = app.request_class(environ)
    request.json_module = app.json
    return request


class RequestContext(Context, stack=request_stack, metaclass=Watched):
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
        "_unit",
        "app",
        "app_ctx",
        "request",
    )

    # What few requests set and no edge reads stands on the class.
    _instead = INSTEAD
    flashes: list[tuple[str, str]] | None = None
    # Whether it is a WebSocket's.
    _converses = False
    # Of a child: where its session comes from; of a copy, its original.
    _parent: RequestContext | SessionSource | None = None

    def __init__(
        self,
        app: Any,
        environ: WSGIEnvironment,
        request: Any = None,
        session: Any | None = None,
    ) -> None:
        self.app = app
        if request is None:
            request = new_request(app, environ, app._plans.current(app))
        self.request: Any = request
        #: The app context that this request runs with: its own, or the one that it joined.
        self.app_ctx: AppContext | None = None
        self._own_app_ctx: AppContext | None = None
        self._opened = session
        self._adapter: Any = UNMADE
        self._after: list[Callable[[Any], Any]] | None = None
        self._sharing: Share | None = None
        self._final = False
        self._outcome = "ok"
        self._state = _NEW
        self._at_edge = False
        self._token = self._holds = self._unit = None

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

    @property
    def websocket(self) -> Any:
        """The WebSocket that this is the context of; `RuntimeError` where it is a request's."""
        raise RuntimeError(outside_message(*NO_WEBSOCKET))

    # -- session ------------------------------------------------------------------------------

    @property
    def session(self) -> Any:
        """The session of this request. Reading it marks it as accessed (`Vary: Cookie`).

        After the request's end it can be read, and a write raises `ContextEnded`.
        """
        session = self._session
        assert session is not None, "The session has not yet been opened."
        if self._state is _ENDED or self._parent is not None:
            session = guarded(self, session)
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
        session = self._opened = open_for(self)
        return session

    def _lend_session(self, child: RequestContext) -> Any:
        """The session, for a copy that shares it."""
        session = self._session
        if self._final:
            freeze(session, session_read_only)
        return session

    def _open_early(self, app: Any) -> None:
        """Open the session before the URL is matched, where somebody could tell."""
        plans = app._plans
        if plans.idle_interface is None and not plans.opens_session_late(app.session_interface):
            self._open_session()

    def _save_session(self, response: Any) -> None:
        app = self.app
        interface = app.session_interface
        if self._opened is None and interface.untouched(app, self.request.environ):
            return
        session = self._session
        if not interface.is_null_session(session):
            interface.save_session(app, session, response)

    def _now_final(self) -> None:
        """The response is final: what shares the session can no longer reach the client."""
        self._final = True
        sharing = self._sharing
        if sharing is not None and sharing.sharing.lends_session and self._opened is not None:
            freeze(self._opened, session_read_only)

    # -- resources ----------------------------------------------------------------------------

    @property
    def succeeded(self) -> bool:
        return self._outcome == "ok" and not getattr(self, "_failed", False)

    @property
    def scope(self) -> Scope:
        scope: Scope = self.app._scope
        return scope

    @property
    def callbacks_context(self) -> Context:
        return self.app_ctx or self

    def held(self) -> list[Held]:
        """What is open in this request and in its app context, first opened first."""
        below = self.app_ctx
        return listed(opened_in(self) if below is None else opened_in(self, below))

    # -- what the pipeline asks ---------------------------------------------------------------

    def _is_observed(self, app: Any) -> bool:
        """Whether anybody but the application's after hooks and the server looks at this request's
        response object."""
        if self._opened is not None or self._after is not None or request_finished.receivers:
            return True
        environ = self.request.environ
        if app._plans.idle_interface is not None and "HTTP_COOKIE" not in environ:
            return False
        return not app.session_interface.untouched(app, environ)

    def _cancel_home(self) -> Any:
        # The app context that it brought is the same piece of work; one that it joined is not.
        own = self._own_app_ctx
        return self if own is None or self.app_ctx is not own else own

    def _cancel_above(self) -> CancelToken | None:
        joined = self.app_ctx
        return None if joined is None else joined._own_token()

    def _left_early(self) -> None:
        """The server closes the body before its end: the client has gone."""
        limits.left(self)

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
        sharing = self._shared()
        sharing.lends_session = True
        child._sharing = sharing.take()
        child._parent = self._parent or self
        return child

    def _shared(self) -> Sharing:
        """Who holds this request: this context, and what is made of it."""
        with request_stack.lock:
            if self._sharing is None:
                self._sharing = Sharing(self.request).take()
            return self._sharing.sharing

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
            app = self.app
            # Not by its `app_context()`, unless overridden: that asks what nesting is to do.
            needed = app.app_context() if app._plans.overrides.app_context else AppContext(app)
            self._own_app_ctx = needed
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

    def _make_current(self) -> Any:
        # The end's functions see the app context that the request ran with, whichever is on top.
        below = self.app_ctx
        covered = below is not None and current_app_ctx(None) is not below
        return set_request_ctx(self), set_app_ctx(below) if covered else None

    def _restore(self, token: Any) -> None:
        own, below = token
        if below is not None:
            reset_app_ctx(below)
        reset_request_ctx(own)

    def _tear_down(self, exc: BaseException | None) -> list[BaseException] | None:
        own = self._own_app_ctx
        if own is not None and own is self.app_ctx:
            own._outcome = self._outcome if exc is None else outcome_of(exc)
        if self._parent is not None:
            return None
        self.app._plans.current(self.app)
        return self._teardown(exc)

    def _end_here(self, exc: BaseException | None) -> list[BaseException] | None:
        # What it ran with is made current for it, ended or not; nothing is begun for an end.
        return self._end(exc, None)

    def _teardown(self, exc: BaseException | None) -> list[BaseException]:
        app = self.app
        if not app._plans.overrides.do_teardown_request:
            return ends.teardown_request(self, app, exc)
        return ends.run_step(app.do_teardown_request, exc)

    def _let_go_last(self, errors: list[BaseException] | None) -> list[BaseException] | None:
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
        name_edge(self)
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
        try:
            url = request.url
        except HTTPException:  # a host that is not trusted
            url = request.path
        return f"<{type(self).__name__} {url!r} [{request.method}] of {self.app.name}>"


holds(RequestContext, "__init__", "_begin_at_edge", "match_request")
