"""`FakeClock`: time that moves when a test says so, for the framework and for who asks the clock.

While it is active it stands in the place of `time.time` and `time.monotonic` in the modules of this
package, and in ItsDangerous, which dates sessions. Nothing in those modules knows of it.
"""

from __future__ import annotations

import itertools
import sys
import threading
import time
from collections.abc import Callable
from datetime import datetime, tzinfo
from types import ModuleType, TracebackType
from typing import Any, Self

from ..context.cancel import seconds_until

_OTHERS = ("itsdangerous.timed",)
"""Modules of others whose time is the framework's."""
_LOOK = 0.01
"""How many real seconds may pass until a wait of the framework notices that time was advanced."""
_DATED = "demijohn.http.sessions"
"""The module that reads the time from `datetime`: when a session's cookie expires."""


class FakeClock:
    """A clock that stands still until `advance`.

        with FakeClock() as clock:
            client.get("/log-in")
            clock.advance(31 * 24 * 3600)      # the session is too old now
            assert client.get("/me").status_code == 401

    It starts at `start` seconds after the epoch, by default now. Active, in its `with` block, it is
    the framework's clock: deadlines, the age of sessions and of resources. `sleep`, `sleep_async`
    and `wait` wake their callers when the time has come; one that waits for `limit` real seconds
    meanwhile raises `TimeoutError`. It does not reach `time.sleep`, asyncio's timers, sockets, and
    the `time` module for other code: give such code `clock.time`, `clock.monotonic`, `clock.sleep`.
    """

    def __init__(self, start: float | None = None, limit: float = 30.0) -> None:
        self.limit = limit
        self._changed = threading.Condition()
        # In steps from where the real clocks are: what was read before stays near.
        self._passed = 0.0
        self._time = time.time() if start is None else start
        self._monotonic = time.monotonic()
        self._sleepers: dict[int, tuple[float, Callable[[], object]]] = {}
        self._numbers = itertools.count()
        self._places: list[tuple[ModuleType, str, Any]] | None = None

    # -- asking and moving -------------------------------------------------------------------------

    def time(self) -> float:
        """Seconds since the epoch, as `time.time`."""
        return self._time + self._passed

    def monotonic(self) -> float:
        """Seconds since some moment, as `time.monotonic`."""
        return self._monotonic + self._passed

    def advance(self, seconds: float) -> None:
        """Let time pass, and wake whose time has come, the earliest first."""
        if seconds < 0:
            raise ValueError(f"Time does not go back: {seconds!r} s.")
        if self._places is not None:
            self._take_places()
        with self._changed:
            self._passed += seconds
            now = self.monotonic()
            due = sorted((at, n) for n, (at, _) in self._sleepers.items() if at <= now)
            wakes = [self._sleepers.pop(n)[1] for _, n in due]
            self._changed.notify_all()
        # Without the lock: who is woken may ask for the time, and holds its own lock.
        for wake in wakes:
            wake()

    # -- waiting -----------------------------------------------------------------------------------

    def sleep(self, seconds: float) -> None:
        """Block this thread until the clock has moved on by `seconds`."""
        woken = threading.Event()
        number, _ = self._add(seconds, woken.set)
        if not woken.wait(self.limit):
            self._give_up(number, seconds)

    async def sleep_async(self, seconds: float) -> None:
        """Suspend this task until the clock has moved on by `seconds`."""
        import asyncio

        loop = asyncio.get_running_loop()
        woken = asyncio.Event()

        def wake() -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(woken.set)

        number, _ = self._add(seconds, wake)
        try:
            await asyncio.wait_for(woken.wait(), self.limit)
        except TimeoutError:
            self._give_up(number, seconds)
        finally:
            with self._changed:
                self._sleepers.pop(number, None)

    def wait(self, condition: threading.Condition, seconds: float) -> bool:
        """As `condition.wait(seconds)`, by this clock: False when the time was over first."""

        def wake() -> None:
            with condition:
                condition.notify_all()

        number, due = self._add(seconds, wake)
        notified = seconds <= 0 or condition.wait(self.limit)
        with self._changed:
            self._sleepers.pop(number, None)
        if not notified:
            self._give_up(number, seconds)
        return self.monotonic() < due

    def wait_for_sleepers(self, count: int = 1, timeout: float = 10.0) -> None:
        """Block until `count` threads and tasks wait for this clock; `timeout` is real seconds."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self._sleepers) >= count, timeout):
                raise TimeoutError(
                    f"{len(self._sleepers)} instead of {count} wait for the clock after"
                    f" {timeout:g} s."
                )

    def _add(self, seconds: float, wake: Callable[[], object]) -> tuple[int, float]:
        """Note who is to be woken, and when; returns the note's number and that time."""
        with self._changed:
            number, due = next(self._numbers), self.monotonic() + seconds
            if seconds > 0:
                self._sleepers[number] = (due, wake)
                self._changed.notify_all()
        if seconds <= 0:
            wake()
        return number, due

    def _give_up(self, number: int, seconds: float) -> None:
        with self._changed:
            self._sleepers.pop(number, None)
        raise TimeoutError(
            f"Nobody advanced the clock by {seconds:g} s while {self.limit:g} real seconds passed."
        )

    # -- being the framework's clock ---------------------------------------------------------------

    def _seconds_until(self, moment: float | None) -> float | None:
        """Has the framework's waits look at the time often: they all look again when they wake."""
        return None if moment is None else min(max(0.0, moment - self.monotonic()), _LOOK)

    def __enter__(self) -> Self:
        if not _ACTIVE.acquire(blocking=False):
            raise RuntimeError("A fake clock is active already: there is one time for a process.")
        self._places = []
        self._take_places()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        places, self._places = self._places or [], None
        for module, name, real in places:
            setattr(module, name, real)
        _ACTIVE.release()

    def _take_places(self) -> None:
        """Stand in for the real clocks; again at each step, for modules that came meanwhile."""
        places = self._places
        assert places is not None
        mine = {
            id(time.time): self.time,
            id(time.monotonic): self.monotonic,
            id(time): _TimeModule(self),
            id(seconds_until): self._seconds_until,
        }
        dated = {id(datetime): _dated_by(self)}
        for module in list(sys.modules.values()):
            if not _is_reached(module):
                continue
            here = mine | dated if module.__name__ == _DATED else mine
            for name, value in list(vars(module).items()):
                if (own := here.get(id(value))) is not None:
                    places.append((module, name, value))
                    setattr(module, name, own)


class _TimeModule:
    """The module `time` for code that says `time.time()`."""

    def __init__(self, clock: FakeClock) -> None:
        self.time = clock.time
        self.monotonic = clock.monotonic

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)


def _dated_by(clock: FakeClock) -> Any:
    class LikeDatetime(type):
        def __instancecheck__(cls, instance: object) -> bool:
            return isinstance(instance, datetime)

    class FakeDatetime(datetime, metaclass=LikeDatetime):
        """The class `datetime`, whose `now` is the clock's."""

        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
            return datetime.fromtimestamp(clock.time(), tz)

    return FakeDatetime


_ACTIVE = threading.Lock()
"""Held by the clock that is the framework's."""


def _is_reached(module: Any) -> bool:
    """Whether the module's time is the framework's. The test kit itself waits in real time."""
    name = getattr(module, "__name__", None)
    if not isinstance(module, ModuleType) or not isinstance(name, str):
        return False
    kit = __name__.rpartition(".")[0]
    if name.startswith(kit):
        return False
    return name in _OTHERS or name.startswith(kit.rpartition(".")[0] + ".")
