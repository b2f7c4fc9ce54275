"""`Sequencer`: the order of steps in several threads and tasks, without sleeps."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any

_ABSENT = "which has not come"


class SequenceError(AssertionError):
    """A step did not get its turn in time, or was asked for twice; the text tells the steps."""


class Sequencer:
    """Lets numbered blocks run one after the other, wherever they are.

        seq = Sequencer()
        # in one thread or task        # in another
        with seq(0): ...               async with seq(1): ...
        with seq(2): ...

    Block 0 runs at once, block n when block n - 1 is over, also when that one raised. Each number
    is used once. A block that waits longer than `timeout` real seconds raises `SequenceError`, and
    so do all others that wait or come later.
    """

    def __init__(self, timeout: float = 10.0) -> None:
        self.timeout = timeout
        self._lock = threading.Lock()
        self._turn = 0
        self._came: dict[int, str] = {}
        self._done: list[int] = []
        self._waiting: dict[int, Callable[[], object]] = {}
        self._failure: str | None = None

    def __call__(self, number: int) -> Step:
        """The block with this number, for `with` in a thread or `async with` in a task."""
        return Step(self, number)

    @property
    def done(self) -> list[int]:
        """The numbers of the blocks that are over, in their order."""
        return list(self._done)

    def _come(self, number: int, wake: Callable[[], object]) -> bool:
        """Take a number: whether it is its turn. If not, `wake` is called when it is, or never."""
        with self._lock:
            self._check()
            if number in self._came:
                self._fail(f"Step {number} came twice: in {self._came[number]}, and in {_here()}.")
            self._came[number] = _here()
            if self._turn != number:
                self._waiting[number] = wake
            return self._turn == number

    def _check(self) -> None:
        if self._failure is not None:
            raise SequenceError(self._failure)

    def _resume(self, number: int, why: str) -> None:
        """After the wait: raise unless it is this step's turn now. `why` ends a wait in vain."""
        with self._lock:
            self._check()
            if self._turn != number:
                self._fail(f"Step {number}, in {self._came[number]}, {why}.")

    def _give_up(self, number: int) -> None:
        """A step was cancelled while it waited: those after it wait in vain."""
        try:
            self._resume(number, "was cancelled while it waited")
        except SequenceError:
            return
        self._leave()

    def _fail(self, text: str) -> None:
        turn = self._turn
        at = f"in {self._came[turn]}" if turn in self._came else _ABSENT
        others = [f"{n} in {self._came[n]}" for n in sorted(self._waiting)]
        self._failure = (
            f"{text} It is the turn of step {turn}, {at}."
            f" Over: {', '.join(map(str, self._done)) or 'none'}."
            f" Waiting: {'; '.join(others) or 'none'}."
        )
        for wake in self._waiting.values():
            wake()
        self._waiting.clear()
        self._check()

    def _leave(self) -> None:
        with self._lock:
            self._done.append(self._turn)
            self._turn += 1
            wake = self._waiting.pop(self._turn, None)
            if wake is not None:
                wake()


class Step:
    """One block of a `Sequencer`."""

    def __init__(self, sequencer: Sequencer, number: int) -> None:
        self._sequencer = sequencer
        self._number = number

    def __enter__(self) -> Step:
        sequencer = self._sequencer
        turn = threading.Event()
        if not sequencer._come(self._number, turn.set):
            turn.wait(sequencer.timeout)
            sequencer._resume(self._number, f"waited {sequencer.timeout:g} s")
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._sequencer._leave()

    async def __aenter__(self) -> Step:
        import asyncio

        sequencer = self._sequencer
        loop = asyncio.get_running_loop()
        turn = asyncio.Event()
        # The step before may be over on another thread.
        if not sequencer._come(self._number, lambda: _tell(loop, turn.set)):
            try:
                await asyncio.wait_for(turn.wait(), sequencer.timeout)
            except TimeoutError:
                pass  # told below, with the steps
            except asyncio.CancelledError:
                sequencer._give_up(self._number)
                raise
            sequencer._resume(self._number, f"waited {sequencer.timeout:g} s")
        return self

    async def __aexit__(self, *error: Any) -> None:
        self._sequencer._leave()


def _tell(loop: Any, wake: Callable[[], object]) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(wake)


def _here() -> str:
    """The thread or task that runs, by name."""
    asyncio = sys.modules.get("asyncio")
    if asyncio is not None:
        try:
            task = asyncio.current_task()
        except RuntimeError:
            task = None
        if task is not None:
            return f"task {task.get_name()!r}"
    return f"thread {threading.current_thread().name!r}"
