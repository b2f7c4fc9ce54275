"""The test client: Werkzeug's, with the application's defaults, sessions and contexts.

A request of the client runs in a Context of its own. What pushes contexts here is `with client:`,
which keeps the last request's as successors.
"""

from __future__ import annotations

import importlib.metadata
import os
import weakref
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass
from functools import cache, partial
from types import TracebackType
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import werkzeug.test
from werkzeug.test import Client, TestResponse
from werkzeug.wrappers import Request as BaseRequest

from ..context.proxy import UNMADE
from ..serve.drivers import CLIENT_KEY
from .kept import Kept, KeptBody

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment
    from werkzeug.datastructures import Headers

    from ..http.sessions import SessionMixin
    from .websocket import AsyncWebSocketSession, WebSocketSession


EDGES = ("wsgi", "asgi")
EDGE_VARIABLE = "DEMIJOHN_TEST_EDGE"
"""The environment variable that names the edge for a whole run of tests."""


class EnvironBuilder(werkzeug.test.EnvironBuilder):
    """Builds a WSGI environ for an application; Werkzeug's, with defaults from the configuration.

    Arguments:
        app: the application.
        path: the path, with a query if wanted, or a whole URL.
        base_url: where the application is mounted; by default made from `SERVER_NAME` (or
            localhost), `APPLICATION_ROOT` and `PREFERRED_URL_SCHEME`.
        subdomain: put before `SERVER_NAME`; not together with `base_url`.
        url_scheme: instead of `PREFERRED_URL_SCHEME`; not together with `base_url`.
    """

    def __init__(
        self,
        app: Any,
        path: str = "/",
        base_url: str | None = None,
        subdomain: str | None = None,
        url_scheme: str | None = None,
        *args: Any,
        **kwargs: Any,
    ) -> None:
        assert not base_url or not (subdomain or url_scheme), (
            'Cannot pass "subdomain" or "url_scheme" with "base_url".'
        )
        if base_url is None:
            host = app.config.get("SERVER_NAME") or "localhost"
            if subdomain:
                host = f"{subdomain}.{host}"
            url = urlsplit(path)
            scheme = url.scheme or url_scheme or app.config["PREFERRED_URL_SCHEME"]
            root = app.config["APPLICATION_ROOT"].lstrip("/")
            base_url = f"{scheme}://{url.netloc or host}/{root}"
            path = f"{url.path}?{url.query}" if url.query else url.path
        self.app = app
        super().__init__(path, base_url, *args, **kwargs)

    def json_dumps(self, obj: Any, **kwargs: Any) -> str:
        """Serialise as the application does."""
        text: str = self.app.json.dumps(obj, **kwargs)
        return text


@cache
def _user_agent() -> str:
    return f"Werkzeug/{importlib.metadata.version('werkzeug')}"


@dataclass(frozen=True, slots=True)
class LastRequest:
    """What a finished request left to look at: plain data, taken just before its end."""

    method: str
    path: str
    """The path, with the query if there was one."""
    endpoint: str | None
    view_args: dict[str, Any] | None
    g: dict[str, Any]
    """What was on `g`, by name."""
    session: dict[str, Any] | None
    """What was in the session; None when nothing opened it."""


class _Mark:
    """This client's word to the edge; see `serve.drivers.ClientMark`."""

    def __init__(self, client: FlaskClient, isolated: bool) -> None:
        # Weak: the environ, which holds this mark, and Werkzeug's request keep each other alive.
        self._client = weakref.ref(client)
        self.isolated = isolated

    def record(self, ctx: Any) -> None:
        client = self._client()
        if client is None:
            return
        request = ctx.request
        session = ctx._opened
        view_args = request.view_args
        g = ctx.app_ctx._g
        client.last = LastRequest(
            method=request.method,
            path=request.full_path if request.query_string else request.path,
            endpoint=request.endpoint,
            view_args=None if view_args is None else dict(view_args),
            g={} if g is UNMADE else dict(getattr(g, "__dict__", {})),
            session=None if session is None else dict(session),
        )


def _known_edge(name: str | None) -> str | None:
    """`name`, if it names an edge or nothing; else raises `ValueError`."""
    if name and name not in EDGES:
        raise ValueError(f"There is no edge {name!r}: a test client has {' and '.join(EDGES)}.")
    return name


