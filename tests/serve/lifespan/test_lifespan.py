"""What runs once a server process: the order, the contexts, the errors."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextvars import ContextVar
from typing import Any

import pytest
from werkzeug.test import EnvironBuilder

import demijohn
from demijohn import current_app, g, has_request_context, on_end, resource
from demijohn.globals import app_ctx

from .kit import WAIT, WAYS, Boom, Server, Site, by_server

Serve = Callable[[Any, Callable[[], object]], None]
var: ContextVar[str] = ContextVar("var")


@pytest.fixture
def site() -> Iterator[Site]:
    site = Site()
    yield site
    site.close()


@pytest.fixture(params=WAYS)
def serve(request: pytest.FixtureRequest) -> Serve:
    found: Serve = request.param
    return found


def run(main: Callable[[], Any]) -> Any:
    return asyncio.run(asyncio.wait_for(main(), WAIT))


def test_order(site: Site, serve: Serve) -> None:
    """Before the serving functions run in the order of registration; at the end blocks are left
    last entered first, functions run in the order of registration, and resources of the application
    are closed last opened first."""
    site.add("one", asynchronous=True)
    site.add("two", asynchronous=False)
    serve(site, lambda: site.log.append("serving"))
    here = [f"{line} in site" for line in ("before one", "before two", "open one", "enter one")]
    here += [f"{line} in site" for line in ("open two", "enter two")]
    there = ["leave two", "leave one", "after one", "after two", "close two", "close one"]
    assert site.log == [*here, "serving", *(f"{line} in site" for line in there)]
    assert site.errors == []


def test_served_again(site: Site, serve: Serve) -> None:
    """An application that is served a second time in its process begins anew."""
    site.add("one", asynchronous=True)
    begun: list[bool] = []
    for _ in range(2):
        serve(site, lambda: begun.append(bool(site.stopping)))
        assert site.stopping
    assert begun == [False, False]
    assert site.log.count("enter one in site") == site.log.count("close one in site") == 2


def test_registered_on_a_blueprint(site: Site, serve: Serve) -> None:
    """A blueprint registers functions of each kind for its application, once."""
    bp = demijohn.Blueprint("bp", "bp")
    bp.before_app_serving(lambda: site.note("before"))
    bp.after_app_serving(lambda: site.note("after"))

    @bp.while_app_serving
    def around() -> Iterator[None]:
        site.note("enter")
        yield
        site.note("leave")

    site.register_blueprint(bp, name="one")
    site.register_blueprint(bp, name="two")
    serve(site, lambda: None)
    assert site.log == [f"{line} in site" for line in ("before", "enter", "leave", "after")]


def test_contexts(site: Site, serve: Serve) -> None:
    """Each function has an application context of its own, a block the same one to its end, and
    nothing of either is seen by the next."""
    seen: list[object] = []

    @site.before_serving
    async def before() -> None:
        g.name, _ = "before", var.set("before")
        on_end(seen.append, "end of before")

    @site.while_serving
    def around() -> Iterator[None]:
        assert "name" not in g and var.get(None) is None and not has_request_context()
        g.name, token = "around", var.set("around")
        mine = app_ctx._get_current_object()
        yield
        assert g.name == var.get() == "around" and app_ctx._get_current_object() is mine
        var.reset(token)
        seen.append("around")

    @site.after_serving
    def after() -> None:
        assert "name" not in g and var.get(None) is None
        seen.append("after")

    serve(site, lambda: seen.append("serving"))
    assert seen == ["end of before", "serving", "around", "after"]
    assert site.errors == []


def test_threads(site: Site, serve: Serve) -> None:
    """Sync functions run on worker threads, async ones on the serving loop: one for all."""
    threads: list[object] = []
    loops: list[object] = []

    async def asynchronous() -> None:
        loops.append(asyncio.get_running_loop())

    async def around() -> AsyncIterator[None]:
        await asynchronous()
        yield
        await asynchronous()

    site.before_serving(lambda: threads.append(threading.current_thread().name))
    site.before_serving(asynchronous)
    site.while_serving(around)
    site.after_serving(lambda: threads.append(threading.current_thread().name))
    serve(site, lambda: None)
    assert len(set(loops)) == 1 and len(loops) == 3
    assert all("sync" in str(name) for name in threads) and len(threads) == 2


def test_what_a_block_holds(site: Site, serve: Serve) -> None:
    """While the application is served a block holds its resources, but for those of lifetime
    `view`."""
    log: list[str] = []

    @resource
    def kept() -> Iterator[str]:
        yield "kept"
        log.append("close kept")

    @resource(lifetime="view")
    async def released() -> AsyncIterator[str]:
        log.append("open released")
        try:
            yield "released"
        finally:
            log.append("close released")

    @site.while_serving
    async def around() -> AsyncIterator[None]:
        assert kept == "kept" and await released == "released"
        yield
        assert await released == "released"

    serve(site, lambda: log.append("serving"))
    assert log == [
        *("open released", "close released", "serving"),
        *("open released", "close released", "close kept"),
    ]


def test_a_group_of_tasks_spans_the_serving(site: Site, serve: Serve) -> None:
    """A block may hold a task group, whose tasks run while the application is served."""
    ran = threading.Event()

    @site.while_serving
    async def around() -> AsyncIterator[None]:
        async def work() -> None:
            ran.set()
            await current_app.stopping.wait_async()
            site.note("told")

        async with asyncio.TaskGroup() as group:
            group.create_task(work())
            yield
        site.note("joined")

    def meanwhile() -> None:
        site.log.append("serving")

    serve(site, meanwhile)
    assert ran.is_set()
    assert site.log == ["serving", "told in site", "joined in site"]


def test_a_task_group_that_fails_meanwhile(site: Site) -> None:
    """A block that ends by an error while the application is served is logged then; the serving
    goes on, and its end is a good one."""

    @site.while_serving
    async def around() -> AsyncIterator[None]:
        async def work() -> None:
            raise Boom("in a task")

        async with asyncio.TaskGroup() as group:
            group.create_task(work())
            yield
            site.note("goes on")

    async def main() -> None:
        async with by_server(site):
            while not site.errors:
                await asyncio.sleep(0.001)

    run(main)
    [line] = site.errors
    assert line.startswith("The while_serving function") and line.endswith("failed while serving")
    assert site.log == []


def test_registration_is_over(site: Site, serve: Serve) -> None:
    """While an application is served nothing can be registered any more."""

    def late() -> None:
        for register in (site.before_serving, site.after_serving, site.while_serving):
            with pytest.raises(AssertionError, match=r"The setup method .* can no longer"):
                register(late)

    serve(site, late)


def test_a_server_that_runs_nothing(site: Site) -> None:
    """Under a WSGI server that does not run the functions the log says so, at the first request;
    a test client's request, and one within `app.serving()`, say nothing."""
    site.before_serving(lambda: site.note("never"))
    environ = EnvironBuilder("/").get_environ
    with site.serving():
        b"".join(site(environ(), lambda *args: print))
    assert site.errors == []
    other = Site()
    other.while_serving(site.before_serving_funcs[0])
    other.test_client().get("/")
    assert other.errors == []
    third = Site()
    third.while_serving(failing)
    for _ in range(2):
        b"".join(third(environ(), lambda *args: print))
    [line] = third.errors
    assert line.startswith("Not run before the first request, nor at the end: failing. The server")


