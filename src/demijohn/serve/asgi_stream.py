"""A streamed body over ASGI: stepped in the request's Context, until it ends or the client leaves.

Async iterators are stepped on the loop, sync ones on threads of their own limit, so that streams
never keep the threads from views. The server's `send` holds a stream back for a slow client.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import ExitStack
from functools import partial
from typing import Any

from werkzeug.wrappers import Response as BaseResponse

from ..context.errors import Cancelled
from ..framework import limits
from ..framework.handing import hand, interruptible, release_for_stream
from .asgi_exchange import Exchange, Left
from .event_stream import MIMETYPE
from .stopping import RETRY, SHUTDOWN, last_words, stopping_of

PATIENCE = 0.5
"""Seconds that a client has, when the server stops, to take the part that is being sent to it."""


class Stream:
    """One streamed body on its way.

    Args:
        answer: what the view's answer was, a response mostly.
        body: the iterable that the response would give to a WSGI server.
    """

    def __init__(self, exchange: Exchange, answer: Any, body: Iterable[bytes]) -> None:
        self._exchange = exchange
        self._work = exchange.work
        self._answer = answer
        self._body: Any = body
        self._steps: Any = None
        self._is_async = False
        if isinstance(answer, BaseResponse) and hasattr(answer.response, "__aiter__"):
            self._is_async = True
            self._body = answer.response
        #: Why the body is cut, None while it is not: "disconnect" or "shutdown".
        self.cut: str | None = None
        self._over = False
        self._sent = b""
        # How many bytes are still to be sent, where the headers say how many there are.
        self._to_come: int | None = None
        # The task that waits for the server to take a part, and whether that was cut short.
        self._sending: asyncio.Task[Any] | None = None
        self._stuck = False

    async def send(self, status: str, headers: Iterable[tuple[str, str]]) -> None:
        """Send all of it, and end the request."""
        listener: asyncio.Task[None] | None = None
        failed: BaseException | None = None
        told = ExitStack()
        try:
            await self._release()
            listener = asyncio.create_task(self._listen())
            self._work.on_idle_interrupted = self._time_is_over
            if getattr(self._answer, "mimetype", None) == MIMETYPE:
                told.enter_context(
                    stopping_of(self._exchange.app).told(partial(self.tell, SHUTDOWN))
                )
            await self._send_parts(status, headers)
        except BaseException as error:
            failed = error
        finally:
            self._work.on_idle_interrupted = None
            told.close()
            if listener is not None:
                listener.cancel()
        # Nothing may be awaited before the end: a cancel would come there, and skip it.
        try:
            await self._finish(failed)
        finally:
            # The error's traceback leads to this frame.
            del failed
            if listener is not None:
                await asyncio.wait([listener])

    async def _finish(self, failed: BaseException | None) -> None:
        """Close the body, end the request, then say that the body is over."""
        exchange = self._exchange
        try:
            if self.cut == SHUTDOWN:
                exchange.ctx._outcome = "cancelled"
            elif self.cut is not None:
                exchange.run(limits.left, exchange.ctx)
            try:
                await self._work.drive(self._close(), shield=True)
            except BaseException as error:
                failed = failed or error
            await exchange.end(failed)
            self._work.raise_missed()
            if failed is not None:
                raise failed
            if self._stuck:
                raise Left(self.cut)
            if self.cut == SHUTDOWN and (words := last_words(self._sent, RETRY)):
                await exchange.send(words, True)
            if self.cut != "disconnect":
                await exchange.send(b"", False)
        finally:
            # The error's traceback leads to this frame.
            del failed

    async def _release(self) -> None:
        """Give back what need not be held while the body streams."""
        exchange = self._exchange
        below = exchange.ctx.app_ctx
        if exchange.ctx._unit is None and (below is None or below._unit is None):
            return
        errors = await self._work.drive(release_for_stream(exchange.ctx))
        try:
            if errors:
                exchange.report(errors)
        finally:
            # The errors' tracebacks lead to this frame.
            del errors

    async def _send_parts(self, status: str, headers: Iterable[tuple[str, str]]) -> None:
        limit = None if self._is_async else self._work.threads.steps
        step = self._async_step if self._is_async else self._sync_step
        for name, value in headers:
            if name.lower() == "content-length" and value.isdecimal():
                self._to_come = int(value)
        try:
            await self._exchange.start(status, headers)
            while self.cut is None:
                self._work.raise_pending()
                part = await self._work.drive(step(), limit)
                if part is None:
                    self._over = True
                    break
                await self._send_part(part)
        except Left as left:
            self.cut = self.cut or str(left)
        except Cancelled as cancelled:
            # The body asked whether it was to end.
            if self.cut != SHUTDOWN or cancelled.reason != SHUTDOWN:
                raise

    async def _send_part(self, part: bytes) -> None:
        """Send a part. What cuts the body does not wait for a client that takes nothing: under
        gunicorn a `send` that waits for one goes on waiting when it has left."""
        task = asyncio.current_task()
        assert task is not None
        if self._to_come is not None:
            self._to_come -= len(part)
        self._sending, before = task, task.cancelling()
        try:
            await self._exchange.send(part, True)
            self._sent = part
        except asyncio.CancelledError:
            if not self._stuck or task.uncancel() > before:
                raise
            if self.cut is None:
                self._work.raise_pending()
            raise Left(self.cut) from None
        finally:
            self._sending = None
        if self._is_async:
            # To a client that has left, most servers "send" without waiting: a body that never
            # waits either would keep the loop, and the news, for itself.
            await asyncio.sleep(0)

    def _time_is_over(self) -> None:
        # What cuts the body says for itself how long a part may take.
        if self.cut is None:
            self._cut_send()

    def _cut_send(self) -> None:
        if self._sending is not None and not self._stuck:
            self._stuck = True
            self._sending.cancel()

    async def _async_step(self) -> bytes | None:
        if self._steps is None:
            self._steps = aiter(self._body)
        try:
            part = await interruptible(anext(self._steps))
        except StopAsyncIteration:
            return None
        return part.encode() if isinstance(part, str) else part

    async def _sync_step(self) -> bytes | None:
        if self._steps is None:
            self._steps = await hand(iter, self._body)
        part: bytes | None = await hand(next, self._steps, None)
        return part

    async def _close(self) -> None:
        """Close the iterator, and what the response says is to be closed with it."""
        body, self._body = self._body, ()
        steps, self._steps = self._steps, None
        try:
            if self._is_async and not self._over:
                aclose = getattr(steps if steps is not None else body, "aclose", None)
                if aclose is not None:
                    await aclose()
        finally:
            close = getattr(self._answer if self._is_async else body, "close", None)
            if close is not None:
                await hand(close)
            # A generator that only these names know is closed by being dropped: before the end.
            del steps, body
            self._answer = None

    # -- being cut ----------------------------------------------------------------------------

    async def _listen(self) -> None:
        await self._exchange.incoming.wait_left()
        self.tell("disconnect")

    def tell(self, why: str) -> None:
        """The body is to end before its end: "disconnect" or "shutdown". On the loop.

        A client that has all that was announced may leave: so Granian tells of the answer's end.
        """
        has_all = self._to_come is not None and self._to_come <= 0
        if self.cut is None and not (why == "disconnect" and has_all):
            self.cut = why
            if self._sending is not None:
                patience = PATIENCE if why == SHUTDOWN else 0
                asyncio.get_running_loop().call_later(patience, self._cut_send)
            self._work.interrupt(Left(why))
            if why == SHUTDOWN:
                self._exchange.ctx.cancel(why)
