"""The WSGI edge (PEP 3333): one call of the server made a request, answered, and ended.

Every request runs in a Context of its own; a streamed body is stepped in the same one.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

from ..framework.globals import current_app_ctx, current_request_ctx
from ..framework.pipeline import Raised
from .drivers import CLIENT_KEY, enclosing, hand_out
from .wsgi_flat import serve

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


def wsgi_app(app: Any, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Serve one request."""
    if current_app_ctx(None) is None and current_request_ctx(None) is None:
        context, joined = copy_context(), None
    else:
        context, joined = enclosing(app, environ.get(CLIENT_KEY))
    try:
        answer = context.run(serve, app, environ, start_response, context, joined)
    except BaseException:
        hand_out(context)
        raise
    try:
        if type(answer) is Raised:
            hand_out(context)
            raise answer.error
        return answer  # type: ignore[no-any-return]
    finally:
        # An exception that somebody keeps leads here, if only as the caller of what it came from:
        # it must not keep itself alive, nor a body that the server has dropped.
        del answer
