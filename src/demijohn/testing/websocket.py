"""WebSocket sessions for tests: an application's WebSocket without a server or a socket.

`AsyncWebSocketSession` runs the application in a task of the test's own event loop;
`WebSocketSession` does so on a thread of its own, for tests without a loop. A test client makes
them. The contexts of the test are not seen by the application, nor the other way round.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextvars import Context
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from ..http.websocket import NORMAL, WebSocketDisconnected
from ..serve.loop_thread import LoopThread
from .asgi_scope import connection_scope

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

T = TypeVar("T")
TIMEOUT = 5.0
"""How many seconds a session waits for the application, unless it is told otherwise."""

_END = "demijohn.end"
_GONE = 1006


class WebSocketDenied(Exception):
    """The application refused the connection.

    `response` is its answer, of the application's response class; with the status 403 and no body
    where it only closed.
    """

    def __init__(self, response: Any) -> None:
        super().__init__(f"The WebSocket was refused: {response.status}")
        self.response = response


def websocket_scope(environ: WSGIEnvironment, subprotocols: Iterable[str] = ()) -> dict[str, Any]:
    """The scope of the WebSocket that a GET request of this environ would ask for (ASGI 3.0,
    WebSocket 2.4)."""
    names = list(subprotocols)
    scope = connection_scope(environ)
    headers = scope["headers"]
    headers += [(b"connection", b"Upgrade"), (b"upgrade", b"websocket")]
    headers += [(b"sec-websocket-version", b"13"), (b"sec-websocket-key", b"dGhlIHNhbXBsZQ==")]
    if names:
        headers.append((b"sec-websocket-protocol", ", ".join(names).encode()))
    return scope | {
        "type": "websocket",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "scheme": "wss" if environ["wsgi.url_scheme"] in ("https", "wss") else "ws",
        "subprotocols": names,
        "extensions": {"websocket.http.response": {}},
    }


class AsyncWebSocketSession:
    """One WebSocket of an application, from the client's side: `async with session as ws:`.

    Entering the block waits until the application has accepted, or raises `WebSocketDenied`;
    leaving it closes the connection, and waits for the end of the view. What an application in
    testing mode raises is raised here, by the call that waits for it.

    Arguments:
        app: the application; its `asgi_app` is called.
        scope: what `websocket_scope` made.
        timeout: how many seconds to wait for the application at most, each time: `TimeoutError`.
        keep_cookies: is called with the `Set-Cookie` headers of the answer.
    """

    def __init__(
        self,
        app: Any,
        scope: dict[str, Any],
        timeout: float = TIMEOUT,
        keep_cookies: Callable[[list[str]], object] | None = None,
    ) -> None:
        self._app = app
        self._scope = scope
        self._timeout = timeout
        self._keep_cookies = keep_cookies
        self._task: asyncio.Task[None] | None = None
        self._raised = False
        #: The subprotocol that the application chose.
        self.subprotocol: str | None = None
        #: The headers of its answer.
        self.headers: list[tuple[str, str]] = []
        #: How the application closed the connection; None while it has not.
        self.closed: WebSocketDisconnected | None = None

    async def __aenter__(self) -> Self:
        self._to_app: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._from_app: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._left = False
        self._to_app.put_nowait({"type": "websocket.connect"})
        self._task = asyncio.get_running_loop().create_task(
            self._app.asgi_app(self._scope, self._app_receives, self._app_sends),
            name="the WebSocket's application",
            context=Context(),
        )
        self._task.add_done_callback(lambda _: self._from_app.put_nowait({"type": _END}))
        try:
            await self._shake_hands()
        except BaseException:
            await self._finish(_GONE, "")
            raise
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            await self._finish(NORMAL, "")
            self._raise_error()
        except BaseException as late:
            if error is None:
                raise
            error.add_note(f"The application raised besides: {late!r}")

    # -- what a test calls ------------------------------------------------------------------------

    async def receive(self, timeout: float | None = None) -> str | bytes:
        """The next message; raises `WebSocketDisconnected` when the application has closed."""
        if self.closed is not None:
            raise self.closed
        message = await self._next(timeout)
        if message["type"] == "websocket.send":
            text: str | None = message.get("text")
            data: bytes = message.get("bytes") or b""
            return data if text is None else text
        self.closed = WebSocketDisconnected(
            message.get("code", _GONE), message.get("reason") or "", by_client=False
        )
        raise self.closed

    async def receive_json(self, timeout: float | None = None) -> Any:
        """What the next message is in JSON."""
        return self._app.json.loads(await self.receive(timeout))

    async def send(self, data: str | bytes) -> None:
        """Send a message."""
        kind = "text" if isinstance(data, str) else "bytes"
        self._to_app.put_nowait({"type": "websocket.receive", kind: data})

    async def send_json(self, value: Any) -> None:
        """Send a value as JSON."""
        await self.send(self._app.json.dumps(value))

    async def close(self, code: int = NORMAL, reason: str = "") -> None:
        """Close the connection, as a client does, and wait for the end of the view. 1006 stands
        for a connection that is lost."""
        await self._finish(code, reason)
        self._raise_error()

    # -- the server's side ------------------------------------------------------------------------

    async def _app_receives(self) -> dict[str, Any]:
        return await self._to_app.get()

    async def _app_sends(self, message: dict[str, Any]) -> None:
        if self._left:
            raise ConnectionError("The client has closed the WebSocket.")
        self._from_app.put_nowait(message)

    async def _next(self, timeout: float | None = None) -> dict[str, Any]:
        async with asyncio.timeout(self._timeout if timeout is None else timeout):
            message = await self._from_app.get()
        if message["type"] == _END:
            self._from_app.put_nowait(message)
            self._raise_error()
        return message

    async def _shake_hands(self) -> None:
        message = await self._next()
        kind = message["type"]
        self.headers = [
            (name.decode("latin-1"), value.decode("latin-1"))
            for name, value in message.get("headers", ())
        ]
        if self._keep_cookies is not None:
            self._keep_cookies([v for name, v in self.headers if name.lower() == "set-cookie"])
        if kind == "websocket.accept":
            self.subprotocol = message.get("subprotocol")
            return
        status, body = 403, b""
        if kind == "websocket.http.response.start":
            status = message["status"]
            more = True
            while more:
                part = await self._next()
                body += part.get("body", b"")
                more = part.get("more_body", False)
        elif kind != "websocket.close":
            raise RuntimeError(f"The application ended without an answer: {message}")
        raise WebSocketDenied(self._app.response_class(body, status, self.headers))

    async def _finish(self, code: int, reason: str) -> None:
        """Leave, if that was not done, and wait for the application's end."""
        task = self._task
        assert task is not None
        if not self._left:
            self._left = True
            self._to_app.put_nowait(
                {"type": "websocket.disconnect", "code": code, "reason": reason}
            )
        done, _ = await asyncio.wait([task], timeout=self._timeout)
        if not done:
            task.cancel()
            await asyncio.wait([task])
            raise TimeoutError(
                f"The WebSocket's view had not ended {self._timeout} s after the client left."
            )

    def _raise_error(self) -> None:
        task = self._task
        if task is not None and task.done() and not task.cancelled() and not self._raised:
            error = task.exception()
            if error is not None:
                self._raised = True
                raise error


