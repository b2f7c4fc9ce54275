"""The test client for async tests: the same arguments, requests and answers, awaited.

Requests run on the test's own event loop. `FlaskClient` builds them and keeps the cookies.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Iterable
from contextlib import asynccontextmanager
from contextvars import copy_context
from types import TracebackType
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from werkzeug.test import Client, ClientRedirectError, TestResponse
from werkzeug.wrappers import Request as BaseRequest
from werkzeug.wsgi import get_current_url

from .asgi_scope import body_parts, http_scope
from .client import FlaskClient, LastRequest
from .server_side import Pace, ServerSide

if TYPE_CHECKING:
    from werkzeug.datastructures import Headers

    from ..http.sessions import SessionMixin
    from .kept import Kept
    from .websocket import AsyncWebSocketSession

_REDIRECTS = frozenset({301, 302, 303, 305, 307, 308})
Chunks = Iterable[bytes] | AsyncIterable[bytes]


class _Requests(FlaskClient):
    """Builds requests and keeps cookies; it sends nothing."""

    def open(self, *args: Any, **kwargs: Any) -> Any:
        """The request itself; Werkzeug's redirects come here."""
        return self.request_from(args, kwargs)

    def take_cookies(self, request: BaseRequest, headers: Headers) -> None:
        """Keep the cookies of an answer."""
        url = urlsplit(get_current_url(request.environ))
        cookies = headers.getlist("Set-Cookie")
        self._update_cookies_from_response(url.hostname or "localhost", url.path, cookies)


class StreamedResponse:
    """An answer whose body is read in parts: `async for part in response`.

    The application goes on as the parts are read. Made by `AsyncClient.stream`.
    """

    def __init__(self, head: TestResponse, side: ServerSide, kept: Kept | None, ctx: Any) -> None:
        self._head = head
        self._side = side
        self._kept = kept
        self._ctx = ctx
        self._read = False

    @property
    def status(self) -> str:
        """The status line."""
        return self._head.status

    @property
    def status_code(self) -> int:
        """The status as a number."""
        return self._head.status_code

    @property
    def headers(self) -> Headers:
        """The headers."""
        return self._head.headers

    @property
    def request(self) -> BaseRequest:
        """The request that this answers."""
        return self._head.request

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if self._read:
            raise StopAsyncIteration
        try:
            part = await self._side.step()
        except BaseException:
            self._read = True
            await self._renew()
            raise
        if part is None:
            self._read = True
            await self._renew()
            raise StopAsyncIteration
        return part

    async def read(self) -> bytes:
        """The rest of the body."""
        return b"".join([part async for part in self])

    async def disconnect(self) -> None:
        """Leave, as a client that closes its connection, and wait until the application has
        returned; nothing happens where it has. Raises what the application raises then."""
        self._read = True
        try:
            await self._side.leave()
        finally:
            await self._renew()

    async def _renew(self) -> None:
        if self._kept is not None:
            await self._kept.renew_async(self._ctx)


