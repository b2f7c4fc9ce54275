"""WebSockets: the context of a connection, and its way from the request for it to its end.

The steps are the pipeline's; what is written here is how they go together where a connection may
be accepted on the way. Messages are the edge's (`serve.websocket`), and registration is that of
other views (`scaffold`, `registry`).
"""

from __future__ import annotations

import asyncio
from contextvars import copy_context
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from werkzeug.exceptions import Forbidden, HTTPException

from ..context.cancel import DEADLINE
from ..context.errors import Cancelled, DeadlineExceeded, SessionReadOnly
from ..http import websocket as http
from ..http.sessions import read_only
from . import pipeline_async as steps
from .contexts import RequestContext
from .copies import Sharing
from .handing import Ask, begin, hand, nothing, save_session, spare
from .pipeline import Raised
from .wrappers import WebSocket

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

ORIGINS = "WEBSOCKET_ORIGINS"
"""The key of the origins whose pages may connect: see `http.websocket.may_ask`."""

_CODES = {"shutdown": http.SERVICE_RESTART}


class WebSocketContext(RequestContext):
    """A connection's unit of work: as a request's, where `request` is the WebSocket."""

    _converses = True

    def __init__(
        self,
        app: Any,
        environ: WSGIEnvironment,
        request: Any = None,
        session: Any | None = None,
    ) -> None:
        if request is None:
            request = app.websocket_class(environ)
            request.json_module = app.json
        super().__init__(app, environ, request, session)

    @property
    def websocket(self) -> Any:
        return self.request

    # -- session: what is written before `accept` reaches the client --------------------------

    def _open_session(self) -> Any:
        session = super()._open_session()
        return self._freeze_session(session) if self._final else session

    def _freeze_session(self, session: Any) -> Any:
        if self._parent is None:
            session = self._opened = read_only(session, _accepted_already)
        return session

    def _now_accepted(self) -> None:
        self._final = True
        if self._opened is not None:
            self._freeze_session(self._opened)

    def _save_session(self, response: Any) -> None:
        if not self._final:
            super()._save_session(response)

    # -- there is no body, and so nothing to close --------------------------------------------

    def _shared(self) -> Sharing:
        if self._sharing is None:
            self._sharing = Sharing(None).take()
        return self._sharing.sharing

    def _let_go_last(self, errors: list[BaseException] | None) -> list[BaseException] | None:
        return errors if self._sharing is None else super()._let_go_last(errors)


def _accepted_already() -> SessionReadOnly:
    return SessionReadOnly(
        "The WebSocket was accepted, so nothing written to the session now can reach the client."
        " Write before `await websocket.accept()`, or before the first `receive` or `send`, which"
        " accept."
    )


# -- one connection -------------------------------------------------------------------------------


@dataclass
class Farewell:
    """What is left to do when a connection's view is over: for its edge."""

    ctx: Any
    answer: Any = None
    """How the connection is refused, `(status, headers, body)`; a `Raised`; None for `code`."""
    code: int = http.NORMAL
    reason: str = ""
    error: BaseException | None = None
    """What the context's end is told of."""


async def converse(app: Any, environ: WSGIEnvironment, connection: Any) -> Farewell:
    """A connection from the request for it to the end of its view, all but the context's end."""
    app._plans.current(app)
    ctx = WebSocketContext(app, environ)
    ctx.request.connection = connection
    connection.on_accept = partial(_accepting, ctx)
    farewell = Farewell(ctx)
    try:
        try:
            await begin(ctx, None)
            answer = await _talk(ctx, app, connection)
            if answer is None and (reason := ctx.cancel_reason) in _CODES:
                # The view has kept to itself that it was stopped.
                farewell.code, farewell.reason = _CODES[reason], reason
        except Exception as error:
            farewell.error = error
            if connection.begun:
                await _say_goodbye(farewell, app, error)
                return farewell
            if app._plans.overrides_now(app, "handle_exception"):
                answer = await hand(app.handle_exception, error)
            else:
                answer = await steps.handle_exception(ctx, app, error)
        if answer is not None:
            if hasattr(answer.response, "__aiter__"):
                answer.response = [part async for part in answer.response]
            farewell.answer = await hand(_whole, answer, environ)
    except BaseException as error:
        farewell.answer = Raised(error)
        farewell.error = farewell.error or error
        farewell.code = http.INTERNAL_ERROR
    return farewell


