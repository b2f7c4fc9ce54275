"""Async views, hooks, handlers and teardown functions under WSGI."""

from __future__ import annotations

import asyncio
import gc
import importlib
import os
import subprocess
import sys
import threading
import traceback
import warnings
from collections.abc import AsyncIterator, Callable
from contextvars import ContextVar, copy_context
from functools import partial
from pathlib import Path
from typing import Any

import gevent
import pytest
from context_kit import BOTH, in_task, in_thread, make_app, name_of

import demijohn
from demijohn import g, request, session
from demijohn.framework.aio import KeptLoop

# An exception that leaves an application takes the request's variables along.
pytestmark = pytest.mark.leaves_behind("variable")

mark: ContextVar[str] = ContextVar("mark", default="nothing")


@pytest.fixture(autouse=True)
def unmarked() -> None:
    """Take away what an earlier test's exception brought here."""
    mark.set("nothing")


def async_app(fw: Any = demijohn, **config: Any) -> Any:
    """An application all of whose functions are async; `app.log` is what they wrote."""
    app = fw.Flask("site", static_folder=None)
    app.config.update({"SECRET_KEY": "key", **config})
    app.log = log = []
    g, request, session = fw.g, fw.request, fw.session

    async def note(name: str) -> None:
        await asyncio.sleep(0)
        log.append(f"{name} {mark.get()}")
        mark.set(name)

    @app.before_request
    async def before() -> None:
        g.user = "async"
        await note("before")

    @app.after_request
    async def after(response: Any) -> Any:
        await note("after")
        response.headers["X-After"] = g.user
        return response

    @app.teardown_request
    async def teardown(exc: BaseException | None) -> None:
        await note(f"request {name_of(exc)}")

    @app.teardown_appcontext
    async def teardown_app(exc: BaseException | None) -> None:
        await note(f"app {name_of(exc)}")

    @app.errorhandler(LookupError)
    async def handler(error: LookupError) -> Any:
        await note("handler")
        return f"handled {error.args[0]}", 418

    @app.errorhandler(404)
    async def missing(error: Exception) -> Any:
        await note("404")
        return "missing", 404

    @app.get("/")
    async def index() -> str:
        await note("view")
        session["seen"] = True
        return f"{request.path} {g.user}"

    @app.get("/fail/<kind>")
    async def fail(kind: str) -> str:
        await note("view")
        raise {"lookup": LookupError, "value": ValueError}[kind]("view")

    @app.get("/abort")
    async def abort() -> str:
        fw.abort(404)

    @app.get("/later")
    async def later() -> str:
        @fw.after_this_request
        async def this(response: Any) -> Any:
            await note("this")
            return response

        return "later"

    return app


@BOTH
@pytest.mark.parametrize(
    ("path", "status", "text", "log"),
    [
        ("/", 200, "/ async", "before view after request app"),
        ("/fail/lookup", 418, "handled view", "before view handler after request app"),
        ("/fail/value", 500, None, "before view after request app"),
        ("/abort", 404, "missing", "before 404 after request app"),
        ("/missing", 404, "missing", "before 404 after request app"),
        ("/later", 200, "later", "before this after request app"),
    ],
)
def test_async_functions(fw: Any, path: str, status: int, text: str | None, log: str) -> None:
    """Async functions of every kind run in their order, with the request at hand."""
    app = async_app(fw)
    response = app.test_client().get(path)
    assert response.status_code == status
    assert text is None or response.text == text
    assert response.headers["X-After"] == "async"
    assert [line.split()[0] for line in app.log] == log.split()


@BOTH
def test_context_variables_go_from_one_function_to_the_next(fw: Any) -> None:
    """A variable that one async function sets is seen by the next one, in the same request only."""
    app = async_app(fw)
    for _ in range(2):
        app.log.clear()
        app.test_client().get("/")
        assert app.log[1:] == ["view before", "after view", "request ok after", "app ok request ok"]
        # Under Flask the test client's requests run in the test's own Context.
        assert app.log[0] == "before nothing" or fw is not demijohn


@BOTH
def test_async_and_sync_functions_share_variables(fw: Any) -> None:
    """What an async before hook sets is seen in a sync view, and the other way round."""
    app = fw.Flask("site", static_folder=None)

    @app.before_request
    async def first() -> None:
        mark.set("async")

    @app.before_request
    def second() -> None:
        mark.set(f"{mark.get()} sync")

    @app.before_request
    async def third() -> None:
        mark.set(f"{mark.get()} again")

    app.add_url_rule("/", "view", mark.get)
    assert app.test_client().get("/").text == "async sync again"