class FlaskClient(Client):
    """Calls an application without a server.

    A request joins an application context of the same application that the test holds, as under
    Flask; with `isolated=True` (or the setting `TEST_CLIENT_ISOLATED`) it starts clean. In
    `with client:` the last request's contexts stay current until the next request or the block's
    end. `last` is a snapshot of the last request. `edge` says how the application is called:
    "wsgi" or "asgi".
    """

    application: Any

    def __init__(
        self, *args: Any, isolated: bool | None = None, edge: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.preserve_context = False
        self._kept = Kept()
        self._isolated = isolated
        self._edge = _known_edge(edge)
        self.last: LastRequest | None = None
        self.environ_base: dict[str, Any] = {
            "REMOTE_ADDR": "127.0.0.1",
            "HTTP_USER_AGENT": _user_agent(),
        }

    @contextmanager
    def session_transaction(self, *args: Any, **kwargs: Any) -> Iterator[SessionMixin]:
        """Read and change the session of the client's cookie; saved when the block ends.

        The arguments are those of `app.test_request_context`, for applications whose sessions
        depend on the request.
        """
        if self._cookies is None:
            raise TypeError("Cookies are disabled. Create a client with 'use_cookies=True'.")
        app = self.application
        interface = app.session_interface
        ctx = app.test_request_context(*args, **kwargs)
        request = ctx.request
        self._add_cookies_to_wsgi(request.environ)
        with ctx:
            session = interface.open_session(app, request)
        if session is None:
            raise RuntimeError("Session backend did not open a session.")
        yield session
        if interface.is_null_session(session):
            return
        response = app.response_class()
        with ctx:
            interface.save_session(app, session, response)
        host = request.host.partition(":")[0]
        cookies = response.headers.getlist("Set-Cookie")
        self._update_cookies_from_response(host, request.path, cookies)

    def _copy_environ(self, other: WSGIEnvironment) -> WSGIEnvironment:
        isolated = self._isolated
        if isolated is None:
            isolated = bool(self.application.config.get("TEST_CLIENT_ISOLATED", False))
        environ = {**self.environ_base, **other, CLIENT_KEY: _Mark(self, isolated)}
        if self.preserve_context:
            environ["werkzeug.debug.preserve_context"] = self._kept.handed.append
        return environ

    def run_wsgi_app(
        self, environ: WSGIEnvironment, buffered: bool = False
    ) -> tuple[Iterable[bytes], str, Headers]:
        """Send one request through this client's edge; called by Werkzeug's client."""
        if self.edge == "wsgi":
            return super().run_wsgi_app(environ, buffered)
        from .asgi_run import caller  # loads asyncio

        through = Client(caller(self.application), use_cookies=False)
        through._cookies = self._cookies
        return through.run_wsgi_app(environ, buffered)

    @property
    def edge(self) -> str:
        """The edge that requests go through, "wsgi" or "asgi".

        As the argument said, else the setting `TEST_EDGE`, else the environment variable
        `DEMIJOHN_TEST_EDGE`; "wsgi" when none of them says anything.
        """
        named = self._edge or _known_edge(self.application.config.get("TEST_EDGE"))
        return named or _known_edge(os.environ.get(EDGE_VARIABLE)) or "wsgi"

    def request_from(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> BaseRequest:
        """The request that the arguments of `open` stand for."""
        if args and isinstance(args[0], (werkzeug.test.EnvironBuilder, dict, BaseRequest)):
            return self._request_from(args[0])
        return self._request_from_builder_args(args, kwargs)

    def _request_from_builder_args(
        self, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> BaseRequest:
        kwargs["environ_base"] = self._copy_environ(kwargs.get("environ_base", {}))
        builder = EnvironBuilder(self.application, *args, **kwargs)
        try:
            return builder.get_request()
        finally:
            builder.close()

    def _request_from(self, given: Any) -> BaseRequest:
        """The request that an `EnvironBuilder`, an environ or a request stands for."""
        if isinstance(given, werkzeug.test.EnvironBuilder):
            builder = copy(given)
            builder.environ_base = self._copy_environ(dict(builder.environ_base or {}))
            return builder.get_request()
        if isinstance(given, dict):
            return EnvironBuilder.from_environ(
                given, app=self.application, environ_base=self._copy_environ({})
            ).get_request()
        request: BaseRequest = copy(given)
        request.environ = self._copy_environ(request.environ)
        return request

    def open(
        self,
        *args: Any,
        buffered: bool = False,
        follow_redirects: bool = False,
        **kwargs: Any,
    ) -> TestResponse:
        """Send a request: `EnvironBuilder`'s arguments, or a builder, an environ or a request."""
        request = self.request_from(args, kwargs)
        # What an earlier request of the same block left goes before the next one starts.
        kept = self._kept
        kept.let_go()
        try:
            response = super().open(request, buffered=buffered, follow_redirects=follow_redirects)
            handed = kept.handed.copy()
        finally:
            kept.handed.clear()
        if handed:
            ctx = handed[-1]
            streams = not ctx.ended
            kept.keep(handed)
            if streams:
                response.response = KeptBody(response.response, kept, ctx)
        response.json_module = self.application.json
        return response

    def websocket(
        self,
        *args: Any,
        subprotocols: Iterable[str] = (),
        timeout: float = 5.0,
        **kwargs: Any,
    ) -> WebSocketSession:
        """A WebSocket of the application: `with client.websocket("/ws") as ws: ws.send("hello")`.

        The arguments are `EnvironBuilder`'s. `timeout` is how many seconds to wait for the
        application, each time. See `demijohn.testing.websocket`.
        """
        from .websocket import WebSocketSession

        return WebSocketSession(self.open_websocket(args, kwargs, subprotocols, timeout))

    def open_websocket(
        self,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        subprotocols: Iterable[str],
        timeout: float,
    ) -> AsyncWebSocketSession:
        """A session yet to be entered, with this client's cookies, which it may change."""
        from .websocket import AsyncWebSocketSession, websocket_scope

        request = self.request_from(args, kwargs)
        # A connection is over when its block is: nothing of it is kept.
        request.environ.pop("werkzeug.debug.preserve_context", None)
        keep_cookies = None
        if self._cookies is not None:
            self._add_cookies_to_wsgi(request.environ)
            keep_cookies = partial(
                self._update_cookies_from_response, request.host.partition(":")[0], request.path
            )
        scope = websocket_scope(request.environ, subprotocols)
        return AsyncWebSocketSession(self.application, scope, timeout, keep_cookies)

    def __enter__(self) -> FlaskClient:
        if self.preserve_context:
            raise RuntimeError("Cannot nest client invocations")
        self.preserve_context = True
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.preserve_context = False
        self._kept.let_go()
