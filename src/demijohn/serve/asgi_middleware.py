"""An application context for each connection of another framework's ASGI application.

`request` and `session` are not there: the request is the other framework's. The same for WSGI is
`middleware`.
"""

from __future__ import annotations

import asyncio
from contextvars import copy_context
from typing import Any

from ..context.releasing import releasing_clean
from ..framework.app_context_end import end_app_context
from ..framework.app_contexts import EDGE
from ..framework.globals import (
    current_app_ctx,
    current_request_ctx,
    reset_app_ctx,
    reset_request_ctx,
    set_app_ctx,
    set_request_ctx,
)
from ..framework.handing import made
from .asgi import threads_of
from .asgi_exchange import Receive, Send
from .drivers import report_errors, report_found
from .driving import Work

_NO_BODY = frozenset({204, 304})
_PARTS = frozenset({"http.response.body", "http.response.pathsend"})
_IN_ORDER = frozenset({1000, 1001, 1005})
"""The codes with which a WebSocket is closed in good order (RFC 6455, 7.4.1)."""


class AppContextASGIMiddleware:
    """An ASGI application that serves `asgi_app`, each connection in an application context of
    `app`.

        application = AppContextASGIMiddleware(get_asgi_application(), app)
        api.add_middleware(AppContextASGIMiddleware, app=app)  # Starlette, FastAPI

    The context is current in the task that the server calls in, and so in the tasks and threads
    that the application starts from there. The context of a request ends once: when the application
    has made the last byte of the response, before that is sent, or when it returns, raises or is
    cancelled before. So what it does after its response, a background task say, finds the context
    ended. That of a WebSocket ends when the application returns. The end is awaited, async
    resources included.

    Its outcome is "error" when an exception leaves `asgi_app`, which is passed on, "handled" when
    the status is 500 or above, and "disconnected" when the client left before the end of the
    response. What the end itself raises is logged. In the lifespan no context is current; resources
    of lifetime "app" are closed when the application has shut down.
    """

    def __init__(self, asgi_app: Any, app: Any) -> None:
        self.asgi_app = asgi_app
        self.app = app

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        """Serve one connection (ASGI)."""
        kind = scope["type"]
        if kind in ("http", "websocket"):
            connection = _Connection(self.app, kind == "http", receive, send)
            await connection.serve(self.asgi_app, scope)
        elif kind == "lifespan":
            await self.asgi_app(scope, receive, self._closing(send))
        else:
            await self.asgi_app(scope, receive, send)

    def _closing(self, send: Send) -> Send:
        """`send`, which closes what lives as long as the application when that has shut down."""

        async def closing(message: dict[str, Any]) -> None:
            if message["type"].startswith("lifespan.shutdown."):
                held = self.app._scope.held
                work = Work(copy_context(), threads_of(self.app))
                try:
                    errors = await work.drive(made(held.closing(None, True)))
                    if errors:
                        report_errors(self.app, None, errors, repr(self.app))
                finally:
                    work.free()
            await send(message)

        return closing


