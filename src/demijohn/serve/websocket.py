"""A WebSocket over ASGI: its messages, and the way of a connection from its request to its end.

What the application makes of it is the pipeline's (`framework.websockets`).
"""

from __future__ import annotations

import asyncio
import io
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from contextvars import Context, copy_context
from time import monotonic
from typing import Any

from ..context.errors import DeadlineExceeded
from ..framework.children import child_context
from ..framework.globals import current_app_ctx, current_request_ctx
from ..framework.pipeline import Raised
from ..framework.websockets import Farewell, converse
from ..http.websocket import (
    CLOSED,
    INTERNAL_ERROR,
    POLICY_VIOLATION,
    SERVICE_RESTART,
    Message,
    WebSocketDisconnected,
    short_reason,
)
from .asgi_environ import environ_of
from .asgi_exchange import DENIAL, Exchange, Receive, Send, refuse
from .drivers import CLIENT_KEY, enclosing, hand_out
from .driving import Work
from .stopping import stopping_of
from .threads import Threads

READ_AHEAD = 64 * 1024
"""How much of what the client sends is taken from the server before the view asks for it, in bytes:
by that a client that leaves is noticed while the view works."""

CLOSE_WAIT = 0.5
"""Seconds that a last close waits for messages that are being sent to a client that is slow, and
then for the server to take it."""

FAIR = 0.005
"""Seconds for which a view may send without waiting before others on the loop have their turn."""

_PER_MESSAGE = 256
_LOST = 1006


