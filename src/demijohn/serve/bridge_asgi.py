"""A WSGI application as an ASGI one, by a2wsgi, each request on a worker thread.

a2wsgi passes the messages between thread and loop. What it leaves to others is here: the environ
(headers, paths, lengths that disagree), a file for the body, a client that leaves, an error after
the first byte, a task that is cancelled, threads that must not keep the process.
"""

from __future__ import annotations

import asyncio
import io
import queue
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from ..context.ending import END_TIMEOUT
from .asgi_environ import environ_of, one_length
from .asgi_exchange import refuse
from .bridging import need_a2wsgi, sendable
from .mounted import Mount
from .threads import SYNC_THREADS, Limit, Threads, most

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

_REQUEST = "demijohn.mounted"
_MOST_WAITING = 4
"""Parts of a body that wait for the server at most."""


class WSGIOnASGI:
    """Serves `mount.app` to an ASGI server; `SYNC_THREADS` of its requests at once.

    A WebSocket is refused. The threads are this mount's own: what it does with all of them is no
    matter to its parent.
    """

    def __init__(self, mount: Mount, app: Any) -> None:
        self._app: WSGIApplication = mount.app
        self._threads = Threads(most(app, SYNC_THREADS), 0, f"{app.name}{mount.prefix}")
        # The queue holds nothing back: a thread that waits there could not be told to stop.
        self._bridge = need_a2wsgi(mount, "ASGI").WSGIMiddleware(_called, 1, 0)
        self._bridge.executor = _Executor(self._threads)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one connection (ASGI)."""
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1000})
            return
        incoming = _Incoming(receive)
        try:
            environ = environ_of(scope, io.BufferedReader(incoming))
            if "CONTENT_LENGTH" in environ:
                environ["CONTENT_LENGTH"] = str(one_length(environ["CONTENT_LENGTH"]))
        except ValueError:
            await refuse(scope, send)
            return
        request = _Request(self._app, environ, incoming, send)
        await _Place(self._threads.calls)
        await request.serve(self._bridge, self._threads.calls)

    def close(self) -> None:
        """Let the threads end that serve nothing."""
        self._threads.close()


class _Place:
    """Waits for a place among those that may run at once."""

    def __init__(self, limit: Limit) -> None:
        self._limit = limit

    def __await__(self) -> Generator[Any, Any, None]:
        yield from self._limit.take(asyncio.get_running_loop())


class _Executor:
    """What a2wsgi asks of an executor, on threads that do not keep the process."""

    def __init__(self, threads: Threads) -> None:
        self._threads = threads

    def submit(self, function: Callable[..., Any], *args: Any) -> Future[Any]:
        future: Future[Any] = Future()
        lease = self._threads.lease()

        def work() -> None:
            try:
                result = function(*args)
            except BaseException as error:
                lease.rest()
                future.set_exception(error)
            else:
                lease.rest()
                future.set_result(result)

        worker = lease.worker()
        lease.give_back()  # when it rests
        worker.do(work)
        return future


class _Incoming(io.RawIOBase):
    """The body of a request, read on a thread; a task of the loop receives one message ahead.

    Reading raises `ConnectionResetError` when the client has left before the body's end.
    """

    def __init__(self, receive: Any) -> None:
        self._receive = receive
        self._loop = asyncio.get_running_loop()
        self._parts: queue.SimpleQueue[tuple[bytes, bool] | None] = queue.SimpleQueue()
        self._wanted = asyncio.Event()
        # The thread's: what is left of a part, whether more come, whether one was asked for.
        self._rest = b""
        self._more = self._asked = True

    async def listen(self) -> bool:
        """Receive until the client has left; whether it has, as far as the server tells."""
        more = True
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                self.cut()
                return True
            if not more:
                # It does not wait for the client to leave: asking on would keep the loop busy.
                return False
            more = message.get("more_body", False)
            self._parts.put((message.get("body", b""), more))
            if more:
                await self._wanted.wait()
                self._wanted.clear()

    def cut(self) -> None:
        """Nothing comes any more."""
        self._parts.put(None)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest and self._more:
            if not self._asked:
                self._loop.call_soon_threadsafe(self._wanted.set)
            self._asked = False
            part = self._parts.get()
            if part is None:
                self._parts.put(None)
                raise ConnectionResetError("The client left before the end of the body.")
            self._rest, self._more = bytes(part[0]), part[1]
        data, self._rest = self._rest[: len(buffer)], self._rest[len(buffer) :]
        buffer[: len(data)] = data
        return len(data)


class _Request:
    """One request. `serve` and `_send` are the loop's; the application runs on a thread."""

    def __init__(
        self, app: WSGIApplication, environ: dict[str, Any], incoming: _Incoming, send: Any
    ) -> None:
        self.app = app
        self.environ = environ
        self._incoming = incoming
        self._to_server = send
        self._gone = False
        # What the application raised after its first byte, or the server when it was sent to.
        self._error: BaseException | None = None
        self._room = threading.Semaphore(_MOST_WAITING)
        # The thread's.
        self._said: tuple[str, Any] | None = None
        self._write: Callable[[bytes], Any] | None = None
        self._a2_start: Any = None

    # -- on the loop --------------------------------------------------------------------------

    async def serve(self, bridge: Any, limit: Limit) -> None:
        """Serve it to its end. A cancel waits for the application's step, `END_TIMEOUT` at most."""
        # What a2wsgi must see; the application gets `environ`.
        scope = {
            "type": "http",
            "http_version": "1.1",
            "method": "GET",
            "path": "/",
            "query_string": b"",
            _REQUEST: self,
        }
        call = asyncio.ensure_future(bridge(scope, None, self._send))
        call.add_done_callback(lambda call: limit.give())
        listener = asyncio.ensure_future(self._listen())
        try:
            await _ended(call, self._leave)
        finally:
            listener.cancel()
            self._leave()
        if self._error is not None:
            error, self._error = self._error, None
            try:
                raise error
            finally:
                # The error's traceback leads to this frame.
                del error

    async def _listen(self) -> None:
        if await self._incoming.listen():
            self._leave()

    def _leave(self) -> None:
        """Nobody wants the rest of the answer: the application is not stepped any more."""
        self._gone = True
        self._incoming.cut()
        self._room.release()

    async def _send(self, message: dict[str, Any]) -> None:
        """What a2wsgi sends to. Raises nothing: its thread would wait for ever."""
        is_part = message["type"] == "http.response.body"
        try:
            last = is_part and not message.get("more_body", False)
            if not self._gone and not (last and self._error is not None):
                await self._to_server(message)
        except OSError:
            self._leave()  # so a server says that there is nobody to send to (ASGI, version 2.4)
        except Exception as error:
            self._error = self._error or error
            self._leave()
        finally:
            if is_part:
                self._room.release()

    # -- on the thread ------------------------------------------------------------------------

    def steps(self, start_response: Any) -> Iterator[bytes]:
        """The application's answer, part by part."""
        self._a2_start = start_response
        body: Iterable[bytes] = ()
        try:
            try:
                body = self.app(self.environ, self._start_response)
                for part in body:
                    if self._gone:
                        return
                    if part:
                        self._begin()
                        self._room.acquire()
                        yield part
                self._begin()
            finally:
                close = getattr(body, "close", None)
                if close is not None:
                    close()
        except Exception as error:
            if self._write is None:
                raise
            # What was made before arrives first.
            self._error = self._error or error

    def _start_response(self, status: str, headers: Any, exc_info: Any = None) -> Any:
        try:
            if exc_info and self._write is not None:
                raise exc_info[1].with_traceback(exc_info[2])
        finally:
            exc_info, again = None, exc_info
        if self._said is not None and not again:
            raise RuntimeError("start_response was called twice.")
        self._said = (status, headers)
        return self._write_part

    def _write_part(self, data: bytes) -> None:
        self._begin()
        self._room.acquire()
        if not self._gone and self._write is not None:
            self._write(data)

    def _begin(self) -> None:
        """Send status and headers, once; until then the application may change its mind."""
        if self._write is None:
            if self._said is None:
                raise RuntimeError("The WSGI application made a body before start_response.")
            status, headers = self._said
            pairs = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
            passed = [
                (name.decode("latin-1"), value.decode("latin-1")) for name, value in sendable(pairs)
            ]
            self._write = self._a2_start(status if " " in status else f"{status} ", passed)


def _called(environ: Any, start_response: Any) -> Iterator[bytes]:
    """The WSGI application that a2wsgi knows."""
    request: _Request = environ["asgi.scope"][_REQUEST]
    return request.steps(start_response)


async def _ended(call: asyncio.Future[None], leave: Callable[[], None]) -> None:
    """Await `call`. A cancel tells it to stop, and comes when it has, or after `END_TIMEOUT`."""
    cancelled: asyncio.CancelledError | None = None
    until: float | None = None
    loop = asyncio.get_running_loop()
    try:
        while not call.done() and (until is None or loop.time() < until):
            try:
                await asyncio.wait([call], timeout=None if until is None else until - loop.time())
            except asyncio.CancelledError as error:
                cancelled = error
                until = until or loop.time() + END_TIMEOUT
                leave()
        if cancelled is not None:
            raise cancelled
        call.result()
    finally:
        # The error's traceback leads to this frame.
        del cancelled
