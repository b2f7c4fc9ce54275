"""What runs in each worker process of a production server: the application, loaded and mended,
and ended before the server's limit.

Not here: the server that starts the workers (granian_server.py).
"""

from __future__ import annotations

import atexit
import io
import logging
import multiprocessing
import multiprocessing.util
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..framework.limits import end_timeout
from .stopping import Stopping, stopping_of

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

# Keys of an environ that describe a request. Granian starts each environ with the process's
# variables, so that a variable of such a name would be seen as sent by the client.
_REQUEST_KEYS = frozenset(
    {
        "AUTH_TYPE",
        "CONTENT_LENGTH",
        "CONTENT_TYPE",
        "HTTPS",
        "PATH_TRANSLATED",
        "REMOTE_HOST",
        "REMOTE_IDENT",
        "REMOTE_PORT",
        "REMOTE_USER",
        "REQUEST_URI",
        "RAW_URI",
    }
)
CLOSING = 1.5
"""Seconds that WebSockets have to be closed before the server stops to serve."""

_PIECE = 64 * 1024  # bytes that are read at a time
_LINE = 4 * 1024  # the same while a line is looked for


@dataclass
class Worker:
    """Called in a new worker: loads the application and returns what the server is to call.

    Arguments:
        load: the application; picklable where processes are spawned and not forked.
        patience: seconds that requests have to end when the server stops.
    """

    load: Callable[[], Any]
    patience: int

    def __call__(self) -> Any:
        own_process = multiprocessing.parent_process() is not None
        if own_process:
            self.prepare()
            _prepare_exit()
            threading.Thread(
                target=_follow_parent, args=(self.patience,), name="follow-parent", daemon=True
            ).start()
        return self.served(self.load())

    def prepare(self) -> None:
        """What is done first in a worker that is a process of its own."""

    def served(self, app: Any) -> Any:
        """What the server is to call."""
        raise NotImplementedError


@dataclass
class WSGIWorker(Worker):
    """A worker of a server that calls the application by WSGI.

    Arguments:
        processes: how many workers the server has.
        hear: has a function called when the worker is told to stop, in another thread; called in a
            worker that is a process of its own.
    """

    processes: int
    hear: Callable[[Callable[[], object]], None]
    _app: Any = None
    _end: Callable[[], object] | None = None

    def prepare(self) -> None:
        self.hear(self._begin_to_stop)

    def served(self, app: Any) -> WSGIApplication:
        self._app = app
        if app._runs_around_serving:
            serving = app.serving()
            serving.__enter__()
            # At the end of the process; before what is registered with `atexit`, in a forked one
            # as in a spawned one. It is called once, however often that is asked for.
            self._end = multiprocessing.util.Finalize(
                None, serving.__exit__, args=(None, None, None), exitpriority=10
            )
        return mended(app, multiprocess=self.processes > 1)

    def _begin_to_stop(self) -> None:
        app = self._app
        if app is None:
            return
        stopping = stopping_of(app)
        stopping.until = time.monotonic() + self.patience
        stopping.begin()
        if self._end is not None:
            # The server kills a worker whose requests do not end.
            late = threading.Timer(time_before_cut(app, self.patience), self._end)
            late.daemon = True
            late.start()


@dataclass
class ASGIWorker(Worker):
    """A worker of a server that calls the application by ASGI.

    Arguments:
        threads: on how many sync functions run; None for the application's own setting.
        hear: has `told(stop)` called on the worker's loop when the worker is told to stop, which it
            does when that calls `stop()`; called in a worker that is a process of its own.
    """

    threads: int | None
    hear: Callable[[Callable[[Callable[[], object]], object]], None]
    _stopping: Stopping | None = None

    def prepare(self) -> None:
        self.hear(self._stop)

    def served(self, app: Any) -> Any:
        self._stopping = stopping_of(app)
        if self.threads is not None:
            app.config["SYNC_THREADS"] = self.threads
        return InTime(app, self.patience)

    def _stop(self, stop: Callable[[], object]) -> None:
        """Begin to stop, and have the server do so when the WebSockets are closed: it would cut
        them off."""
        import asyncio

        stopping = self._stopping
        assert stopping is not None
        stopping.begin()
        loop = asyncio.get_running_loop()
        until = loop.time() + CLOSING

        def look() -> None:
            if stopping.is_awaited() and loop.time() < until:
                loop.call_later(0.01, look)
            else:
                stop()

        look()


def _prepare_exit() -> None:
    """Let this process run the functions of `atexit` that are registered in it, and no others.

    CPython does so itself from 3.13 on; before, a forked worker inherits its parent's and runs
    none.
    """
    if sys.version_info < (3, 13):
        atexit._clear()
        multiprocessing.util.Finalize(None, atexit._run_exitfuncs, exitpriority=0)
    atexit.register(logging.shutdown)


def time_before_cut(app: Any, patience: float) -> float:
    """Seconds that requests in flight have, of the `patience` after which the worker is killed.

    Their ends, and what ends with the application, may take `END_TIMEOUT` each after that.
    """
    return max(patience - 2 * end_timeout(app), patience / 2)


