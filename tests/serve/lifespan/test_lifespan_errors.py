"""What runs once a server process, where it fails, is cancelled, or does not return."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from demijohn import resource

from .kit import WAIT, Boom, Server, Site, by_server


@pytest.fixture
def site() -> Iterator[Site]:
    site = Site()
    yield site
    site.close()


def run(main: Callable[[], Any]) -> Any:
    return asyncio.run(asyncio.wait_for(main(), WAIT))


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


@pytest.mark.parametrize("kind", ["before", "enter"])
@pytest.mark.parametrize("asynchronous", [True, False])
def test_an_exit_at_the_start(site: Site, kind: str, asynchronous: bool) -> None:
    """`sys.exit` in a function keeps the server from starting like any error: what had begun is
    ended, and no server takes the application for one without a lifespan."""
    site.add("one", asynchronous=True)

    def function() -> None:
        sys.exit("no settings")

    async def function_async() -> None:
        function()

    def around() -> Iterator[None]:
        function()
        yield

    async def around_async() -> AsyncIterator[None]:
        function()
        yield

    if kind == "before":
        site.before_serving(function_async if asynchronous else function)
    else:
        site.while_serving(around_async if asynchronous else around)

    async def main() -> dict[str, Any]:
        server = Server(site)
        answer = await server.start()
        await server.task
        return answer

    answer = run(main)
    assert answer["type"] == "lifespan.startup.failed"
    assert answer["message"].endswith("raised RuntimeError: sys.exit('no settings') was called.")
    left = ["open one", "enter one", "leave one", "close one"] if kind == "enter" else []
    assert site.log == [f"{line} in site" for line in ("before one", *left)]
