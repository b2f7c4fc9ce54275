"""Waiting for a resource that other code is opening, and never in a circle.

Holds what is known of an opening while it is under way. Which resource is open where is `held`'s.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from .forks import in_forked

opening: ContextVar[Opening | None] = ContextVar("demijohn.opening", default=None)
"""The innermost opening that the calling code is part of; set in the resource's own Context."""


class _Guard:
    """Holds the lock for who waits for whom, over all contexts: two threads must not start to wait
    for each other at once."""

    def __init__(self) -> None:
        self.renew()
        in_forked(self, _Guard.renew)

    def renew(self) -> None:
        # Reentrant: the garbage collector may run an end, which opens resources, inside.
        self.lock = threading.RLock()


_guard = _Guard()


class Opening:
    """A resource that some code is opening at this moment."""

    __slots__ = ("below", "declared", "over", "thread", "waits_for", "wakes")

    def __init__(self, declared: Any) -> None:
        self.declared = declared
        #: The opening that this one is part of.
        self.below = opening.get()
        self.thread = threading.get_ident()
        # Several, where an opening waits in several tasks.
        self.waits_for: list[Opening] = []
        self.wakes: list[Callable[[], object]] = []
        self.over = False

    def finish(self) -> None:
        """It is over, well or not: wake who waits."""
        with _guard.lock:
            self.over = True
            wakes, self.wakes = self.wakes, []
        for wake in wakes:
            wake()

    def chain(self) -> list[Opening]:
        """This opening and those that it is part of, innermost first."""
        chain: list[Opening] = []
        one: Opening | None = self
        while one is not None:
            chain.append(one)
            one = one.below
        return chain


def wait(other: Opening) -> None:
    """Block until it is over.

    Raises `RuntimeError` where it cannot go on before the calling code does.
    """
    event = threading.Event()
    with _waiting(other, event.set):
        pool = _gevent_pool()
        if pool is not None:
            pool.apply(event.wait)
        elif other.thread == threading.get_ident() and not event.is_set():
            raise RuntimeError(
                f"The {other.declared} is being opened by other code of this very thread, a"
                " greenlet say, which cannot go on while this code waits for it."
            )
        else:
            event.wait()


async def wait_async(other: Opening) -> None:
    """The same for a task on the running loop."""
    import asyncio

    loop = asyncio.get_running_loop()
    woken = asyncio.Event()

    def wake() -> None:
        # A closed loop has nobody who waits.
        if not loop.is_closed():
            loop.call_soon_threadsafe(woken.set)

    with _waiting(other, wake):
        await woken.wait()


@contextmanager
def _waiting(other: Opening, wake: Callable[[], object]) -> Iterator[None]:
    """Have `wake` called when `other` is over; within the block the calling code waits for it."""
    mine = opening.get()
    chain = [] if mine is None else mine.chain()
    with _guard.lock:
        if _leads_to(other, chain):
            names = " -> ".join(str(one.declared) for one in (*chain[::-1], other))
            raise RuntimeError(f"A resource needs itself: {names}.")
        if other.over:
            wake()
        else:
            other.wakes.append(wake)
        for one in chain:
            one.waits_for.append(other)
    try:
        yield
    finally:
        with _guard.lock:
            for one in chain:
                one.waits_for.remove(other)
            if wake in other.wakes:
                other.wakes.remove(wake)


def _leads_to(start: Opening, ends: list[Opening]) -> bool:
    """Whether `start` waits, also by others, for one of `ends`."""
    seen: set[Opening] = set()
    ahead = [start]
    while ahead:
        one = ahead.pop()
        if one in ends:
            return True
        if one not in seen:
            seen.add(one)
            ahead += one.waits_for
    return False


def _gevent_pool() -> Any:
    """Real threads for a greenlet to wait with, while others of its thread go on.

    None without gevent, and where it has patched `threading`, whose events then do that.
    """
    gevent = sys.modules.get("gevent")
    if gevent is None or not isinstance(gevent.getcurrent(), gevent.Greenlet):
        return None
    monkey = sys.modules.get("gevent.monkey")
    if monkey is not None and monkey.is_module_patched("threading"):
        return None
    return gevent.get_hub().threadpool
