"""An ASGI application as a WSGI one, by a2wsgi, on a loop in a thread of its own.

a2wsgi passes the messages between the two threads. What it leaves to others is here: the scope
(headers, paths, lengths that disagree), a body without a length, a client that leaves, an
application that raises or returns early, work after the last byte, the lifespan.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Iterable, Iterator
from contextvars import Context, copy_context
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from .asgi_environ import one_length
from .bridging import need_a2wsgi, sendable
from .mounted import Mount
from .mounted_lifespan import MountedLifespan
from .side_loop import SideLoop

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

_logger = logging.getLogger("demijohn")
_DISCONNECT = {"type": "http.disconnect"}
_BAD_REQUEST = b"Bad Request\n"
PATIENCE = 3.0
"""Seconds that what is open has when its loop stops: less than `END_TIMEOUT`."""


class ASGIOnWSGI:
    """Serves `mount.app` to a WSGI server.

    On the loop of the parent's lifespan, where that runs. Otherwise the first request of a process
    starts a loop and the mount's lifespan, which end with the parent's `close()` or the process. An
    exception of the application leaves through the server, like one of any WSGI
    application's; one that it raises after its last byte is logged.
    """

    def __init__(self, mount: Mount, app: Any) -> None:
        self._bridge = need_a2wsgi(mount, "WSGI").ASGIMiddleware
        self._mount = mount
        self._mounts = app._mounts
        self._lifespan: MountedLifespan | None = None
        self._open: set[_Exchange] = set()
        self._side = SideLoop(self._begin, self._end)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request (PEP 3333)."""
        try:
            length = _length(environ)
        except ValueError:
            start_response("400 Bad Request", [("Content-Length", str(len(_BAD_REQUEST)))])
            return [_BAD_REQUEST]
        loop, state = self._place()
        scope = scope_of(environ, length)
        scope["state"] = state.copy()
        exchange = _Exchange(self._mount.app, scope, loop, copy_context(), self._open)
        # All that a2wsgi needs to read the body and to call the application.
        plain = {
            "CONTENT_LENGTH": str(sys.maxsize if length is None else length),
            "REQUEST_METHOD": "GET",
            "SERVER_NAME": "",
            "SERVER_PORT": "0",
            "wsgi.input": _Input(environ.get("wsgi.input")),
        }
        bridge = self._bridge(exchange.run, loop=loop)
        body = _Body(exchange, bridge(plain, start_response))
        body.begin()
        return body

    def _place(self) -> tuple[Any, dict[str, Any]]:
        """The loop to serve on, and the lifespan's state."""
        given: MountedLifespan | None = self._mounts.lifespans.get(self._mount.prefix)
        # Not on the loop of this very thread, which waits for the answer.
        if given is not None and given.loop is not asyncio._get_running_loop():
            return given.loop, given.state
        loop = self._side.get()
        assert self._lifespan is not None
        return loop, self._lifespan.state

    async def leave(self) -> None:
        """What is open on the running loop is not answered any more; its readers do not wait. What
        an application does after its answer has `PATIENCE` seconds to end."""
        loop = asyncio.get_running_loop()
        told = [task for one in list(self._open) if one.loop is loop for task in one.stop()]
        if told:
            await asyncio.wait(told, timeout=PATIENCE)

    def close(self) -> None:
        """End what is open, and the loop of its own."""
        self._side.close()

    async def _begin(self) -> None:
        lifespan = MountedLifespan(self._mount.app, self._mount.prefix)
        await lifespan.start()
        self._lifespan = lifespan

    async def _end(self) -> None:
        await self.leave()
        assert self._lifespan is not None
        try:
            await self._lifespan.stop()
        except RuntimeError as error:
            _logger.error("%s", error)