@BOTH
def test_propagating_errors(fw: Any) -> None:
    """In testing an async view's error reaches the caller as itself."""
    app = async_app(fw, TESTING=True)
    with pytest.raises(ValueError, match="view") as caught:
        app.test_client().get("/fail/value")
    assert traceback.extract_tb(caught.value.__traceback__)[-1].name == "fail"


@BOTH
@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_fatal_exceptions(fw: Any, kind: type[BaseException]) -> None:
    """KeyboardInterrupt and SystemExit of an async view reach the server, and the next request is
    served.
    """
    app = async_app(fw)

    @app.get("/fatal")
    async def fatal() -> str:
        raise kind

    with pytest.raises(kind):
        app.test_client().get("/fatal")
    assert app.log[-1].startswith(f"app {kind.__name__}")
    assert app.test_client().get("/").status_code == 200


@BOTH
def test_a_stopiteration_in_a_coroutine(fw: Any) -> None:
    """A StopIteration in a coroutine is Python's RuntimeError (PEP 479), and a 500."""
    app = async_app(fw, TESTING=True)

    @app.get("/stop")
    async def stop() -> str:
        raise StopIteration

    with pytest.raises(RuntimeError, match="coroutine raised StopIteration"):
        app.test_client().get("/stop")


@BOTH
def test_class_based_views(fw: Any) -> None:
    """Async methods of View and MethodView work."""
    views = importlib.import_module(f"{fw.__name__}.views")

    class Plain(views.View):
        async def dispatch_request(self) -> str:
            return "plain"

    class Methods(views.MethodView):
        async def get(self) -> str:
            return "got"

        async def post(self) -> str:
            return "posted"

    app = fw.Flask("site", static_folder=None)
    app.add_url_rule("/plain", view_func=Plain.as_view("plain"))
    app.add_url_rule("/methods", view_func=Methods.as_view("methods"))
    client = app.test_client()
    assert client.get("/plain").text == "plain"
    assert (client.get("/methods").text, client.post("/methods").text) == ("got", "posted")


@BOTH
def test_steps_by_hand(fw: Any) -> None:
    """The public steps called by hand run async functions too."""
    app = async_app(fw)
    with app.test_request_context("/"):
        assert app.preprocess_request() is None
        assert fw.g.user == "async"
        assert mark.get() == "before"
        assert app.dispatch_request() == "/ async"
        response = app.process_response(app.make_response("x"))
        assert response.headers["X-After"] == "async"
        assert app.full_dispatch_request().get_data() == b"/ async"
    assert app.log[-2:] == ["request ok after", "app ok request ok"]


@pytest.mark.wsgi_only("the other edge awaits, and runs no coroutine from sync code")
@BOTH
def test_own_ways_to_run_coroutines(fw: Any) -> None:
    """An overridden async_to_sync or ensure_sync is what runs the functions."""
    used: list[str] = []

    class App(fw.Flask):  # type: ignore[misc]
        def async_to_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
            used.append(func.__name__)
            return lambda *args, **kwargs: asyncio.run(func(*args, **kwargs))

    app = App("site", static_folder=None)

    @app.before_request
    async def before() -> None:
        pass

    @app.get("/")
    async def view() -> str:
        return "x"

    assert app.test_client().get("/").text == "x"
    assert used == ["before", "view"]


@BOTH
def test_async_signal_receivers(fw: Any) -> None:
    """An async receiver of a signal is run."""
    app = async_app(fw)
    seen: list[str] = []

    async def receiver(sender: Any, **kwargs: Any) -> None:
        await asyncio.sleep(0)
        seen.append(fw.request.path)

    with fw.signals.request_started.connected_to(receiver, sender=app):
        app.test_client().get("/")
    assert seen == ["/"]


@BOTH
def test_concurrent_work_in_a_view(fw: Any) -> None:
    """Coroutines that an async view gathers see its request."""
    app = fw.Flask("site", static_folder=None)

    @app.get("/<name>")
    async def view(name: str) -> Any:
        async def part(n: int) -> str:
            await asyncio.sleep(0)
            return f"{fw.request.path}{n}"

        return await asyncio.gather(*(part(n) for n in range(3)))

    assert app.test_client().get("/x").json == ["/x0", "/x1", "/x2"]


# -- the loop --------------------------------------------------------------------------------------