# -- errors ----------------------------------------------------------------------------------------


def failing(site: Site, kind: str) -> None:
    """Let the functions of a kind fail between two that do not."""
    site.add("one", asynchronous=True)

    def function() -> None:
        raise Boom("no database")

    def before_yield() -> Iterator[None]:
        function()
        yield

    async def after_yield() -> AsyncIterator[None]:
        yield
        function()

    @resource(lifetime="app")
    def broken() -> Iterator[int]:
        yield 1
        function()

    match kind:
        case "before":
            site.before_serving(function)
        case "enter":
            site.while_serving(before_yield)
        case "leave":
            site.while_serving(after_yield)
        case "after":
            site.after_serving(function)
        case "close":
            site.before_serving(lambda: site.note(f"opened {broken + 0}"))
    site.add("two", asynchronous=False)


@pytest.mark.parametrize("kind", ["before", "enter"])
def test_an_error_at_the_start(site: Site, kind: str) -> None:
    """The server is told which function failed, and how; what had begun is ended, nothing else
    runs, and the application can be served afterwards."""
    failing(site, kind)

    async def main() -> dict[str, Any]:
        server = Server(site)
        answer = await server.start()
        await server.task
        assert len(server.sent) == 1
        return answer

    answer = run(main)
    assert answer["type"] == "lifespan.startup.failed"
    assert answer["message"].startswith(f"The {'before' if kind == 'before' else 'while'}_serving")
    assert answer["message"].endswith("raised Boom: no database")
    assert site.errors == [f"The application does not start: {answer['message']}"]
    entered = ["before two", "open one", "enter one", "leave one", "close one"]
    lines = ["before one", *(entered if kind == "enter" else [])]
    assert site.log == [f"{line} in site" for line in lines]
    site.before_serving(lambda: None)  # registration is still open