class WebSocketSession:
    """The same for a test without an event loop: `with session as ws: ws.send("x")`.

    The application runs on a thread of its own for the length of the block.
    """

    def __init__(self, session: AsyncWebSocketSession) -> None:
        self._session = session

    def __enter__(self) -> Self:
        self._thread = LoopThread("demijohn-websocket-test")
        self._run = self._thread.run
        try:
            self._run(self._session.__aenter__())
        except BaseException:
            self._thread.stop()
            raise
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self._run(self._session.__aexit__(exc_type, error, traceback))
        finally:
            self._thread.stop()

    @property
    def subprotocol(self) -> str | None:
        """The subprotocol that the application chose."""
        return self._session.subprotocol

    @property
    def headers(self) -> list[tuple[str, str]]:
        """The headers of its answer."""
        return self._session.headers

    @property
    def closed(self) -> WebSocketDisconnected | None:
        """How the application closed the connection; None while it has not."""
        return self._session.closed

    def receive(self, timeout: float | None = None) -> str | bytes:
        """The next message; raises `WebSocketDisconnected` when the application has closed."""
        return self._run(self._session.receive(timeout))

    def receive_json(self, timeout: float | None = None) -> Any:
        """What the next message is in JSON."""
        return self._run(self._session.receive_json(timeout))

    def send(self, data: str | bytes) -> None:
        """Send a message."""
        self._run(self._session.send(data))

    def send_json(self, value: Any) -> None:
        """Send a value as JSON."""
        self._run(self._session.send_json(value))

    def close(self, code: int = NORMAL, reason: str = "") -> None:
        """Close the connection, as a client does, and wait for the end of the view. 1006 stands
        for a connection that is lost."""
        self._run(self._session.close(code, reason))
