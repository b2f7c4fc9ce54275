"""An ASGI application called from sync code, as if it were a WSGI application.

For the test client: `caller(app)` is what Werkzeug's client calls. The application runs on an event
loop that the calling thread keeps, and only while the client waits for it: between two parts of a
streamed body it stands still. Where the thread runs a loop already, a helper thread runs this one.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Coroutine, Iterable, Iterator
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, TypeVar

from ..framework.aio import KeptLoop, elsewhere, must_leave_thread
from .asgi_scope import body_parts, http_scope
from .server_side import ServerSide

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

R = TypeVar("R")

_kept = threading.local()


def caller(app: Any) -> WSGIApplication:
    """A WSGI application that calls `app(scope, receive, send)`."""

    def call(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        loop = _thread_loop()
        side = ServerSide(body_parts(environ), "steps")
        side.start(app, http_scope(environ), loop.loop, copy_context())
        _run(loop, side.head)
        start_response(side.status, side.headers.to_wsgi_list())
        return _Body(loop, side)

    return call


class _Body:
    """A body: each step lets the application go on; closed early, its client leaves."""

    def __init__(self, loop: KeptLoop, side: ServerSide) -> None:
        self._loop = loop
        self._side = side

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        step = _run(self._loop, self._side.step)
        if step is None:
            raise StopIteration
        return step

    def close(self) -> None:
        """Leave, unless the application has returned."""
        if not self._side.over:
            _run(self._loop, self._side.leave)

    def __del__(self) -> None:
        if not self._loop.loop.is_closed():
            self.close()


def _run(loop: KeptLoop, step: Callable[[], Coroutine[Any, Any, R]]) -> R:
    """Run the loop until this step of a request is done, on this thread if it may."""

    def run() -> R:
        result: R = loop.until(step())
        return result

    return elsewhere(run) if must_leave_thread() else run()


def _thread_loop() -> KeptLoop:
    """The loop that this thread keeps for its requests; another where this one is running.

    Not the one that async functions under WSGI run on: what these leave is cancelled each time.
    """
    slot = "elsewhere" if must_leave_thread() else "here"
    loop: KeptLoop | None = getattr(_kept, slot, None)
    if loop is not None and loop.process != os.getpid():
        loop = KeptLoop(inherited=loop, guarded=False)
    elif loop is None or loop.is_taken():
        loop = KeptLoop(guarded=False)
    setattr(_kept, slot, loop)
    return loop
