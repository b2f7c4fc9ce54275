"""One request over ASGI: what its answer and its streams share. How it goes is `asgi_http`'s."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from contextvars import Context
from typing import Any, TypeAlias

from ..framework.pipeline_async import end
from ..http.websocket import POLICY_VIOLATION
from .asgi_body import Incoming
from .drivers import CLIENT_KEY, report_errors
from .driving import Work

Send: TypeAlias = Callable[[dict[str, Any]], Awaitable[None]]
Receive: TypeAlias = Callable[[], Awaitable[Any]]


DENIAL = "websocket.http.response"
"""The extension of servers that send an answer to a WebSocket that is refused."""


async def refuse(scope: Any, send: Send) -> None:
    """Answer 400, before anything of an application's has seen the request."""
    kind = "http.response"
    if scope["type"] == "websocket":
        if DENIAL not in (scope.get("extensions") or ()):
            await send({"type": "websocket.close", "code": POLICY_VIOLATION, "reason": ""})
            return
        kind = DENIAL
    body = b"Bad Request\n"
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(body))]
    await send({"type": f"{kind}.start", "status": 400, "headers": headers})
    await send({"type": f"{kind}.body", "body": body, "more_body": False})


class Left(Exception):
    """Nothing more of an answer is sent, because of "disconnect" or "shutdown"."""


class Exchange:
    """One request: the messages of its answer, and its end."""

    def __init__(
        self,
        app: Any,
        environ: dict[str, Any],
        incoming: Incoming,
        send: Send,
        work: Work,
        context: Context,
    ) -> None:
        self.app = app
        self.environ = environ
        self.incoming = incoming
        self.work = work
        #: The request's context, and the error that it met, once there is an answer.
        self.ctx: Any = None
        self.error: BaseException | None = None
        #: Calls a function in the request's Context.
        self.run = context.run
        self._send = send

    async def end(self, failed: BaseException | None) -> None:
        """End the request, and say what its end raised; `failed` is what sending met."""
        mark = self.environ.get(CLIENT_KEY)
        errors: list[BaseException] | None = None
        error, self.error = self.error, None
        try:
            if mark is not None:
                self.run(mark.record, self.ctx)
        finally:
            # Whatever a client's snapshot met: the context ends.
            errors = await self.work.drive(end(self.ctx, self.app, error, failed), shield=True)
        try:
            if errors:
                self.report(errors)
        finally:
            # The errors' tracebacks lead to this frame.
            errors = error = failed = None

    def report(self, errors: list[BaseException]) -> None:
        """Log errors of the end, or raise them where a test client lets them through."""
        try:
            mark = self.environ.get(CLIENT_KEY)
            self.run(report_errors, self.app, mark, errors, repr(self.ctx))
        finally:
            # The errors' tracebacks lead to this frame.
            errors = []

    async def start(self, status: str, headers: Iterable[tuple[str, str]]) -> None:
        """Raises `Left` where the client has left, as `send` does, and `ValueError` for what is no
        status line."""
        code = int(status.partition(" ")[0])
        if not 100 <= code <= 999:
            raise ValueError(f"{status!r} does not begin with three digits.")
        await self._message(
            {
                "type": "http.response.start",
                "status": code,
                "headers": [
                    (name.lower().encode("latin-1"), value.encode("latin-1"))
                    for name, value in headers
                ],
            }
        )

    async def send(self, body: bytes, more: bool) -> None:
        await self._message({"type": "http.response.body", "body": body, "more_body": more})

    async def _message(self, message: dict[str, Any]) -> None:
        try:
            await self._send(message)
        except OSError as error:
            # So a server says that there is nobody to send to (ASGI, version 2.4).
            raise Left("disconnect") from error
