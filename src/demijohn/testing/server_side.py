"""One HTTP request to an ASGI application, seen from the server's side: what goes in and comes out.

`ServerSide` knows no client and makes no loop. `asgi_run` steps it from sync code, `async_client`
awaits it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextvars import Context
from typing import Any, Literal

from werkzeug.datastructures import Headers
from werkzeug.http import HTTP_STATUS_CODES

from .asgi_scope import ShortBody

LEAVE_TIMEOUT = 10.0
"""Seconds that an application has to return once the client has left; then it is cancelled."""

# Names that do not look like Content-Type.
_WRITTEN = {
    name.lower(): name
    for name in ("ETag", "WWW-Authenticate", "Content-MD5", "DNT", "TE", "SourceMap")
}
_LEFT = "The client has left: nothing can be sent to it any more."
_NO_ANSWER = "The application returned without an answer."
_NO_END = "The application returned before the end of its answer."
Pace = Literal["all", "parts", "steps"]
Parts = Iterator[tuple[bytes, bool]]


def _as_written(name: str) -> str:
    """A header's name as WSGI applications write it; ASGI has lower case only."""
    return _WRITTEN.get(name) or name.title()


class ClientLeft(OSError):
    """What `send` raises once the client has left, as the ASGI specification says."""


class ProtocolError(RuntimeError):
    """The application did what no ASGI application may do."""


