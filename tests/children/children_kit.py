"""What the tests of children share: an application that writes down its ends, and ways to start."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import gevent
import pytest

import demijohn
from demijohn import ContextThread, ContextThreadPoolExecutor, in_child, parallel, task_group

T = TypeVar("T")
Start = Callable[[Callable[[], T]], T]

PATIENCE = 20.0
"""Seconds that a test waits for what should come at once."""


def make_app(**config: Any) -> Any:
    """An application; `app.log` is what its teardown functions wrote."""
    app = demijohn.Demijohn("site", static_folder=None)
    app.config.update({"SECRET_KEY": "key", **config})
    log: list[str] = []
    app.__dict__["log"] = log
    app.teardown_request(lambda exc: log.append(f"request {name_of(exc)}"))
    app.teardown_appcontext(lambda exc: log.append(f"app {name_of(exc)}"))
    return app


def view_app(view: Callable[..., Any], rule: str = "/", **config: Any) -> Any:
    """The same with one view."""
    app = make_app(**config)
    app.add_url_rule(rule, "view", view, methods=["GET", "POST"])
    return app


def name_of(exc: BaseException | None) -> str:
    return "ok" if exc is None else type(exc).__name__


# -- ways to start a child, each of which gives what the function returned or raised ---------------


def called(function: Callable[[], T]) -> T:
    """`in_child`, called on the spot."""
    return in_child(function)()


def in_a_thread(function: Callable[[], T]) -> T:
    """`ContextThread`. What it raises is heard of as what any thread raises."""
    results: list[T] = []
    errors: list[BaseException | None] = []
    thread = ContextThread(target=lambda: results.append(function()), name="child")
    hook = threading.excepthook
    threading.excepthook = lambda args: errors.append(args.exc_value)
    try:
        thread.start()
        thread.join(PATIENCE)
    finally:
        threading.excepthook = hook
    for error in errors:
        assert error is not None
        raise error
    return results[0]


def in_an_executor(function: Callable[[], T]) -> T:
    """`ContextThreadPoolExecutor`."""
    with ContextThreadPoolExecutor(1) as pool:
        return pool.submit(function).result(PATIENCE)


def in_any_executor(function: Callable[[], T]) -> T:
    """`in_child` in an executor that knows nothing of contexts."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(in_child(function)).result(PATIENCE)


def in_a_greenlet(function: Callable[[], T]) -> T:
    """`in_child` in a greenlet."""
    result: T = gevent.spawn(in_child(function)).get()
    return result


def in_a_branch(function: Callable[[], T]) -> T:
    """`parallel`."""
    with parallel() as p:
        branch = p.submit(function)
    return branch.result()


def in_a_task(function: Callable[[], T]) -> T:
    """`task_group`."""

    async def work() -> T:
        return function()

    async def main() -> T:
        try:
            async with task_group() as tg:
                task = tg.create_task(work())
        except* Exception as group:
            [error] = group.exceptions
            raise error from None
        return task.result()

    return asyncio.run(main())


def awaited(function: Callable[[], T]) -> T:
    """`in_child` of an async function."""

    async def work() -> T:
        return function()

    async def main() -> T:
        return await in_child(work)()

    return asyncio.run(main())


STARTS: list[Start[Any]] = [
    called,
    in_a_thread,
    in_an_executor,
    in_any_executor,
    in_a_greenlet,
    in_a_branch,
    in_a_task,
    awaited,
]

EVERY_WAY = pytest.mark.parametrize("start", STARTS, ids=lambda start: start.__name__)
"""Each test with every way to start a child."""
