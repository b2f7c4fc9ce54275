"""Making the calls of an end that need an event loop: inline, and awaited.

Holds the two drivers of `held.Steps`. `asyncio` is imported only where something is async.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable
from contextvars import copy_context
from typing import Any

from .errors import ContextWarning
from .held import Steps

END_TIMEOUT = 5.0
"""Seconds that an end waits for a close on a loop that another thread runs."""


def drive(steps: Steps) -> list[BaseException]:
    """Make every call on the spot; awaitables on their own loop, wherever that runs."""
    reply: Any = None
    try:
        while True:
            loop, call = steps.send(reply)
            try:
                reply = (True, call() if loop is None else _run_on(loop, call))
            except BaseException as error:
                reply = (False, error)
    except StopIteration as stop:
        errors: list[BaseException] = stop.value
        return errors
    finally:
        reply = None


async def drive_async(steps: Steps) -> list[BaseException]:
    """The same from a coroutine: what belongs to the running loop is awaited."""
    import asyncio

    running = asyncio.get_running_loop()
    reply: Any = None
    try:
        while True:
            loop, call = steps.send(reply)
            try:
                if loop is running:
                    reply = (True, await call())
                else:
                    reply = (True, call() if loop is None else _run_on(loop, call))
            except BaseException as error:
                reply = (False, error)
    except StopIteration as stop:
        errors: list[BaseException] = stop.value
        return errors
    finally:
        reply = None


def _run_on(loop: Any, call: Callable[[], Any]) -> Any:
    """Await `call()` on `loop`: from outside of it where it runs elsewhere or not at all."""
    import asyncio

    running = asyncio._get_running_loop()
    if running is not None and running is loop:
        warnings.warn(
            "A context with an async resource was ended by a plain `with` on the running event"
            " loop. The resource is closed by a task; `async with` closes it within the block.",
            ContextWarning,
            stacklevel=2,
        )
        task = running.create_task(call())
        _kept.add(task)
        task.add_done_callback(_kept.discard)
        return None
    if loop.is_running():
        return asyncio.run_coroutine_threadsafe(_awaiting(call), loop).result(END_TIMEOUT)
    if running is not None:
        return _elsewhere(lambda: _alone(loop, call))
    return _alone(loop, call)


# Tasks that nobody awaits: the loop itself refers to them weakly.
_kept: set[Any] = set()


async def _awaiting(call: Callable[[], Any]) -> Any:
    return await call()


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
    if not done:
        raise value
    return value