class InTime:
    """An application for an ASGI server that kills its worker `patience` seconds after it told it
    to stop: what runs around the serving ends before that.

    Requests that are in flight then are cancelled. A server that goes on waiting, for a sync
    function that does not return, is not waited for.
    """

    def __init__(self, app: Any, patience: float) -> None:
        self._app = app
        self._stopping = stopping_of(app)
        self._patience = patience
        self._left = time_before_cut(app, patience)
        self._grace = min(1.0, self._left / 4)
        self._tasks: set[Any] = set()
        self._late: Any = None
        self._cut_off = False

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        import asyncio

        if scope["type"] == "lifespan":
            self._late = asyncio.Event()
            with self._stopping.told(self._count_down):
                await self._app(scope, self._in_time(receive), send)
            return
        task = asyncio.current_task()
        self._tasks.add(task)
        try:
            await self._app(scope, receive, send)
        except asyncio.CancelledError:
            # The server would log it, with its traceback.
            if not self._cut_off:
                raise
        finally:
            self._tasks.discard(task)

    def _count_down(self) -> None:
        import asyncio

        self._stopping.until = time.monotonic() + self._patience
        asyncio.get_running_loop().call_later(self._left, self._cut)

    def _cut(self) -> None:
        import asyncio

        if self._tasks:
            self._app.logger.error(
                f"Requests in flight {self._left:.1f} s after the stop began, which are cancelled:"
                f" {len(self._tasks)}"
            )
        self._cut_off = True
        for task in list(self._tasks):
            task.cancel()
        asyncio.get_running_loop().call_later(self._grace, self._late.set)

    def _in_time(self, receive: Any) -> Callable[[], Any]:
        """`receive`, which tells of the shutdown when the server would be too late."""
        import asyncio

        async def received() -> Any:
            message = asyncio.ensure_future(receive())
            late = asyncio.ensure_future(self._late.wait())
            try:
                await asyncio.wait([message, late], return_when=asyncio.FIRST_COMPLETED)
                return message.result() if message.done() else {"type": "lifespan.shutdown"}
            finally:
                message.cancel()
                late.cancel()

        return received


def _follow_parent(patience: int) -> None:
    """Stop this worker when the main process has died without stopping it."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(patience)
    os.kill(os.getpid(), signal.SIGKILL)


def mended(app: WSGIApplication, multiprocess: bool) -> WSGIApplication:
    """`app` behind what makes Granian's environ one of PEP 3333.

    - `wsgi.multiprocess` is true where there are several workers.
    - A request has no headers that are variables of the process (`HTTP_PROXY`, `REMOTE_USER`).
    - `wsgi.input` can be read in any way, and an upload that breaks off is not taken for a whole
      one.
    """
    leaked = [
        (name, value)
        for name, value in os.environ.items()
        if name.startswith("HTTP_") or name in _REQUEST_KEYS
    ]

    def call(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        for name, value in leaked:
            # Another value is the client's own.
            if environ.get(name) == value:
                del environ[name]
        if multiprocess:
            environ["wsgi.multiprocess"] = True
        if "CONTENT_LENGTH" in environ:
            environ["wsgi.input"] = Input(environ["wsgi.input"])
            # Only a reader who counts sees that bytes are missing, and with this he would not.
            environ.pop("wsgi.input_terminated", None)
        elif "HTTP_TRANSFER_ENCODING" in environ or environ["SERVER_PROTOCOL"] == "HTTP/2":
            environ["wsgi.input"] = Input(environ["wsgi.input"])
        return app(environ, start_response)

    return call


class Input(io.RawIOBase):
    """A request's body as a file, on Granian's.

    Of that one only `read(n)` can be relied on, which waits for `n` bytes or the end: `read()`
    loses what an earlier call buffered, lines come without their ends, sizes are not negative.
    """

    def __init__(self, body: Any) -> None:
        self._body = body
        self._left = b""  # read from the body and not handed out

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or size < 0:
            return self.readall()
        if not self._left:
            data: bytes = self._body.read(size)
            return data
        data, self._left = self._left[:size], self._left[size:]
        return data if len(data) == size else data + self._body.read(size - len(data))

    def readall(self) -> bytes:
        pieces, self._left = [self._left], b""
        while piece := self._body.read(_PIECE):
            pieces.append(piece)
        return b"".join(pieces)

    def readinto(self, buffer: Any, /) -> int:
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def readline(self, size: int | None = -1, /) -> bytes:
        limit = sys.maxsize if size is None or size < 0 else size
        pieces, length = [], 0
        while length < limit:
            piece = self._left or self._body.read(_LINE)
            end = piece.find(b"\n") + 1
            taken = min(end or len(piece), limit - length)
            pieces.append(piece[:taken])
            length, self._left = length + taken, piece[taken:]
            if not piece or 0 < end <= taken:
                break
        return b"".join(pieces)
