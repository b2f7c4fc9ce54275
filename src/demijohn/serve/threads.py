"""Worker threads of an edge with an event loop: for sync functions, and for steps of sync bodies.

A request keeps the thread that it was given until its end: what a sync function opened there, a
sqlite3 connection say, may be used there only. How many of them run at once is limited by `Limit`s;
a thread that waits for its request's next function does not count.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator
from contextvars import Context
from itertools import count
from time import monotonic
from typing import Any

from ..context.forks import in_forked

SYNC_THREADS, STREAM_THREADS = "SYNC_THREADS", "STREAM_THREADS"
"""The keys of how many sync functions, and steps of sync bodies, run at once."""

_DEFAULTS = {SYNC_THREADS: 40, STREAM_THREADS: 1000}

IDLE = 10.0
"""Seconds after which a thread that nobody took ends."""


_here = threading.local()  # .works: this is the thread of a `Worker`


def most(app: Any, key: str) -> int:
    """How many threads the configuration allows; `ValueError` where none could ever run."""
    found = app.config.get(key, _DEFAULTS[key])
    if isinstance(found, int) and not isinstance(found, bool) and found > 0:
        return found
    raise ValueError(f"{key}={found!r}: a number above 0.")


class Limit:
    """How many may run at once; the others wait in the order in which they came.

    Who asks on a worker's thread never waits: a sync view that calls the application again, by a
    client say, holds a place until that call is answered. It gets one over the limit.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.renew()

    def renew(self) -> None:
        """Nothing runs: as at the beginning, and in a forked process."""
        self.running = 0
        # Reentrant: the garbage collector may drop a request while its thread is inside.
        self._lock = threading.RLock()
        # Loops differ: each waits with a future of its own.
        self._waiting: deque[_Waiter] = deque()

    def take(self, loop: Any) -> Generator[Any, Any, None]:
        """Wait for a place; a generator that a task on `loop` steps."""
        with self._lock:
            if self.running < self.most or getattr(_here, "works", False):
                self.running += 1
                return
            waiter = _Waiter(loop, loop.create_future())
            self._waiting.append(waiter)
        try:
            yield from waiter.future
        except BaseException:
            with self._lock:
                # It may have been given a place in the same moment, and by a loop that has stopped
                # never hear of it.
                has_place, waiter.has_place = waiter.has_place, False
                if waiter in self._waiting:
                    self._waiting.remove(waiter)
            if has_place:
                self.give()
            raise

    def give(self) -> None:
        """Give a place back: to the next that waits, if any."""
        while True:
            with self._lock:
                if not self._waiting or self.running > self.most:
                    self.running -= 1
                    return
                waiter = self._waiting.popleft()
                waiter.has_place = True
            try:
                waiter.loop.call_soon_threadsafe(waiter.wake)
                return
            except RuntimeError:  # its loop is closed
                with self._lock:
                    had_place, waiter.has_place = waiter.has_place, False
                if not had_place:
                    return


class _Waiter:
    """One that waits for a place, on its loop."""

    __slots__ = ("future", "has_place", "loop")

    def __init__(self, loop: Any, future: Any) -> None:
        self.loop = loop
        self.future = future
        #: Whether a place is its own now; whoever takes that away gives the place back.
        self.has_place = False

    def wake(self) -> None:
        if not self.future.done():
            self.future.set_result(None)


