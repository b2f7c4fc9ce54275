"""The resources that one context, or one application's scope, holds.

`Holdings` opens each resource once, under a claim of its own, and closes them last opened first.
How one is opened and closed is `opening`'s; which context holds which is `resources`'.
"""

from __future__ import annotations

import sys
import threading
import warnings
from collections.abc import Callable, Generator
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from time import monotonic
from typing import Any, TypeAlias

from .opening import Opened

Steps: TypeAlias = Generator[tuple[Any, Callable[[], Any]], tuple[bool, Any], list[BaseException]]
"""Calls that are handed out, so that the driver makes them where it must.

Yields `(loop, call)`: `loop` is None for a plain call, else the event loop on which the awaitable
that `call()` returns is to be awaited. The driver sends back `(True, value)` or `(False, error)`.
Returns what failed.
"""


@dataclass(frozen=True, slots=True)
class Held:
    """A resource that is open, as it was when it was asked about."""

    name: str
    lifetime: str
    age: float
    """Seconds since it was opened."""
    opener: str
    """`file:line function` of the code whose use of it opened it."""
    thread: str
    """The name of the thread that opened it."""


class _Opening:
    """A resource that some code is opening at this moment."""

    __slots__ = ("below", "declared", "over", "waiters", "waits_for")

    def __init__(self, declared: Any, below: _Opening | None) -> None:
        self.declared = declared
        # The opening that this one is part of.
        self.below = below
        self.waits_for: _Opening | None = None
        self.waiters: list[Callable[[], object]] = []
        self.over = False

    def chain(self) -> list[_Opening]:
        """This opening and those that it is part of, innermost first."""
        return [self] if self.below is None else [self, *self.below.chain()]


# The innermost opening that the calling code is part of; set in the resource's own Context.
_opening: ContextVar[_Opening | None] = ContextVar("demijohn.opening", default=None)
# Who waits for whom, over all holdings: two threads must not start to wait for each other at once.
_waiting = threading.Lock()

_MOST_CLOSINGS = 1000


