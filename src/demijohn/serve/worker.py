"""What runs in each worker process of a production server: the application, loaded and mended.

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
_PIECE = 64 * 1024  # bytes that are read at a time
_LINE = 4 * 1024  # the same while a line is looked for


@dataclass
class WorkerApp:
    """Called in a new worker: loads the application and returns what the server is to call.

    Arguments:
        load: the application; picklable where processes are spawned and not forked.
        processes: how many workers the server has.
        patience: seconds that requests have to end when the server's main process is gone.
        prepare: called first in a worker that is a process of its own.
    """

    load: Callable[[], WSGIApplication]
    processes: int
    patience: int
    prepare: Callable[[], None]

    def __call__(self) -> WSGIApplication:
        if multiprocessing.parent_process() is not None:
            self.prepare()
            _prepare_exit()
            threading.Thread(
                target=_follow_parent, args=(self.patience,), name="follow-parent", daemon=True
            ).start()
        return mended(self.load(), multiprocess=self.processes > 1)


def _prepare_exit() -> None:
    """Let this process run the functions of `atexit` that are registered in it, and no others.

    CPython does so itself from 3.13 on; before, a forked worker inherits its parent's and runs
    none.
    """
    if sys.version_info < (3, 13):
        atexit._clear()
        multiprocessing.util.Finalize(None, atexit._run_exitfuncs, exitpriority=0)
    atexit.register(logging.shutdown)


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