class ServerSide:
    """A request's body, given out by `receive`, and the answer, taken by `send`.

    `pace` says how far an application gets ahead of its client. "all": `send` takes everything at
    once. "parts": with each part of a body that streams it waits until somebody wants the next one.
    "steps": so it does with the status and the headers, as a WSGI server does.
    """

    def __init__(self, parts: Parts | AsyncIterator[tuple[bytes, bool]], pace: Pace) -> None:
        self._parts = parts
        self._pace = pace
        self._receives = self._received_all = False
        #: What `receive` waits for: there is nothing more to come.
        self._gone = asyncio.Event()
        self._left = False
        self._task: asyncio.Task[None] | None = None
        self._chunks: list[bytes] = []
        #: What `send` waits for, and what the client waits for.
        self._wanted: asyncio.Future[None] | None = None
        self._news: asyncio.Future[None] | None = None
        #: What the application raised, until the client was told; then it has failed.
        self._error: BaseException | None = None
        self._failed = False
        self.status_code = 0
        self.headers = Headers()
        self.streams = False
        """Whether the body came in more than one part."""
        self.complete = False
        """Whether the last part of the body was sent."""
        self.over = False
        """Whether the application has returned, or raised."""

    @property
    def status(self) -> str:
        """The status line. ASGI sends no reason: it is the usual one."""
        reason = HTTP_STATUS_CODES.get(self.status_code, "UNKNOWN")
        return f"{self.status_code} {reason.upper()}"

    # -- the application's side --------------------------------------------------------------------

    def start(
        self, app: Any, scope: dict[str, Any], loop: asyncio.AbstractEventLoop, context: Context
    ) -> None:
        """Call the application in a task of its own; what it raises is kept for the client."""
        self._task = loop.create_task(self._call(app, scope), context=context)

    async def _call(self, app: Any, scope: dict[str, Any]) -> None:
        try:
            await app(scope, self.receive, self.send)
        except BaseException as error:
            self._error = error
        finally:
            self.over = True
            self._tell()

    async def receive(self) -> dict[str, Any]:
        """The next message to the application (ASGI's `receive`)."""
        if self._receives:
            raise ProtocolError("receive() was called while another call of it waits.")
        self._receives = True
        try:
            if not self._received_all and not self._gone.is_set():
                try:
                    body, more = await self._next_part()
                except ShortBody:
                    self._gone.set()
                else:
                    self._received_all = not more
                    return {"type": "http.request", "body": body, "more_body": more}
            await self._gone.wait()
            return {"type": "http.disconnect"}
        finally:
            self._receives = False

    async def _next_part(self) -> tuple[bytes, bool]:
        if isinstance(self._parts, AsyncIterator):
            return await anext(self._parts)
        return next(self._parts)

    async def send(self, message: dict[str, Any]) -> None:
        """Take a message of the application (ASGI's `send`)."""
        kind = message["type"]
        if self._left:
            raise ClientLeft(_LEFT)
        if self.complete:
            raise ProtocolError(f"{kind!r} was sent after the end of the body.")
        if kind == "http.response.start":
            self._start(message)
            if self._pace == "steps":
                await self._until_wanted()
        elif kind != "http.response.body":
            raise ProtocolError(f"{kind!r} is no message of an HTTP response.")
        elif not self.status_code:
            raise ProtocolError("A body was sent before the status and the headers.")
        else:
            await self._take(message.get("body", b""), message.get("more_body", False))

    def _start(self, message: dict[str, Any]) -> None:
        if self.status_code:
            raise ProtocolError("The status and the headers were sent twice.")
        self.status_code = message["status"]
        for name, value in message.get("headers", ()):
            if name != name.lower():
                raise ProtocolError(f"The name of the header {name!r} has capital letters.")
            self.headers.add(_as_written(name.decode("latin-1")), value.decode("latin-1"))
        self._tell()

    async def _take(self, body: bytes, more: bool) -> None:
        if body or more:
            self._chunks.append(body)
        if not more:
            self.complete = True
            # There is nothing that the application could still be told.
            self._gone.set()
            return
        self.streams = True
        if self._pace == "all":
            await asyncio.sleep(0)
        else:
            await self._until_wanted()

    async def _until_wanted(self) -> None:
        self._wanted = asyncio.get_running_loop().create_future()
        self._tell()
        await self._wanted

    def _tell(self) -> None:
        if self._news is not None and not self._news.done():
            self._news.set_result(None)

    # -- the client's side -------------------------------------------------------------------------

    async def head(self) -> None:
        """Wait for the status and the headers; raises what the application raised before."""
        while not self.over and not self.status_code:
            await self._wait()
        if not self.status_code:
            self.raise_error()
            raise ProtocolError(_NO_ANSWER)

    def collected(self) -> list[bytes]:
        """The whole body, once the application has returned from a call that was awaited."""
        if not self.status_code:
            raise ProtocolError(_NO_ANSWER)
        if not self.complete:
            raise ProtocolError(_NO_END)
        chunks, self._chunks = self._chunks, []
        return chunks

    async def step(self) -> bytes | None:
        """The next part of the body, None after the last one.

        Raises what the application raised: after what it had sent of a body that streams, instead
        of one that does not.
        """
        if not self._chunks:
            self._want()
        # What comes in one piece is the client's when the application has returned.
        while not self.over and (self.complete or not self._chunks):
            await self._wait()
        if self._chunks and (self.streams or self._error is None):
            return self._chunks.pop(0)
        self.raise_error()
        if not (self.complete or self._failed or self._gone.is_set()):
            raise ProtocolError(_NO_END)
        return None

    async def leave(self) -> None:
        """Leave, as a client that closes its connection, and wait for the application to return.

        The application hears of it by `receive` before `send` fails. Raises what it raises.
        """
        self._left = True
        self._gone.set()
        if self._wanted is not None and not self._wanted.done():
            self._wanted.set_exception(ClientLeft(_LEFT))
        try:
            async with asyncio.timeout(LEAVE_TIMEOUT):
                while not self.over:
                    await self._wait()
        except TimeoutError:
            if self._task is not None:
                self._task.cancel()
            raise ProtocolError(
                f"The application goes on {LEAVE_TIMEOUT:g} s after its client left."
            ) from None
        self._chunks.clear()
        self.raise_error()

    def raise_error(self) -> None:
        """Raise what the application raised, once."""
        error, self._error = self._error, None
        try:
            if error is not None:
                self._failed = True
                raise error
        finally:
            # Its traceback leads to this frame.
            del error

    def _want(self) -> None:
        wanted = self._wanted
        if wanted is not None and not wanted.done():
            wanted.set_result(None)

    async def _wait(self) -> None:
        self._news = asyncio.get_running_loop().create_future()
        try:
            await self._news
        finally:
            self._news = None
