"""Where a test's body can run: one runner for each kind of place that Python code runs in.

A runner takes a function, calls it there once and returns what it returned or raises what it
raised. `everywhere` runs a test in all of them. `FOREIGN` are those that have another
`contextvars.Context` than the code that asks.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import gevent
import greenlet
import pytest

T = TypeVar("T")
Runner = Callable[[Callable[[], T]], T]


def here(function: Callable[[], T]) -> T:
    """On the calling thread."""
    return function()


def thread(function: Callable[[], T]) -> T:
    """On a thread of its own."""
    future: Future[T] = Future()

    def target() -> None:
        try:
            future.set_result(function())
        except BaseException as error:
            future.set_exception(error)

    started = threading.Thread(target=target, name="place")
    started.start()
    started.join()
    return future.result()


def pool(function: Callable[[], T]) -> T:
    """On a pool's worker that has run another job before."""
    with ThreadPoolExecutor(1, thread_name_prefix="place") as executor:
        executor.submit(int).result()
        return executor.submit(function).result()


def task(function: Callable[[], T]) -> T:
    """In an asyncio task; on a thread of its own where a loop is running already."""

    async def call() -> T:
        return function()

    async def main() -> T:
        return await asyncio.create_task(call())

    return _without_loop(lambda: asyncio.run(main()))


def spawned_greenlet(function: Callable[[], T]) -> T:
    """In a greenlet that gevent schedules."""
    return gevent.spawn(function).get()


def bare_greenlet(function: Callable[[], T]) -> T:
    """In a greenlet that is switched to by hand."""
    return greenlet.greenlet(function).switch()


def generator(function: Callable[[], T]) -> T:
    """In a step of a generator, which has its caller's Context."""

    def body() -> Iterator[T]:
        yield function()

    [value] = body()
    return value


def async_generator(function: Callable[[], T]) -> T:
    """In a step of an async generator, which has its caller's Context."""

    async def body() -> AsyncIterator[T]:
        yield function()

    async def main() -> T:
        [value] = [value async for value in body()]
        return value

    return _without_loop(lambda: asyncio.run(main()))


def copied(function: Callable[[], T]) -> T:
    """In a copy of the calling Context."""
    return contextvars.copy_context().run(function)


def _without_loop(function: Callable[[], T]) -> T:
    running = True
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        running = False
    return thread(function) if running else function()


PLACES: list[Runner] = [
    here,
    thread,
    pool,
    task,
    spawned_greenlet,
    bare_greenlet,
    generator,
    async_generator,
]
FOREIGN: list[Runner] = [thread, pool, task, spawned_greenlet, bare_greenlet, copied]

foreign = pytest.mark.parametrize("elsewhere", FOREIGN, ids=lambda runner: runner.__name__)
"""Gives a test `elsewhere`, a runner in another Context."""


def everywhere(test: Callable[..., None]) -> Callable[..., None]:
    """Run the body of a test in each of `PLACES`; other arguments are pytest's."""

    @functools.wraps(test)
    def run(place: Runner, **arguments: object) -> None:
        place(lambda: test(**arguments))

    # pytest reads the arguments from here.
    import inspect

    own = inspect.signature(test).parameters.values()
    first = inspect.Parameter("place", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    run.__signature__ = inspect.Signature([first, *own])  # type: ignore[attr-defined]
    del run.__wrapped__
    return pytest.mark.parametrize("place", PLACES, ids=lambda runner: runner.__name__)(run)
