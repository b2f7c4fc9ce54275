"""What is decided and checked before a production server starts.

The server is Granian (granian_server.py), an extra: nothing here imports it. Its workers load the
app, not this process, so that workers which replace others load it afresh.
"""

from __future__ import annotations

import importlib.util
import multiprocessing
import os
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

MISSING = (
    "Serving needs Granian, which is not installed here. Install it with:"
    ' pip install "demijohn[serve]"'
)


def default_threads() -> int:
    """Twice the processors and one; beyond it, Granian warns."""
    return multiprocessing.cpu_count() * 2 + 1


@dataclass(frozen=True)
class Options:
    """How to serve.

    Arguments:
        host, port: where; port 0 lets the system choose.
        uds: the path of a Unix socket, instead.
        workers: processes.
        threads: requests that one worker answers at a time; by ASGI, sync functions that it runs at
            a time. None for the default: by WSGI `default_threads()`, by ASGI the app's own.
        interface: "wsgi", "asgi", or "auto" for what the app needs.
        graceful_timeout: seconds that requests in flight have to end when the server stops.
        access_log: print a line for each request.
        access_log_format: of that line, with Granian's names.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    uds: str | None = None
    workers: int = 1
    threads: int | None = None
    interface: str = "auto"
    graceful_timeout: int = 30
    access_log: bool = False
    access_log_format: str | None = None


def server_installed() -> bool:
    """Whether Granian can be imported; it is not imported to find out."""
    return importlib.util.find_spec("granian") is not None


# ---- trying the application


@dataclass(frozen=True)
class LoadError:
    """Why the application could not be loaded: the error's type, its text, the traceback."""

    kind: str
    message: str
    trace: str


@dataclass(frozen=True)
class Tried:
    """What came of loading the application: an error, or what was found out about it."""

    error: LoadError | None = None
    found: Any = None


def try_load(load: Callable[[], Any], look: Callable[[Any], Any] | None = None) -> Tried:
    """Load the application in a process of its own; what went wrong, else what `look(app)` gives.

    What the application starts while it is imported ends with that process. What `look` gives is
    pickled.
    """
    context: Any = multiprocessing.get_context(process_method())
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_try, args=(load, look, sender))
    process.start()
    sender.close()
    try:
        tried: Tried = receiver.recv()
    except EOFError:
        process.join()
        message = f"Loading the app ended its process, code {process.exitcode}."
        tried = Tried(LoadError("", message, ""))
    except BaseException:
        process.terminate()
        raise
    finally:
        receiver.close()
    process.join()
    return tried


def process_method() -> str:
    """How workers are started. As Granian does: a fork server has no place for its sockets."""
    method = multiprocessing.get_start_method()
    return method if method in ("fork", "spawn") else "spawn"


def _try(load: Callable[[], Any], look: Callable[[Any], Any] | None, sender: Connection) -> None:
    """In the process of its own: send what came of it, and end without waiting for threads."""
    try:
        app = load()
        tried = Tried(found=None if look is None else look(app))
    except BaseException as caught:
        kind = type(caught).__name__
        message = getattr(caught, "message", None) or str(caught)
        tried = Tried(LoadError(kind, str(message), traceback.format_exc()))
    sys.stdout.flush()
    sys.stderr.flush()
    sender.send(tried)
    os._exit(0)