class _Connection:
    """One request or WebSocket: its context, and what is known of how it went."""

    def __init__(self, app: Any, is_http: bool, receive: Receive, send: Send) -> None:
        self._app = app
        self._is_http = is_http
        self._receive = receive
        self._send = send
        self._ctx: Any = None
        self._status = 0
        #: Whether the response is whole, whether the client has left before that, and whether that
        #: was the end of a WebSocket in good order.
        self._answered = False
        self._left = False
        self._in_order = False
        # What said that the client has left, where that was the server's `send`.
        self._refused: OSError | None = None
        self._over = asyncio.Event()

    async def serve(self, asgi_app: Any, scope: Any) -> None:
        found = current_request_ctx(None) or current_app_ctx(None)
        report_found(self._app, found)
        # The variables are set in the task that the server calls in: what the application starts
        # there, tasks and threads, has copies of that Context.
        tokens = set_app_ctx(None), set_request_ctx(None)
        try:
            self._ctx = ctx = self._app.app_context()
            ctx._made_at_edge = True
            ctx._ended_by = EDGE
            ctx.push()
            try:
                await asgi_app(scope, self._on_receive, self._on_send)
            except GeneratorExit as error:
                # The coroutine is closed, not awaited any more: by its loop's end, say.
                self._end_at_once(error)
                raise
            except BaseException as error:
                await self._end(error)
                raise
            await self._end(None)
        finally:
            self._refused = None
            _reset(*tokens)
            if self._ctx is not None:
                self._ctx._token = None

    # -- what passes --------------------------------------------------------------------------

    async def _on_receive(self) -> Any:
        message = await self._receive()
        if message["type"].endswith(".disconnect") and not self._answered and not self._left:
            self._left = True
            self._in_order = not self._is_http and message.get("code", 1005) in _IN_ORDER
            if not self._ctx.ended:
                self._ctx.cancel("disconnect")
        return message

    async def _on_send(self, message: dict[str, Any]) -> None:
        kind = message["type"]
        if kind == "http.response.start":
            self._status = message["status"]
            if self._streams(message):
                await self._release()
        elif not message.get("more_body", False) and kind in _PARTS:
            # The context is done with all of it. Who has the whole response finds it ended.
            self._answered = True
            await self._end(None)
        try:
            await self._send(message)
        except OSError as error:
            # So a server says that there is nobody to send to (ASGI, version 2.4).
            self._left, self._refused = True, error
            raise

    def _streams(self, start: dict[str, Any]) -> bool:
        """Whether a response is streamed, as far as its start tells: it has no length."""
        return self._status not in _NO_BODY and not any(
            name.lower() == b"content-length" for name, _ in start.get("headers", ())
        )

    # -- the end ------------------------------------------------------------------------------

    async def _release(self) -> None:
        """Give back what need not be held while the body streams."""
        if self._ctx._unit is not None and not self._ctx.ended:
            await self._drive(made(releasing_clean((self._ctx,))))

    async def _end(self, error: BaseException | None) -> None:
        """End the context, unless that is done; another task's end is waited for."""
        if self._ctx._claim_end():
            try:
                await self._drive(end_app_context(self._ctx, self._judged(error)))
            finally:
                self._over.set()
        elif not self._ctx.ended and not self._ctx._holds:
            await self._over.wait()

    def _end_at_once(self, error: BaseException) -> None:
        """The same where nothing can be awaited."""
        ctx = self._ctx
        try:
            if ctx._claim_end():
                errors = ctx._end(self._judged(error), None)
                if errors:
                    report_errors(self._app, None, errors, repr(ctx))
        finally:
            self._over.set()

    def _judged(self, error: BaseException | None) -> BaseException | None:
        """Tell the context how the connection went; what its end is to be told of."""
        ctx = self._ctx
        if self._left and (error is None or self._is_of_leaving(error)):
            ctx._outcome = None if self._in_order else "disconnected"
            return None
        ctx._outcome = None if error is not None or self._status < 500 else "handled"
        return error

    def _is_of_leaving(self, error: BaseException) -> bool:
        """Whether an application was stopped by its client's leaving: by the server, by the error
        of `send` or one made of that, or by the framework's own."""
        if isinstance(error, (asyncio.CancelledError, GeneratorExit)):
            return True
        if type(error).__name__ in ("ClientDisconnect", "WebSocketDisconnect"):  # Starlette's
            return True
        cause: BaseException | None = error
        while cause is not None:
            if cause is self._refused:
                return True
            cause = cause.__cause__ or cause.__context__
        return False

    async def _drive(self, coroutine: Any) -> None:
        """Run a part of the end: a cancel waits for it, and what it raises is logged."""
        ctx = self._ctx
        # Not the task's own Context: that one may be entered by the loop at any time.
        work = Work(copy_context(), threads_of(self._app))
        work.ctx = ctx
        try:
            errors = await work.drive(coroutine, shield=True)
            if errors:
                report_errors(self._app, None, errors, repr(ctx))
            work.raise_missed()
        finally:
            work.free()
            errors = None


def _reset(app_token: Any, request_token: Any) -> None:
    try:
        reset_app_ctx(app_token)
        reset_request_ctx(request_token)
    except ValueError:
        # Closed in another Context: what this one sees there has ended.
        pass
