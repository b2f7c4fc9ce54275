"""The ASGI edge: `app.asgi_app`, what uvicorn, hypercorn and Granian call.

What becomes of a request is `asgi_http`'s.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from .asgi_environ import EXTRA_KEY, with_origin_form
from .asgi_exchange import Receive, Send
from .asgi_http import serve_http
from .guesses import refuse_rsgi, refuse_wsgi
from .lifespan import serve_lifespan
from .mounts import serve_mounted
from .stopping import stopping_of
from .threads import STREAM_THREADS, SYNC_THREADS, Threads, most
from .websocket import serve_websocket


class ASGIApp:
    """An application for ASGI servers (specification 3.0).

    An object rather than a function: by that servers tell which interface they are to use.
    """

    def __init__(self, app: Any) -> None:
        self._app = app

    def __call__(self, scope: Any, receive: Any, send: Any = None) -> Any:
        """What an ASGI server awaits. A WSGI server, which calls it with two arguments, is given
        the command that would have been right."""
        if send is None:
            return refuse_wsgi(self._app, scope, receive)
        return self._serve(scope, receive, send)

    if not TYPE_CHECKING:

        def __getattribute__(self, name: str) -> Any:
            # Servers ask whether the attribute `__call__` is `async def`. A call itself looks that
            # up on the class (the language reference, "Special method lookup"), and never here.
            return object.__getattribute__(self, "_serve" if name == "__call__" else name)

    def __rsgi__(self, scope: Any, protocol: Any) -> Coroutine[Any, Any, None]:
        return refuse_rsgi(self._app, scope, protocol)

    async def _serve(self, scope: Any, receive: Receive, send: Send) -> None:
        app = self._app
        kind = scope["type"]
        if kind == "lifespan":
            await serve_lifespan(app, threads_of(app), scope, receive, send)
            return
        if kind in ("http", "websocket"):
            scope = with_origin_form(scope)
            stopping, loop = stopping_of(app), asyncio.get_running_loop()
            if not stopping.is_heard_on(loop) and EXTRA_KEY not in scope:
                stopping.hear_late(loop)
        if app._mounts is not None and await serve_mounted(app, scope, receive, send):
            return
        if kind == "websocket":
            await serve_websocket(app, threads_of(app), scope, receive, send)
        elif kind == "http":
            await serve_http(app, threads_of(app), scope, receive, send)
        else:
            raise NotImplementedError(f"This application serves no {kind!r} scopes.")

    def __repr__(self) -> str:
        return f"<ASGIApp of {self._app.name!r}>"


def threads_of(app: Any) -> Threads:
    """The worker threads of an application; made at the first use, with its settings then."""
    threads: Threads | None = vars(app).get("_threads")
    if threads is None:
        calls, steps = most(app, SYNC_THREADS), most(app, STREAM_THREADS)
        threads = app._threads = Threads(calls, steps, f"{app.name}-sync")
        weakref.finalize(app, threads.close)
    return threads