class Holdings:
    """The open resources of one owner, in the order of their opening."""

    __slots__ = ("__weakref__", "_lock", "_openings", "opened", "over")

    def __init__(self) -> None:
        self.opened: dict[Any, Opened] = {}
        self._openings: dict[Any, _Opening] = {}
        # Reentrant: the garbage collector may run code of anybody's inside.
        self._lock = threading.RLock()
        #: Whether the owner's end has closed everything: nothing is opened any more.
        self.over = False

    # -- opening -----------------------------------------------------------------------------------

    def take(
        self,
        declared: Any,
        ended: Callable[[], Exception],
        wire: Callable[[Opened], None],
        around: Callable[[], Any] | None = None,
    ) -> Opened:
        """The opened resource, opened now if it is not.

        Two threads never open it twice: one waits for the other. After an error nothing is
        registered. Raises `RuntimeError` for a resource that needs itself, and what `ended` makes
        when the owner is over. `wire` is called with what was opened before anybody gets it;
        `around` makes the `with` block in which it opens and closes.
        """
        while True:
            found, mine = self._claim(declared, ended)
            if type(found) is Opened:
                return found
            if mine:
                break
            _wait(found)
        opened = Opened(declared, around)
        opened.context.run(_opening.set, found)
        try:
            opened.open()
            try:
                wire(opened)
            except BaseException:
                opened.release()
                raise
        except BaseException:
            self._settle(found, None)
            raise
        if not self._settle(found, opened):
            opened.end(None)
            raise ended()
        return opened

    async def take_async(
        self, declared: Any, ended: Callable[[], Exception], wire: Callable[[Opened], None]
    ) -> Opened:
        """The same for an async resource, on the running loop."""
        while True:
            found, mine = self._claim(declared, ended)
            if type(found) is Opened:
                return found
            if mine:
                break
            await _wait_async(found)
        opened = Opened(declared)
        opened.context.run(_opening.set, found)
        try:
            await opened.open_async()
            try:
                wire(opened)
            except BaseException:
                await opened.release()
                raise
        except BaseException:
            self._settle(found, None)
            raise
        if not self._settle(found, opened):
            await opened.end(None)
            raise ended()
        return opened

    def _claim(self, declared: Any, ended: Callable[[], Exception]) -> tuple[Any, bool]:
        """What is open; else the `_Opening`, and whether it is the caller's to make."""
        with self._lock:
            opened = self.opened.get(declared)
            if opened is not None:
                return opened, False
            if self.over:
                raise ended()
            other = self._openings.get(declared)
            if other is not None:
                return other, False
            mine = self._openings[declared] = _Opening(declared, _opening.get())
            return mine, True

    def _settle(self, mine: _Opening, opened: Opened | None) -> bool:
        """Register what was opened, or that it failed; False where the owner is over meanwhile."""
        with self._lock:
            del self._openings[mine.declared]
            keeps = not self.over
            if opened is not None and keeps:
                self.opened[mine.declared] = opened
        with _waiting:
            mine.over = True
            waiters, mine.waiters = mine.waiters, []
        for wake in waiters:
            wake()
        return keeps

    # -- closing -----------------------------------------------------------------------------------

    def closing(self, exc: BaseException | None) -> Steps:
        """Close everything, last opened first, also what is opened meanwhile."""
        errors: list[BaseException] = []
        closings = 0
        while (opened := self._pop_last()) is not None:
            done, error = yield opened.loop, partial(opened.end, exc)
            if opened.events is not None:
                opened.events.closed()
            if not done:
                errors.append(error)
            closings += 1
            if closings > _MOST_CLOSINGS:
                self.over = True
                errors.append(RuntimeError(f"{opened.declared} is opened anew by closings."))
        return errors

    def _pop_last(self) -> Opened | None:
        with self._lock:
            return self.opened.popitem()[1] if self.opened else None

    def finish(self) -> bool:
        """Whether nothing is open; then nothing can be opened any more."""
        with self._lock:
            self.over = self.over or not self.opened
            return self.over

    def give_back(self, opened: Opened) -> bool:
        """Take one out, so that the caller may release it; False when it is out already."""
        with self._lock:
            if self.opened.get(opened.declared) is not opened:
                return False
            del self.opened[opened.declared]
            return True

    def all(self) -> list[Opened]:
        """What is open, first opened first."""
        with self._lock:
            return list(self.opened.values())

    def __del__(self) -> None:
        if not sys.is_finalizing():
            for opened in self.opened.values():
                warnings.warn(
                    f"{opened} was never closed: its context was dropped without an end.",
                    ResourceWarning,
                    stacklevel=2,
                )


def listed(opened: Opened) -> Held:
    """The record of an open resource."""
    declared = opened.declared
    age = monotonic() - opened.since
    return Held(declared.name, declared.lifetime, age, opened.opener, opened.thread)


# -- waiting for other code's opening ------------------------------------------------------------


def _start_waiting(other: _Opening, wake: Callable[[], object]) -> _Opening | None:
    """Have `wake` called when `other` is over; returns what waits, for `_stop_waiting`.

    Raises `RuntimeError` where `other` cannot go on before the caller does.
    """
    mine = _opening.get()
    chain = [] if mine is None else mine.chain()
    with _waiting:
        blocking: _Opening | None = other
        while blocking is not None:
            if blocking in chain:
                names = " -> ".join(str(one.declared) for one in (*chain[::-1], other))
                raise RuntimeError(f"A resource needs itself: {names}.")
            blocking = blocking.waits_for
        if other.over:
            wake()
        else:
            other.waiters.append(wake)
        for one in chain:
            one.waits_for = other
    return mine


def _stop_waiting(mine: _Opening | None) -> None:
    with _waiting:
        for one in [] if mine is None else mine.chain():
            one.waits_for = None


def _wait(other: _Opening) -> None:
    event = threading.Event()
    mine = _start_waiting(other, event.set)
    try:
        event.wait()
    finally:
        _stop_waiting(mine)


async def _wait_async(other: _Opening) -> None:
    import asyncio

    loop = asyncio.get_running_loop()
    woken = asyncio.Event()
    mine = _start_waiting(other, lambda: loop.call_soon_threadsafe(woken.set))
    try:
        await woken.wait()
    finally:
        _stop_waiting(mine)