class AsyncClient:
    """Calls an application by ASGI from async code, without a server.

    Arguments and answers are those of `FlaskClient`. A request is made in the test's own task,
    `stream` has one of its own for it. In `async with client:` the last request's contexts stay
    current until the next request or the block's end. `response_class` and `kwargs` as in
    `app.test_client`.
    """

    def __init__(self, application: Any, *args: Any, **kwargs: Any) -> None:
        self.application = application
        self._requests = _Requests(application, *args, **kwargs)
        self._inside = False

    # -- requests ----------------------------------------------------------------------------------

    async def open(
        self,
        *args: Any,
        follow_redirects: bool = False,
        chunks: Chunks | None = None,
        **kwargs: Any,
    ) -> TestResponse:
        """Send a request and read the whole answer: `EnvironBuilder`'s arguments, or a builder, an
        environ or a request. `chunks` is the body in parts, sent without a length."""
        request = self._requests.request_from(args, kwargs)
        await self._kept.let_go_async()
        try:
            response = await self._send(request, chunks)
            if follow_redirects:
                response = await self._follow(response)
            handed = self._kept.handed.copy()
        finally:
            self._kept.handed.clear()
        self._kept.keep(handed)
        return response

    async def _send(self, request: BaseRequest, chunks: Chunks | None = None) -> TestResponse:
        requests = self._requests
        environ = request.environ.copy()
        side, scope = self._side(request, environ, chunks, "all")
        await self.application(scope, side.receive, side.send)
        body = side.collected()
        requests.take_cookies(request, side.headers)
        return self._response(side, body, request)

    def _side(
        self, request: BaseRequest, environ: Any, chunks: Chunks | None, pace: Pace
    ) -> tuple[ServerSide, dict[str, Any]]:
        self._requests._add_cookies_to_wsgi(environ)
        if chunks is None:
            return ServerSide(body_parts(environ), pace), http_scope(environ)
        environ.pop("CONTENT_LENGTH", None)
        environ["HTTP_TRANSFER_ENCODING"] = "chunked"
        return ServerSide(_parts(chunks), pace), http_scope(environ)

    def _response(
        self, side: ServerSide, body: Iterable[bytes], request: BaseRequest
    ) -> TestResponse:
        response = self._requests.response_wrapper(body, side.status, side.headers, request=request)
        response.json_module = self.application.json
        return response

    async def _follow(self, response: TestResponse) -> TestResponse:
        """Go where redirects lead; `history` has the answers on the way."""
        seen: set[tuple[str | None, int]] = set()
        history: list[TestResponse] = []
        while response.status_code in _REDIRECTS:
            here = (response.location, response.status_code)
            if here in seen:
                raise ClientRedirectError(f"The redirects to {here[0]} go in a circle.")
            seen.add(here)
            response.history = tuple(history)
            history.append(response)
            request: Any = Client.resolve_redirect(self._requests, response)
            response = await self._send(request)
        response.history = tuple(history)
        return response

    @asynccontextmanager
    async def stream(
        self, method: str, *args: Any, chunks: Chunks | None = None, **kwargs: Any
    ) -> AsyncIterator[StreamedResponse]:
        """Send a request and read the answer's body as it comes.

        The block begins when status and headers are there. Where it ends before the body does, the
        client leaves. The arguments after the method are those of `open`.
        """
        kwargs["method"] = method
        request = self._requests.request_from(args, kwargs)
        kept = self._kept
        await kept.let_go_async()
        side, scope = self._side(request, request.environ.copy(), chunks, "parts")
        loop = asyncio.get_running_loop()
        side.start(self.application, scope, loop, copy_context())
        try:
            await side.head()
            self._requests.take_cookies(request, side.headers)
            handed = kept.handed.copy()
            kept.keep(handed)
            head = self._response(side, (), request)
            ctx = handed[-1] if handed else None
            response = StreamedResponse(head, side, kept if handed else None, ctx)
            yield response
        finally:
            kept.handed.clear()
            await side.leave()

    def websocket(
        self,
        *args: Any,
        subprotocols: Iterable[str] = (),
        timeout: float = 5.0,
        **kwargs: Any,
    ) -> AsyncWebSocketSession:
        """A WebSocket of the application: `async with client.websocket("/ws") as ws:`.

        The arguments are those of `FlaskClient.websocket`. See `demijohn.testing.websocket`.
        """
        return self._requests.open_websocket(args, kwargs, subprotocols, timeout)

    async def get(self, *args: Any, **kwargs: Any) -> TestResponse:
        """`open` with the method GET."""
        kwargs["method"] = "GET"
        return await self.open(*args, **kwargs)

    async def post(self, *args: Any, **kwargs: Any) -> TestResponse:
        """`open` with the method POST."""
        kwargs["method"] = "POST"
        return await self.open(*args, **kwargs)

    async def put(self, *args: Any, **kwargs: Any) -> TestResponse:
        """`open` with the method PUT."""
        kwargs["method"] = "PUT"
        return await self.open(*args, **kwargs)

    async def patch(self, *args: Any, **kwargs: Any) -> TestResponse:
        """`open` with the method PATCH."""
        kwargs["method"] = "PATCH"
        return await self.open(*args, **kwargs)

    async def delete(self, *args: Any, **kwargs: Any) -> TestResponse:
        """`open` with the method DELETE."""
        kwargs["method"] = "DELETE"
        return await self.open(*args, **kwargs)

    async def head(self, *args: Any, **kwargs: Any) -> TestResponse:
        """`open` with the method HEAD."""
        kwargs["method"] = "HEAD"
        return await self.open(*args, **kwargs)

    async def options(self, *args: Any, **kwargs: Any) -> TestResponse:
        """`open` with the method OPTIONS."""
        kwargs["method"] = "OPTIONS"
        return await self.open(*args, **kwargs)

    # -- what stays between requests ---------------------------------------------------------------

    @property
    def environ_base(self) -> dict[str, Any]:
        """What each request's environ starts from."""
        return self._requests.environ_base

    @property
    def last(self) -> LastRequest | None:
        """A snapshot of the last request."""
        return self._requests.last

    def get_cookie(self, key: str, domain: str = "localhost", path: str = "/") -> Any:
        """A cookie of this client, or None."""
        return self._requests.get_cookie(key, domain, path)

    def set_cookie(self, key: str, value: str = "", **kwargs: Any) -> None:
        """Set a cookie for later requests; as Werkzeug's client does."""
        self._requests.set_cookie(key, value, **kwargs)

    def delete_cookie(self, key: str, **kwargs: Any) -> None:
        """Delete a cookie, if it is there."""
        self._requests.delete_cookie(key, **kwargs)

    @asynccontextmanager
    async def session_transaction(self, *args: Any, **kwargs: Any) -> AsyncIterator[SessionMixin]:
        """Read and change the session of the client's cookie; saved when the block ends."""
        with self._requests.session_transaction(*args, **kwargs) as session:
            yield session

    # -- blocks ------------------------------------------------------------------------------------

    @property
    def _kept(self) -> Kept:
        return self._requests._kept

    async def __aenter__(self) -> AsyncClient:
        if self._requests.preserve_context:
            raise RuntimeError("Cannot nest client invocations")
        self._requests.preserve_context = True
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._requests.preserve_context = False
        await self._kept.let_go_async()


async def _parts(chunks: Chunks) -> AsyncIterator[tuple[bytes, bool]]:
    if isinstance(chunks, AsyncIterable):
        async for chunk in chunks:
            yield chunk, True
    else:
        for chunk in chunks:
            yield chunk, True
    yield b"", False
