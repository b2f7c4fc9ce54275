"""A checker of the ASGI protocol, as middleware: every message of an application is held against
the specification (https://asgi.readthedocs.io/en/latest/specs/), and what is wrong is collected.

    app = Checked(application)
    ...  # serve requests
    app.verify()  # an AssertionError that lists every violation and where it happened

What is wrong is passed on unchanged: the server still decides what becomes of it.
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
import weakref
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import ContextVar
from types import FrameType
from typing import Any

Message = Any
Scope = Any
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

PATIENCE = 1.0  # seconds that a call may go on after its client has left
TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9a-z-]+")  # RFC 9110 5.6.2, lower case as ASGI asks
SERVERS = {"granian", "gunicorn", "hypercorn", "uvicorn"}
CLOSE_CODES = {1000, 1001, 1002, 1003, *range(1007, 1015), *range(3000, 5000)}  # RFC 6455 7.4

_owner: ContextVar[Call | None] = ContextVar("owner", default=None)
_owners: weakref.WeakKeyDictionary[asyncio.Task[Any], Call] = weakref.WeakKeyDictionary()


class Checked:
    """An application whose messages are checked.

    Arguments:
        report: called with each violation as it is found, for a process that ends by a signal.
    """

    def __init__(self, app: Any, report: Callable[[str], object] = lambda text: None) -> None:
        self.app = app
        self.violations: list[str] = []
        self._report = report
        self._running: set[Call] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = CALLS.get(scope["type"])
        if kind is None:
            await self.app(scope, receive, send)
            return
        call = kind(self, scope, receive, send)
        self._running.add(call)
        try:
            await call.run()
        finally:
            self._running.discard(call)

    def found(self, violation: str) -> None:
        self.violations.append(violation)
        self._report(violation)

    def verify(self) -> None:
        """Raise an AssertionError that lists what was violated, and calls whose client has left
        that are still running."""
        for call in self._running:
            if call.left:
                call.wrong("still running, and its client has left", "")
        assert not self.violations, "\n".join(["ASGI was violated:", *self.violations])


class Call:
    """One call of the application: what it may send next, and what it has open."""

    ends: frozenset[str] = frozenset()  # messages by which the server says that the client has left

    def __init__(self, checked: Checked, scope: Scope, receive: Receive, send: Send) -> None:
        self.checked = checked
        self.scope = scope
        self.left = False
        self.over = False
        self._receive = receive
        self._send = send
        self._receiving = 0
        self._sending = 0
        self._task: asyncio.Task[Any]
        self._tasks: weakref.WeakSet[asyncio.Task[Any]] = weakref.WeakSet()
        self.what = f"{scope['type']} {scope.get('method', '')} {scope.get('path', '')}"

    async def run(self) -> None:
        adopt_tasks()
        task = asyncio.current_task()
        assert task is not None
        outer = _owners.get(task)
        token = _owner.set(self)
        _owners[task] = self
        self._task = task
        try:
            await self.checked.app(self.scope, self.receive, self.send)
        except BaseException:
            self.end(raised=True)
            raise
        else:
            self.end(raised=False)
        finally:
            _owner.reset(token)
            if outer is None:
                del _owners[task]
            else:
                _owners[task] = outer

    def end(self, raised: bool) -> None:
        self.over = True
        if self._receiving:
            self.wrong("it ended with a receive() pending")
        if self._sending:
            self.wrong("it ended with a send() pending")
        if not raised:
            self.returned()

    async def receive(self) -> Message:
        if self.over:
            self.wrong("receive() after its end")
        if self._receiving:
            self.wrong("receive() while another receive() was pending")
        self._receiving += 1
        try:
            message = await self._receive()
        finally:
            self._receiving -= 1
        self.received(message["type"])
        if message["type"] in self.ends:
            self.client_left()
        return message

    async def send(self, message: Message) -> None:
        if self.over:
            self.wrong(f"{message.get('type')!r} sent after its end")
        self.sent(message.get("type"), message)
        self._sending += 1
        try:
            await self._send(message)
        except OSError:
            # How a server says that nobody is there (specification 2.4).
            self.client_left()
            raise
        finally:
            self._sending -= 1

    def client_left(self) -> None:
        """From now on the call has `PATIENCE` seconds to end with all that it has started."""
        if not self.left:
            self.left = True
            asyncio.get_running_loop().call_later(PATIENCE, self._nothing_left)

    def _nothing_left(self) -> None:
        when = f"{PATIENCE} s after its client had left"
        if not self.over:
            self.wrong(f"it still ran {when}", place(self._task))
        if self._receiving:
            self.wrong(f"a receive() was pending {when}", "")
        if self._sending:
            self.wrong(f"a send() was pending {when}", "")
        for task in self._tasks:
            if not task.done():
                self.wrong(f"the task {task.get_name()} still ran {when}", place(task))

    def adopt(self, task: asyncio.Task[Any]) -> None:
        # Servers start tasks of theirs in messages that the application sends.
        code = getattr(task.get_coro(), "cr_code", None)
        if code is None or not SERVERS.intersection(code.co_filename.split(os.sep)):
            self._tasks.add(task)

    def wrong(self, text: str, where: str | None = None) -> None:
        self.checked.found(f"{self.what}: {text} ({caller() if where is None else where})")

    # What the three protocols differ in.

    def received(self, kind: str) -> None:
        """The application was given a message of this type."""

    def sent(self, kind: Any, message: Message) -> None:
        """The application sends this message: is it the turn of it, and is it well formed?"""
        raise NotImplementedError

    def returned(self) -> None:
        """The application returned: has it said all it must?"""
        raise NotImplementedError

    # What they have in common.

    def unknown(self, kind: Any) -> None:
        self.wrong(f"no message of this protocol: {kind!r}")

    def extension(self, name: str) -> bool:
        return name in (self.scope.get("extensions") or {})

    def typed(self, message: Message, key: str, kinds: type | tuple[type, ...]) -> None:
        if key in message and not isinstance(message[key], kinds):
            self.wrong(f"{message['type']} with {key}={message[key]!r}")

    def headers(self, message: Message) -> dict[bytes, list[bytes]]:
        """Check the headers of a message; return the values by name."""
        found: dict[bytes, list[bytes]] = {}
        for pair in message.get("headers", ()):
            name, value = pair
            if not isinstance(name, bytes) or not isinstance(value, bytes):
                self.wrong(f"a header that is not bytes: {pair!r}")
                continue
            if not TOKEN.fullmatch(name):
                self.wrong(f"a header name that is no token in lower case: {name!r}")
            if re.search(rb"[\r\n\0]", value):
                self.wrong(f"a header value that breaks the line: {name!r}: {value!r}")
            found.setdefault(name.lower(), []).append(value)
        return found


class Response:
    """An HTTP response as it is sent: one start, then the body, then nothing."""

    def __init__(self, call: Call, method: str) -> None:
        self.call = call
        self.method = method
        self.started = False
        self.ended = False
        self._bodiless = False
        self._length: int | None = None
        self._sent = 0

    def start(self, message: Message) -> None:
        if self.started:
            self.call.wrong("a second start of the response")
        self.started = True
        status = message.get("status")
        if type(status) is not int or not 100 <= status <= 599:
            self.call.wrong(f"status={status!r}")
        self._bodiless = self.method == "HEAD" or status in (204, 304)
        lengths = set(self.call.headers(message).get(b"content-length", ()))
        if len(lengths) > 1 or not all(length.isdigit() for length in lengths):
            self.call.wrong(f"content-length {sorted(lengths)!r}")
        elif lengths:
            self._length = int(lengths.pop())

    def body(self, message: Message) -> None:
        self.call.typed(message, "body", bytes)
        self.call.typed(message, "more_body", bool)
        size = len(message.get("body", b""))
        if not self.started:
            self.call.wrong("a body before the start of the response")
        if self.ended:
            self.call.wrong("a body after the end of the response")
            return
        self._sent += size
        if self._bodiless and size:
            self.call.wrong(f"a body of {size} bytes where there is none")
        if not message.get("more_body", False):
            self.ended = True
            self._agrees()

    def _agrees(self) -> None:
        if self._length is not None and not self._bodiless and self._sent != self._length:
            self.call.wrong(f"content-length {self._length}, and {self._sent} bytes sent")

    def returned(self) -> None:
        if not self.ended and not self.call.left:
            what = "without the end of the body" if self.started else "without a response"
            self.call.wrong(f"it returned {what}")


class HTTPCall(Call):
    """https://asgi.readthedocs.io/en/latest/specs/www.html#http"""

    ends = frozenset({"http.disconnect"})

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.response = Response(self, self.scope["method"])

    def sent(self, kind: Any, message: Message) -> None:
        if kind == "http.response.start":
            self.response.start(message)
        elif kind == "http.response.body":
            self.response.body(message)
        elif not self.extension(kind):
            self.unknown(kind)

    def returned(self) -> None:
        self.response.returned()


