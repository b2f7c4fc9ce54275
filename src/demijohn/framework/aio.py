"""Running async functions from sync code.

Each thread keeps one event loop. On a thread whose loop runs already, and in a greenlet, the
function runs in a helper thread.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Coroutine
from contextvars import Context, copy_context
from functools import wraps
from typing import Any

_kept = threading.local()


def async_to_sync(func: Callable[..., Coroutine[Any, Any, Any]]) -> Callable[..., Any]:
    """A sync function that runs `func` to its end and returns what it returns.

    `func` runs in a copy of the caller's Context; the variables that it changed are set in the
    caller's when it is done, so that an async hook can do what a sync one can.
    """

    @wraps(func)
    def run(*args: Any, **kwargs: Any) -> Any:
        context = copy_context()
        try:
            if _must_leave_thread():
                return _run_in_thread(func, args, kwargs, context)
            return _runner().run(func(*args, **kwargs), context=context)
        finally:
            set_back(context)

    return run


def set_back(context: Context) -> None:
    """Set the variables in which `context` differs from the calling code's Context."""
    missing = object()
    for var, value in context.items():
        if var.get(missing) is not value:
            var.set(value)


def _runner() -> Any:
    import asyncio  # not at import time: an application without async functions never loads it

    runner = getattr(_kept, "runner", None)
    if runner is None:
        runner = _kept.runner = asyncio.Runner()
        # Made here, not at the first run, so that no signal handler is put on the main thread.
    return runner


def _must_leave_thread() -> bool:
    asyncio = sys.modules.get("asyncio")
    if asyncio is not None and asyncio._get_running_loop() is not None:
        return True
    greenlet = sys.modules.get("greenlet")
    return greenlet is not None and greenlet.getcurrent().parent is not None


def _run_in_thread(
    func: Callable[..., Coroutine[Any, Any, Any]],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    context: Context,
) -> Any:
    import asyncio

    outcome: list[Any] = []

    def work() -> None:
        try:
            with asyncio.Runner() as runner:
                outcome.append((True, runner.run(func(*args, **kwargs), context=context)))
        except BaseException as error:
            outcome.append((False, error))

    thread = threading.Thread(target=work, name="demijohn-async")
    thread.start()
    thread.join()
    done, value = outcome.pop()
    if not done:
        try:
            raise value
        finally:
            del value
    return value
