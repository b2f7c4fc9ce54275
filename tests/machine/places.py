"""Where a move runs: Contexts on the calling thread, and threads that live as long as the tests."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable
from typing import Any

Outcome = tuple[Any, BaseException | None]
"""What a call returned, and what it raised."""


def attempt(function: Callable[[], Any]) -> Outcome:
    """Call it. Keeps no error in a frame that the error's traceback leads to."""
    try:
        return function(), None
    except BaseException as error:
        return None, error


class Place:
    """Runs functions in a Context that lasts, as a task's steps do."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._context = contextvars.Context()

    def run(self, function: Callable[[], Any]) -> Any:
        """Call `function` here; returns what it returns and raises what it raises."""
        return self._context.run(function)

    def renew(self) -> None:
        """Forget everything that was set here."""
        self._context = contextvars.Context()

    def stop(self) -> None:
        """Give back what the place needed."""

    def __repr__(self) -> str:
        return self.name


class ThreadPlace(Place):
    """Runs functions on one thread, in the Context that the thread has."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._start()

    def _start(self) -> None:
        # Two locks that are handed to and fro: a queue and a future cost five times as much.
        self._asked, self._answered = threading.Lock(), threading.Lock()
        self._asked.acquire()
        self._answered.acquire()
        self._job: Callable[[], Any] | None = None
        self._outcome: Outcome = (None, None)
        self._thread = threading.Thread(target=self._work, name=self.name, daemon=True)
        self._thread.start()

    def run(self, function: Callable[[], Any]) -> Any:
        self._job = function
        del function
        self._asked.release()
        self._answered.acquire()
        (result, error), self._outcome = self._outcome, (None, None)
        try:
            if error is not None:
                raise error
            return result
        finally:
            # An error's traceback holds this frame.
            del result, error

    def _work(self) -> None:
        asked, answered = self._asked, self._answered
        while True:
            asked.acquire()
            job, self._job = self._job, None
            if job is None:
                return
            # What a job keeps alive must not outlive it here: dropping a body is a move.
            jobs = [job]
            del job
            self._outcome = attempt(jobs.pop())
            answered.release()

    def renew(self) -> None:
        self.stop()
        self._start()

    def stop(self) -> None:
        self._job = None
        self._asked.release()
        self._thread.join()