class WebSocketCall(Call):
    """https://asgi.readthedocs.io/en/latest/specs/www.html#websocket"""

    ends = frozenset({"websocket.disconnect"})

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.denial = Response(self, "GET")
        self.accepted = False
        self.closed = False

    def sent(self, kind: Any, message: Message) -> None:
        if self.closed:
            self.wrong(f"{kind} after the close")
        if kind == "websocket.accept":
            self._accept(message)
        elif kind == "websocket.send":
            self._data(message)
        elif kind == "websocket.close":
            self._close(message)
        elif self.extension("websocket.http.response") and kind in (
            "websocket.http.response.start",
            "websocket.http.response.body",
        ):
            self._deny(kind, message)
        else:
            self.unknown(kind)

    def _accept(self, message: Message) -> None:
        if self.accepted:
            self.wrong("a second accept")
        if self.denial.started:
            self.wrong("an accept after the start of a denial")
            return
        self.accepted = True
        names = self.headers(message)
        if b"sec-websocket-protocol" in names:
            self.wrong("the subprotocol among the headers of the accept")
        chosen = message.get("subprotocol")
        if chosen is not None and chosen not in (self.scope.get("subprotocols") or ()):
            self.wrong(f"a subprotocol that was not offered: {chosen!r}")

    def _data(self, message: Message) -> None:
        if not self.accepted:
            self.wrong("data before the accept")
        given = [message[key] for key in ("bytes", "text") if message.get(key) is not None]
        if len(given) != 1:
            self.wrong(f"one of bytes and text, not {len(given)}")
        self.typed(message, "bytes", (bytes, type(None)))
        self.typed(message, "text", (str, type(None)))

    def _close(self, message: Message) -> None:
        self.closed = True
        if self.denial.started:
            self.wrong("a close after the start of a denial")
        code = message.get("code", 1000)
        if code not in CLOSE_CODES:
            self.wrong(f"no code of a close: {code!r}")
        reason = message.get("reason") or ""
        if not isinstance(reason, str) or len(reason.encode()) > 123:
            self.wrong(f"no reason of a close: {reason!r}")

    def _deny(self, kind: str, message: Message) -> None:
        if self.accepted:
            self.wrong("a denial after the accept")
        elif kind.endswith("start"):
            self.denial.start(message)
        else:
            self.denial.body(message)

    def returned(self) -> None:
        if self.denial.started:
            self.denial.returned()
        elif not self.closed and not self.left:
            self.wrong("it returned without a close")