def loop_app() -> Any:
    app = make_app()

    @app.get("/")
    async def view() -> str:
        return str(id(asyncio.get_running_loop()))

    return app


def test_a_thread_keeps_its_loop() -> None:
    """Requests on one thread run on the same loop, those of another on another."""
    app = loop_app()

    def ask() -> set[str]:
        return {app.test_client().get("/").text for _ in range(3)}

    here = ask()
    assert len(here) == 1
    assert ask() == here
    assert len(in_thread(ask)) == 1


def test_no_loop_runs_in_sync_functions() -> None:
    """Sync functions of an application with async ones see no running loop."""
    app = async_app()

    def running() -> bool:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return False
        return True

    app.before_request(lambda: app.log.append(f"sync {running()}"))
    app.add_url_rule("/sync", "sync", lambda: str(running()))
    assert app.test_client().get("/sync").text == "False"
    app.test_client().get("/")
    assert "sync False" in app.log
    assert "sync True" not in app.log


def test_a_threads_loop_is_closed_with_it() -> None:
    """When a thread ends, its loop is closed: nothing warns of a loop or socket left open."""
    app = loop_app()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        in_thread(lambda: app.test_client().get("/"))
        gc.collect()
    assert caught == []


@pytest.mark.wsgi_only("under a server's loop tasks go on")
@BOTH
def test_tasks_left_over_are_cancelled(fw: Any) -> None:
    """A task that an async view starts and does not wait for is cancelled at the view's end."""
    app = fw.Flask("site", static_folder=None)
    log: list[str] = []
    forever = 1000

    @app.get("/")
    async def view() -> str:
        async def work() -> None:
            try:
                log.append("started")
                await asyncio.sleep(forever)
            except asyncio.CancelledError:
                log.append("cancelled")
                raise

        app.task = asyncio.create_task(work())
        await asyncio.sleep(0)
        return "x"

    for _ in range(2):
        log.clear()
        assert app.test_client().get("/").text == "x"
        assert log == ["started", "cancelled"]


def test_an_async_generator_left_over_is_closed() -> None:
    """An async generator that a view leaves half-way is closed before the request is over."""
    app = make_app()

    async def numbers() -> AsyncIterator[int]:
        try:
            for n in range(10):
                yield n
        finally:
            app.log.append("closed")

    @app.get("/")
    async def view() -> str:
        async for n in numbers():
            return str(n)
        return ""

    assert app.test_client().get("/").text == "0"
    gc.collect()
    assert app.test_client().get("/").text == "0"
    assert "closed" in app.log


def test_on_a_thread_whose_loop_runs() -> None:
    """Inside a running loop async functions run in a helper thread, in the request's Context."""
    app = async_app()

    def ask() -> tuple[str, str]:
        token = mark.set("caller's")
        try:
            response = app.test_client().get("/")
            return response.text, threading.current_thread().name
        finally:
            mark.reset(token)

    assert in_task(ask) == ("/ async", threading.current_thread().name)
    assert app.log == [
        "before caller's",
        "view before",
        "after view",
        "request ok after",
        "app ok request ok",
    ]


def test_an_error_on_a_thread_whose_loop_runs() -> None:
    """What an async view raises in the helper thread comes out as itself."""
    app = async_app(TESTING=True)
    with pytest.raises(ValueError, match="view"):
        in_task(lambda: app.test_client().get("/fail/value"))


def test_an_async_view_that_calls_the_application() -> None:
    """An async view can call the application, whose async functions then run in a helper thread."""
    app = async_app()

    @app.get("/outer")
    async def outer() -> str:
        return str(app.test_client().get("/").text)

    assert app.test_client().get("/outer").text == "/ async"


def test_helper_threads_end() -> None:
    """No helper thread is left over."""
    before = threading.active_count()
    in_task(lambda: async_app().test_client().get("/"))
    assert threading.active_count() == before


@pytest.mark.wsgi_only("a loop of asyncio's runs in no greenlet")
def test_in_greenlets() -> None:
    """In gevent's greenlets async views run while other greenlets do, each with its own request."""
    app = make_app()
    release = threading.Barrier(2, timeout=10)

    @app.get("/<name>")
    async def view(name: str) -> str:
        # Both views are inside at the same time, or this breaks.
        release.wait()
        mark.set(name)
        g.name = name
        await asyncio.sleep(0)
        return f"{request.path} {g.name} {mark.get()}"

    jobs = [gevent.spawn(lambda n=n: app.test_client().get(f"/{n}").text) for n in "ab"]
    gevent.joinall(jobs, raise_error=True)
    assert [job.value for job in jobs] == ["/a a a", "/b b b"]