class Worker:
    """One thread, and what it is to do next."""

    __slots__ = ("_doing", "_job", "_wake", "busy", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self.busy = False
        self._job: Callable[[], object] | None = None
        self._doing: Callable[[], object] | None = None
        self._wake = threading.Semaphore(0)
        # In an empty Context, on every CPython: what it runs brings its own.
        Context().run(threading.Thread(target=self._run, name=name, daemon=True).start)

    def do(self, job: Callable[[], object]) -> None:
        """Have `job()` called on the thread; it must not raise. One at a time."""
        self.busy = True
        self._job = job
        self._wake.release()

    def leave(self) -> None:
        """Let the thread end."""
        self._wake.release()

    def _run(self) -> None:
        _here.works = True
        wait = self._wake.acquire
        while True:
            wait()
            job, self._job = self._job, None
            if job is None:
                return
            self._doing = job
            job()
            # Nothing of the last request stays while the thread waits for the next.
            job = self._doing = None

    def __str__(self) -> str:
        """What runs there, by the object whose method does it."""
        doing = self._doing
        return f"{getattr(doing, '__self__', doing)} in thread {self.name}"


class Threads:
    """The worker threads of one application.

    Arguments:
        calls: how many sync functions may run at once.
        steps: how many sync bodies may be stepped at once, besides.
        name: what the threads' names begin with.
    """

    def __init__(self, calls: int, steps: int, name: str) -> None:
        self.calls = Limit(calls)
        self.steps = Limit(steps)
        self._most = calls + steps
        self._name = name
        self._renew()
        in_forked(self, Threads._renew)

    def _renew(self) -> None:
        # A forked process has none of its parent's threads.
        self._numbers = count(1)
        self._lock = threading.RLock()  # as in `Limit`
        self._free: deque[tuple[Worker, float]] = deque()
        # Of requests that keep one; the request parked longest first.
        self._kept: dict[Lease, Worker] = {}
        self.calls.renew()
        self.steps.renew()

    def lease(self) -> Lease:
        return Lease(self)

    def running(self) -> list[str]:
        """What runs at this moment, in which thread."""
        with self._lock:
            return [str(worker) for worker in self._kept.values() if worker.busy]

    def take(self, lease: Lease) -> Worker:
        """The worker that a request keeps from now on."""
        with self._lock:
            worker = self._kept.pop(lease, None)
            if worker is None:
                if self._free:
                    worker = self._free.pop()[0]
                elif len(self._kept) < self._most or (worker := self._parked()) is None:
                    worker = Worker(f"{self._name}-{next(self._numbers)}")
            self._kept[lease] = worker
            worker.busy = True
            return worker

    def _parked(self) -> Worker | None:
        """Take away the worker of the request that has waited longest: there are too many."""
        for lease, worker in self._kept.items():
            if not worker.busy:
                del self._kept[lease]
                return worker
        return None

    def rest(self, lease: Lease) -> None:
        """What the request's worker was doing is done."""
        with self._lock:
            worker = self._kept.get(lease)
            if worker is not None:
                worker.busy = False
            if lease.over:
                self._give(lease)

    def give(self, lease: Lease) -> None:
        """The request needs its worker no more. One that is busy still is given when it rests."""
        with self._lock:
            lease.over = True
            self._give(lease)

    def _give(self, lease: Lease) -> None:
        worker = self._kept.get(lease)
        if worker is not None and not worker.busy:
            del self._kept[lease]
            self._free.append((worker, monotonic()))
        self._thin_out()

    def _thin_out(self) -> None:
        while self._free and self._free[0][1] < monotonic() - IDLE:
            self._free.popleft()[0].leave()

    def close(self) -> None:
        """Let the threads end that nobody keeps."""
        with self._lock:
            while self._free:
                self._free.pop()[0].leave()


class Lease:
    """One request's claim to a worker: the same one from its first sync function to its end."""

    __slots__ = ("__weakref__", "_threads", "over", "taken")

    def __init__(self, threads: Threads) -> None:
        self._threads = threads
        self.taken = False
        #: Whether it was given back; by a request whose end was given up, before it rests.
        self.over = False

    @property
    def threads(self) -> Threads:
        return self._threads

    def worker(self) -> Worker:
        """The worker, for one job. Raises `RuntimeError` where no thread can be started."""
        self.taken = True
        return self._threads.take(self)

    def rest(self) -> None:
        """The job of the worker is done."""
        self._threads.rest(self)

    def give_back(self) -> None:
        """The worker is not needed any more, once it rests."""
        if self.taken:
            self.taken = False
            self._threads.give(self)
