"""What runs once a server process: the order and the contexts."""

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

from .kit import WAIT, WAYS, Boom, Site, by_server

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
    third.before_serving(run)
    for _ in range(2):
        b"".join(third(environ(), lambda *args: print))
    [line] = third.errors
    assert line.startswith("Not run before the first request, nor at the end: run. The server")
