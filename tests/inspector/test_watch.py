"""Noticing contexts in this process: parents, requests and places, without keeping any alive."""

from __future__ import annotations

import asyncio
import gc
import re
import threading
import time
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from demijohn import (
    ContextThread,
    Demijohn,
    appcontext_pushed,
    copy_current_request_context,
    in_child,
    parallel,
    request_started,
    task_group,
)
from demijohn.context.cancel import CancelToken
from demijohn.context.unit import unit_of
from demijohn.inspector.records import ContextRecord
from demijohn.inspector.watch import Watch


@pytest.fixture
def watch() -> Iterator[Watch]:
    with Watch() as watch:
        yield watch


@pytest.fixture
def app() -> Demijohn:
    return Demijohn("site")


def outline(context: ContextRecord) -> tuple[object, ...]:
    return (context.kind, context.path, *map(outline, context.children))


def listed(watch: Watch) -> list[tuple[object, ...]]:
    return [outline(context) for context in watch.snapshot().contexts]


def test_nested_contexts(watch: Watch, app: Demijohn) -> None:
    """A context stands below the one that was current when it began, and goes with its end."""
    other = Demijohn("other")
    with app.app_context():
        with other.app_context():
            (outer,) = watch.snapshot().contexts
            assert outline(outer) == ("app context", None, ("app context", None))
            assert (outer.app, outer.children[0].app) == ("site", "other")
            place = re.escape(__file__)
            assert re.fullmatch(rf"({place}|tests\S+):\d+ test_nested_contexts", outer.begun_at)
        assert listed(watch) == [("app context", None)]
    assert listed(watch) == []


def test_a_child_whose_parent_has_ended(watch: Watch, app: Demijohn) -> None:
    """It is listed by itself; a successor of its parent is another parent."""
    outer, inner = app.app_context(), app.app_context()
    begun, ended = threading.Event(), threading.Event()

    def work() -> None:
        outer.push()
        inner.push()
        begun.set()
        ended.wait(60)
        inner.pop()

    thread = threading.Thread(target=work)
    thread.start()
    begun.wait(60)
    try:
        with pytest.warns(RuntimeWarning, match="popped in"):
            outer.pop()
        assert listed(watch) == [("app context", None)]
        with outer:
            assert listed(watch) == [("app context", None)] * 2
    finally:
        ended.set()
        thread.join()


def test_requests_by_hand(watch: Watch, app: Demijohn) -> None:
    """A request context pushed by hand is the request of its app context."""
    with app.test_request_context("/one?secret=1", method="PUT"):
        (request,) = watch.snapshot().contexts
        assert (request.kind, request.method, request.path) == ("request", "PUT", "/one")
        assert request.begun_at.endswith("test_requests_by_hand")


def test_joined_requests(watch: Watch, app: Demijohn) -> None:
    """A test client's request that joins an app context stands below it."""
    seen: list[list[tuple[object, ...]]] = []

    @app.get("/joined")
    def joined() -> str:
        seen.append(listed(watch))
        return "done"

    with app.app_context():
        assert app.test_client().get("/joined").status_code == 200
        assert seen == [[("app context", None, ("joined request", "/joined"))]]
        assert listed(watch) == [("app context", None)]


def test_a_clients_request_within_a_view(watch: Watch, app: Demijohn) -> None:
    """A request that a view makes of its own application is a request of its own."""
    seen: list[list[tuple[object, ...]]] = []

    @app.get("/inner")
    def inner() -> str:
        seen.append(listed(watch))
        return "done"

    @app.get("/outer")
    def outer() -> str:
        return app.test_client().get("/inner").text

    assert app.test_client().get("/outer").text == "done"
    assert seen == [[("request", "/outer"), ("request", "/inner")]]


def test_copied_requests(watch: Watch, app: Demijohn) -> None:
    """Each call of a function with a copied request is listed under the request, on its thread."""
    seen: list[list[tuple[object, ...]]] = []

    @app.get("/")
    def view() -> str:
        call = copy_current_request_context(lambda: seen.append(listed(watch)))
        thread = threading.Thread(target=call)
        thread.start()
        thread.join()
        return "done"

    app.test_client().get("/")
    assert seen == [[("request", "/", ("child", "/"))]]


def test_copies_by_hand(watch: Watch, app: Demijohn) -> None:
    """A copy of a request context is below the original, wherever it is pushed."""
    with app.test_request_context("/") as ctx:
        copy = ctx.copy()
        thread = threading.Thread(target=copy.push)
        thread.start()
        thread.join()
        assert listed(watch) == [("request", "/", ("copied request", "/"))]
        with pytest.warns(RuntimeWarning, match="popped in"):
            copy.pop()


