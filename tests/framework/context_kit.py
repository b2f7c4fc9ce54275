"""What the tests of contexts share: applications, and places where code can run."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextvars import Context, copy_context
from typing import Any, TypeVar

import flask
import pytest

import demijohn

BOTH = pytest.mark.parametrize("fw", [demijohn, flask], ids=["demijohn", "flask"])
"""The same assertions on Flask 3.1.3 and here; `fw` is the package."""

T = TypeVar("T")


def make_app(fw: Any = demijohn, **config: Any) -> Any:
    """An application; `app.log` is what its teardown functions wrote, with the exception's type."""
    app = fw.Flask("site", static_folder=None)
    app.config.update({"SECRET_KEY": "key", **config})
    app.log = log = []
    app.teardown_request(lambda exc: log.append(f"request {name_of(exc)}"))
    app.teardown_appcontext(lambda exc: log.append(f"app {name_of(exc)}"))
    return app


def name_of(exc: BaseException | None) -> str:
    return "ok" if exc is None else type(exc).__name__


def in_thread(function: Callable[[], T]) -> T:
    """Call `function` on a thread of its own; what it returns, or raises."""
    outcome: list[Any] = []

    def work() -> None:
        try:
            outcome.append((True, function()))
        except BaseException as error:
            outcome.append((False, error))

    thread = threading.Thread(target=work, name="other")
    thread.start()
    thread.join()
    done, value = outcome.pop()
    if not done:
        raise value
    result: T = value
    return result


def in_task(function: Callable[[], T]) -> T:
    """Call `function` in an asyncio task, which inherits a copy of the caller's Context."""

    async def work() -> T:
        return function()

    return asyncio.run(work())


def in_greenlet(function: Callable[[], T]) -> T:
    """Call `function` in a greenlet, which starts with an empty Context."""
    from greenlet import greenlet

    result: T = greenlet(function).switch()
    return result


def in_copy(function: Callable[[], T]) -> T:
    """Call `function` in a copy of the caller's Context, on the same thread."""
    return copy_context().run(function)


def in_empty(function: Callable[[], T]) -> T:
    """Call `function` in an empty Context, on the same thread."""
    return Context().run(function)


PLACES = [in_thread, in_task, in_greenlet, in_copy, in_empty]
