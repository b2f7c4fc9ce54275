"""Making the calls of an end that need an event loop: inline, and awaited.

Holds the two drivers of `ending.Steps`. `asyncio` is imported only where something is async.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Awaitable, Callable
from contextvars import copy_context
from typing import Any, TypeAlias
from weakref import WeakKeyDictionary

from .ending import END_TIMEOUT, Steps, raise_errors
from .errors import ContextWarning

guards: WeakKeyDictionary[Any, threading.Lock] = WeakKeyDictionary()
"""Event loop -> the lock held by whoever runs it, for loops that several threads may run."""


Make: TypeAlias = Callable[[Any, Callable[[], Any]], Awaitable[Any]]


def drive(steps: Steps) -> list[BaseException]:
    """Make every call on the spot; awaitables on their own loop, wherever that runs."""
    reply: Any = None
    loop = call = None
    try:
        while True:
            loop, call = steps.send(reply)
            try:
                reply = (True, call() if loop is None else run_on(loop, call))
            except BaseException as error:
                reply = (False, error)
    except StopIteration as stop:
        errors: list[BaseException] = stop.value
        try:
            return errors
        finally:
            # The errors' tracebacks lead to this frame.
            del errors
    finally:
        reply = loop = call = None


async def drive_async(steps: Steps, make: Make | None = None) -> list[BaseException]:
    """The same from a coroutine: what belongs to the running loop is awaited.

    `make(loop, call)` makes each call where another way than that is wanted.
    """
    make = make or _make
    reply: Any = None
    loop = call = None
    try:
        while True:
            loop, call = steps.send(reply)
            try:
                reply = (True, await make(loop, call))
            except BaseException as error:
                reply = (False, error)
    except StopIteration as stop:
        errors: list[BaseException] = stop.value
        try:
            return errors
        finally:
            del errors
    finally:
        reply = loop = call = None


async def _make(loop: Any, call: Callable[[], Any]) -> Any:
    if loop is None:
        return call()
    return await call() if is_running(loop) else run_on(loop, call)


def raise_in_task(errors: list[BaseException], what: str) -> None:
    """`raise_errors` for a task: its being cancelled comes out as itself, whatever failed besides.

    The rest is told to the loop's exception handler then.
    """
    import asyncio

    try:
        cancelled = [error for error in errors if isinstance(error, asyncio.CancelledError)]
        if not cancelled:
            raise_errors(errors, what)
            return
        handle = asyncio.get_running_loop().call_exception_handler
        for error in errors:
            if not isinstance(error, asyncio.CancelledError):
                handle({"message": what, "exception": error})
        raise cancelled[0]
    finally:
        # The errors' tracebacks lead to this frame.
        errors, cancelled = [], []


def is_running(loop: Any) -> bool:
    """Whether it is the running event loop of this thread."""
    import asyncio

    return asyncio._get_running_loop() is loop


def run_on(loop: Any, call: Callable[[], Any]) -> Any:
    """Await `call()` on `loop`: from outside of it where it runs elsewhere or not at all."""
    import asyncio

    if is_running(loop):
        warnings.warn(
            "A context with an async resource was ended by a plain `with` on the running event"
            " loop. The resource is closed by a task; `async with` closes it within the block.",
            ContextWarning,
            stacklevel=2,
        )
        task = loop.create_task(call())
        _kept.add(task)
        task.add_done_callback(_kept.discard)
        return None
    if asyncio._get_running_loop() is not None:
        return _elsewhere(lambda: _from_outside(loop, call))
    return _from_outside(loop, call)


# Tasks that nobody awaits: the loop itself refers to them weakly.
_kept: set[Any] = set()


async def _awaiting(call: Callable[[], Any]) -> Any:
    return await call()


def _from_outside(loop: Any, call: Callable[[], Any]) -> Any:
    import asyncio

    guard = guards.get(loop)
    # Who closed a loop keeps its lock.
    if guard is not None and not loop.is_closed():
        # Another thread may be about to run it, or runs it and cancels at its end what is left.
        if not guard.acquire(timeout=END_TIMEOUT):
            raise TimeoutError(f"An event loop was busy for {END_TIMEOUT} s: {call} was not made.")
        try:
            return _alone(loop, call)
        finally:
            guard.release()
    if loop.is_running():
        return asyncio.run_coroutine_threadsafe(_awaiting(call), loop).result(END_TIMEOUT)
    return _alone(loop, call)


def _alone(loop: Any, call: Callable[[], Any]) -> Any:
    if not loop.is_closed():
        return loop.run_until_complete(_awaiting(call))
    import asyncio

    with asyncio.Runner() as runner:
        return runner.run(_awaiting(call))


def _elsewhere(work: Callable[[], Any]) -> Any:
    outcome: list[Any] = []
    context = copy_context()

    def run() -> None:
        try:
            outcome.append((True, context.run(work)))
        except BaseException as error:
            outcome.append((False, error))

    thread = threading.Thread(target=run, name="demijohn-closing")
    thread.start()
    thread.join()
    done, value = outcome.pop()
    if done:
        return value
    try:
        raise value
    finally:
        # The error's traceback leads to this frame.
        del value
