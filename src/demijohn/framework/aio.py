"""Running async functions from sync code.

Each thread keeps one event loop. On a thread whose loop runs already, and in a greenlet, the
function runs in a helper thread.
"""

from __future__ import annotations

import os
import sys
import threading
import weakref
from collections.abc import Callable, Coroutine
from contextvars import Context, copy_context
from functools import wraps
from typing import Any, TypeVar

from ..context.ending import END_TIMEOUT
from ..context.loops import guards

T = TypeVar("T")

_kept = threading.local()


def async_to_sync(func: Callable[..., Coroutine[Any, Any, Any]]) -> Callable[..., Any]:
    """A sync function that runs `func` to its end and returns what it returns.

    `func` runs in a copy of the caller's Context; the variables that it changed are set in the
    caller's when it is done, so that an async hook can do what a sync one can. Tasks that it
    started and did not wait for are cancelled then.
    """

    @wraps(func)
    def run(*args: Any, **kwargs: Any) -> Any:
        context = copy_context()
        try:
            if must_leave_thread():
                return _run_elsewhere(func, args, kwargs, context)
            coroutine = func(*args, **kwargs)  # may raise: before a loop is taken
            return _thread_loop().run(coroutine, context)
        finally:
            set_back(context)

    return run


def set_back(context: Context) -> None:
    """Set the variables in which `context` differs from the calling code's Context."""
    missing = object()
    for var, value in context.items():
        if var.get(missing) is not value:
            var.set(value)


