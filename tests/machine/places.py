"""Where a move runs: Contexts on the calling thread, and threads that live as long as the tests."""

from __future__ import annotations

import contextvars
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any


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
        self._queue: queue.SimpleQueue[tuple[Callable[[], Any], Future[Any]] | None]
        self._queue = queue.SimpleQueue()
        self._thread = threading.Thread(
            target=_work, args=(self._queue,), name=self.name, daemon=True
        )
        self._thread.start()

    def run(self, function: Callable[[], Any]) -> Any:
        future: Future[Any] = Future()
        self._queue.put((function, future))
        del function
        try:
            return future.result()
        finally:
            # An error's traceback holds this frame.
            del future

    def renew(self) -> None:
        self.stop()
        self._start()

    def stop(self) -> None:
        self._queue.put(None)
        self._thread.join()


def _work(jobs: queue.SimpleQueue[tuple[Callable[[], Any], Future[Any]] | None]) -> None:
    while (job := jobs.get()) is not None:
        function, future = job
        try:
            result = function()
        except BaseException as error:
            # What a job keeps alive must not outlive it here: dropping a body is a move.
            del function, job
            future.set_exception(error)
            del error, future
        else:
            del function, job
            future.set_result(result)
            del result, future
