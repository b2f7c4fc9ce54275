"""`ContextThread` and `ContextThreadPoolExecutor`: the standard library's, in children."""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import ContextVar
from typing import Any

import pytest
from children_kit import PATIENCE, make_app

from demijohn import ContextThread, ContextThreadPoolExecutor, g, in_child, request
from demijohn.globals import app_ctx

note: ContextVar[str] = ContextVar("thread note", default="nothing")


def test_a_thread_is_a_thread() -> None:
    """A `ContextThread` has the name, the arguments and the daemon flag that it was given."""
    seen: list[Any] = []

    def work(a: int, *, b: int) -> None:
        thread = threading.current_thread()
        seen.extend([a, b, thread.name, thread.daemon, request.path])

    with make_app().test_request_context("/p"):
        thread = ContextThread(target=work, args=(1,), kwargs={"b": 2}, name="own", daemon=True)
        assert isinstance(thread, threading.Thread)
        thread.start()
        thread.join(PATIENCE)
    assert seen == [1, 2, "own", True, "/p"]
    assert not thread.is_alive()


def test_a_thread_with_a_run_of_its_own() -> None:
    """A subclass's `run` is in the child too, and is the method again afterwards."""
    seen: list[str] = []

    class Worker(ContextThread):
        def run(self) -> None:
            seen.append(request.path)

    with make_app().test_request_context("/p"):
        worker = Worker()
        worker.start()
        worker.join(PATIENCE)
    assert seen == ["/p"]
    assert "run" not in vars(worker)


def test_the_snapshot_is_taken_at_start() -> None:
    """A thread's child is made of what is current at `start`, not at its construction."""
    app = make_app()
    app.carry("user")
    seen: list[Any] = []
    thread = ContextThread(target=lambda: seen.append(g.user))
    with app.app_context():
        g.user = "ann"
        thread.start()
        g.user = "bob"
        thread.join(PATIENCE)
    assert seen == ["ann"]


def test_a_thread_is_started_once() -> None:
    """A second `start` is refused as any thread's, and what was refused can be started later."""
    thread = ContextThread(target=lambda: None)
    with pytest.raises(RuntimeError, match="Working outside of application context"):
        thread.start()
    assert "run" not in vars(thread)
    with make_app().app_context():
        thread.start()
        thread.join(PATIENCE)
        with pytest.raises(RuntimeError, match="started once"):
            thread.start()
    assert "run" not in vars(thread)


def test_a_thread_that_cannot_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    """When the system has no thread left, `start` says so and nothing is left of the attempt."""

    def refuse(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError("can't start new thread")

    for name in ("_start_new_thread", "_start_joinable_thread"):
        monkeypatch.setattr(threading, name, refuse, raising=False)
    thread = ContextThread(target=lambda: None)
    with make_app().app_context(), pytest.raises(RuntimeError, match="can't start"):
        thread.start()
    assert "run" not in vars(thread)


def test_run_by_hand() -> None:
    """`run` called by hand runs here, as any thread's."""
    seen: list[str] = []
    with make_app().test_request_context("/p"):
        ContextThread(target=lambda: seen.append(threading.current_thread().name)).run()
    assert seen == [threading.current_thread().name]


def test_an_executor_is_an_executor() -> None:
    """Submitting, mapping, cancelling, callbacks and shutdown are those of the base class."""
    started, go = threading.Event(), threading.Event()

    def wait() -> None:
        started.set()
        assert go.wait(PATIENCE)

    with make_app().test_request_context("/p"):
        with ContextThreadPoolExecutor(max_workers=1, thread_name_prefix="own") as pool:
            assert isinstance(pool, ThreadPoolExecutor)
            assert list(pool.map(lambda a, b: (a, b, request.path), [1, 2], [3, 4])) == [
                (1, 3, "/p"),
                (2, 4, "/p"),
            ]
            name: Future[str] = pool.submit(lambda: threading.current_thread().name)
            assert name.result(PATIENCE) == "own_0"
            first = pool.submit(wait)
            assert started.wait(PATIENCE)
            second = pool.submit(wait)
            assert second.cancel()
            go.set()
            first.result(PATIENCE)
        with pytest.raises(RuntimeError, match="after shutdown"):
            pool.submit(wait)


def test_a_job_knows_nothing_of_the_one_before() -> None:
    """Jobs on one thread each begin in an empty Context, with a context of their own."""
    app = make_app()
    with ContextThreadPoolExecutor(1) as pool:

        def work(path: str) -> tuple[str, str, bool]:
            found = (note.get(), request.path, hasattr(g, "before"))
            note.set(path)
            g.before = path
            return found

        for path in ("/a", "/b"):
            with app.test_request_context(path):
                assert pool.submit(work, path).result(PATIENCE) == ("nothing", path, False)


def test_the_snapshot_is_taken_at_submit() -> None:
    """A job's child is made of what is current at `submit`; all of one `map` alike."""
    app = make_app()
    app.carry("n")
    go = threading.Event()
    with ContextThreadPoolExecutor(1) as pool, app.app_context():
        blocked = pool.submit(go.wait, PATIENCE)
        g.n = 1
        job = pool.submit(lambda: g.n)
        g.n = 2

        def numbers() -> Any:
            for n in range(2):
                yield n
                g.n = 3

        jobs = pool.map(lambda n: g.n, numbers())
        go.set()
        assert (blocked.result(PATIENCE), job.result(PATIENCE), list(jobs)) == (True, 1, [2, 2])


def test_a_function_that_is_in_a_child_already() -> None:
    """What `in_child` has wrapped runs in one child, not in a child of a child."""
    app = make_app()
    with app.app_context():
        with ContextThreadPoolExecutor(1) as pool:
            pool.submit(in_child(lambda: None)).result(PATIENCE)
        thread = ContextThread(target=lambda: None)
        thread.start()
        thread.join(PATIENCE)
        assert app.log == ["app ok", "app ok"]


def test_a_child_knows_what_started_it() -> None:
    """A child refers weakly to the context that started it: for an inspector, not to use."""
    with make_app().app_context() as ctx, ContextThreadPoolExecutor(1) as pool:
        assert pool.submit(lambda: app_ctx._unit.parent() is ctx).result(PATIENCE)