class LifespanCall(Call):
    """https://asgi.readthedocs.io/en/latest/specs/lifespan.html"""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.asked: list[str] = []
        self.answered: list[str] = []

    def received(self, kind: str) -> None:
        self.asked.append(kind)

    def sent(self, kind: Any, message: Message) -> None:
        phase, _, outcome = str(kind).rpartition(".")
        if phase not in ("lifespan.startup", "lifespan.shutdown") or outcome not in (
            "complete",
            "failed",
        ):
            self.unknown(kind)
            return
        self.typed(message, "message", str)
        if phase not in self.asked:
            self.wrong(f"{kind} before {phase}")
        if phase in self.answered:
            self.wrong(f"{kind}, and {phase} had its answer")
        self.answered.append(phase)

    def returned(self) -> None:
        for phase in self.asked:
            if phase not in self.answered:
                self.wrong(f"it returned without an answer to {phase}")


CALLS: dict[str, type[Call]] = {
    "http": HTTPCall,
    "websocket": WebSocketCall,
    "lifespan": LifespanCall,
}


def unfinished() -> list[asyncio.Task[Any]]:
    """The tasks that the calling code's call has started, by whatever way, and that still run."""
    call = _owner.get()
    return [] if call is None else [task for task in call._tasks if not task.done()]


def caller() -> str:
    """Where in the application the call stands: the nearest frame outside this file."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename == __file__:
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}" if frame is not None else ""


def place(task: asyncio.Task[Any]) -> str:
    """Where a task waits: its coroutines from the outermost in, without those of this file."""
    frames = []
    step: Any = task.get_coro()
    while (frame := getattr(step, "cr_frame", None)) is not None:
        frames.append(f"{frame.f_code.co_filename}:{frame.f_lineno}")
        step = step.cr_await
    return " > ".join(text for text in frames if not text.startswith(__file__))


def adopt_tasks() -> None:
    """Let the running loop say of each task by which call it was started, through any number of
    tasks and Contexts in between."""
    loop = asyncio.get_running_loop()
    inner: Any = loop.get_task_factory()
    if getattr(inner, "adopts", False):
        return

    def make(loop: Any, coroutine: Coroutine[Any, Any, Any], **options: Any) -> Any:
        if inner is not None:
            task = inner(loop, coroutine, **options)
        else:
            task = asyncio.Task(coroutine, loop=loop, **options)
        current = asyncio.current_task() if asyncio._get_running_loop() is loop else None
        owner = (_owners.get(current) if current is not None else None) or _owner.get()
        if owner is not None:
            _owners[task] = owner
            owner.adopt(task)
        return task

    make.adopts = True  # type: ignore[attr-defined]
    loop.set_task_factory(make)
