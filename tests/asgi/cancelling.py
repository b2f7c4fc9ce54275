"""Cancels a call of an ASGI application at its first await, its second, ... its last, each in a run
of its own, and says what that left behind. Or its client leaves there.

`faults_of` is the whole of it. An application tells by `Journal` what it does.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import (
    AsyncGenerator,
    Callable,
    Collection,
    Coroutine,
    Generator,
    Iterable,
    Iterator,
)
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any
from weakref import WeakSet

from demijohn import Demijohn, app_ctx, has_app_context, has_request_context
from demijohn.ctx import AppContext
from demijohn.serve.asgi import threads_of
from demijohn.signals import appcontext_popped, appcontext_pushed

from .asgi_kit import DEADLINE, scope

MOST = 400  # awaits of one call, by far
ENOUGH = 3  # awaits at which something is wrong
PATIENCE = 5.0  # seconds in which a thread ends that nobody needs any more


class Journal:
    """What an application did, in order: what begins must end, and nothing comes after the end."""

    def __init__(self, app: Demijohn) -> None:
        self.entries: list[str] = []
        #: What may come after the end: files are sent then.
        self.late: set[str] = set()
        #: How many contexts a call may have: its own, and its children.
        self.most = 1
        self._begun: list[AppContext] = []
        self._ended: list[AppContext] = []
        # Signals know their receivers weakly.
        self._kept = [
            lambda sender, **_: self._note("pushed", self._begun),
            lambda sender, **_: self.entries.append("popped"),
        ]
        appcontext_pushed.connect(self._kept[0], app)
        appcontext_popped.connect(self._kept[1], app)
        app.teardown_request(lambda exc: self.entries.append("request ended"))
        app.teardown_websocket(lambda exc: self.entries.append("request ended"))
        app.teardown_appcontext(lambda exc: self._note("app ended", self._ended))

    def _note(self, what: str, contexts: list[AppContext]) -> None:
        self.entries.append(what)
        contexts.append(app_ctx._get_current_object())

    def clear(self) -> None:
        """Another call begins."""
        for noted in (self.entries, self._begun, self._ended):
            noted.clear()

    @contextmanager
    def during(self, what: str) -> Iterator[None]:
        """Note the begin of something, and its end, whatever happens."""
        self.entries.append(f"begin {what}")
        try:
            yield
        finally:
            self.entries.append(f"end {what}")

    async def waits(self, what: str) -> None:
        """Note something that waits, and cleans up with another wait."""
        with self.during(what):
            try:
                await asyncio.sleep(0)
            finally:
                await asyncio.sleep(0)

    async def completes(self, what: str) -> None:
        """Note something that waits, and that nothing may cut off."""
        self.entries.append(f"begin {what}")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        self.entries.append(f"end {what}")

    def faults(self, requests: int = 1) -> Iterator[str]:
        """What is not as it must be when the call is over: one of so many requests."""
        found = Counter(self.entries)
        for entry in found:
            what = entry.removeprefix("begin ")
            if what != entry and found[entry] != found[f"end {what}"]:
                yield f"{what} began and did not end"
        begun = len(self._begun)
        ends = [found[name] for name in ("pushed", "popped", "request ended", "app ended")]
        if ends != [begun, begun, requests if begun else 0, begun] or begun > self.most:
            yield f"pushed, popped and ended {ends} times"
        if Counter(map(id, self._begun)) != Counter(map(id, self._ended)):
            yield "a context did not end, or another one twice"
        for context in self._begun:
            if not context.ended or context.held():
                yield f"{context} goes on, and holds {context.held()}"
        last = [entry for entry in self.entries if entry not in self.late][-1:]
        if found["popped"] and last != ["popped"]:
            yield f"{last} came after the end"


@dataclass
class Call:
    """One call: a scope, and the messages that the application is to receive."""

    scope: dict[str, Any]
    incoming: list[dict[str, Any]]
    last: dict[str, Any]
    sent: list[dict[str, Any]] = field(default_factory=list)
    #: Told of each message that the client gets: it may leave then.
    on_sent: Callable[[Call], object] | None = None
    #: What may come out of the call: the error of a body that fails, say.
    error: type[Exception] | None = None

    def __post_init__(self) -> None:
        self._left = asyncio.Event()

    async def receive(self) -> dict[str, Any]:
        # As at a server: a cancel may come before something is taken, and after it.
        await asyncio.sleep(0)
        if self.incoming and not self._left.is_set():
            message = self.incoming.pop(0)
            await asyncio.sleep(0)
            return message
        await self._left.wait()
        return self.last

    def leave(self) -> None:
        """The client leaves: `receive` says so next, and what is sent then goes nowhere."""
        self._left.set()

    async def send(self, message: dict[str, Any]) -> None:
        await asyncio.sleep(0)
        if not self._left.is_set():
            self.sent.append(message)
            if self.on_sent is not None:
                self.on_sent(self)
        await asyncio.sleep(0)


def http_call(
    path: str = "/", method: str = "GET", body: tuple[bytes, ...] = (), **more: Any
) -> Call:
    """A request, with a body in parts; `more` is for its scope."""
    parts = body or (b"",)
    last = len(parts) - 1
    incoming = [
        {"type": "http.request", "body": part, "more_body": number < last}
        for number, part in enumerate(parts)
    ]
    return Call(scope(method, path, **more), incoming, {"type": "http.disconnect"})


def socket_call(path: str, *texts: str, **more: Any) -> Call:
    """A WebSocket, and what its client sends; `more` is for its scope."""
    incoming: list[dict[str, Any]] = [{"type": "websocket.connect"}]
    incoming += [{"type": "websocket.receive", "text": text} for text in texts]
    made = {"type": "websocket", "scheme": "ws", "subprotocols": []}
    return Call(
        scope(path=path, **more) | made, incoming, {"type": "websocket.disconnect", "code": 1000}
    )


def lifespan_call() -> Call:
    """The life of a server that stops as soon as it has started."""
    made = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}}
    last = {"type": "lifespan.shutdown"}
    return Call(made, [{"type": "lifespan.startup"}], last, on_sent=Call.leave)


class Counted(Coroutine[Any, Any, Any]):
    """The coroutine of one task, which tells `on_suspended` each time that it suspends the task."""

    def __init__(
        self, coroutine: Coroutine[Any, Any, Any], on_suspended: Callable[[], object]
    ) -> None:
        self._coroutine = coroutine
        self._on_suspended = on_suspended

    def send(self, value: Any) -> Any:
        future = self._coroutine.send(value)
        self._on_suspended()
        return future

    def throw(self, *error: Any) -> Any:
        future = self._coroutine.throw(*error)
        self._on_suspended()
        return future

    def close(self) -> None:
        self._coroutine.close()

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._coroutine.__await__()

    def __repr__(self) -> str:
        return repr(self._coroutine)


Application = Callable[[Any, Any, Any], Coroutine[Any, Any, None]]


class Run:
    """One call in a task. It counts how often that task, and those which it starts, suspend; `at`
    some of these awaits it disturbs the call: its client leaves, or it is cancelled."""

    def __init__(self, app: Application, call: Call, at: Collection[int], leaves: bool) -> None:
        self.app = app
        self.call = call
        self.at = at
        self.leaves = leaves
        self.awaits = 0
        self.cancelled = False
        self._cancel: Callable[[], bool] | None = None
        self._generators: WeakSet[AsyncGenerator[Any, Any]] = WeakSet()

    async def faults(self, journal: Journal) -> list[str]:
        """Make the call, and say what is wrong then."""
        faults: list[str] = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda loop, told: faults.append(f"the loop: {told['message']}"))
        loop.set_task_factory(self._task)
        self._note_generators()
        task = loop.create_task(self.app(self.call.scope, self.call.receive, self.call.send))
        self._cancel = task.cancel
        done, _ = await asyncio.wait([task], timeout=DEADLINE)
        # Its error leads to the frames of the call, and what they hold.
        self._cancel = None
        if not done:
            faults.append("the call did not return")
        elif not task.cancelled():
            error = task.exception()
            if error is None and self.cancelled:
                faults.append("the call was cancelled and returned")
            elif error is not None and type(error) is not self.call.error:
                faults.append(f"the call raised {error!r}")
            del error
        left = asyncio.all_tasks() - {asyncio.current_task()}
        faults += [f"a task is left: {one.get_coro()}" for one in left]
        if has_app_context() or has_request_context():
            faults.append("a context is current")
        # What runs on although nobody waits for it shows now.
        await asyncio.sleep(0.002)
        faults += [
            f"an async generator is left: {one.__qualname__}"
            for one in self._generators
            if one.ag_frame is not None
        ]
        faults += journal.faults(0 if self.call.scope["type"] == "lifespan" else 1)
        for one in left:
            one.cancel()
        return faults

    def _task(
        self, loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any
    ) -> asyncio.Task[Any]:
        return asyncio.Task(Counted(coroutine, self._suspended), loop=loop, **options)

    def _suspended(self) -> None:
        self.awaits += 1
        if self.awaits in self.at:
            # Before anything that could wake the task: it is asleep when this comes.
            asyncio.get_running_loop().call_soon(self.call.leave if self.leaves else self._disturb)

    def _disturb(self) -> None:
        # What a task of the call does last may come when the call is over.
        self.cancelled |= self._cancel is not None and self._cancel()

    def _note_generators(self) -> None:
        """Note the async generators that are begun: who keeps one has not closed it."""
        first = sys.get_asyncgen_hooks().firstiter
        assert first is not None

        def begun(generator: AsyncGenerator[Any, Any]) -> None:
            self._generators.add(generator)
            first(generator)

        sys.set_asyncgen_hooks(firstiter=begun)


def busy(app: Demijohn) -> Iterator[str]:
    """The threads of an application that still work; they have a moment to become idle."""
    threads = threads_of(app)
    settled(lambda: not threads.running())
    yield from (f"the thread {name} still works" for name in threads.running())
    for limit in (threads.calls, threads.steps):
        if limit.running:
            yield f"{limit.running} places for threads are taken"


def settled(holds: Callable[[], object], patience: float = DEADLINE) -> None:
    """Wait until something holds, for `patience` seconds at most."""
    until = time.monotonic() + patience
    while not holds() and time.monotonic() < until:
        time.sleep(0.0002)


class Process:
    """The threads and the open files of the process, as they were."""

    def __init__(self) -> None:
        self._before = self._now()

    def faults(self) -> Iterator[str]:
        """What came and is there still; it has a moment to end."""
        settled(lambda: not self._new(), PATIENCE)
        yield from (f"the {one} is left" for one in self._new().elements())

    def _new(self) -> Counter[str]:
        return self._now() - self._before

    def _now(self) -> Counter[str]:
        return Counter([*(f"thread {one.name}" for one in threading.enumerate()), *open_files()])


def open_files() -> list[str]:
    """The files that the process has open; none where the system does not tell."""
    found = []
    for one in Path("/proc/self/fd").glob("*"):
        with suppress(FileNotFoundError):  # closed meanwhile
            found.append(f"file {os.readlink(one)}")
    return found


def faults_of(
    app: Demijohn,
    journal: Journal,
    call: Callable[[], Call],
    times: int = 1,
    serve: Application | None = None,
    leaves: bool = False,
    after: Callable[[], Iterable[str]] = tuple,
) -> tuple[int, list[str]]:
    """Cancel the call at each of its awaits; how many there are, and what was found.

    With `times`, it is cancelled at so many awaits in a row. With `leaves` its client leaves there
    instead. `serve` is called instead of the application's own ASGI form. `after` says each time
    what else is wrong. It gives up after a few awaits at which something is.
    """
    found: list[str] = []
    bad = 0
    for at in count(1):
        assert at < MOST, "there is no last await"
        made = call()
        disturbed = Run(serve or app.asgi_app, made, range(at, at + times), leaves)
        faults = [*faults_in(app, journal, disturbed), *after()]
        found += [f"await {at}: {fault}; {journal.entries}" for fault in faults]
        bad += bool(faults)
        if disturbed.awaits < at:
            assert made.sent, "an undisturbed call has an answer"
            return at - 1, found
        if bad == ENOUGH:
            return at, found
    raise AssertionError


def faults_in(app: Demijohn, journal: Journal, one: Run) -> list[str]:
    """Run it on a loop of its own; what is wrong then, also with threads and files."""
    journal.clear()
    process = Process()
    faults = [*asyncio.run(one.faults(journal)), *busy(app)]
    threads_of(app).close()
    return [*faults, *process.faults()]
