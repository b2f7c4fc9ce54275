"""What a child sees of its parent's request: what it tells, without its server.

It is taken where the work is started. A child's request is its own object, so that neither side
sees what the other one does later. Its session is in `session_access`.
"""

from __future__ import annotations

import copy
import io
import sys
import weakref
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

from werkzeug.datastructures import EnvironHeaders, Headers

from .copies import Sharing
from .session_access import SessionSource
from .wrappers import Request

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

_PLAIN = (str, int, float, bool, bytes, type(None))
# What a server put into the environ for the request's own time.
_SERVERS = frozenset(
    {
        *("wsgi.input", "wsgi.errors", "wsgi.file_wrapper", "wsgi.websocket"),
        *("werkzeug.request", "werkzeug.socket", "werkzeug.debug.preserve_context"),
        *("gunicorn.socket", "waitress.client_disconnected", "uwsgi.core", "demijohn.client"),
    }
)
_NO_BODY = frozenset({None, "", "0"})
# Of a request's attributes: those that are made anew from the environ, and those of its body.
_MADE_ANEW = frozenset({"environ", "headers", "_headers", "stream", "_stream", "_cached_json"})
_OURS = frozenset(
    {"_cached_data", "_form_loaded", "method", "routing_exception", "shallow"}
    | {"connection", "url_rule", "view_args"}
)


class Unread:
    """Stands in for the body of a request that was not read before its child was started."""

    def read(self, *args: object) -> NoReturn:
        raise RuntimeError(
            "The body of this request was not read when this work was started, and the server's"
            " connection does not come along. Read it before: call `request.get_data()`,"
            " `request.get_json()` or look at `request.form`, and start the work then."
        )

    readline = readlines = readinto = __iter__ = read


class ParentsBody(io.RawIOBase):
    """The body of a request that shares its session, read by way of the parent while that runs."""

    def __init__(self, ctx: Callable[[], Any]) -> None:
        self._ctx = ctx
        self._body: io.BytesIO | None = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self._body is None:
            self._body = io.BytesIO(self._get_data())
        return self._body.readinto(buffer)

    def _get_data(self) -> bytes:
        ctx = self._ctx()
        if ctx is None or ctx.ended or ctx.request._form_loaded:
            Unread().read()
        # Children on several threads may come here at once.
        with ctx._sharing.sharing.lock:
            data: bytes = ctx.request.get_data()
        return data


class RequestData:
    """What a request tells, taken once; `make` gives each child a request of its own."""

    def __init__(self, ctx: Any, share: bool) -> None:
        request = ctx.request
        self._cls: type[Any] = type(request)
        environ = request.environ
        self.environ: WSGIEnvironment = {
            key: value
            for key, value in environ.items()
            if key not in _SERVERS and (share or _is_plain(value))
        }
        state = vars(request)
        self._state = {
            name: _copied(value)
            for name, value in state.items()
            if name not in _MADE_ANEW and (share or name in _OURS or hasattr(Request, name))
        }
        own = state.get("_headers") or state.get("headers")
        self._headers = None if own is None or isinstance(own, EnvironHeaders) else Headers(own)
        self._was_read = "_cached_data" in state or request._form_loaded
        self._input: Callable[[], Any] = Unread
        if self._was_read or _has_no_body(environ):
            self._input = io.BytesIO
            self.environ.pop("wsgi.input_terminated", None)
        #: Whether a child reads the body itself, by way of its parent.
        self.reads_itself = share and self._input is Unread
        if self.reads_itself:
            self._input = partial(ParentsBody, weakref.ref(ctx))
        #: Whether there are files that somebody has to close.
        self.has_files = bool(state.get("files"))

    def make(self) -> Any:
        """A request of the same class, made by its constructor from a copy of the environ."""
        environ = {**self.environ, "wsgi.input": self._input(), "wsgi.errors": sys.stderr}
        request = self._cls(environ)
        # The two would keep each other alive.
        environ.pop("werkzeug.request", None)
        vars(request).update({name: _copied(value) for name, value in self._state.items()})
        if self._headers is not None:
            request.headers = Headers(self._headers)
        if self._was_read:
            request.stream = io.BytesIO()
        return request

    def __getattr__(self, name: str) -> Any:
        # Where it stands for a request, to an overridden `RequestContext.copy`.
        return getattr(self.make(), name)


def _is_plain(value: object) -> bool:
    if type(value) is tuple:
        return all(_is_plain(item) for item in value)
    return type(value) in _PLAIN


def _has_no_body(environ: WSGIEnvironment) -> bool:
    if environ.get("CONTENT_LENGTH") not in _NO_BODY or "HTTP_TRANSFER_ENCODING" in environ:
        return False
    # A server that ends the stream itself may have a body without a length.
    return "wsgi.input_terminated" not in environ or environ.get("REQUEST_METHOD") in {
        "GET",
        "HEAD",
    }


def _copied(value: Any) -> Any:
    """Its own dict for each child: view arguments, forms; what is immutable stays itself."""
    return copy.copy(value) if isinstance(value, dict) else value


class DetachedRequest:
    """The request of one fork, from which its children's request contexts are made."""

    def __init__(self, ctx: Any, share: bool) -> None:
        self._data = RequestData(ctx, share)
        # Never pushed. It keeps the class, what an overridden `copy` does, and the share of the
        # uploads; not the request.
        sharing = ctx._shared()
        lends_session = sharing.lends_session
        self._kept = kept = ctx.copy()
        kept.request = self._data
        if not share:
            sharing.lends_session = lends_session
            kept._opened = None
            kept._parent = SessionSource.of(ctx)
            if not self._data.has_files:
                kept._sharing = Sharing(None).take()

    def around(self, app_ctx: Any) -> Any:
        """A request context for one child, which brings `app_ctx`."""
        child = self._kept.copy()
        child.request = self._data.make()
        if self._data.reads_itself:
            child._sharing.reader = child.request
        child._own_app_ctx = child.app_ctx = app_ctx
        return child
