"""Stopping: what goes on for long is told that this process is about to end.

`Stopping` keeps who is to be told; `heard` listens to the signals of a process. What is done about
it is each edge's: an event stream ends, a WebSocket is closed, a request in flight completes.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import Context
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio
    from types import FrameType

SHUTDOWN = "shutdown"
"""The reason of what is cancelled because its server stops."""

RETRY = 1000
"""Milliseconds after which the client of an event stream that the stop ended is to come back."""

SIGNALS = (signal.SIGTERM, signal.SIGINT)
AGAIN = 0.05
"""Seconds within which a signal that comes again is the same one: a wrapper passed it on that the
process had already."""


class Stopping:
    """Whether this process has begun to stop serving an application; true from then on.

    Its methods may be called from every thread.
    """

    def __init__(self) -> None:
        # Reentrant: the garbage collector may run anybody's code while its thread is inside.
        self._lock = threading.RLock()
        self._reason: str | None = None
        #: When the server kills this process (monotonic seconds), once the stop has begun; None
        #: where that is not known.
        self.until: float | None = None
        #: What is over some time after it was told, for whoever waits for that: connections.
        self.open: set[object] = set()
        #: Of applications that are mounted in this one: they stop when it does.
        self.mounted: list[Stopping] = []
        # The event loops for which it is settled how signals are heard.
        self._heard_on: weakref.WeakSet[Any] = weakref.WeakSet()
        # What `hear_late` has put in place.
        self._late: list[_Handler] = []
        self._is_mounted = False
        # What is told -> the event loop on which it is.
        self._told: dict[_Told, Any] = {}

    @property
    def begun(self) -> bool:
        """Whether the process has begun to stop."""
        return self._reason is not None

    def __bool__(self) -> bool:
        return self._reason is not None

    @property
    def reason(self) -> str | None:
        """Why it stops, "shutdown" unless `begin` was told otherwise; None before that."""
        return self._reason

    def begin(self, reason: str = SHUTDOWN) -> bool:
        """Begin to stop: tell everybody who asked to be told. Whether this call did.

        Who embeds a server without signals calls this before stopping it. Not from a signal
        handler: what it interrupted may hold a lock of an event loop's or of a callback's.
        """
        with self._lock:
            if self._reason is not None:
                return False
            self._reason = reason
            told = list(self._told.items())
        for one, loop in told:
            self._tell(one, loop)
        for mounted in self.mounted:
            mounted.until = self.until
            mounted.begin(reason)
        return True

    def mount(self, other: Stopping) -> None:
        """Have `other`, of an application that is mounted, stop when this one does."""
        other._is_mounted = True
        self.mounted.append(other)

    def is_awaited(self) -> bool:
        """Whether something of `open` is not over yet, here or in what is mounted."""
        return bool(self.open) or any(mounted.is_awaited() for mounted in self.mounted)

    def is_heard_on(self, loop: asyncio.AbstractEventLoop) -> bool:
        """Whether signals are heard for what runs on this loop, or need not be."""
        return loop in self._heard_on or self._is_mounted

    def hears_on(self, loop: asyncio.AbstractEventLoop) -> Callable[[], None]:
        """What a handler of signals is to call, for `heard`: begin, as soon as the loop comes to
        it."""
        self._heard_on.add(loop)
        return partial(_begin_on, loop, self)

    def hear_late(self, loop: asyncio.AbstractEventLoop) -> None:
        """Hear signals from now on, for a server that did not say that it begins to serve.

        Only those that somebody handles, other than Python: nobody else waits for what is told. The
        handlers do no more than pass on once the loop is closed; a server that put its own in place
        takes them away at its end, and these with them.
        """
        begin = self.hears_on(loop)
        if threading.current_thread() is not threading.main_thread():
            return
        for handler in self._late:
            handler.remove()
        numbers = [number for number in SIGNALS if _is_handled(number)]
        self._late = _installed(begin, numbers, loop) if signal.SIGTERM in numbers else []
        if self._late:
            self.renew()

    def renew(self) -> None:
        """The application is served anew: it has not begun to stop."""
        with self._lock:
            begun = self.begun
            self._reason = self.until = None
        if begun:
            for mounted in self.mounted:
                mounted.renew()

    @contextmanager
    def told(self, callback: Callable[[], object]) -> Iterator[None]:
        """Have `callback()` called when the process begins to stop, within the block.

        On the event loop that runs where the block is entered, soon; without one on the thread that
        begins the stop. At once, where it has begun already. It must not raise.
        """
        one = _Told(callback)
        with self._lock:
            begun = self.begun
            if not begun:
                self._told[one] = _running_loop()
        if begun:
            callback()
        try:
            yield
        finally:
            one.callback = None
            with self._lock:
                self._told.pop(one, None)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the process begins to stop, for at most `timeout` seconds; whether it has.

        For threads: on an event loop, `await wait_async()`.
        """
        event = threading.Event()
        one = _Told(event.set)
        with self._lock:
            if self.begun:
                return True
            self._told[one] = None
        try:
            event.wait(timeout)
        finally:
            with self._lock:
                self._told.pop(one, None)
        return self.begun

    async def wait_async(self) -> None:
        """The same for a task, without an end: put `asyncio.timeout` around it."""
        import asyncio

        begun = asyncio.Event()
        with self.told(begun.set):
            await begun.wait()

    def _tell(self, one: _Told, loop: Any) -> None:
        if loop is None:
            one()
            return
        try:
            # In an empty Context: that of who begins the stop is none of its business.
            loop.call_soon_threadsafe(one, context=Context())
        except RuntimeError:
            pass  # the loop is closed: nothing goes on there


