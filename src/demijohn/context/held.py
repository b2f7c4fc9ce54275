"""The resources that one context, or one application's scope, holds.

`Holdings` opens each resource once, under a claim of its own, and closes them last opened first.
How one is opened and closed is `opening`'s; which context holds which is `resources`'.
"""

from __future__ import annotations

import itertools
import sys
import threading
import warnings
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from time import monotonic
from typing import Any, TypeAlias

from .ending import Steps, raise_errors, run_all
from .opening import Declared, Opened
from .waiting import Opening, opening, wait, wait_async

Ended: TypeAlias = Callable[[], Exception]
"""Makes the error for an opening after the owner's end."""
Wire: TypeAlias = Callable[[Opened], object] | None
"""Called with what was opened, before anybody gets it."""


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


_MOST_CLOSINGS = 1000
_numbers = itertools.count(1)


class Holdings:
    """The open resources of one owner, in the order of their opening."""

    __slots__ = ("__weakref__", "_lock", "_openings", "_owner", "opened", "over")

    def __init__(self, owner: str = "context") -> None:
        # Every change of it is made under the lock.
        self.opened: dict[Declared, Opened] = {}
        self._openings: dict[Declared, Opening] = {}
        # Reentrant: the garbage collector may run code of anybody's inside.
        self._lock = threading.RLock()
        self._owner = owner
        #: Whether the owner's end has closed everything: nothing is opened any more.
        self.over = False

    # -- opening -----------------------------------------------------------------------------------

    def take(
        self,
        declared: Declared,
        ended: Ended,
        wire: Wire,
        around: Callable[[bool], AbstractContextManager[Any]] | None = None,
    ) -> Opened:
        """The opened resource, opened now if it is not.

        Two threads never open it twice: one waits for the other. After an error nothing is
        registered. Raises `RuntimeError` for a resource that needs itself, and what `ended` makes
        when the owner is over. `around` makes the `with` block in which it opens and closes.
        """
        while True:
            found, mine = self._claim(declared, ended)
            if type(found) is Opened:
                return found
            if mine:
                break
            wait(found)
        opened = Opened(declared, around)
        try:
            opened.open(found)
            if wire is not None:
                wire(opened)
            self._register(opened, ended)
            opened.leave()
        except BaseException as error:
            self.give_back(opened)
            undo = [opened.leave, *([opened.release] if opened.started else [])]
            raise_errors([error, *run_all(undo)], f"Errors in opening the {declared}")
        finally:
            self._unclaim(found)
        return opened

    async def take_async(
        self,
        declared: Declared,
        ended: Ended,
        wire: Wire,
        around: Callable[[bool], AbstractContextManager[Any]] | None = None,
    ) -> Opened:
        """The same for an async resource, on the running loop."""
        while True:
            found, mine = self._claim(declared, ended)
            if type(found) is Opened:
                return found
            if mine:
                break
            await wait_async(found)
        opened = Opened(declared, around)
        opened.context.run(opening.set, found)
        try:
            await opened.open_async()
            if wire is not None:
                wire(opened)
            self._register(opened, ended)
            await opened.leave_async()
        except BaseException:
            self.give_back(opened)
            if opened.started:
                await opened.release()
            raise
        finally:
            self._unclaim(found)
        return opened

    def _claim(self, declared: Declared, ended: Ended) -> tuple[Any, bool]:
        """What is open; else the `Opening`, and whether it is the caller's to make."""
        with self._lock:
            opened = self.opened.get(declared)
            if opened is not None:
                return opened, False
            if self.over:
                raise ended()
            other = self._openings.get(declared)
            if other is not None:
                return other, False
            mine = self._openings[declared] = Opening(declared)
            return mine, True

    def _register(self, opened: Opened, ended: Ended) -> None:
        with self._lock:
            if self.over:
                raise ended()
            opened.number = next(_numbers)
            self.opened[opened.declared] = opened

    def _unclaim(self, mine: Opening) -> None:
        with self._lock:
            del self._openings[mine.declared]
        mine.finish()

    # -- closing -----------------------------------------------------------------------------------

    def closing(self, exc: BaseException | None, succeeded: bool) -> Steps:
        """Close everything, last opened first, also what is opened meanwhile.

        After an end that did not succeed no code goes on after its `yield`, also where there is no
        `exc` to raise there.
        """
        errors: list[BaseException] = []
        closings = 0
        while (opened := self._pop_last()) is not None:
            real = succeeded or exc is not None
            done, error = yield opened.loop, partial(opened.end, exc) if real else opened.release
            if not done:
                errors.append(error)
            closings += 1
            if closings > _MOST_CLOSINGS:
                self.over = True
                errors.append(RuntimeError(f"The {opened} is opened anew by closings."))
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
        if self.opened and not sys.is_finalizing():
            self._dropped()

    def _dropped(self) -> None:
        """Nobody can close these any more: warn, and end what needs no event loop."""
        errors: list[BaseException] = []
        for opened in [*self.opened.values()][::-1]:
            try:
                warnings.warn(
                    f"The {opened} was never closed: its {self._owner} was dropped without an end.",
                    ResourceWarning,
                    stacklevel=3,
                )
            except ResourceWarning as warning:
                errors.append(warning)
            if opened.loop is None:
                run_all([opened.release], errors)
        try:
            raise_errors(errors, f"Errors in closing what a dropped {self._owner} held")
        finally:
            # The errors' tracebacks lead to this frame.
            del errors


def opened_in(*contexts: Any) -> list[Opened]:
    """What some `stack.Context`s hold."""
    units = [ctx._unit for ctx in contexts if ctx._unit is not None]
    return [opened for unit in units if unit.held is not None for opened in unit.held.all()]


def listed(opened: Iterable[Opened]) -> list[Held]:
    """Records of open resources, first opened first."""
    now = monotonic()
    return [
        Held(one.declared.name, one.declared.lifetime, now - one.since, one.opener, one.thread)
        for one in sorted(opened, key=lambda one: one.number)
    ]
