"""Promise 14 for children: with the cyclic collector off they leave nothing behind."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from children_kit import PATIENCE, make_app

from demijohn import (
    ContextThread,
    ContextThreadPoolExecutor,
    copy_current_request_context,
    g,
    in_child,
    parallel,
    request,
    session,
    task_group,
)
from demijohn.globals import app_ctx, request_ctx
from demijohn.testing import EnvironBuilder

CALLS = 1000


@pytest.fixture
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def look() -> int:
    """What a child does: it looks at everything."""
    g.n = 1
    return len(request.args) + len(session) + len(request.headers)


def fail() -> None:
    raise LookupError


def by_thread(work: Callable[[], Any]) -> None:
    thread = ContextThread(target=work)
    thread.start()
    thread.join(PATIENCE)


def by_branches(work: Callable[[], Any]) -> None:
    with parallel() as p:
        p.submit(work)


def by_flask(work: Callable[[], Any]) -> None:
    copy_current_request_context(work)()


def by_call(work: Callable[[], Any]) -> None:
    in_child(work)()


def never(work: Callable[[], Any]) -> None:
    in_child(work)
    copy_current_request_context(work)


KINDS: list[Callable[[Callable[[], Any]], None]] = [
    *(by_call, by_flask, by_thread, by_branches, never),
]


@pytest.mark.parametrize(
    ("start", "work"),
    # Not an error in a thread: `threading.excepthook`, which gets it, is the tests' own.
    [
        (start, work)
        for start in KINDS
        for work in (look, fail)
        if (start, work) != (by_thread, fail)
    ],
    ids=lambda each: each.__name__,
)
def test_a_thousand_children(start: Any, work: Any, no_collector: None) -> None:
    """A thousand requests with a child each leave not one object, on any thread."""
    app = make_app()
    app.carry("user")

    def view() -> str:
        g.user = {"name": "ann"}
        try:
            start(work)
        except LookupError:
            pass
        return "x"

    app.add_url_rule("/", "view", view)

    def ask() -> None:
        environ = EnvironBuilder(app, "/?q=1").get_environ()
        assert list(app(environ, lambda *args: None)) == [b"x"]

    # The interpreter's free lists fill up first.
    for _ in range(100):
        ask()
    app.log.clear()
    before, blocks = len(gc.get_objects()), sys.getallocatedblocks()
    for _ in range(CALLS):
        ask()
        app.log.clear()
    grown, blocks = len(gc.get_objects()) - before, sys.getallocatedblocks() - blocks
    assert grown < CALLS / 20, f"{grown} objects"
    assert blocks < CALLS / 20, f"{blocks} blocks"


def test_everything_of_a_child_is_gone(no_collector: None) -> None:
    """What a child had is gone when it has ended, without the collector: request, contexts, `g` and
    session; and its parent's when that has ended."""
    refs: list[weakref.ref[Any]] = []

    def note() -> None:
        for proxy in (request, request_ctx, app_ctx, g, session):
            refs.append(weakref.ref(proxy._get_current_object()))

    app = make_app()

    def view() -> str:
        note()
        session["a"] = 1
        in_child(note)()
        copy_current_request_context(note)()
        with ThreadPoolExecutor(1) as pool:
            pool.submit(in_child(note)).result(PATIENCE)
        with ContextThreadPoolExecutor(1) as pool:
            pool.submit(note).result(PATIENCE)
        with parallel() as p:
            p.submit(note)
        by_thread(note)
        return "x"

    app.add_url_rule("/", "view", view)
    list(app(EnvironBuilder(app, "/").get_environ(), lambda *args: None))
    assert len(refs) == 35
    alive = [ref() for ref in refs if ref() is not None]
    assert alive == []


def test_a_late_child_keeps_nothing_of_its_parent(no_collector: None) -> None:
    """A child that runs on keeps its parent's request, contexts and `g` from being freed no more
    than the response does."""
    app = make_app()
    refs: list[weakref.ref[Any]] = []
    go, seen = threading.Event(), list[str]()

    def work() -> None:
        assert go.wait(PATIENCE)
        seen.append(request.path)

    def view() -> str:
        for proxy in (request, request_ctx, app_ctx, g, session):
            refs.append(weakref.ref(proxy._get_current_object()))
        session["a"] = 1
        threads.append(ContextThread(target=work))
        threads[0].start()
        return "x"

    threads: list[ContextThread] = []
    app.add_url_rule("/", "view", view)
    list(app(EnvironBuilder(app, "/").get_environ(), lambda *args: None))
    alive = [ref() for ref in refs if ref() is not None]
    go.set()
    threads[0].join(PATIENCE)
    assert (alive, seen) == ([], ["/"])


def test_task_groups(no_collector: None) -> None:
    """Tasks of groups leave nothing of ours behind."""
    app = make_app()
    refs: list[weakref.ref[Any]] = []

    async def work() -> None:
        refs.append(weakref.ref(app_ctx._get_current_object()))
        await asyncio.sleep(0)

    async def main() -> None:
        async with task_group() as tg:
            for _ in range(20):
                tg.create_task(work())

    with app.app_context():
        asyncio.run(main())
    assert [ref() for ref in refs] == [None] * 20


@pytest.mark.parametrize("way", ["a task fails", "the block fails", "deadline", "cancelled"])
def test_task_groups_that_fail(way: str, no_collector: None) -> None:
    """Nor do groups whose block raises: neither tasks nor their contexts stay with the error."""
    app = make_app()
    refs: list[weakref.ref[Any]] = []

    async def work() -> None:
        refs.append(weakref.ref(app_ctx._get_current_object()))
        if way == "a task fails":
            raise LookupError
        await asyncio.sleep(PATIENCE)

    async def group() -> None:
        async with task_group(deadline=0.01 if way == "deadline" else None) as tg:
            tg.create_task(work())
            await asyncio.sleep(0)
            if way == "the block fails":
                raise LookupError

    async def main() -> None:
        try:
            async with asyncio.timeout(0.01 if way == "cancelled" else None):
                await group()
        except* (LookupError, TimeoutError):
            pass

    with app.app_context():
        asyncio.run(main())
    assert [ref() for ref in refs] == [None]
