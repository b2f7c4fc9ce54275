"""An ASGI middleware that cancels the task of a request, as servers do, at an await that is chosen.

`?cancel=3` in a request's URL cancels it at the third await of the application under it,
`?cancel=NAME` as soon as the gate of this name is open; what becomes of the request is logged.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Generator
from typing import Any
from urllib.parse import parse_qs

from asgi.checker import unfinished


class Cancelling:
    """Middleware: cancels where a request asks for it."""

    def __init__(
        self, app: Any, log: Callable[[str], None], is_open: Callable[[str], bool]
    ) -> None:
        self._app = app
        self._log = log
        self._is_open = is_open

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        query = parse_qs(scope.get("query_string", b"").decode())
        if "cancel" not in query:
            await self._app(scope, receive, send)
            return
        (key,), (at,) = query["key"], query["cancel"]
        call = CancelledAt(self._app(scope, receive, send), int(at) if at.isdecimal() else 0)
        if not at.isdecimal():
            self._cancel_when_open(at, asyncio.current_task())
        try:
            await call
        except asyncio.CancelledError:
            self._log(f"{key} cancelled at {call.awaits}, tasks left: {unfinished()}")
            raise
        self._log(f"{key} not cancelled in {call.awaits} awaits")

    def _cancel_when_open(self, gate: str, task: asyncio.Task[Any] | None) -> None:
        assert task is not None
        if self._is_open(gate):
            task.cancel()
        elif not task.done():
            asyncio.get_running_loop().call_later(0.01, self._cancel_when_open, gate, task)


class CancelledAt:
    """A coroutine whose task is cancelled while it waits the `number`th time."""

    def __init__(self, coroutine: Coroutine[Any, Any, None], number: int) -> None:
        self._coroutine = coroutine
        self._number = number
        self.awaits = 0

    def __await__(self) -> Generator[Any, Any, None]:
        send, throw = self._coroutine.send, self._coroutine.throw
        error: BaseException | None = None
        value: Any = None
        while True:
            try:
                awaited = send(value) if error is None else throw(error)
            except StopIteration:
                return
            error = value = None
            self.awaits += 1
            if self.awaits == self._number:
                task = asyncio.current_task()
                assert task is not None
                task.cancel()
            try:
                value = yield awaited
            except BaseException as raised:
                error = raised
