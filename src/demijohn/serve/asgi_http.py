"""A request over ASGI: from the scope to the last message, and the end of its context.

The answer is the pipeline's, as at the WSGI edge (`wsgi`). Streams, and clients that leave in the
middle of one, are `asgi_stream`'s.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from contextvars import copy_context
from typing import Any

from ..framework.globals import current_app_ctx, current_request_ctx
from ..framework.handing import LOADER, hand
from ..framework.pipeline import Raised, discard
from ..framework.pipeline_async import respond
from ..http.response import finish
from .asgi_body import Incoming, LiveBody
from .asgi_environ import environ_of
from .asgi_exchange import Exchange, Left, Receive, Send, refuse
from .asgi_stream import Stream
from .drivers import CLIENT_KEY, enclosing, hand_out
from .driving import Work
from .threads import Threads

AT_ONCE = 65_536
"""Bytes of a file that a thread reads at once; going to it and back takes as long as that."""

_PRESERVE_KEY = "werkzeug.debug.preserve_context"


async def serve_http(app: Any, threads: Threads, scope: Any, receive: Receive, send: Send) -> None:
    """Serve one request."""
    incoming = Incoming(receive)
    try:
        environ = environ_of(scope, LiveBody(incoming))
    except ValueError:
        await refuse(scope, send)
        return
    environ[LOADER] = incoming.load
    if current_app_ctx(None) is None and current_request_ctx(None) is None:
        context, joined = copy_context(), None
    else:
        context, joined = enclosing(app, environ.get(CLIENT_KEY))
    work = Work(context, threads)
    try:
        await _serve(Exchange(app, environ, incoming, send, work, context), joined)
    except Left:
        pass  # the request has ended; nobody is left to hear the answer
    except Exception:
        hand_out(context)
        raise
    finally:
        work.free()


async def _serve(exchange: Exchange, joined: Any) -> None:
    answer: Any = None
    body: Any = None
    try:
        app, environ = exchange.app, exchange.environ
        answering = respond(app, environ, joined, app._plans.current(app))
        exchange.ctx, answer, exchange.error = await exchange.work.drive(answering, keep=True)
        if type(answer) is Raised:
            _preserve(exchange)
            await _raise(exchange, answer.error)
        status, headers, body, plain = await _finished(exchange, answer)
        _preserve(exchange)
        if not plain:
            await Stream(exchange, answer, body).send(status, headers)
            return
        try:
            await exchange.end(None)
            exchange.work.raise_missed()
            await _send_plain(exchange, status, headers, body)
        finally:
            # A file, or what closes something: on a thread, as that may block.
            close = getattr(body, "close", None)
            if close is not None:
                await exchange.work.drive(_handed(close), shield=True)
    finally:
        # An error's traceback leads to this frame.
        answer = body = exchange.error = None


def _preserve(exchange: Exchange) -> None:
    """Give the contexts to a test client that keeps them: it pushes successors of them, or borrows
    them while a body streams."""
    preserve = exchange.environ.get(_PRESERVE_KEY)
    if preserve is not None:
        preserve(exchange.ctx.app_ctx)
        preserve(exchange.ctx)


async def _raise(exchange: Exchange, error: BaseException) -> None:
    """End the request, whose error leaves the application."""
    try:
        try:
            await exchange.end(None)
        except BaseException as error_of_end:
            # An error of the end does not hide the one that the request ended with.
            error_of_end.__context__ = error_of_end.__context__ or error
            raise
        raise error
    finally:
        del error


async def _finished(exchange: Exchange, answer: Any) -> tuple[str, Any, Any, bool]:
    """What is to be sent: status line, headers, body, and whether the body is plain."""
    try:
        if type(answer) is tuple:
            status, headers, body = answer
            return status, headers, body, True
        made = exchange.run(finish, answer, exchange.environ)
        if made is not None:
            return made
        return await exchange.work.drive(_called(answer, exchange.environ))
    except BaseException as failed:
        discard(exchange.app, answer)
        await exchange.end(failed)
        raise


async def _send_plain(exchange: Exchange, status: str, headers: Any, body: Any) -> None:
    if type(body) is list or type(body) is tuple:
        await exchange.start(status, headers)
        await exchange.send(body[0] if len(body) == 1 else b"".join(body), False)
        return
    await exchange.start(status, headers)
    work, incoming = exchange.work, exchange.incoming
    listener: asyncio.Task[None] | None = None
    try:
        parts, part = await work.drive(_handed(_opened, body))
        while len(part) >= AT_ONCE:
            # Most servers take what nobody gets: a long file is not read for that.
            listener = listener or asyncio.create_task(incoming.wait_left())
            await exchange.send(part, True)
            if incoming.left:
                raise Left("disconnect")
            part = await work.drive(_handed(_piece, parts))
        await exchange.send(part, False)
    finally:
        if listener is not None:
            listener.cancel()
            await asyncio.wait([listener])


def _opened(body: Iterable[bytes]) -> tuple[Iterator[bytes], bytes]:
    """A file's parts, on a thread, and the first piece of them."""
    parts = iter(body)
    return parts, _piece(parts)


def _piece(parts: Iterator[bytes]) -> bytes:
    """The next `AT_ONCE` bytes or more; less where they are the last."""
    taken: list[bytes] = []
    size = 0
    for part in parts:
        taken.append(part)
        size += len(part)
        if size >= AT_ONCE:
            break
    return taken[0] if len(taken) == 1 else b"".join(taken)


async def _handed(function: Callable[..., Any], *args: Any) -> Any:
    return await hand(function, *args)


async def _called(answer: Any, environ: dict[str, Any]) -> tuple[str, Any, Any, bool]:
    """What a WSGI callable answers (PEP 3333)."""
    started: list[Any] = []
    first: list[bytes] = []

    def start_response(status: str, headers: Any, exc_info: Any = None) -> Any:
        started[:] = [status, headers]
        return first.append

    body = await hand(answer, environ, start_response)
    plain = isinstance(body, (list, tuple))
    if not started or first:
        parts = iter(body)
        body, plain = _Chained(first, parts, body), False
        try:
            if not started:
                # It may start as late as with its first part.
                first.append(await hand(next, parts, b""))
            if not started:
                raise AssertionError(f"{answer!r} has given a body without a status.")
        except BaseException:
            await hand(body.close)
            raise
    return started[0], started[1], body, plain


class _Chained:
    """A body of which the first parts were made already."""

    def __init__(self, first: list[bytes], rest: Any, body: Any) -> None:
        self._first = first
        self._rest = rest
        self._body = body

    def __iter__(self) -> Any:
        yield from self._first
        yield from self._rest

    def close(self) -> None:
        close = getattr(self._body, "close", None)
        if close is not None:
            close()
