"""Cancels a call of an ASGI application at its first await, its second, ... its last, each in a run
of its own, and says what that left behind. Or its client leaves there.

`faults_of` is the whole of it. An application tells by `Journal` what it does.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Collection, Coroutine, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from demijohn import Demijohn, has_app_context, has_request_context
from demijohn.serve.asgi import threads_of
from demijohn.signals import appcontext_popped, appcontext_pushed

from .asgi_kit import DEADLINE

MOST = 400  # awaits of one call, by far


class Journal:
    """What an application did, in order: what begins must end, and nothing comes after the end."""

    def __init__(self, app: Demijohn) -> None:
        self.entries: list[str] = []
        #: What may come after the end: files are sent then.
        self.late: set[str] = set()
        # Signals know their receivers weakly.
        self._kept = [
            lambda sender, **_: self.entries.append("pushed"),
            lambda sender, **_: self.entries.append("popped"),
        ]
        appcontext_pushed.connect(self._kept[0], app)
        appcontext_popped.connect(self._kept[1], app)
        app.teardown_request(lambda exc: self.entries.append("request ended"))
        app.teardown_appcontext(lambda exc: self.entries.append("app ended"))

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

    def faults(self) -> Iterator[str]:
        """What is not as it must be when the call is over."""
        found = Counter(self.entries)
        for entry in found:
            what = entry.removeprefix("begin ")
            if what != entry and found[entry] != found[f"end {what}"]:
                yield f"{what} began and did not end"
        ends = [found[name] for name in ("pushed", "popped", "request ended", "app ended")]
        if len(set(ends)) > 1 or ends[0] > 1:
            yield f"pushed, popped and ended {ends} times"
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
        self.sent.append(message)
        await asyncio.sleep(0)


class Suspensions:
    """Awaits a coroutine, counts how often it suspends its task, and at some of them disturbs it:
    by `leave`, or by a cancel where there is none."""

    def __init__(
        self,
        coroutine: Coroutine[Any, Any, Any],
        at: Collection[int],
        leave: Callable[[], object] | None,
    ) -> None:
        self._coroutine = coroutine
        self._at = at
        self._leave = leave
        self.count = 0

    def __await__(self) -> Generator[Any, Any, Any]:
        task = asyncio.current_task()
        assert task is not None
        step: Callable[[Any], Any] = self._coroutine.send
        value: Any = None
        while True:
            try:
                future = step(value)
            except StopIteration as stop:
                return stop.value
            self.count += 1
            if self.count in self._at:
                # Before anything that could wake the task: it is asleep when this comes.
                task.get_loop().call_soon(self._leave or task.cancel)
            try:
                value, step = (yield future), self._coroutine.send
            except BaseException as error:
                value, step = error, self._coroutine.throw


Application = Callable[[Any, Any, Any], Coroutine[Any, Any, None]]


async def run(
    app: Application, call: Call, journal: Journal, at: Collection[int], leaves: bool
) -> tuple[int, list[str]]:
    """Make the call and disturb it there; how often it suspended, and the faults."""
    faults: list[str] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda loop, told: faults.append(f"the loop: {told['message']}"))
    calling = app(call.scope, call.receive, call.send)
    suspensions = Suspensions(calling, at, call.leave if leaves else None)

    async def serve() -> None:
        await suspensions

    task = asyncio.create_task(serve())
    done, _ = await asyncio.wait([task], timeout=DEADLINE)
    if not done:
        faults.append("the call did not return")
    elif leaves or suspensions.count < min(at):
        await task
    elif not task.cancelled():
        faults.append(f"the call was cancelled and {task.exception() or 'returned'!r}")
    left = asyncio.all_tasks() - {asyncio.current_task()}
    faults += [f"a task is left: {one.get_coro()}" for one in left]
    if has_app_context() or has_request_context():
        faults.append("a context is current")
    # What runs on although nobody waits for it shows now.
    await asyncio.sleep(0.002)
    faults += journal.faults()
    for one in left:
        one.cancel()
    return suspensions.count, faults


def busy(app: Demijohn) -> Iterator[str]:
    """The threads of an application that still work; they have a moment to become idle."""
    threads = threads_of(app)
    until = time.monotonic() + DEADLINE
    while (names := threads.running()) and time.monotonic() < until:
        time.sleep(0.001)
    yield from (f"the thread {name} still works" for name in names)
    for limit in (threads.calls, threads.steps):
        if limit.running:
            yield f"{limit.running} places for threads are taken"


def faults_of(
    app: Demijohn,
    journal: Journal,
    call: Callable[[], Call],
    times: int = 1,
    serve: Application | None = None,
    leaves: bool = False,
) -> tuple[int, list[str]]:
    """Cancel the call at each of its awaits; how many there are, and what was found.

    With `times`, it is cancelled at so many awaits in a row. With `leaves` its client leaves there
    instead. `serve` is called instead of the application's own ASGI form.
    """
    found: list[str] = []
    for at in count(1):
        assert at < MOST, "there is no last await"
        journal.entries.clear()
        made = call()
        suspended, faults = asyncio.run(
            run(serve or app.asgi_app, made, journal, range(at, at + times), leaves)
        )
        faults += busy(app)
        found += [f"await {at}: {fault}; {journal.entries}" for fault in faults]
        if suspended < at:
            assert made.sent, "an undisturbed call has an answer"
            return at - 1, found
    raise AssertionError