@pytest.mark.parametrize("kind", ["leave", "after", "close"])
def test_an_error_at_the_end(site: Site, kind: str) -> None:
    """Everything else runs, the error is logged, and the server is told."""
    failing(site, kind)

    async def main() -> dict[str, Any]:
        server = Server(site)
        await server.start()
        site.log.clear()
        return await server.stop()

    assert run(main) == {"type": "lifespan.shutdown.failed", "message": "Boom: no database"}
    [line] = site.errors
    assert line.endswith("failed while the server stops")
    there = ["leave two", "leave one", "after one", "after two", "close two", "close one"]
    assert site.log == [f"{line} in site" for line in there]


def test_several_errors_at_the_end(site: Site) -> None:
    """Each of several errors is logged, and the server is told of all."""
    for number in range(2):

        def after(number: int = number) -> None:
            raise Boom(f"number {number}")

        site.after_serving(after)

    async def main() -> dict[str, Any]:
        server = Server(site)
        await server.start()
        return await server.stop()

    assert run(main)["message"] == "Boom: number 0; Boom: number 1"
    assert len(site.errors) == 2


@pytest.mark.parametrize("asynchronous", [False, True])
def test_errors_of_a_block(site: Site, asynchronous: bool) -> None:
    """`app.serving()` raises what the functions raise, at the start and at the end."""

    def enter() -> Any:
        if not asynchronous:
            with site.serving():
                pass
            return

        async def main() -> None:
            async with site.serving():
                pass

        run(main)

    failing(site, "before")
    with pytest.raises(Boom):
        enter()
    site.before_serving_funcs.clear()
    failing(site, "after")
    with pytest.raises(Boom):
        enter()
    failing_again = site.after_serving_funcs[-2]
    site.after_serving_funcs.append(failing_again)
    with pytest.raises(ExceptionGroup, match="Errors in what ends with 'site'") as caught:
        enter()
    assert [type(error) for error in caught.value.exceptions] == [Boom, Boom]


def coroutine_of(site: Site) -> Any:
    async def connect() -> None:
        site.log.append("never")

    return connect


def twice_of(site: Site) -> Any:
    def connect() -> Iterator[None]:
        yield
        yield

    return connect


def never_of(site: Site) -> Any:
    async def connect() -> AsyncIterator[None]:
        if site.log:
            yield

    return connect