async def _talk(ctx: Any, app: Any, connection: Any) -> Any:
    """Hooks, view and error handlers: the response of a connection that is refused, else None.

    Once the connection is accepted or closed, no response can reach the client, and errors come
    out.
    """
    rv: Any
    try:
        app._got_first_request = True
        request = ctx.request
        if request.url_rule is not None and not http.may_ask(request, app.config.get(ORIGINS)):
            _log_origin(app, request)
            raise Forbidden("Pages of this origin may not connect.")
        rv = await steps.preprocess(ctx, app)
        if rv is None:
            rv = await steps.dispatch(ctx, app)
            await Ask(spare)
            if rv is None and not connection.begun:
                raise TypeError(
                    f"The view of {request.endpoint!r} neither accepted the WebSocket nor refused"
                    " it: it ended before the first `accept`, `receive`, `send` or `close`, and"
                    " returned no answer."
                )
    except Exception as error:
        if connection.begun:
            raise
        rv = await steps.handle_user_exception(ctx, app, error)
        if not isinstance(error, HTTPException):
            ctx._outcome = "handled"
        if error is ctx.request.routing_exception:
            error.__traceback__ = None  # as in the pipeline's `full_dispatch`
    try:
        if connection.begun:
            if rv is not None:
                _log_lost(app, ctx.request.endpoint, rv)
            await steps.process_response(ctx, app, None)
            return None
        return await steps.finalize(ctx, app, rv, app._plans.overrides)
    finally:
        rv = None  # it may be an exception, whose traceback has this frame


def _log_lost(app: Any, endpoint: str, rv: Any) -> None:
    """Log that what was returned for a connection that is accepted, or closed, reaches nobody; once
    for each endpoint."""
    if endpoint in app._lost_answers:
        return
    app._lost_answers.add(endpoint)
    app.logger.warning(
        "What the view of %r, or a function before it, returned (%s) is dropped: the WebSocket was"
        " accepted or closed before. `await websocket.send(...)` sends it; returned before the"
        " first `accept`, `receive`, `send` or `close` it refuses the connection. Said once.",
        *(endpoint, type(rv).__name__),
    )


def _whole(response: Any, environ: WSGIEnvironment) -> tuple[int, list[tuple[str, str]], bytes]:
    """A response in one piece: a connection that is refused is not streamed to."""
    try:
        body = b"".join(response.iter_encoded())
    finally:
        response.close()
    headers = response.get_wsgi_headers(environ)
    headers["Content-Length"] = str(len(body))
    return response.status_code, headers.to_wsgi_list(), body


async def _accepting(ctx: Any, on_driver: bool) -> list[tuple[str, str]]:
    """The headers that the session adds to the answer; from now on it is read only."""
    app = ctx.app
    plans = app._plans
    response = app.response_class(status=101)
    if (
        ctx._opened is not None
        or plans.idle_interface is None
        or "HTTP_COOKIE" in ctx.request.environ
    ):
        if on_driver or plans.idle_interface is not None:
            await save_session(ctx, response)
            await Ask(nothing)  # what follows needs the loop's own thread
        else:
            loop = asyncio.get_running_loop()
            saving = partial(copy_context().run, ctx._save_session, response)
            await loop.run_in_executor(None, saving)
    ctx._now_accepted()
    return [("Set-Cookie", value) for value in response.headers.getlist("Set-Cookie")]


def _log_origin(app: Any, request: WebSocket) -> None:
    app.logger.warning(
        "A page of the origin %r asked for the WebSocket %r of %r, and got 403. If it is one of"
        ' yours, name its origin: app.config[%r] = ["https://..."].',
        *(request.headers.get("Origin"), request.path, request.headers.get("Host"), ORIGINS),
    )


# -- the end of a view ----------------------------------------------------------------------------


async def _say_goodbye(farewell: Farewell, app: Any, error: Exception) -> None:
    """What becomes of an error that came out of a view whose connection was accepted."""
    stopped = _stop_in(error, farewell.ctx.request.connection)
    if isinstance(stopped, http.WebSocketDisconnected):
        farewell.error = None
        if stopped.by_client:
            farewell.ctx._outcome = "disconnected"
    elif (reason := _reason(stopped)) in ("disconnect", http.CLOSED):
        farewell.error = None
        if reason == "disconnect":
            farewell.ctx._outcome = "disconnected"
    elif stopped is not None:
        farewell.code = _CODES.get(reason, http.TRY_AGAIN_LATER)
        farewell.reason = reason
        farewell.error = stopped
    elif isinstance(error, http.WebSocketBadMessage):
        farewell.code, farewell.reason = error.code, str(error)
    elif isinstance(error, HTTPException) and not app.trap_http_exception(error):
        is_clients = error.code is not None and error.code < 500
        farewell.code = http.POLICY_VIOLATION if is_clients else http.INTERNAL_ERROR
        farewell.reason = error.name
    else:
        farewell.code = http.INTERNAL_ERROR
        try:
            await steps.reported(app, error)
        except BaseException as raised:
            farewell.answer = Raised(raised)


def _stop_in(error: BaseException, connection: Any) -> BaseException | None:
    """The error by which work was stopped from outside, also where several tasks met one."""
    if isinstance(error, (Cancelled, DeadlineExceeded)):
        return error
    if isinstance(error, http.WebSocketDisconnected):
        return error if error._connection in (None, connection) else None
    if isinstance(error, BaseExceptionGroup):
        found = [_stop_in(part, connection) for part in error.exceptions]
        if None not in found:
            return found[0]
    return None


def _reason(error: BaseException | None) -> str:
    return error.reason if isinstance(error, Cancelled) else DEADLINE