class KeptLoop:
    """An event loop, closed when this is dropped (at the end of the thread that keeps it) or at
    exit.

    `guarded`: what other threads have for this loop waits until nobody runs it, as each run cancels
    what it leaves. Not so for a loop that is run by `until`.
    """

    _finalize: weakref.finalize[[Any, threading.Lock], KeptLoop]

    def __init__(self, inherited: KeptLoop | None = None, guarded: bool = True) -> None:
        import asyncio  # not at import time: an application without async functions never loads it

        self._asyncio = asyncio
        self._runner = asyncio.Runner()
        # In an empty Context: the runner keeps a copy of the one that it is set up in.
        self.loop = Context().run(self._runner.get_loop)
        self.process = os.getpid()
        # A forked process shares the inherited loop's epoll object with its parent: closing the
        # loop here would deregister the parent's files. It stays, unused.
        self._inherited = inherited
        if inherited is not None:
            inherited._finalize.detach()
        # Held by what runs the loop, or by what closed it: at exit the main thread closes the
        # loops of daemon threads too, which go on until the very end.
        self._lock = threading.Lock()
        if guarded:
            guards[self.loop] = self._lock
        self._finalize = weakref.finalize(self, _close, self._runner, self._lock)

    def take(self) -> bool:
        """Take the loop for one `run`; False where it is closed."""
        return self._lock.acquire(blocking=False)

    def run(self, coroutine: Coroutine[Any, Any, Any], context: Context) -> Any:
        """Run a coroutine to its end on a loop that was taken, and cancel the tasks it left."""
        try:
            try:
                return self._runner.run(coroutine, context=context)
            finally:
                # 1 us where there is none. One that stayed would go on, in the context of a
                # request that is over, whenever this thread runs its loop again.
                if self._asyncio.all_tasks(self.loop):
                    self.loop.run_until_complete(self._cancel_tasks())
        finally:
            self._lock.release()

    def is_taken(self) -> bool:
        """Whether somebody runs the loop, or closed it."""
        return self._lock.locked()

    def until(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine to its end on a loop that nobody took; what else runs there stays, and
        stands still until the loop runs again."""
        if not self._lock.acquire(timeout=END_TIMEOUT):
            coroutine.close()
            raise RuntimeError(f"The event loop was busy for {END_TIMEOUT:g} s.")
        try:
            done, value = self.loop.run_until_complete(_outcome(coroutine))
        finally:
            self._lock.release()
        try:
            if done:
                return value
            raise value
        finally:
            # An error's traceback leads to this frame.
            del value

    async def _cancel_tasks(self) -> None:
        asyncio = self._asyncio
        # What is about to end does: the closing of an async generator that was dropped, say.
        await asyncio.sleep(0)
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        for outcome in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(outcome, Exception):
                self.loop.call_exception_handler(
                    {"message": "Error in a task that was not waited for", "exception": outcome}
                )


async def _outcome(coroutine: Coroutine[Any, Any, Any]) -> tuple[bool, Any]:
    """Whether it returned, and what it returned or raised. As a value: an error that left the task
    would be kept by it, and the task by a frame that the error's traceback leads to."""
    try:
        return True, await coroutine
    except BaseException as error:
        return False, error


def _close(runner: Any, lock: threading.Lock) -> None:
    # At exit a daemon thread may be running its loop: the process takes that one along.
    if not lock.acquire(blocking=False):
        return
    if sys.modules["asyncio"]._get_running_loop() is not None:
        # It was dropped by code, or met by the collector on a thread, that another loop runs.
        closing = threading.Thread(target=runner.close, name="demijohn-closing")
        closing.start()
        closing.join()
        return
    try:
        runner.close()
    except RuntimeError as error:
        # Closing waits for the loop's executor in a thread, and from CPython 3.12 on none starts
        # at exit any more. The executor's threads are joined by then, and the loop is closed.
        if "interpreter shutdown" not in str(error):
            raise


def _thread_loop() -> KeptLoop:
    """This thread's loop, taken."""
    loop: KeptLoop | None = getattr(_kept, "loop", None)
    if loop is not None and loop.process != os.getpid():
        loop = _kept.loop = KeptLoop(inherited=loop)
    if loop is None or not loop.take():
        loop = _kept.loop = KeptLoop()
        loop.take()
    return loop


def must_leave_thread() -> bool:
    """Whether no event loop may run on this thread: one does already, or it is in a greenlet."""
    asyncio = sys.modules.get("asyncio")
    if asyncio is not None and asyncio._get_running_loop() is not None:
        return True
    greenlet = sys.modules.get("greenlet")
    return greenlet is not None and greenlet.getcurrent().parent is not None


def _run_elsewhere(
    func: Callable[..., Coroutine[Any, Any, Any]],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    context: Context,
) -> Any:
    """Run the function on another thread's loop, and wait for it."""

    def work() -> Any:
        coroutine = func(*args, **kwargs)
        loop = KeptLoop()
        loop.take()
        try:
            return loop.run(coroutine, context)
        finally:
            loop._finalize()

    return elsewhere(work)


class Elsewhere:
    """A thread of its own with an event loop, for async functions of which one goes on where
    another stopped, as the steps of an async generator do. `close` ends both."""

    def __init__(self) -> None:
        gevent = _gevent_pool()
        if gevent is not None:
            self._pool: Any = type(gevent)(1, hub=gevent.hub)
            self._apply, self._end = self._pool.apply, self._pool.kill
        else:
            from concurrent.futures import ThreadPoolExecutor

            self._pool = ThreadPoolExecutor(1, "demijohn-async")
            self._apply, self._end = self._apply_on_thread, self._pool.shutdown
        # Made in that thread: under gevent it is one of its hub.
        self._loop: KeptLoop = elsewhere(KeptLoop, self._apply)

    def _apply_on_thread(self, work: Callable[[], object]) -> None:
        self._pool.submit(work).result()

    def run(self, func: Callable[..., Coroutine[Any, Any, T]], *args: Any) -> T:
        """Run `func` to its end, in a copy of the caller's Context as `async_to_sync` does."""
        context = copy_context()

        def work() -> T:
            self._loop.take()
            result: T = self._loop.run(func(*args), context)
            return result

        try:
            return elsewhere(work, self._apply)
        finally:
            set_back(context)

    def close(self) -> None:
        """End the loop and its thread."""
        try:
            elsewhere(self._loop._finalize, self._apply)
        finally:
            self._end()


def elsewhere(
    work: Callable[[], T], apply: Callable[[Callable[[], object]], object] | None = None
) -> T:
    """Call `work` in a thread of its own, and wait for it; what it returns or raises.

    Arguments:
        apply: calls a function in the thread to take.
    """
    outcome: list[Any] = []

    def attempt() -> None:
        try:
            outcome.append((True, work()))
        except BaseException as error:
            outcome.append((False, error))

    if apply is not None:
        apply(attempt)
    elif (pool := _gevent_pool()) is not None:
        pool.apply(attempt)
    else:
        thread = threading.Thread(target=attempt, name="demijohn-async")
        thread.start()
        thread.join()
    done, value = outcome.pop()
    if not done:
        try:
            raise value
        finally:
            del value
    result: T = value
    return result


def _gevent_pool() -> Any:
    """The pool of real threads of the gevent hub that runs this code, which goes on meanwhile.

    None without gevent. Where gevent has patched `threading`, a `Thread` is a greenlet, and two
    event loops cannot run in one thread.
    """
    gevent = sys.modules.get("gevent")
    if gevent is None:
        return None
    monkey = sys.modules.get("gevent.monkey")
    patched = monkey is not None and monkey.is_module_patched("threading")
    if patched or isinstance(gevent.getcurrent(), gevent.Greenlet):
        return gevent.get_hub().threadpool
    return None