class Connection:
    """One WebSocket, as `http.websocket.Connection` describes it, on a server's ASGI messages."""

    #: Gives the headers that the session adds when the connection is accepted.
    on_accept: Callable[[bool], Awaitable[list[tuple[str, str]]]] | None = None

    def __init__(self, scope: Any, receive: Receive, send: Send, work: Work) -> None:
        #: Whether the server was told so, and messages may follow.
        self.accepted = False
        self._answered = False
        self._scope = scope
        self._server_receives = receive
        self._server_sends = send
        self._work: Work | None = work
        #: The code, the reason and whether it was the client, once it is closed.
        self.closed: tuple[int, str, bool] | None = None
        self._accepting = asyncio.Lock()
        self._sending = asyncio.Lock()
        self._listener: asyncio.Task[None] | None = None
        # Which task waits for the server to take a message.
        self._sender: asyncio.Task[Any] | None = None
        self._messages: deque[Message] = deque()
        self._unread = 0
        self._turn = monotonic()
        self._room = asyncio.Event()
        self._waiter: asyncio.Future[None] | None = None

    @property
    def begun(self) -> bool:
        """Whether it is being accepted, or closed: no other answer can be given any more."""
        return self._answered or self.closed is not None

    # -- what the view calls ----------------------------------------------------------------------

    async def accept(self, subprotocol: str | None, headers: list[tuple[str, str]]) -> None:
        async with self._accepting:
            if self.accepted:
                return
            self._raise_closed()
            if self.on_accept is not None:
                headers = headers + await self.on_accept(self._in_view())
            message = {
                "type": "websocket.accept",
                "subprotocol": subprotocol,
                "headers": _encoded(headers),
            }
            self._answered = True
            await self._send(message)
            self.accepted = True
            # In an empty Context: it is nobody's work, and outlives what is current.
            listening = self._listen()
            name = "demijohn-websocket-listener"
            self._listener = asyncio.create_task(listening, name=name, context=Context())

    async def receive(self) -> Message:
        if not self.accepted:
            await self.accept(None, [])
        if self._waiter is not None:
            raise RuntimeError(
                "Another task is waiting for this WebSocket's next message. Let one task receive,"
                " and give the others what it got, by an `asyncio.Queue` for instance."
            )
        while not self._messages or (self.closed is not None and not self.closed[2]):
            self._raise_closed()
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        message = self._messages.popleft()
        self._unread -= len(message) + _PER_MESSAGE
        if self._unread < READ_AHEAD:
            self._room.set()
        return message

    async def send(self, data: Message) -> None:
        if not self.accepted:
            await self.accept(None, [])
        kind = "text" if isinstance(data, str) else "bytes"
        async with self._sending:
            self._raise_closed()
            await self._send({"type": "websocket.send", kind: data})
        # A server whose buffers have room does not wait: a view that sends and sends would keep the
        # loop to itself, and never hear that its client has left.
        if (now := monotonic()) > self._turn + FAIR:
            await asyncio.sleep(0)
            self._turn = now

    async def close(self, code: int, reason: str) -> None:
        async with self._sending:
            await self._close(code, reason)
        if self._work is not None and self._work.ctx is not None:
            if self._in_view():
                self._work.spare()
            # Nobody would tell them any more: the client that leaves now is not listened to.
            self._work.ctx.cancel(CLOSED)

    @asynccontextmanager
    async def message_context(self, deadline: float | None) -> AsyncIterator[None]:
        work = self._work if self._in_view() else None
        if work is not None:
            work.hold()
        try:
            async with child_context(deadline), _in_time(deadline):
                yield
        finally:
            if work is not None:
                work.let_go()

    # -- what the edge calls ----------------------------------------------------------------------

    async def close_at_last(self, code: int, reason: str) -> None:
        """Close it, if nobody has; the client may be one that reads no more.

        `reason` is cut to what a close frame holds.
        """
        if self.closed is not None:
            return
        waited = False
        try:
            # Not `wait_for`: before CPython 3.12 a cancel may be lost in it.
            with suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_WAIT):
                    waited = await self._sending.acquire()
            with suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_WAIT):
                    if not waited:
                        self._stop_sending()
                        waited = await self._sending.acquire()
                    await self._close(code, short_reason(reason))
        finally:
            if waited:
                self._sending.release()
            # Where the server did not take it.
            self.closed = self.closed or (code, reason, False)

    async def deny(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        """Refuse it: by an HTTP answer where the server can give one, else by status 403."""
        if self.closed is not None:
            return
        if DENIAL not in (self._scope.get("extensions") or ()):
            await self.close_at_last(POLICY_VIOLATION, "")
            return
        self.closed = (POLICY_VIOLATION, "", False)
        start = {"type": f"{DENIAL}.start", "status": status, "headers": _encoded(headers)}
        with suppress(OSError):
            await self._server_sends(start)
            await self._server_sends({"type": f"{DENIAL}.body", "body": body, "more_body": False})

    async def drop(self) -> None:
        """The connection is over: stop listening, and let go of its context."""
        try:
            await self._stop_listening()
        finally:
            self.closed = self.closed or (_LOST, "", False)
            self._stop_sending()
            self.on_accept = self._work = None

    # -- messages ---------------------------------------------------------------------------------

    async def _send(self, message: dict[str, Any]) -> None:
        self._sender = task = asyncio.current_task()
        try:
            await self._server_sends(message)
        except OSError:
            # So a server says that there is nobody to send to (ASGI, version 2.4).
            self._is_gone(_LOST, "")
            self._raise_closed()
        except asyncio.CancelledError:
            if self._sender is task or task is None or task.uncancel():
                raise
            # It was `_stop_sending`: the close comes next.
            raise WebSocketDisconnected(*(self.closed or (_LOST, "", False)), self) from None
        finally:
            self._sender = None

    async def _close(self, code: int, reason: str) -> None:
        # Granian does not close while it is asked for a message.
        await self._stop_listening()
        if self.closed is not None:
            return
        try:
            with suppress(OSError):
                message = {"type": "websocket.close", "code": code, "reason": reason}
                await self._server_sends(message)
        finally:
            # Not before it is said: a task that is told of it may cancel this one.
            self.closed = (code, reason, False)
            self._wake()

    async def _listen(self) -> None:
        """Take the server's messages, up to `READ_AHEAD` before they are wanted."""
        while True:
            message = await self._server_receives()
            if message["type"] == "websocket.disconnect":
                self._is_gone(message.get("code") or _LOST, message.get("reason") or "")
                return
            text: str | None = message.get("text")
            data: Message = (message.get("bytes") or b"") if text is None else text
            self._messages.append(data)
            self._unread += len(data) + _PER_MESSAGE
            self._wake()
            while self._unread >= READ_AHEAD:
                self._room.clear()
                await self._room.wait()

    async def _stop_listening(self) -> None:
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.cancel()
            await asyncio.wait([listener])

    def _stop_sending(self) -> None:
        """Have a task go on that sends to a client that reads no more: it may outlive the view, and
        Granian's worker aborts when it stops meanwhile."""
        sender, self._sender = self._sender, None
        if sender is not None:
            sender.cancel()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _is_gone(self, code: int, reason: str) -> None:
        """The client has left: whoever receives is told, then all that the connection started."""
        if self.closed is not None:
            return
        self.closed = (code, reason, True)
        self._wake()
        ctx = None if self._work is None else self._work.ctx
        if ctx is not None and getattr(ctx.request.url_rule, "on_disconnect", None) != "continue":
            ctx.cancel("disconnect")

    def _in_view(self) -> bool:
        """Whether the calling code is the view's, and not a task's that it started."""
        return self._work is not None and self._work.is_current()

    def _raise_closed(self) -> None:
        """Raise `WebSocketDisconnected` where it is closed."""
        if self.closed is not None:
            if self._work is not None and self._in_view():
                # The view knows by this: what it awaits after it is its own affair.
                self._work.spare()
            raise WebSocketDisconnected(*self.closed, self)


@asynccontextmanager
async def _in_time(deadline: float | None) -> AsyncIterator[None]:
    """Interrupt the block when the time of the current context is over, where it has a `deadline`
    of its own: `DeadlineExceeded`."""
    limit = None if deadline is None else current_app_ctx().remaining()
    block = asyncio.timeout(limit)
    try:
        async with block:
            yield
    except TimeoutError as error:
        if block.expired() and not isinstance(error, DeadlineExceeded):
            raise DeadlineExceeded() from error
        raise


def _encoded(headers: list[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]


# -- the way of a connection ----------------------------------------------------------------------


async def serve_websocket(
    app: Any, threads: Threads, scope: Any, receive: Receive, send: Send
) -> None:
    """Serve one connection."""
    if (await receive())["type"] != "websocket.connect":
        return  # the client has left before it was looked at
    try:
        environ = environ_of(scope, io.BytesIO())
    except ValueError:
        await refuse(scope, send)
        return
    # By these routing knows it; HTTP/2 has no such headers.
    environ.update(HTTP_CONNECTION="Upgrade", HTTP_UPGRADE="websocket")
    if scope.get("subprotocols"):
        # Some servers take them out of the headers.
        environ["HTTP_SEC_WEBSOCKET_PROTOCOL"] = ", ".join(scope["subprotocols"])
    if current_app_ctx(None) is None and current_request_ctx(None) is None:
        context = copy_context()
    else:
        context, _ = enclosing(app, environ.get(CLIENT_KEY))
    stopping = stopping_of(app)

    def stop(ctx: Any) -> None:
        if ctx is not None and stopping.begun:
            ctx.cancel(stopping.reason)

    work = Work(context, threads, on_begun=stop)
    connection = Connection(scope, receive, send, work)
    no_body: Any = None
    exchange = Exchange(app, environ, no_body, send, work, context)
    try:
        stopping.open.add(connection)
        with stopping.told(lambda: stop(work.ctx)):
            await _serve(exchange, connection)
    except BaseException:
        hand_out(context)
        raise
    finally:
        stopping.open.discard(connection)
        try:
            await connection.drop()
        finally:
            work.free()


async def _serve(exchange: Exchange, connection: Connection) -> None:
    farewell: Farewell | None = None
    try:
        talking = converse(exchange.app, exchange.environ, connection)
        farewell = await exchange.work.drive(talking, keep=True)
        exchange.ctx, exchange.error = farewell.ctx, farewell.error
        try:
            if farewell.code == SERVICE_RESTART:
                # Not after the end: a server that stops may have closed the socket by then.
                await connection.close_at_last(farewell.code, farewell.reason)
        finally:
            try:
                await exchange.end(None)
            finally:
                await _part(connection, farewell)
        exchange.work.raise_missed()
    finally:
        if farewell is not None:
            # An error's traceback leads to the frame that made it, which holds it.
            farewell.error = farewell.answer = None
        # And to this one.
        farewell = exchange.error = None


async def _part(connection: Connection, farewell: Farewell) -> None:
    """Tell the client how it ended; the context has."""
    answer = farewell.answer
    try:
        if type(answer) is Raised:
            if connection.accepted and isinstance(answer.error, Exception):
                await connection.close_at_last(INTERNAL_ERROR, "")
            raise answer.error
        if answer is not None:
            await connection.deny(*answer)
        else:
            await connection.close_at_last(farewell.code, farewell.reason)
    finally:
        del answer
