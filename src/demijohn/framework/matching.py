"""Finding the rule for a request: the routing index first, Werkzeug's matcher for the rest.

The answer is always Werkzeug's. The rules of the index are `http.routing`'s; building adapters is
`urls`'.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from werkzeug.exceptions import HTTPException
from werkzeug.routing import Map as WerkzeugMap
from werkzeug.routing import RequestRedirect, WebsocketMismatch

from ..context.proxy import UNMADE
from ..http.routing import Answer, Miss, RouteIndex
from .wrappers import Request

_MOST_HOSTS = 64


class Matcher:
    """One application's way from a request to a rule."""

    __slots__ = ("_find", "_hosts", "_index", "_map", "_refused", "_version")

    def __init__(self) -> None:
        self._index: RouteIndex | None = None
        # Of the index: the map, None where that has no version, the version, and the way in.
        self._map: Any = None
        self._version: int | None = None
        self._find: Callable[[str, str], Answer] = lambda path, method: None
        # Hosts that the URL map accepted: what is left to check of them is nothing. Bounded,
        # because clients choose them.
        self._hosts: set[str] = set()
        self._refused = False

    def match(self, ctx: Any, app: Any) -> None:
        """Set the request's `url_rule` and `view_args`, or its `routing_exception`."""
        request = ctx.request
        environ = request.environ
        overrides = app._plans.overrides
        try:
            # Werkzeug answers what the index does not: hosts not seen yet, WebSockets, an adapter
            # that somebody made or set, host and subdomain matching.
            if (
                overrides.indexed
                and environ.get("HTTP_HOST") in self._hosts
                and "HTTP_UPGRADE" not in environ
                and ctx._adapter is UNMADE
                and (overrides.any_host or app.config["TRUSTED_HOSTS"] is None)
                and request.trusted_hosts is None
            ):
                url_map: Any = app.url_map
                # A version names one state of one map; a map of another class has none.
                if url_map is not self._map or url_map.version is not self._version:
                    self._look_at(url_map)
                # A request class of one's own may say another method than it was asked with, and
                # Werkzeug's matcher goes by the environ.
                method = request.method
                if not overrides.stock_request:
                    method = environ.get("REQUEST_METHOD", "GET").upper()
                answer = self._find(environ.get("PATH_INFO", "/"), method)
                if type(answer) is tuple:
                    request.url_rule, request.view_args, path = answer
                    # By hand a context may have a request of another class, or one with a path.
                    if (
                        path is not None
                        and overrides.stock_request
                        and type(ctx.request) is Request
                        and "path" not in vars(request)
                    ):
                        request.path = path
                    return
                if isinstance(answer, Miss):
                    request.routing_exception = answer.as_exception(
                        partial(getattr, ctx, "url_adapter")
                    )
                    _stay_here(request.routing_exception)
                    return
            self._match_by_adapter(ctx, request, environ.get("HTTP_HOST"))
        except HTTPException as error:
            request.routing_exception = error
            _stay_here(error)
            # It is raised when the request is dispatched; until then a traceback would only keep
            # this frame, and with it the request, alive. So would that of what it was raised for.
            error.__traceback__ = None
            if error.__suppress_context__:
                error.__context__ = None

    def _look_at(self, url_map: WerkzeugMap) -> None:
        """See to a fresh index; for a map of another class than ours it is asked whether it is."""
        index = self._index
        if index is None or index.url_map is not url_map or not index.fresh():
            index = self._index = RouteIndex(url_map)
        self._map = None if index.version is None else url_map
        self._version = index.version
        self._find = index.match

    def _match_by_adapter(self, ctx: Any, request: Any, host: str | None) -> None:
        adapter = ctx.url_adapter
        if adapter is None:
            return
        if host is not None and len(self._hosts) < _MOST_HOSTS:
            self._hosts.add(host)
        rule, args = adapter.match(return_rule=True)
        if getattr(rule, "websocket_view", False) and not ctx._converses:
            self._refuse(ctx.app)
        request.url_rule, request.view_args = rule, args

    def _refuse(self, app: Any) -> None:
        """A client asks for a WebSocket where the server has none."""
        if not self._refused:
            self._refused = True  # once: clients choose how often they ask
            app.logger.warning(
                "A client asked for a WebSocket of %r, and this server speaks none to the"
                " application: it got 400. WebSockets need ASGI: `demijohn serve`, or a server"
                " that is given `app.asgi_app`.",
                app.name,
            )
        raise WebsocketMismatch()


def _stay_here(error: HTTPException) -> None:
    """Make a redirect of a request without a valid host one to a path.

    Browsers read `http:///a/b` as `http://a/b`: what the client chose as a path would be a host.
    """
    if isinstance(error, RequestRedirect):
        scheme, separator, rest = error.new_url.partition(":///")
        if separator and scheme.isalpha():
            error.new_url = "/" + rest.lstrip("/")