def test_functions_that_are_no_blocks(site: Site) -> None:
    """What is no generator function is refused at its registration; one that does not yield, and
    one that yields twice, are errors of the start and of the end."""
    with pytest.raises(TypeError, match="'connect' is a coroutine function: write `yield`"):
        site.while_serving(coroutine_of(site))
    site.while_serving(never_of(site))
    never = pytest.raises(RuntimeError, match=r"while_serving function .*connect.* did not yield")
    with never, site.serving():
        pytest.fail("the block was entered")
    site.while_serving_funcs[:] = [twice_of(site)]
    with pytest.raises(RuntimeError, match="yielded a second time"), site.serving():
        pass
    site.while_serving_funcs[:] = [lambda: 5]
    no_block = pytest.raises(TypeError, match="is no generator function: it returned 5")
    with no_block, site.serving():
        pytest.fail("the block was entered")


# -- cancelling ------------------------------------------------------------------------------------


def test_cancelled_while_serving(site: Site) -> None:
    """A server that cancels the lifespan instead of ending it has the ends run before that is
    over."""
    site.add("one", asynchronous=True)
    site.add("two", asynchronous=False)

    async def main() -> None:
        server = Server(site)
        await server.start()
        site.log.clear()
        server.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await server.task
        assert len(server.sent) == 1

    run(main)
    there = ["leave two", "leave one", "after one", "after two", "close two", "close one"]
    assert site.log == [f"{line} in site" for line in there]


def test_cancelled_at_the_start(site: Site) -> None:
    """A server that gives up a start has what had begun ended, the function that ran included."""
    site.add("one", asynchronous=True)
    waiting = asyncio.Event()

    @site.while_serving
    async def slow() -> AsyncIterator[None]:
        try:
            waiting.set()
            await asyncio.sleep(WAIT)
            yield
        finally:
            site.note("given up")

    async def main() -> None:
        server = Server(site)
        starting = asyncio.ensure_future(server.start())
        await waiting.wait()
        site.log.clear()
        server.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await server.task
        starting.cancel()

    run(main)
    assert site.log == [f"{line} in site" for line in ("given up", "leave one", "close one")]


def test_work_on_threads_is_waited_for(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the end sync functions of requests are waited for; those that go on for longer than
    `END_TIMEOUT` seconds are left behind, and named."""
    go_on = threading.Event()
    site.config["END_TIMEOUT"] = 0.2

    @site.get("/")
    def slow() -> str:
        go_on.wait(WAIT)
        return ""

    async def main() -> None:
        server = Server(site)
        await server.start()
        running = asyncio.ensure_future(request(site))
        while not site._threads.running():  # type: ignore[attr-defined]
            await asyncio.sleep(0.001)
        running.cancel()
        assert (await server.stop())["type"] == "lifespan.shutdown.complete"
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await running

    run(main)
    [line] = site.errors
    assert line.startswith("Still running 0.2 s after the last request, and left behind: ")
    assert "slow in thread site-sync-" in line


async def request(app: Any) -> None:
    scope = {"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET"}
    scope |= {"path": "/", "raw_path": b"/", "query_string": b"", "headers": [], "scheme": "http"}
    scope |= {"server": ("127.0.0.1", 80), "client": ("127.0.0.1", 1), "root_path": ""}
    first = True

    async def receive() -> dict[str, Any]:
        nonlocal first
        if first:
            first = False
            return {"type": "http.request", "body": b"", "more_body": False}
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: dict[str, Any]) -> None:
        pass

    await app(scope, receive, send)


def test_a_second_lifespan_of_one_process(site: Site) -> None:
    """A second server of the same process begins and ends nothing."""
    site.add("one", asynchronous=True)

    async def main() -> None:
        async with by_server(site):
            lines = list(site.log)
            async with by_server(site):
                assert site.log == lines
            assert site.log == lines
            assert not site.stopping

    run(main)
    assert site.log[-1] == "close one in site"
