"""An event loop in a thread of its own, for ASGI applications on an edge that has none.

One a mount and process: made at the first use, made anew in a forked process, stopped by `close` or
at exit.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import sys
import threading
import weakref
from collections.abc import Callable, Coroutine
from typing import Any

from ..context.ending import END_TIMEOUT
from .loop_thread import LoopThread


class SideLoop:
    """A loop that runs while its application is used. `RuntimeError` under gevent.

    Arguments:
        begin: a coroutine function, awaited on the loop before it is first used; when it raises,
            the loop is stopped, the user gets the error, and the next use tries again.
        end: one that is awaited when the loop is to stop, at most `END_TIMEOUT` seconds; logs its
            own errors.
    """

    def __init__(
        self,
        begin: Callable[[], Coroutine[Any, Any, None]],
        end: Callable[[], Coroutine[Any, Any, None]],
    ) -> None:
        self._begin = begin
        self._end = end
        self._lock = threading.Lock()
        self._running: _Running | None = None
        # Of processes that this one was forked from: closing such a loop would deregister the
        # parent's files, which it shares.
        self._inherited: list[_Running] = []
        self._at_exit = False

    def get(self) -> asyncio.AbstractEventLoop:
        """The running loop of this process."""
        running = self._running
        if running is None or running.process != os.getpid():
            running = self._start()
        loop: asyncio.AbstractEventLoop = running.loop
        return loop

    def _start(self) -> _Running:
        with self._lock:
            running = self._running
            if running is not None and running.process != os.getpid():
                self._inherited.append(running)
                running = self._running = None
            if running is None:
                _refuse_greenlets()
                running = _Running()
                try:
                    running.run(self._begin())
                except BaseException:
                    running.stop(2 * END_TIMEOUT)
                    raise
                self._running = running
                if not self._at_exit:
                    self._at_exit = True
                    atexit.register(_close_at_exit, weakref.ref(self))
            return running

    def close(self) -> None:
        """Stop the loop, if it runs in this process; a later use starts another."""
        with self._lock:
            running = self._running
            if running is None or running.process != os.getpid():
                return
            self._running = None
            try:
                running.run(asyncio.wait_for(self._end(), END_TIMEOUT))
            finally:
                running.stop(2 * END_TIMEOUT)


class _Running(LoopThread):
    """The loop of this process."""

    def __init__(self) -> None:
        self.process = os.getpid()
        super().__init__("demijohn-mount")


def _refuse_greenlets() -> None:
    """A patched thread is a greenlet: with a loop in it, every greenlet of that thread would find a
    loop running, and what waits in one of them could wait for ever."""
    monkey = sys.modules.get("gevent.monkey")
    if monkey is not None and monkey.is_module_patched("threading"):
        raise RuntimeError(
            "An ASGI application is mounted, and the server runs greenlets (gevent): there an event"
            " loop has no thread of its own. Use a server with threads (gunicorn --worker-class"
            " gthread), or one for ASGI."
        )


def _close_at_exit(ref: weakref.ref[SideLoop]) -> None:
    side = ref()
    if side is not None:
        side.close()
