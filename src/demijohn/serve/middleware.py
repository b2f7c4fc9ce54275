"""An application context for each request of another framework's WSGI application.

`request` and `session` are not there: the request is the other framework's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextvars import Context, copy_context
from functools import partial
from typing import TYPE_CHECKING, Any

from ..context.loops import drive
from ..context.releasing import releasing_clean
from ..context.stepping import Steps
from ..framework.app_contexts import EDGE
from ..framework.globals import current_app_ctx, current_request_ctx
from .drivers import enclosing, hand_out, report_errors

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


class AppContextMiddleware:
    """A WSGI application that serves `wsgi_app`, each request in an application context of `app`.

        application = AppContextMiddleware(get_wsgi_application(), app)

    The request and every step of its body run in one Context of their own, whichever thread asks
    for a step. The context ends once: after the last byte of a body that is an iterator, before a
    list, a tuple or a file wrapper is handed to the server. Its outcome is "error" when an
    exception leaves `wsgi_app` or the body, which is passed on, "handled" when the answer's status
    is 500 or above, and "disconnected" when the server closes the body before its end. What the end
    itself raises is logged.
    """

    def __init__(self, wsgi_app: WSGIApplication, app: Any) -> None:
        self.wsgi_app = wsgi_app
        self.app = app

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request (PEP 3333)."""
        if current_app_ctx(None) is None and current_request_ctx(None) is None:
            context = copy_context()
        else:
            context, _ = enclosing(self.app, None)
        try:
            return context.run(self._serve, context, environ, start_response)
        except BaseException:
            hand_out(context)
            raise

    def _serve(
        self, context: Context, environ: WSGIEnvironment, start_response: StartResponse
    ) -> Iterable[bytes]:
        ctx = self.app.app_context()
        ctx._made_at_edge = True
        ctx._ended_by = EDGE
        ctx.push()
        try:
            body = self.wsgi_app(environ, _watched(ctx, start_response))
            plain = isinstance(body, (list, tuple)) or _is_file(body, environ)
            if not plain and ctx._unit is not None:
                self._release(ctx)
        except BaseException as error:
            self._end(ctx, error)
            raise
        if not plain:
            # Of a body that answers HEAD nothing is sent.
            left = None if environ["REQUEST_METHOD"] == "HEAD" else partial(_left, ctx)
            return Steps(context, body, partial(self._end, ctx), left)
        self._end(ctx, None)
        return body

    def _release(self, ctx: Any) -> None:
        """Give back what need not be held while the body streams."""
        errors = drive(releasing_clean((ctx,)))
        if errors:
            report_errors(self.app, None, errors, repr(ctx))

    def _end(self, ctx: Any, error: BaseException | None) -> None:
        if error is not None:
            ctx._outcome = None
        try:
            ctx.pop(error)
        except BaseException as raised:
            report_errors(self.app, None, [raised], repr(ctx))


def _watched(ctx: Any, start_response: StartResponse) -> Callable[..., Any]:
    """`start_response`, which tells the context of an error's status."""

    def watched(status: str, *rest: Any) -> Any:
        ctx._outcome = "handled" if status[:1] == "5" else None
        return start_response(status, *rest)

    return watched


def _left(ctx: Any) -> None:
    ctx._outcome = "disconnected"


def _is_file(body: Any, environ: WSGIEnvironment) -> bool:
    wrapper = environ.get("wsgi.file_wrapper")
    return isinstance(wrapper, type) and isinstance(body, wrapper)