class _Exchange:
    """One request: its application's task, and what it is told and tells. Lives on the loop."""

    def __init__(
        self,
        app: Any,
        scope: dict[str, Any],
        loop: asyncio.AbstractEventLoop,
        context: Context,
        open_ones: set[_Exchange],
    ) -> None:
        self._app = app
        self._scope = scope
        self.loop = loop
        self._context = context
        self._open = open_ones
        #: What the application raised before its last byte.
        self.error: BaseException | None = None
        #: Whether the application has said its status.
        self.started = False
        self._read = self._broken_off = self._closed = False
        # Set when the answer is whole, and when nobody wants the rest of it.
        self._answered = asyncio.Event()
        self._gone = asyncio.Event()
        self._next: asyncio.Future[Any] | None = None
        # The application's, and a2wsgi's, which is over with the answer.
        self._tasks: list[Any] = []

    async def run(self, scope: Any, receive: Any, send: Any) -> None:
        """What a2wsgi calls, and takes for the application. Ends with the answer."""
        self._a2_receive, self._a2_send = receive, send
        self._open.add(self)
        task = self.loop.create_task(self._call(), context=self._context)
        self._tasks = [task, asyncio.current_task()]
        task.add_done_callback(self._over)
        waits = [asyncio.ensure_future(one.wait()) for one in (self._answered, self._gone)]
        try:
            await asyncio.wait([task, *waits], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        if not self._answered.is_set() and not self._closed:
            # The server's thread waits for a message of an application that will send none.
            await send({"type": "http.response.disconnect"})

    async def _call(self) -> None:
        """The application's own task: it may go on after the answer."""
        try:
            await self._app(self._scope, self._receive, self._send)
            if not self._answered.is_set() and not self._gone.is_set():
                raise RuntimeError("The ASGI application returned before its answer was complete.")
        except BaseException as error:
            if self._answered.is_set():
                if not isinstance(error, asyncio.CancelledError):
                    _logger.error("Error after the response of %s", self, exc_info=error)
            elif not self._gone.is_set():
                self.error = error
                if isinstance(error, asyncio.CancelledError):
                    self.error = RuntimeError("The ASGI application was cancelled.")
        finally:
            if self._next is not None:
                self._next.cancel()

    def _over(self, task: asyncio.Task[None]) -> None:
        self._open.discard(self)
        self._tasks = []

    def __str__(self) -> str:
        return f"{self._scope['method']} {self._scope['path']!r}"

    def stop(self) -> list[asyncio.Future[Any]]:
        """The loop stops: what is not answered by now is an error. On the loop. When the tasks that
        are returned are done, the reader of the answer was told, and the application is over."""
        if not self._answered.is_set():
            self.error = RuntimeError(f"Stopped before the response was complete: {self}")
            self._gone.set()
        return self._tasks

    def leave(self) -> None:
        """Nobody wants the rest of the answer: the application is told. From any thread."""
        self._closed = True
        try:
            self.loop.call_soon_threadsafe(self._gone.set)
        except RuntimeError:
            pass  # the loop is closed, and with it the application's task ended

    async def _receive(self) -> dict[str, Any]:
        if self._broken_off or self._gone.is_set() or self._answered.is_set():
            return _DISCONNECT
        if self._read:
            await self._first(self._gone.wait(), self._answered.wait())
            return _DISCONNECT
        # Kept when this task is cancelled in here (Starlette asks so whether the client has left):
        # it may have been given a part of the body.
        coming = self._next
        if coming is None:
            coming = self._next = asyncio.ensure_future(self._a2_receive())
        await self._first(asyncio.shield(coming), self._gone.wait())
        if not coming.done():
            return _DISCONNECT
        self._next = None
        message: dict[str, Any] = coming.result()
        if message["type"] == "http.request" and not message["body"] and message["more_body"]:
            # The input gives no more: its end, where that was not announced.
            if any(name == b"content-length" for name, _ in self._scope["headers"]):
                self._broken_off = True
                return _DISCONNECT
            message = {"type": "http.request", "body": b"", "more_body": False}
        self._read = not message.get("more_body", False)
        return message

    async def _send(self, message: dict[str, Any]) -> None:
        kind = message["type"]
        if kind not in ("http.response.start", "http.response.body"):
            raise ValueError(f"{kind!r} is no message of an HTTP response.")
        if self._answered.is_set() or self.started is (kind == "http.response.start"):
            raise RuntimeError(f"{kind!r} comes at the wrong time.")
        if kind == "http.response.start":
            message = {**message, "headers": sendable(message.get("headers", ()))}
            self.started = True
        last = kind == "http.response.body" and not message.get("more_body", False)
        if not self._gone.is_set():
            await self._first(self._a2_send(message), self._gone.wait())
            if last:
                # Also where the server did not ask for more after it: it had the whole length.
                self._answered.set()
        if self._gone.is_set() and not last:
            raise OSError("The client has left.")

    async def _first(self, *awaited: Any) -> None:
        """Wait until the first of these is done; the others are cancelled, all of them if this is.

        Raises what that one raised.
        """
        tasks = [asyncio.ensure_future(one) for one in awaited]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()


class _Body:
    """The steps of a2wsgi's answer, which the application learns the end of."""

    def __init__(self, exchange: _Exchange, steps: Any) -> None:
        self._exchange = exchange
        self._steps: Any = steps
        self._first: bytes | None = None

    def begin(self) -> None:
        """Make the first step, which tells the server the status: Granian wants it when the call
        returns, and gunicorn answers an error with 500 until then, later with no status at all."""
        first = next(self, None)
        if not self._exchange.started:
            first = next(self, None)  # a2wsgi is done: this raises what went wrong
        self._first = first

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        first, self._first = self._first, None
        if first is not None:
            return first
        try:
            step: bytes = next(self._steps)
            return step
        except StopIteration:
            self._steps = iter(())
            error, self._exchange.error = self._exchange.error, None
            if error is None:
                raise
            try:
                raise error
            finally:
                # The error's traceback leads to this frame.
                del error
        except BaseException as raised:
            self.close()
            error, self._exchange.error = self._exchange.error, None
            try:
                # Its loop may be closed already when a2wsgi asks for it.
                if error is not None and isinstance(raised, RuntimeError):
                    raise error from raised
                raise
            finally:
                del error, raised

    def close(self) -> None:
        """Tell the application that nobody wants more, if there is more."""
        steps, self._steps = self._steps, iter(())
        if getattr(steps, "gi_frame", None) is not None:
            self._exchange.leave()
            steps.close()

    def __del__(self) -> None:
        self.close()


class _Input:
    """A server's input, whose errors are an early end: the client is gone."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def read(self, size: int) -> bytes:
        if self._stream is None:
            return b""
        try:
            data: bytes = self._stream.read(size)
        except OSError:
            return b""
        return data


def _length(environ: WSGIEnvironment) -> int | None:
    """The length of the body, None where only its end tells; `ValueError` for one that is none."""
    if environ.get("HTTP_TRANSFER_ENCODING"):
        # Stronger than a length (RFC 9112, 6.3); the server has taken the chunks apart.
        return None if environ.get("wsgi.input_terminated") else 0
    text = environ.get("CONTENT_LENGTH")
    if not text:
        return None if environ.get("wsgi.input_terminated") else 0
    return one_length(text)


def scope_of(environ: WSGIEnvironment, length: int | None) -> dict[str, Any]:
    """The ASGI scope of a request that came as a WSGI environ.

    `length` is that of the body; a header that says otherwise is not passed on.
    """
    root, path = (environ.get(name, "").encode("latin-1") for name in ("SCRIPT_NAME", "PATH_INFO"))
    port = str(environ.get("SERVER_PORT", ""))
    scope: dict[str, Any] = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": environ.get("SERVER_PROTOCOL", "HTTP/1.0").rpartition("/")[2],
        "method": environ["REQUEST_METHOD"].upper(),
        "scheme": environ.get("wsgi.url_scheme", "http"),
        "path": (root + path).decode("utf-8", "replace"),
        "raw_path": quote(root + path).encode(),
        "query_string": environ.get("QUERY_STRING", "").encode("latin-1"),
        "root_path": root.decode("utf-8", "replace"),
        "headers": list(_headers(environ, length)),
        "server": (environ.get("SERVER_NAME", ""), int(port) if port.isdecimal() else None),
        "client": None,
        "extensions": {},
    }
    if environ.get("REMOTE_ADDR"):
        client_port = str(environ.get("REMOTE_PORT", ""))
        scope["client"] = (
            environ["REMOTE_ADDR"],
            int(client_port) if client_port.isdecimal() else 0,
        )
    return scope


def _headers(environ: WSGIEnvironment, length: int | None) -> Iterator[tuple[bytes, bytes]]:
    if environ.get("CONTENT_TYPE"):
        yield b"content-type", environ["CONTENT_TYPE"].encode("latin-1")
    if length is not None and environ.get("CONTENT_LENGTH"):
        yield b"content-length", str(length).encode()
    for key, value in environ.items():
        if key.startswith("HTTP_") and key not in ("HTTP_CONTENT_TYPE", "HTTP_CONTENT_LENGTH"):
            yield key[5:].lower().replace("_", "-").encode("latin-1"), value.encode("latin-1")