PATCHED = """
from gevent import monkey
monkey.patch_all()
import asyncio, gevent
from demijohn import Flask, g, request
app = Flask("site", static_folder=None)

@app.before_request
async def before():
    g.name = request.path
    await asyncio.sleep(0.01)

@app.get("/<name>")
async def view(name):
    await asyncio.sleep(0.01)
    return f"{request.path} {g.name}"

ask = lambda n: app.test_client().get(f"/{n}").text
jobs = [gevent.spawn(ask, n) for n in range(4)]
gevent.joinall(jobs, raise_error=True)
print([job.value for job in jobs], ask("main"))
"""


def python(code: str, *options: str) -> subprocess.CompletedProcess[str]:
    source = str(Path(demijohn.__file__).parent.parent)
    return subprocess.run(
        [sys.executable, *options, "-c", code],
        env={**os.environ, "PYTHONPATH": source},
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.wsgi_only("a loop of asyncio's runs in no greenlet")
def test_where_gevent_patched_everything() -> None:
    """Where gevent has patched threads and select, async functions run, several at once."""
    done = python(PATCHED)
    assert done.stderr == ""
    assert done.stdout.strip() == f"{[f'/{n} /{n}' for n in range(4)]} /main /main"


ENDING = """
import threading
from demijohn import Flask
app = Flask("site", static_folder=None)
@app.get("/")
async def view():
    return "x"
ask = lambda: app.test_client().get("/")
ask()
thread = threading.Thread(target=ask); thread.start(); thread.join()
asked = threading.Event()
def daemon():
    ask(); asked.set()
    while AGAIN:
        ask()
    threading.Event().wait()
threading.Thread(target=daemon, daemon=True).start()
asked.wait()
print("done")
"""


@pytest.mark.wsgi_only("asyncio's debug mode tells of slow steps")
def test_a_process_ends_cleanly() -> None:
    """A process that ran async functions ends without a warning of an open loop."""
    done = python(ENDING.replace("AGAIN", "False"), "-X", "dev", "-W", "error")
    assert (done.stdout, done.stderr, done.returncode) == ("done\n", "", 0)


def test_a_process_ends_while_a_daemon_thread_runs_async_functions() -> None:
    """At exit no loop is closed on a thread that is running it, nor run on one after that."""
    for _ in range(5):
        done = python(ENDING.replace("AGAIN", "True"))
        assert (done.stdout, done.stderr, done.returncode) == ("done\n", "", 0)


@pytest.mark.wsgi_only("servers fork before they have a loop")
def test_a_fork_has_a_loop_of_its_own() -> None:
    """A forked process runs async functions on a loop of its own, and the parent's still works
    after.
    """
    code = """
import asyncio, os
from demijohn import Flask
app = Flask("site", static_folder=None)
@app.get("/")
async def view():
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(None, lambda: "x")
ask = lambda: app.test_client().get("/").text
assert ask() == "x"
pid = os.fork()
assert ask() == "x"
if pid:
    assert os.waitpid(pid, 0)[1] == 0
    assert ask() == "x"
    print("done")
"""
    done = python(code, "-W", "error")
    assert (done.stdout, done.stderr) == ("done\n", "")


def test_an_async_function_called_with_wrong_arguments_keeps_the_loop() -> None:
    """A call that fails before there is a coroutine leaves the thread's loop in use."""
    loops = []

    async def function() -> None:
        loops.append(asyncio.get_running_loop())

    run: Any = demijohn.Flask("site").async_to_sync(function)
    run()
    with pytest.raises(TypeError):
        run(1)
    run()
    assert loops[0] is loops[1]


def test_session_and_request_in_async_functions() -> None:
    """What an async view writes to the session is in the cookie."""
    client = async_app().test_client()
    client.get("/")
    with client.session_transaction() as opened:
        assert opened == {"seen": True}
    assert not session
    assert not request


def test_a_loop_that_is_dropped_on_a_loops_thread() -> None:
    """A kept loop that is dropped while another one runs on the thread is closed, without a
    complaint."""

    async def nothing() -> None:
        pass

    async def main() -> None:
        kept = KeptLoop()
        kept.take()
        in_thread(partial(kept.run, nothing(), copy_context()))
        loop = kept.loop
        del kept
        gc.collect()
        assert loop.is_closed()

    asyncio.run(main())
