"""One WSGI request in its Context: answered, its body handed out, and ended.

`wsgi_flat.serve` is the same in one piece, written from this for most applications.
"""

from __future__ import annotations

from contextvars import Context
from functools import partial
from typing import TYPE_CHECKING, Any

from ..context.stepping import Steps
from ..framework.ends import end_at_edge
from ..framework.pipeline import Raised, discard, end, respond
from ..framework.resources import release_for_stream
from ..framework.streams import SyncSteps
from ..http.response import finish
from .drivers import CLIENT_KEY, report_errors
from .event_stream import ending

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

_PRESERVE_KEY = "werkzeug.debug.preserve_context"


def serve(
    app: Any, environ: WSGIEnvironment, start_response: StartResponse, context: Context, joined: Any
) -> Any:
    """In the request's Context: the body for the server, or a `Raised` for the caller."""
    plans = app._plans
    overrides = plans.current(app)
    ctx, answer, error = respond(app, environ, joined, overrides)
    body: Any
    parts: Any = None
    finished: Any = None
    plain = True
    try:
        try:
            if type(answer) is tuple:
                status, headers, body = answer
                start_response(status, headers)
            elif type(answer) is Raised:
                body = answer
            else:
                finished = finish(answer, environ)
                if finished is not None:
                    status, headers, body, plain = finished
                    start_response(status, headers)
                else:
                    body = answer(environ, start_response)
                    plain = isinstance(body, (list, tuple))
            if not plain:
                _release(app, ctx, environ)
                parts = getattr(answer, "response", None)
                if hasattr(parts, "__aiter__"):
                    body = SyncSteps(parts, body)
                body = ending(app, ctx, answer, body)
        except BaseException as failed:
            try:
                discard(app, answer)
            finally:
                _end(app, ctx, environ, error, failed)
            raise
        if _PRESERVE_KEY in environ:
            _preserve(environ, ctx)
        if not plain:
            return Steps(context, body, partial(_end, app, ctx, environ, error), ctx._left_early)
        if type(body) is Raised:
            try:
                _end(app, ctx, environ, error, None)
            except BaseException as error_of_end:
                # An error of the end does not hide the one that the request ended with.
                error_of_end.__context__ = error_of_end.__context__ or body.error
                raise
        elif error is not None or CLIENT_KEY in environ:
            _end(app, ctx, environ, error, None)
        else:
            errors = end_at_edge(ctx, None)
            if errors:
                report_errors(app, None, errors, repr(ctx))
        return body
    finally:
        # The frames of an error lead here: what has to do with it, and the body, must not stay.
        answer = body = parts = finished = error = errors = None


def _release(app: Any, ctx: Any, environ: WSGIEnvironment) -> None:
    """Give back what need not be held while the body streams."""
    below = ctx.app_ctx
    if ctx._unit is not None or (below is not None and below._unit is not None):
        errors = release_for_stream(ctx)
        try:
            if errors:
                report_errors(app, environ.get(CLIENT_KEY), errors, repr(ctx))
        finally:
            # The errors' tracebacks lead to this frame.
            del errors


def _end(
    app: Any,
    ctx: Any,
    environ: WSGIEnvironment,
    error: BaseException | None,
    failed: BaseException | None,
) -> None:
    """Let the pipeline run the end, and say what it raised."""
    mark = environ.get(CLIENT_KEY)
    errors: list[BaseException] | None = None
    try:
        if mark is not None:
            mark.record(ctx)
    finally:
        # Whatever a client's snapshot met: the context ends.
        errors = end(ctx, app, error, failed)
    try:
        if errors:
            report_errors(app, mark, errors, repr(ctx))
    finally:
        # The errors' tracebacks lead to this frame.
        errors = None


def _preserve(environ: WSGIEnvironment, ctx: Any) -> None:
    """Give the contexts to a debugger or a test client, which push successors of them."""
    preserve = environ[_PRESERVE_KEY]
    preserve(ctx.app_ctx)
    preserve(ctx)
