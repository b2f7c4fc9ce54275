"""A body of server-sent events at the WSGI edge: it ends when the process stops.

What tells it is `serve.stopping`; the ASGI edge has its own (`asgi_stream`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from ..context.errors import Cancelled
from .stopping import RETRY, SHUTDOWN, last_words, stopping_of

MIMETYPE = "text/event-stream"


def ending(app: Any, ctx: Any, answer: Any, body: Iterable[Any]) -> Iterable[Any]:
    """The body of a response: one that ends with the process where it is an event stream."""
    if getattr(answer, "mimetype", None) != MIMETYPE:
        return body
    return EventStream(app, ctx, body)


class EventStream:
    """The body of the request of `ctx`, until the process begins to stop.

    The context is cancelled then, for the reason "shutdown": a generator that waits by
    `app_ctx.wait_cancelled` ends at once, and so does an async one, interrupted where it waits. Any
    other is stopped where it yields next. What is sent last is `retry`, unless that would be in the
    middle of an event.
    """

    def __init__(self, app: Any, ctx: Any, body: Iterable[Any]) -> None:
        self._ctx = ctx
        self._body = body
        self._steps: Iterator[Any] | None = None
        self._sent: Any = b""
        self._over = False
        self._stopped = False
        self._told = stopping_of(app).told(self._stop)
        self._told.__enter__()

    def _stop(self) -> None:
        self._stopped = True
        self._ctx.cancel(SHUTDOWN)
        interrupt = getattr(self._body, "interrupt", None)
        if interrupt is not None:
            interrupt()

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        if self._over:
            raise StopIteration
        if not self._stopped:
            if self._steps is None:
                self._steps = iter(self._body)
            try:
                self._sent = next(self._steps)
                return self._sent
            except StopIteration:
                if not self._stopped:
                    raise
            except Cancelled as cancelled:
                if cancelled.reason != SHUTDOWN:
                    raise
        self._over = True
        self._ctx._outcome = "cancelled"
        words = last_words(self._sent, RETRY)
        if not words:
            raise StopIteration
        return words

    def close(self) -> None:
        """Close the body; nobody tells it of anything after that."""
        self._told.__exit__(None, None, None)
        steps, self._steps = self._steps, None
        close = getattr(self._body, "close", None) or getattr(steps, "close", None)
        if close is not None:
            close()