def test_children(watch: Watch, app: Demijohn) -> None:
    """Children are below what they were started in, in threads, branches and tasks, and by
    themselves when that has ended."""
    seen: dict[str, list[tuple[object, ...]]] = {}
    last = threading.Event()

    def note(name: str) -> None:
        seen[name] = listed(watch)

    @app.get("/work")
    def work() -> str:
        thread = ContextThread(target=note, args=("thread",))
        thread.start()
        thread.join()
        with parallel() as branches:
            branches.submit(note, "branch")
        with ThreadPoolExecutor(1) as pool:
            pool.submit(in_child(note), "pool").result()
        with app.app_context():
            asyncio.run(tasks())
        late.append(ContextThread(target=lambda: (last.wait(60), note("late"))))
        late[0].start()
        return "done"

    async def tasks() -> None:
        async def task() -> None:
            note("task")

        async with task_group() as group:
            group.create_task(task())

    late: list[threading.Thread] = []
    assert app.test_client().get("/work").status_code == 200
    last.set()
    late[0].join()
    below = ("request", "/work", ("child", "/work"))
    assert seen == {
        "thread": [below],
        "branch": [below],
        "pool": [below],
        "task": [("request", "/work", ("app context", None, ("child", "/work")))],
        "late": [("child", "/work")],
    }


def test_what_should_stop(watch: Watch, app: Demijohn) -> None:
    """A context that was cancelled, and the time left until a deadline, are told."""
    with app.app_context() as ctx:
        (context,) = watch.snapshot().contexts
        assert context.stopping == ""
        assert ctx._unit is None, "looking made something"
        ctx.cancel("user")
        (context,) = watch.snapshot().contexts
        assert (context.cancelled, context.remaining) == ("user", None)
        assert context.stopping == "cancelled: user"
    with app.app_context() as ctx:
        unit_of(ctx).cancel = CancelToken(time.monotonic() + 60)
        (context,) = watch.snapshot().contexts
        assert context.cancelled is None
        assert context.remaining is not None
        assert 30 < context.remaining <= 60
        assert context.stopping.startswith("deadline in ")


def test_a_context_that_was_there_before(app: Demijohn) -> None:
    """What is current when watching begins is listed too."""
    with app.app_context(), Watch() as watch:
        assert listed(watch) == [("app context", None)]


def test_nothing_is_kept(watch: Watch, app: Demijohn) -> None:
    """A context that nobody else keeps is gone at once, with the cyclic collector off."""
    app.add_url_rule("/", view_func=lambda: "done")
    gc.disable()
    try:
        for make in (app.app_context, partial(app.test_request_context, "/")):
            with make() as context:
                assert len(watch.snapshot().contexts) == 1
            gone = weakref.ref(context)
            del context
            assert gone() is None
        assert app.test_client().get("/").status_code == 200
        assert watch._begun == {}
    finally:
        gc.enable()


def test_watching_ends(app: Demijohn) -> None:
    """After its block nobody receives the signals, and nothing is noticed."""
    with Watch() as watch:
        assert appcontext_pushed.receivers
    assert not appcontext_pushed.receivers
    assert not request_started.receivers
    with app.app_context():
        assert listed(watch) == []


def test_listing_while_contexts_come_and_go(watch: Watch, app: Demijohn) -> None:
    """Snapshots taken while other threads push and pop list only whole trees, and end empty."""
    over = threading.Event()

    def work() -> None:
        while not over.is_set():
            with app.test_request_context("/busy"), app.app_context():
                pass

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(200):
            for context in watch.snapshot().contexts:
                below = sum(1 for _ in context.walk())
                assert below <= 2, context
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert listed(watch) == []


def test_where_contexts_run(watch: Watch, app: Demijohn) -> None:
    """A greenlet is named beside its thread, and a thread that has ended is said to have."""
    gevent = pytest.importorskip("gevent", reason="pip install gevent")
    seen: list[str] = []

    def in_greenlet() -> None:
        with app.app_context():
            seen.extend(context.work for context in watch.snapshot().contexts)

    gevent.spawn(in_greenlet).join()
    assert re.fullmatch(r"greenlet Greenlet-\d+, thread MainThread", *seen)

    left = app.app_context()
    thread = threading.Thread(target=left.push)
    thread.start()
    thread.join()
    (context,) = watch.snapshot().contexts
    assert context.work == "a thread that has ended"
    with pytest.warns(RuntimeWarning, match="popped in"):
        left.pop()


def test_tasks_that_end(watch: Watch, app: Demijohn) -> None:
    """A context whose asyncio task has ended is listed by the thread."""
    left = app.app_context()

    async def task() -> str:
        left.push()
        return watch.snapshot().contexts[0].work

    assert asyncio.run(task()).startswith("task Task-")
    gc.collect()
    (context,) = watch.snapshot().contexts
    assert context.work == "a task that has ended, thread MainThread"
    with pytest.warns(RuntimeWarning, match="popped in"):
        left.pop()