class _Told:
    """A callback, until nobody waits for it any more."""

    __slots__ = ("callback",)

    def __init__(self, callback: Callable[[], object]) -> None:
        self.callback: Callable[[], object] | None = callback

    def __call__(self) -> None:
        callback = self.callback
        if callback is not None:
            callback()


def stopping_of(app: Any) -> Stopping:
    """An application's `Stopping` in this process; made at the first call."""
    known: dict[str, Any] = vars(app)
    if "_stopping" not in known:
        known.setdefault("_stopping", Stopping())
    stopping: Stopping = known["_stopping"]
    return stopping


def _running_loop() -> Any:
    asyncio = sys.modules.get("asyncio")
    return None if asyncio is None else asyncio._get_running_loop()


def _begin_on(loop: asyncio.AbstractEventLoop, stopping: Stopping) -> None:
    try:
        loop.call_soon_threadsafe(stopping.begin, context=Context())
    except RuntimeError:
        pass  # the loop is closed: nobody is left to be told


# -- event streams ----------------------------------------------------------------------------


def last_words(sent: bytes, retry: int) -> bytes:
    """What ends an event stream whose last bytes were `sent`: the client is to come back.

    `retry` is in milliseconds. Nothing in the middle of an event: the client would take the half
    for a whole one, and drops it as it is.
    """
    between = not sent or sent.endswith((b"\n\n", b"\r\r", b"\r\n\r\n"))
    return b"retry: %d\n\n" % retry if between else b""


# -- signals ----------------------------------------------------------------------------------


@contextmanager
def heard(begin: Callable[[], object]) -> Iterator[None]:
    """Within the block, have `begin()` called at the first SIGTERM or SIGINT.

    Whoever handled the signal before handles it too. The same signal again ends the process at
    once, as that signal does, unless this process is a worker: then its main process decides.

    A signal that nobody handles, or that is ignored, is left alone, and outside of the main thread
    all are. `begin` is called by a signal handler: it must take no lock.
    """
    handlers = _installed(begin)
    try:
        yield
    finally:
        for handler in handlers:
            handler.remove()


def _is_handled(number: signal.Signals) -> bool:
    """Whether somebody handles a signal, other than Python itself and `asyncio.run`."""
    from asyncio import Runner

    handler = signal.getsignal(number)
    bound = getattr(handler, "func", None)
    of_runner = isinstance(getattr(bound, "__self__", None), Runner)
    return callable(handler) and handler is not signal.default_int_handler and not of_runner


def _installed(
    begin: Callable[[], object],
    numbers: Iterable[signal.Signals] = SIGNALS,
    loop: asyncio.AbstractEventLoop | None = None,
) -> list[_Handler]:
    """Handlers of the signals that somebody handles, in place; none outside of the main thread.

    With a `loop` they are over when that is closed.
    """
    handlers: list[_Handler] = []
    if threading.current_thread() is threading.main_thread():
        for number in numbers:
            previous = signal.getsignal(number)
            # What has its default ends the process on the spot: nobody is left to be told.
            if callable(previous):
                handlers.append(_Handler(number, previous, begin, loop))
                signal.signal(number, handlers[-1])
    return handlers


class _Handler:
    """Stands before another handler of a signal."""

    def __init__(
        self,
        number: signal.Signals,
        previous: Callable[[int, FrameType | None], Any],
        begin: Callable[[], object],
        loop: asyncio.AbstractEventLoop | None,
    ) -> None:
        self._number = number
        self._previous = previous
        self._begin = begin
        self._loop = loop
        self._first: float | None = None
        self._over = False
        # Python's own raises KeyboardInterrupt each time, which is an end, too.
        self._ends = previous is not signal.default_int_handler and not _is_worker()

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if not self._over and not (self._loop is not None and self._loop.is_closed()):
            now = monotonic()
            if self._first is None:
                self._first = now
                self._begin()
            elif self._ends and now - self._first > AGAIN:
                end_at_once(number)
        self._previous(number, frame)

    def remove(self) -> None:
        """Put the other one back; where somebody else stands before this one, do no more than pass
        on to it."""
        self._over = True
        if threading.current_thread() is not threading.main_thread():
            return
        above: _Handler | None = None
        on_top: object = signal.getsignal(self._number)
        while isinstance(on_top, _Handler) and on_top is not self:
            above, on_top = on_top, on_top._previous
        if on_top is self:
            if above is None:
                signal.signal(self._number, self._previous)
            else:
                above._previous = self._previous


def end_at_once(number: int) -> None:
    """End this process as a signal does that nobody handles: no functions at exit, no traceback."""
    line = f"{signal.Signals(number).name} again: this process ends at once.\n"
    try:
        os.write(2, line.encode())
    except OSError:
        pass  # nobody reads any more
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


def _is_worker() -> bool:
    """Whether another process started this one to serve, and stops it.

    Such a worker may get one stop twice: from the terminal or the service manager, and from that
    process.
    """
    multiprocessing = sys.modules.get("multiprocessing")
    if multiprocessing is not None and multiprocessing.parent_process() is not None:
        return True
    return "gunicorn.arbiter" in sys.modules


def told_by_main_process() -> Callable[[], bool] | None:
    """What asks whether the main process has told this worker to stop, where no signal does.

    Hypercorn's workers share an event with their main process, which they ask every 0.1 s.
    """
    multiprocessing = sys.modules.get("multiprocessing")
    if multiprocessing is None or "hypercorn" not in sys.modules:
        return None
    arguments = getattr(multiprocessing.current_process(), "_kwargs", None) or {}
    is_set: Callable[[], bool] | None = getattr(arguments.get("shutdown_event"), "is_set", None)
    return is_set
