"""What every edge does around a request, whatever its protocol: the Context that it runs in.

A driver steps the pipeline from outside that Context. What is said to the server is the edge's
(`serve.wsgi`).
"""

from __future__ import annotations

import warnings
from contextvars import Context, copy_context
from typing import Any, Protocol

from ..context.ending import raise_errors
from ..context.errors import ContextWarning
from ..framework.aio import set_back
from ..framework.globals import _cv_app, _cv_request

CLIENT_KEY = "demijohn.client"
"""The environ key under which a test client leaves its mark; without it, the caller is a server."""


class ClientMark(Protocol):
    """What a test client tells the edge."""

    isolated: bool
    """Whether the request starts clean even where the test holds an app context."""

    def record(self, ctx: Any) -> None:
        """Take a snapshot of the request's context, just before it ends."""


def enclosing(app: Any, mark: ClientMark | None) -> tuple[Context, Any]:
    """The Context for a request where some context is current, and the app context that it joins.

    A server edge reports what it found and starts clean. A test client's request joins an app
    context of the same application that the test holds, unless a running request made it.
    """
    app_ctx, request_ctx = _cv_app.get(None), _cv_request.get(None)
    joined = None
    if mark is None:
        report_found(app, request_ctx if request_ctx is not None else app_ctx)
    elif (
        app_ctx is not None
        and not mark.isolated
        and app_ctx.app is app
        and not getattr(app_ctx, "_made_at_edge", False)
        and not app_ctx.ended
    ):
        joined = app_ctx
    context = copy_context()
    # A copied Context cannot have a variable unset; None means the same to everything of ours.
    if joined is None:
        context.run(_cv_app.set, None)
    context.run(_cv_request.set, None)
    return context, joined


def report_found(app: Any, found: Any) -> None:
    """Say, once an application, that a context was current when a request arrived."""
    if found is None or app._plans.reported_leftover:
        return
    app._plans.reported_leftover = True
    warnings.warn(
        f"{found!r} was current when a request arrived at the server edge of {app.name!r}. The"
        " request starts without it. Somebody pushed it on this thread and did not pop it; in a"
        " test, use app.test_client(), which joins it. This is reported once an application.",
        ContextWarning,
        stacklevel=2,
    )


def hand_out(context: Context) -> None:
    """Set in the caller's Context what the request changed: its exception leaves the application.

    Middleware outside sees the variables as it did when requests ran in its own Context. The
    core's own stay the request's.
    """
    context.run(clear)
    own_app, own_request = _cv_app.get(None), _cv_request.get(None)
    set_back(context)
    if _cv_app.get(None) is not own_app:
        _cv_app.set(own_app)
    if _cv_request.get(None) is not own_request:
        _cv_request.set(own_request)


def clear() -> None:
    """Make no context current in the calling code's Context."""
    _cv_app.set(None)
    _cv_request.set(None)


def report_errors(
    app: Any, mark: ClientMark | None, errors: list[BaseException], ctx_repr: str
) -> None:
    """What an end raised: logged at a server edge, raised where a test client lets errors through.

    `KeyboardInterrupt` and `SystemExit` are raised at any edge, after the rest is logged.
    """
    fatal = errors
    try:
        if mark is None or not app._propagates:
            fatal = []
            while errors:
                error = errors.pop(0)
                if isinstance(error, Exception):
                    exc_info = (type(error), error, error.__traceback__)
                    app.logger.error(f"Error at the end of {ctx_repr}", exc_info=exc_info)
                    del exc_info
                else:
                    fatal.append(error)
                del error
        raise_errors(fatal, f"Errors at the end of {ctx_repr}")
    finally:
        # The errors' tracebacks lead to this frame.
        errors = fatal = []
