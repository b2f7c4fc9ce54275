"""The body of a request at the ASGI edge: read before the view, or taken by it as it arrives.

Reading ahead is what lets one view serve both edges. What a body may have is `http.bodies`'; here
bytes that arrive are counted, whatever was announced.
"""

from __future__ import annotations

import asyncio
import io
import os
import tempfile
import typing as t
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import wait
from typing import IO, Any

from werkzeug.exceptions import ClientDisconnected, RequestEntityTooLarge

from ..context.cancel import seconds_until
from ..context.errors import Cancelled
from ..framework.globals import current_request_ctx

IN_MEMORY = 500_000
"""Bytes of a body that are kept in memory; a longer one goes to a temporary file."""


# In these versions a request without a length and without chunks has no body (RFC 9112, 6.3). Asked
# of methods that have none as a rule: in-process callers leave the length of others away.
_FRAMED = ("HTTP/1.1", "HTTP/1.0")
_BODILESS = ("GET", "HEAD")


class Incoming:
    """What the server receives of one request: its body, then that the client has left.

    `receive` is never awaited by two at once.
    """

    def __init__(self, receive: Callable[[], Awaitable[Any]]) -> None:
        self._receive = receive
        # Made when there are two who may ask: a stream's listener, and a view.
        self._lock: asyncio.Lock | None = None
        #: Whether the client has left.
        self.left = False
        self._over = False
        # Whether nobody but a view takes the body.
        self._live = True
        # A part that came while it was asked whether the client has left.
        self._ahead = b""
        self._taken: asyncio.Event | None = None

    async def next(self) -> bytes | None:
        """The next part of the body; None at its end, and when the client has left."""
        # Not under the lock once it is over: who waits for the client to leave has that.
        while not (self._ahead or self._over or self.left):
            async with self._alone():
                if not (self._ahead or self._over or self.left):
                    await self._take()
        part, self._ahead = self._ahead, b""
        if self._taken is not None:
            self._taken.set()
        return part or None

    async def _take(self) -> None:
        message = await self._receive()
        if message["type"] == "http.disconnect":
            self.left = True
        elif message["type"] == "http.request" and not self._over:
            self._ahead = bytes(message.get("body", b""))
            if not message.get("more_body", False):
                self._over = True

    async def wait_left(self) -> None:
        """Wait until the client has left. Of a body that a view may still take one part is taken
        ahead; what comes after that is left to it."""
        while not self.left:
            if self._is_ahead():
                self._taken = asyncio.Event()
                await self._taken.wait()
            async with self._alone():
                if not (self.left or self._is_ahead()):
                    await self._take()

    def _alone(self) -> asyncio.Lock:
        if self._lock is None:
            self._lock = asyncio.Lock()
        return self._lock

    def _is_ahead(self) -> bool:
        return self._live and bool(self._ahead) and not self._over

    def load(self, ctx: Any) -> Awaitable[None] | None:
        """Make the body of a request that found its rule its input; reading it is to be awaited.

        A longer body than the request allows is not read to its end: who asks for it meets that.
        """
        request = ctx.request
        environ = request.environ
        rule = request.url_rule
        if rule is None or getattr(rule, "stream_body", False):
            return None
        most = request.max_content_length
        announced = environ.get("CONTENT_LENGTH", "")
        if most is not None and announced.isdecimal() and int(announced) > most:
            return None  # refused, unread, when somebody asks for it
        self._live = False
        if (
            "wsgi.input_terminated" in environ
            and environ["REQUEST_METHOD"] in _BODILESS
            and environ["SERVER_PROTOCOL"] in _FRAMED
            and "HTTP_TRANSFER_ENCODING" not in environ
        ):
            environ["wsgi.input"] = io.BytesIO()
            return None
        return self._read(environ, most)

    async def _read(self, environ: dict[str, Any], most: int | None) -> None:
        file: IO[bytes] = io.BytesIO()
        size = 0
        refused: type[Exception] | None = None
        while (part := await self.next()) is not None:
            size += len(part)
            if most is not None and size > most:
                refused = RequestEntityTooLarge
                break
            if size <= IN_MEMORY:
                file.write(part)
            else:
                # A disk may be slow: the loop goes on meanwhile.
                file = await asyncio.to_thread(_on_disk, file, part)
        if self.left:
            refused = ClientDisconnected
        file.seek(0)
        if refused is not None:
            file = io.BufferedReader(_CutOff(file, refused))
        environ["wsgi.input"] = file


class _OnDisk(io.BufferedRandom):
    """A temporary file without a name, closed when nobody needs it any more."""

    def __del__(self) -> None:
        self.close()


def _on_disk(file: IO[bytes], part: bytes) -> IO[bytes]:
    if not isinstance(file, _OnDisk):
        start = file
        descriptor, path = tempfile.mkstemp(prefix="demijohn-body-")
        os.unlink(path)
        file = t.cast(IO[bytes], _OnDisk(io.FileIO(descriptor, "w+b")))
        file.write(start.getvalue())  # type: ignore[attr-defined]
    file.write(part)
    return file


class _CutOff(io.RawIOBase):
    """A body that could not be read to its end: whoever reads that far meets the error."""

    def __init__(self, file: IO[bytes], refused: type[Exception]) -> None:
        self._file = file
        self._refused = refused

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._file.read(len(buffer))
        if not data:
            raise self._refused()
        buffer[: len(data)] = data
        return len(data)


class LiveBody:
    """A body that is taken as it arrives, by `async for` on the loop or `read` on a thread.

    Nothing is read ahead, so a client is held back while nobody asks.
    """

    def __init__(self, incoming: Incoming) -> None:
        self._incoming = incoming
        self._loop = asyncio.get_running_loop()

    def __getattr__(self, name: str) -> Any:
        # What a file has; most requests never look, and a reader takes 8 kB.
        if name == "_reader":
            self._reader = io.BufferedReader(_Arriving(self._incoming, self._loop))
            return self._reader
        return getattr(self._reader, name)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._reader)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while (part := await self._incoming.next()) is not None:
            yield part
        if self._incoming.left:
            raise ClientDisconnected()


class _Arriving(io.RawIOBase):
    """What a `LiveBody` reads from, on threads."""

    def __init__(self, incoming: Incoming, loop: asyncio.AbstractEventLoop) -> None:
        self._incoming = incoming
        self._loop = loop
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if asyncio._get_running_loop() is not None:
            raise RuntimeError(
                "This route takes its body as it arrives, and reading it here would block the"
                " event loop. Say `async for part in request.body_stream`, or make the view a"
                " plain function."
            )
        if not self._rest:
            part = self._next()
            if part is None and self._incoming.left:
                raise ClientDisconnected()
            self._rest = part or b""
        data, self._rest = self._rest[: len(buffer)], self._rest[len(buffer) :]
        buffer[: len(data)] = data
        return len(data)

    def _next(self) -> bytes | None:
        """Wait for a part. A client may never send it: the wait ends, with `Cancelled`, when the
        request is to end; at its deadline, too, as Werkzeug takes a `TimeoutError` for a client
        that has left."""
        future = asyncio.run_coroutine_threadsafe(self._incoming.next(), self._loop)
        ctx = current_request_ctx(None)
        if ctx is None:
            return future.result()
        token = ctx._cancel_token()
        token.on_cancel(future.cancel)
        try:
            wait([future], seconds_until(token.deadline))
            if not future.done() or future.cancelled():
                raise Cancelled(token.reason)
            return future.result()
        finally:
            token.off_cancel(future.cancel)
            future.cancel()
